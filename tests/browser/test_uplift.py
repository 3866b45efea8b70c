"""Uplift in a browser: the verdict first, the tool from its inputs to the file, everything in the address."""

import importlib.util
import io
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import expect
from typer.testing import CliRunner

from regulars.app import cli
from regulars.app.server import create_server, served


@pytest.fixture(scope="module")
def folder(tmp_path_factory, synthetic_warehouse):
    path = Path(__file__).parents[1] / "synthetic_campaigns.py"
    spec = importlib.util.spec_from_file_location("synthetic_campaigns", path)
    assert spec is not None
    assert spec.loader is not None
    made_up = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made_up)
    folder = tmp_path_factory.mktemp("uplift")
    shutil.copytree(synthetic_warehouse, folder / "warehouse", ignore=shutil.ignore_patterns("state.sqlite*"))
    (folder / "regulars.toml").write_text(made_up.settings_text(str(folder / "warehouse")))
    return folder


@pytest.fixture(scope="module")
def at(folder):
    app = create_server(folder / "warehouse", settings=folder / "regulars.toml", threads=2, warm=False)
    with served(app) as address:
        yield address


def figure_of(page, name: str) -> str:
    return page.locator("#uplift-plan .totals > div", has_text=name).locator("strong").inner_text()


def test_it_is_whole_and_accessible(looks, at):
    for seen in looks("/uplift", at=at):
        page = seen.page
        expect(page.locator("h1")).to_have_text("Uplift")
        expect(page.locator("h1")).to_have_count(1)
        expect(page.locator(".verdict-title")).to_have_text("Choose whom: the first 70% by the X-learner")
        expect(page.locator(".lead-figure")).to_contain_text("$")
        expect(page.locator(".lead-note")).to_contain_text("95% interval")
        expect(page.locator("#uplift-curve .main-svg").first).to_be_visible()
        expect(page.locator("#uplift-gain .main-svg").first).to_be_visible()
        expect(page.locator("#uplift-checks .severity-passed")).to_have_count(2)
        page.locator("#uplift-grid").scroll_into_view_if_needed()
        expect(page.locator("#uplift-grid .ag-row-first [col-id=customer_id]")).not_to_be_empty()
        assert seen.overflow() <= 0
        assert seen.accessibility_findings() == []


def test_a_refused_campaign_says_why_and_what_to_do(watch, at):
    seen = watch(at=at).open("/uplift?campaign=spring")
    page = seen.page
    expect(page.locator(".verdict-title")).to_contain_text("Refused")
    expect(page.locator(".verdict-step")).to_contain_text('override = ["sample_ratio_mismatch"]')
    expect(page.locator("#uplift-plan .state-title")).to_have_text("No list can be planned")
    expect(page.locator("#uplift-gain .state-title")).to_have_text("No curve")
    assert seen.accessibility_findings() == []


def test_the_tool_lives_in_the_address(watch, at):
    seen = watch(at=at).open("/uplift")
    page = seen.page
    expect(page.locator(".lead-figure")).to_contain_text("$")
    usual = figure_of(page, "Customers mailed")
    page.get_by_label("Budget", exact=True).fill("100")
    seen.until("location.search === '?budget=100'")
    expect(page.locator("#uplift-plan .totals > div", has_text="Spend").locator("strong")).to_have_text("$100.00")
    cheap = figure_of(page, "Customers mailed")
    assert cheap != usual
    page.get_by_label("Cost of a send, offer 1").fill("0.2")
    seen.until("location.search === '?budget=100&cost1=0.2'")
    expect(page.locator("#uplift-plan .totals strong").first).not_to_have_text(cheap)
    page.go_back()
    expect(page.locator("#uplift-plan .totals strong").first).to_have_text(cheap)
    expect(page.get_by_label("Cost of a send, offer 1")).to_have_value("")
    page.go_forward()
    expect(page.get_by_label("Cost of a send, offer 1")).to_have_value("$0.2")
    page.reload()
    seen.settle()
    expect(page.get_by_label("Budget", exact=True)).to_have_value("$100")
    expect(page.get_by_label("Cost of a send, offer 1")).to_have_value("$0.2")
    expect(page.locator("#uplift-plan .totals > div", has_text="Spend").locator("strong")).to_have_text("$100.00")


def test_the_slider_sets_the_budget_by_keyboard(watch, at):
    seen = watch(at=at).open("/uplift?campaign=winback")
    page = seen.page
    expect(page.locator(".lead-figure")).to_contain_text("$")
    slider = page.get_by_role("slider", name="Budget as a share of all that pays")
    seen.until("document.querySelector('#uplift-slider [role=slider]').getAttribute('aria-valuenow') !== '100'")
    slider.focus()
    page.keyboard.press("Home")
    seen.until("location.search.includes('budget=0')")
    page.keyboard.press("End")
    seen.until("Number(new URLSearchParams(location.search).get('budget')) > 300")
    expect(page.locator("#uplift-plan .totals > div", has_text="Spend").locator("strong")).not_to_have_text("$0.00")


def test_from_the_tool_to_the_file_as_the_command_line_writes_it(watch, at, folder):
    query = "?budget=150&cost1=0.1&stock2=300&without=lapsed,one_time&quiet=7&on=2018-01-02"
    seen = watch(at=at).open("/uplift" + query)
    page = seen.page
    expect(page.locator("#uplift-without-label, label", has_text="Not these segments").first).to_be_visible()
    expect(page.locator("#uplift-plan .totals > div", has_text="Spend").locator("strong")).to_contain_text("$")
    planned = int(figure_of(page, "Customers mailed").replace(",", ""))
    page.get_by_role("button", name="Try it").click()
    expect(page.locator(".came-title")).to_have_text("Tried, and nothing written")
    assert not (folder / "warehouse" / "lists").exists()
    page.get_by_role("button", name="Write the list").click()
    expect(page.locator(".came-title")).to_have_text("The list is written")
    with page.expect_download() as download:
        page.locator("#uplift-written .came-files").get_by_role("link", name="Parquet").click()
    got = pq.read_table(io.BytesIO(Path(download.value.path()).read_bytes()))
    assert download.value.suggested_filename == "winback-2018-01-02.parquet"
    assert got.num_rows == planned
    out = folder / "by-hand.parquet"
    words = [
        "target", "winback", "-s", str(folder / "regulars.toml"), "--on", "2018-01-02", "--budget", "150", "--cost",
        "mail=0.1", "--stock", "voucher=300", "--exclude-segment", "lapsed", "--exclude-segment", "one_time",
        "--quiet-days", "7", "--out", str(out),
    ]  # fmt: skip
    done = CliRunner().invoke(cli.cli, words)
    assert done.exit_code == 0, done.output
    assert got.equals(pq.read_table(out))
    with page.expect_download() as download:
        page.locator("#uplift-written .came-files").get_by_role("link", name="CSV").click()
    lines = Path(download.value.path()).read_text("utf-8-sig").splitlines()
    assert len(lines) == planned + 1
    expect(page.locator("#uplift-lists tbody tr")).to_have_count(1)
    expect(page.locator("#uplift-lists")).to_contain_text("window ends 29 Jan 2018")
    assert seen.accessibility_findings() == []
    assert seen.overflow() <= 0

    # another plan for the same day: refused, until the box is ticked
    page.get_by_label("Budget", exact=True).fill("90")
    expect(page.locator("#uplift-plan .totals > div", has_text="Spend").locator("strong")).to_have_text("$90.00")
    page.get_by_role("button", name="Write the list").click()
    expect(page.locator("#uplift-written .state-title")).to_have_text("Another list stands for that day")
    page.get_by_label("Replace a list of that day that was not sent").check()
    page.get_by_role("button", name="Write the list").click()
    expect(page.locator(".came-title")).to_have_text("The list is written")
