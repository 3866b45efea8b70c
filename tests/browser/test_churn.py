"""Churn in a browser: whole in every look, its choices and filters in the address, its list leads to customers."""

import csv
import io

from playwright.sync_api import expect

GRID = "dash_ag_grid.getApi('at-risk-grid')"


def test_it_is_whole_and_accessible(looks):
    for seen in looks("/churn"):
        page = seen.page
        expect(page.locator("h1")).to_have_text("Churn")
        expect(page.locator("#churn-totals strong")).to_have_count(4)
        for card in ("survival", "distribution", "reliability"):
            expect(page.locator(f"#churn-{card} .main-svg").first).to_be_visible()
        expect(page.locator("#churn-reports tbody tr")).to_have_count(3)
        seen.until(f"{GRID}.getDisplayedRowAtIndex(0)?.data?.customer_id")
        expect(page.locator(".state")).to_have_count(0)
        assert seen.overflow() <= 0
        assert seen.accessibility_findings() == []


def test_a_link_restores_choices_and_filters(watch):
    query = "?after=1,20&models=pareto_nbd&segment=active,at_risk&p=0.3..0.9&sort=-days_since_order"
    seen = watch().open("/churn" + query)
    page = seen.page
    expect(page.locator("#churn-survival .legendtext")).to_have_text(["after the 1st", "after the 20th"])
    expect(page.locator("#churn-reliability .legendtext")).to_have_text(["Pareto/NBD"])
    expect(page.get_by_label("P(no order), %, at least")).to_have_value("30")
    expect(page.get_by_label("P(no order), %, at most")).to_have_value("90")
    seen.until(f"{GRID}.getDisplayedRowAtIndex(0)?.data?.customer_id")
    row = page.evaluate(f"{GRID}.getDisplayedRowAtIndex(0).data")
    assert row["segment"] in {"active", "at_risk"}
    assert 0.3 <= row["probability_no_order"] <= 0.9
    assert seen.query() == query


def test_a_choice_is_in_the_address_and_back_undoes_it(watch):
    seen = watch().open("/churn")
    page = seen.page
    page.get_by_text("20th", exact=True).click()
    seen.until("location.search.includes('after=')")
    expect(page.locator("#churn-survival .legendtext").last).to_have_text("after the 20th")
    page.get_by_label("P(no order), %, at least").fill("80")
    page.keyboard.press("Tab")
    seen.until("decodeURIComponent(location.search).includes('p=0.8..')")
    seen.until(f"{GRID}.getDisplayedRowAtIndex(0)?.data?.probability_no_order >= 0.8")
    page.go_back()
    seen.until("!location.search.includes('p=')")
    expect(page.get_by_label("P(no order), %, at least")).to_have_value("")
    page.go_back()
    seen.until("location.search === ''")
    expect(page.locator("#churn-survival .legendtext")).to_have_count(4)


def test_the_export_holds_just_the_filtered_rows(watch):
    seen = watch().open("/churn?p=0.5..&segment=lapsed")
    page = seen.page
    seen.until("document.querySelector('#at-risk-csv').getAttribute('href').includes('segment=lapsed')")
    with page.expect_download() as download:
        page.locator("#at-risk-csv").click()
    text = download.value.path().read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    total = page.request.get(f"{seen.address}/rows/at_risk?p=0.5..&segment=lapsed&end=1").json()["total"]
    assert len(rows) == total > 0
    assert {row["segment"] for row in rows} == {"lapsed"}
    assert min(float(row["probability_no_order"]) for row in rows) >= 0.5


def test_back_is_not_undone_by_a_number_that_tells_its_value_late(watch):
    """A range's ends are told 400 ms after they are given, also those of an address that the reader has left again."""
    seen = watch().open("/churn?segment=lapsed")
    for key, box in (("p=0.5..", "#at-risk-p-low"), ("stake=10..", "#at-risk-stake-low")):
        seen.page.evaluate(
            f"""() => new Promise(done => {{
              history.pushState({{}}, '', '/churn?segment=lapsed&{key}');
              window.dispatchEvent(new CustomEvent('_dashprivate_pushstate'));
              setTimeout(() => {{ history.back(); setTimeout(done, 900); }}, 200);
            }})"""
        )
        seen.settle()
        assert seen.query() == "?segment=lapsed", key
        expect(seen.page.locator(box)).to_have_value("")


def test_a_shop_without_churn_has_its_page(watch, synthetic, serve_warehouse, tmp_path_factory):
    path = tmp_path_factory.mktemp("no-churn") / "warehouse"
    synthetic.write_snapshot(path, customers=600, without=("customer_churn", "churn_reports", "churn_calibration"))
    seen = watch(at=serve_warehouse(path)).open("/churn")
    page = seen.page
    expect(page.locator(".churn-list")).to_contain_text("Write a section [churn]")
    expect(page.locator("#at-risk-search")).to_be_hidden()
    expect(page.locator("#churn-survival .main-svg").first).to_be_visible()
    assert seen.accessibility_findings() == []


def test_a_figure_is_saved_as_a_picture_and_as_a_file(watch):
    seen = watch().open("/churn")
    page = seen.page
    page.locator("#churn-survival .figure-frame").hover()
    with page.expect_download() as download:
        page.locator("#churn-survival [data-save-figure=png]").click()
    assert download.value.suggested_filename.startswith("how-long-do-customers-stay-away")
    assert download.value.path().read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with page.expect_download() as download:
        page.locator("#churn-survival [data-save-figure=html]").click()
    text = download.value.path().read_text(encoding="utf-8")
    assert "Plotly.newPlot('figure'" in text
    assert "src=" not in text.split("<script>")[0]
