"""Pricing in a browser: the list, the chosen item, and the tool from a changed ladder to the file on disk."""

import importlib.util
import shutil
from datetime import date
from pathlib import Path

import pytest
from playwright.sync_api import expect

import regulars
from regulars.app.markdown import markdown
from regulars.app.price_overrides import parse_override
from regulars.app.price_planning import PlanTerms
from regulars.app.server import create_server, served

ROWS = "document.querySelector('#price-grid .ag-row-first [col-id=name]')?.textContent.trim()"
PLANNED = "document.querySelector('#price-result .price-totals') !== null"
# the tool has settled on the plan that the address asks for: its command names what the address says
COMMAND = "document.querySelector('#price-result pre')?.textContent ?? ''"


@pytest.fixture(scope="module")
def shop(synthetic_warehouse, tmp_path_factory):
    """Address and settings of the app on a copy of the warehouse that may be written to."""
    folder = tmp_path_factory.mktemp("pricing")
    shutil.copytree(synthetic_warehouse, folder / "warehouse")
    path = Path(regulars.__file__).parent / "tests" / "synthetic_prices.py"
    spec = importlib.util.spec_from_file_location("synthetic_prices", path)
    prices = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(prices)
    settings = prices.settings_file(folder / "shop", folder / "warehouse")
    with served(create_server(folder / "warehouse", settings=settings, threads=2, warm=False)) as address:
        yield address, settings, folder / "price-files"


def choose(page, control: str, option: str) -> None:
    page.locator(f"#{control}").click()
    page.get_by_role("option", name=option, exact=True).locator("visible=true").click()


def planned(seen, *words: str) -> None:
    """Wait until the tool shows the plan of these options."""
    for word in words:
        seen.until(f"({COMMAND}).includes({word!r})")


def test_it_is_whole_and_accessible(looks, shop):
    for seen in looks("/pricing", at=shop[0]):
        page = seen.page
        seen.until(ROWS)
        seen.until(PLANNED)
        expect(page.locator("h1")).to_have_text("Pricing")
        expect(page.locator("h1")).to_have_count(1)
        expect(page.locator("#price-head")).to_contain_text("Against no change")
        expect(page.locator("#price-head")).to_contain_text("the best there is")
        expect(page.locator("#price-item-cards .js-plotly-plot")).to_have_count(3)
        expect(page.locator("#price-result")).to_contain_text("No price differs from the build's plan")
        expect(page.locator(".state")).to_have_count(0)
        assert seen.overflow() <= 0
        assert seen.accessibility_findings() == []


def test_a_link_restores_item_and_form_and_back_undoes(watch, shop):
    query = "?item=item 05&ladder=0,50&budget=90&cuts=1&weeks=3"
    seen = watch(at=shop[0]).open("/pricing" + query)
    page = seen.page
    planned(seen, "--ladder 0,0.5", "--budget 90", "--weeks 3", "count = 1")
    expect(page.get_by_label("Depths off, in %")).to_have_value("0,50")
    expect(page.get_by_label("Markdown spend, at most")).to_have_value("$90")
    expect(page.locator("#price-part-worth")).to_contain_text("item 05")
    page.get_by_role("button", name="As the settings have it").click()
    seen.until("location.search === '?item=item+05'")
    expect(page.locator("#price-result")).to_contain_text("No price differs")
    page.locator("#price-grid .ag-row-first .grid-link").click()
    seen.until("!location.search.includes('item+05')")
    first = page.evaluate(ROWS)
    expect(page.locator("#price-part-worth")).to_contain_text(first)
    page.go_back()
    expect(page.locator("#price-part-worth")).to_contain_text("item 05")
    page.go_back()
    planned(seen, "--ladder 0,0.5")
    expect(page.get_by_label("Depths off, in %")).to_have_value("0,50")
    page.go_forward()
    expect(page.get_by_label("Depths off, in %")).to_have_value("")
    seen.settle()


def test_the_tool_from_start_to_file(watch, shop, tmp_path):
    address, settings, folder = shop
    seen = watch(at=address).open("/pricing?item=item 04")
    page = seen.page
    seen.until(PLANNED)
    before = page.locator("#price-result .price-totals").inner_text()

    # a price by hand
    seen.until("document.querySelector('#price-hand-week')?.disabled === false")
    choose(page, "price-hand-week", "1: 1 Jan 2018")
    page.locator("#price-hand-price").click()
    page.get_by_role("option").locator("visible=true").filter(has_text="(0% off)").click()
    page.get_by_role("button", name="Set price").click()
    expect(page.locator("#price-hand-rows")).to_contain_text("item 04, 1 Jan 2018")
    expect(page.locator("#price-result")).to_contain_text("by hand")

    # other terms, by keyboard; the price by hand stays
    ladder = page.get_by_label("Depths off, in %")
    ladder.focus()
    page.keyboard.type("0, 20, 40")
    page.keyboard.press("Tab")
    planned(seen, "--ladder 0,0.2,0.4", "--override")
    page.get_by_label("Markdown spend, at most").fill("400")
    page.keyboard.press("Tab")
    planned(seen, "--budget 400", "--override")
    page.get_by_label("Markdowns, at most").fill("1")
    page.keyboard.press("Tab")
    planned(seen, "count = 1", "--override")
    expect(page.locator("#price-result")).to_contain_text("prices differ")
    rows = page.locator(".price-changes tbody tr")
    assert rows.filter(has_text="by hand").count() == 1
    assert page.locator("#price-result .price-totals").inner_text() != before

    # kept, then changed: differences are against the plan kept last
    page.get_by_role("button", name="Keep this plan").click()
    expect(page.locator("#price-hand-message")).to_contain_text("Kept")
    page.get_by_text("Against the plan kept last").click()
    expect(page.locator("#price-result")).to_contain_text("No price differs from the plan kept last")

    # the file
    page.get_by_label("Approved on").fill("2018-01-01")
    page.keyboard.press("Tab")
    seen.until("location.search.includes('on=2018-01-01')")
    page.get_by_role("button", name="Write the price file").click()
    expect(page.locator("#price-written")).to_contain_text("Written and recorded")
    with page.expect_download() as waiting:
        page.locator("#price-written a").click()
    written = waiting.value.path().read_bytes()
    assert waiting.value.suggested_filename == "clearance-2018-01-01.csv"
    assert written == (folder / "clearance-2018-01-01.csv").read_bytes()
    (hand,) = [line for line in page.locator("#price-result pre").text_content().split() if "2018-01-01=" in line]
    rules = [{"rule": "MaximumStep", "share": 0.3}, {"rule": "MaxMarkdowns", "count": 1}]
    by_command = markdown(
        settings,
        on=date(2018, 1, 1),
        out=tmp_path / "same.csv",
        terms=PlanTerms.of({"ladder": [0, 0.2, 0.4], "budget": 400, "rules": rules}),
        overrides=[parse_override("item 04:" + hand.strip("'").partition(":")[2])],
    )
    assert by_command.outcome == "written"
    assert (tmp_path / "same.csv").read_bytes() == written

    # other prices for these weeks contradict what stands, which is shown
    page.get_by_role("button", name="As the settings have it").click()
    seen.until("!location.search.includes('budget')")
    page.get_by_role("button", name="Write the price file").click()
    expect(page.locator("#price-written")).to_contain_text("Other prices stand")
    assert seen.accessibility_findings() == []
    # prices by hand are there for the next one who looks
    page.reload()
    expect(page.locator("#price-hand-rows")).to_contain_text("item 04, 1 Jan 2018")
    page.get_by_label("item 04, 1 Jan 2018").check()
    page.get_by_role("button", name="Take out the ticked").click()
    expect(page.locator("#price-hand-rows")).to_have_text("None yet.")
    seen.settle()


def test_rules_that_cannot_hold_are_named(watch, shop):
    seen = watch(at=shop[0]).open("/pricing?sell=100&cuts=0")
    expect(seen.page.locator("#price-result .state-title")).to_have_text("These cannot all hold")
    expect(seen.page.locator("#price-result")).to_contain_text("SellThrough")
    seen.settle()
