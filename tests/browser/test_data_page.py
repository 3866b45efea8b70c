"""The data page in a browser: its verdict and cards, rejected lines filtered by link, and a build started and shown."""

import io

import pandas as pd
import pytest
from playwright.sync_api import expect

from regulars.app.server import create_server, served


def lines(seen):
    seen.page.locator("#rejected-grid").scroll_into_view_if_needed()
    seen.until("document.querySelector('#rejected-grid .ag-row-first [col-id=line]')?.textContent.trim()")
    return seen


def test_it_is_whole_and_accessible(looks):
    for seen in looks("/data"):
        lines(seen)
        page = seen.page
        expect(page.locator("h1")).to_have_text("Data")
        expect(page.locator("h1")).to_have_count(1)
        expect(page.locator(".data-verdict-said")).to_have_text("Yes, with care")
        expect(page.locator("#data-money")).to_contain_text("$1,300.00")
        expect(page.locator("#data-days .js-plotly-plot .scatterlayer")).to_be_attached()
        assert seen.overflow() <= 0
        assert seen.accessibility_findings() == []


def test_money_leads_to_its_lines_and_the_file_holds_them(watch):
    seen = watch().open("/data?reason=return_without_sale")
    page = lines(seen).page
    seen.until("dash_ag_grid.getApi('rejected-grid').getDisplayedRowCount() === 100")
    row = page.evaluate("dash_ag_grid.getApi('rejected-grid').getDisplayedRowAtIndex(0).data")
    assert row["reason_said"] == "return without sale"
    with page.expect_download() as download:
        page.locator("#rejected-csv").click()
    frame = pd.read_csv(io.BytesIO(download.value.path().read_bytes()))
    assert len(frame) == 100
    assert frame["revenue"].sum() == pytest.approx(-65.44)
    page.locator("#rejected-search").fill("C0000007")
    seen.until("dash_ag_grid.getApi('rejected-grid').getDisplayedRowCount() === 1")
    assert "q=C0000007" in seen.query()
    page.go_back()
    seen.until("dash_ag_grid.getApi('rejected-grid').getDisplayedRowCount() === 100")


def test_markup_in_a_line_is_text(watch):
    seen = lines(watch().open("/data?reason=unreadable_date"))
    expect(seen.page.locator("#rejected-grid .ag-row-first [col-id=customer_id]")).to_contain_text("<img src=x")
    assert seen.page.locator("#rejected-grid img").count() == 0


def test_a_build_is_started_here_and_its_failure_named_with_the_reason(watch, synthetic, tmp_path):
    house = tmp_path / "warehouse"
    synthetic.write_snapshot(house, customers=600)
    settings = tmp_path / "regulars.toml"
    settings.write_text('[orders]\npath = "gone.csv"\n[shop]\ncurrency = "USD"\n')
    with served(create_server(house, settings=settings, threads=2, warm=False)) as address:
        seen = watch(at=address).open("/data")
        page = seen.page
        page.locator("#build-now").click()
        seen.until("document.querySelector('#build-state .build-bad') !== null", 120)
        expect(page.locator("#build-state .build-reason")).to_contain_text("there is no file or folder")
        expect(page.locator("#build-state")).to_contain_text("The last good snapshot stays")
        expect(page.locator("#data-builds")).to_contain_text("failed")
        page.get_by_role("link", name="Change files or columns").click()
        seen.settle()
        expect(page.locator("h1")).to_have_text("Set up")
        expect(page.locator("#start-look")).to_contain_text("there is no file or folder", ignore_case=True)
