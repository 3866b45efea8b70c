"""Customers in a browser: map and pills filter, the grid scrolls and sorts, the address remembers, files come out."""

import io

import pandas as pd
import pyarrow.parquet as pq
from playwright.sync_api import expect

ROW = "dash_ag_grid.getApi('customers-grid').getDisplayedRowAtIndex(0)"


def first(page, column: str):
    return page.locator(f"#customers-grid .ag-row-first [col-id={column}]")


def counted(page) -> int:
    return int(page.locator(".totals strong").first.inner_text().replace(",", ""))


def test_it_is_whole_and_accessible(looks):
    for seen in looks("/customers"):
        seen.rows()
        page = seen.page
        expect(page.locator("h1")).to_have_text("Customers")
        expect(page.locator("h1")).to_have_count(1)
        assert counted(page) == 3_000
        expect(page.locator("#heatmap .hm image, #heatmap .heatmaplayer image").first).to_be_attached()
        expect(first(page, "customer_id")).not_to_be_empty()
        expect(page.locator(".state")).to_have_count(0)
        assert seen.overflow() <= 0
        assert seen.accessibility_findings() == []


def test_a_link_restores_everything(watch):
    query = "?segment=best,active&value=20..&frequency=1..6&sort=-frequency,customer_id&color=value"
    seen = watch().open("/customers" + query).rows()
    page = seen.page
    expect(page.locator("#pill-value")).to_have_text("Value ≥ $20.00")
    expect(page.locator("#pill-frequency")).to_have_text("Repeat days 1 – 6")
    expect(page.get_by_role("radio", name="Value")).to_be_checked()
    assert seen.row()["frequency"] == 6
    expect(page.locator(".ag-header-cell[col-id=customer_id]")).to_have_attribute("aria-sort", "ascending")
    segments = page.locator("#customers-grid .ag-center-cols-container [col-id=segment]").all_inner_texts()
    assert set(segments) <= {"Best", "Active"}
    assert seen.query() == query


def test_pills_filter_by_keyboard_and_back_undoes(watch):
    seen = watch().open("/customers").rows()
    page = seen.page
    page.get_by_role("button", name="P(alive)", exact=True).focus()
    page.keyboard.press("Enter")
    page.get_by_label("P(alive), at most").fill("30")
    page.keyboard.press("Tab")
    seen.until("location.search === '?alive=..0.3'")
    page.keyboard.press("Escape")
    expect(page.locator("#pill-alive")).to_have_text("P(alive) ≤ 30%")
    seen.until("!document.querySelector('.totals strong').textContent.startsWith('3,000')")
    at_risk = counted(page)
    assert 0 < at_risk < 3_000

    page.get_by_label("Search customer id").fill("c00001")
    seen.until("location.search.includes('q=c00001')")
    seen.settle()
    seen.until(f"!document.querySelector('.totals strong').textContent.startsWith('{at_risk:,}')")
    page.go_back()
    seen.until(f"document.querySelector('.totals strong').textContent === '{at_risk:,}'")
    expect(page.get_by_label("Search customer id")).to_have_value("")
    page.go_back()
    seen.until("document.querySelector('.totals strong').textContent === '3,000'")
    expect(page.locator("#pill-alive")).to_have_text("P(alive)")
    page.go_forward()
    expect(page.locator("#pill-alive")).to_have_text("P(alive) ≤ 30%")
    page.get_by_role("button", name="Clear all filters").click()
    seen.until("location.search === ''")
    expect(page.get_by_role("button", name="Clear all filters")).to_be_hidden()
    seen.settle()


def test_segments_are_chosen_from_a_list(watch):
    seen = watch().open("/customers").rows()
    page = seen.page
    page.get_by_role("textbox", name="Segments").or_(page.get_by_role("combobox", name="Segments")).click()
    page.get_by_role("option", name="Lapsed").click()
    seen.until("location.search === '?segment=lapsed'")
    expect(first(page, "segment")).to_have_text("Lapsed")
    page.keyboard.press("Escape")
    assert seen.accessibility_findings() == []


def cell(page, x: int, y: int) -> tuple[float, float]:
    """Where on the screen the middle of a cell of the map is."""
    page.locator("#heatmap").scroll_into_view_if_needed()
    return tuple(
        page.evaluate(
            """([x, y]) => {
              const plot = document.querySelector('#heatmap .js-plotly-plot');
              const box = plot.getBoundingClientRect();
              const layout = plot._fullLayout;
              return [
                box.left + layout.xaxis._offset + layout.xaxis.l2p(x),
                box.top + layout.yaxis._offset + layout.yaxis.l2p(y),
              ];
            }""",
            [x, y],
        )
    )


def test_a_click_on_the_map_filters_and_another_undoes_it(watch):
    seen = watch().open("/customers").rows()
    page = seen.page
    bounds = page.evaluate("document.querySelector('#heatmap .js-plotly-plot').layout.meta")
    x, y = cell(page, 1, 1)
    page.mouse.move(x, y)
    page.mouse.click(x, y)
    seen.until("location.search.includes('frequency=')")
    low, high = bounds["days"][1], bounds["days"][2] - 1
    assert seen.query() == f"?frequency=1..1&days={low}..{high}"
    seen.settle().rows()
    seen.until(f"{ROW}?.data?.frequency === 1")
    seen.until("document.querySelector('#heatmap .js-plotly-plot').layout.shapes?.length === 2")
    x, y = cell(page, 1, 1)
    page.mouse.move(x, y)
    page.mouse.click(x, y)
    seen.until("location.search === ''")
    seen.settle()


def test_a_box_on_the_map_filters(watch):
    seen = watch().open("/customers").rows()
    page = seen.page
    bounds = page.evaluate("document.querySelector('#heatmap .js-plotly-plot').layout.meta")
    (x0, y0), (x1, y1) = cell(page, 1, 0), cell(page, 3, 2)
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move((x0 + x1) / 2, (y0 + y1) / 2)
    page.mouse.move(x1, y1, steps=5)
    page.mouse.up()
    seen.until("location.search.includes('frequency=')")
    top = bounds["frequency"][4] - 1
    assert seen.query() == f"?frequency={bounds['frequency'][1]}..{top}&days=..{bounds['days'][3] - 1}"
    seen.settle()


def test_a_heading_sorts_and_the_address_knows(watch):
    seen = watch().open("/customers").rows()
    page = seen.page
    page.locator(".ag-header-cell[col-id=expected_orders] .ag-header-cell-label").click()
    seen.until("location.search === '?sort=-expected_orders'")
    answer = page.request.get(f"{seen.address}/rows/customers?sort=-expected_orders&end=1").json()
    top = round(answer["rows"][0]["expected_orders"], 1)
    seen.until(f"{ROW}?.data?.customer_id === '{answer['rows'][0]['customer_id']}'")
    expect(first(page, "expected_orders")).to_have_text(f"{top:.1f}")
    page.locator(".ag-header-cell[col-id=expected_orders] .ag-header-cell-label").click()
    seen.until("location.search === '?sort=expected_orders'")
    seen.until(f"{ROW}?.data?.expected_orders < {top}")
    page.go_back()
    expect(page.locator(".ag-header-cell[col-id=expected_orders]")).to_have_attribute("aria-sort", "descending")
    expect(first(page, "expected_orders")).to_have_text(f"{top:.1f}")
    page.go_back()
    expect(page.locator(".ag-header-cell[col-id=customer_value]")).to_have_attribute("aria-sort", "descending")


def test_the_grid_reaches_the_last_customer_in_blocks(watch):
    seen = watch().open("/customers?sort=customer_value")
    blocks: list[str] = []
    seen.page.on("request", lambda r: blocks.append(r.url) if "/rows/customers" in r.url else None)
    seen.rows()
    page = seen.page
    page.evaluate("dash_ag_grid.getApiAsync('customers-grid').then(api => api.ensureIndexVisible(2999))")
    seen.until("document.querySelector('#customers-grid [row-index=\"2999\"]')")
    seen.until(
        "document.querySelector('#customers-grid [row-index=\"2999\"] [col-id=customer_id]')?.textContent.trim()"
    )
    assert any("start=2900" in url for url in blocks)
    # far fewer blocks than the thirty that all rows would take
    assert len(blocks) < 15


def test_ids_that_look_like_markup_are_text(watch, synthetic):
    seen = watch().open("/customers?q=%3Cb%3Ebold")
    seen.rows()
    expect(first(seen.page, "customer_id")).to_have_text(synthetic.AWKWARD_IDS[0])
    expect(seen.page.locator("#customers-grid b")).to_have_count(0)
    seen.open("/customers?q=LLLLLLLL").rows()
    assert first(seen.page, "customer_id").text_content().strip() == synthetic.AWKWARD_IDS[-1]
    assert seen.overflow() <= 0


def test_nobody_matches_and_the_page_says_so(watch):
    seen = watch().open("/customers?q=nobody-has-this").rows()
    expect(seen.page.locator("#customers-grid-message")).to_have_text("No customers match this filter.")
    assert counted(seen.page) == 0
    assert seen.accessibility_findings() == []


def test_files_hold_the_filtered_customers(watch):
    seen = watch().open("/customers?segment=best&frequency=3..&sort=-revenue").rows()
    page = seen.page
    expected = counted(page)
    frames = {}
    for kind in ("CSV", "Parquet"):
        with page.expect_download() as waiting:
            page.get_by_role("link", name=kind).click()
        assert waiting.value.suggested_filename == f"customers_2017-12-31_5eed0000.{kind.lower()}"
        data = waiting.value.path().read_bytes()
        frames[kind] = pd.read_csv(io.BytesIO(data)) if kind == "CSV" else pq.read_table(io.BytesIO(data)).to_pandas()
    for frame in frames.values():
        assert len(frame) == expected
        assert set(frame["segment"]) == {"best"}
        assert frame["frequency"].min() >= 3
        assert frame["revenue"].astype(float).is_monotonic_decreasing
    assert frames["CSV"]["customer_id"].tolist() == frames["Parquet"]["customer_id"].tolist()


def test_a_link_with_a_filter_that_does_not_exist_leads_back(watch):
    seen = watch().open("/customers?valeu=3..")
    expect(seen.page.locator(".state-title")).to_have_text("This filter does not exist")
    expect(seen.page.locator(".state-text")).to_contain_text("did you mean 'value'?")
    assert seen.accessibility_findings() == []
    seen.page.get_by_role("link", name="Show all customers").click()
    seen.settle().rows()
    assert counted(seen.page) == 3_000


def test_the_map_is_saved_as_a_picture_and_as_a_file(watch):
    seen = watch().open("/customers")
    page = seen.page
    seen.until("document.querySelector('#heatmap .heatmaplayer image') !== null")
    page.locator(".figure-frame:has(#heatmap)").hover()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save this figure as PNG").click()
    assert download.value.suggested_filename.startswith("recency-and-frequency")
    assert download.value.path().read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with page.expect_download() as download:
        page.get_by_role("button", name="Save this figure as HTML").click()
    assert "Days since last order" in download.value.path().read_text(encoding="utf-8")
    assert "?" not in page.url  # a button is no cell of the map
