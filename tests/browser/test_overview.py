"""Overview in a browser: seen whole, light and dark, wide and narrow; its controls live in the address."""

import shutil
from datetime import date

from playwright.sync_api import expect


def test_it_is_whole_and_accessible(looks):
    for seen in looks("/"):
        page = seen.page
        expect(page.locator("h1")).to_have_count(1)
        expect(page.locator("h1")).to_have_text("Overview")
        expect(page.locator(".kpi")).to_have_count(6)
        expect(page.locator(".kpi-lead .kpi-value")).to_contain_text("$")
        expect(page.locator("#overview-tracking .main-svg").first).to_be_visible()
        expect(page.locator("#overview-segments tbody tr")).to_have_count(6)
        expect(page.locator("#overview-trust")).to_contain_text("Reconciled to the cent")
        expect(page.locator(".state")).to_have_count(0)
        assert page.title() == "Overview · regulars"
        assert seen.overflow() <= 0
        assert seen.accessibility_findings() == []


def test_dark_is_dark_everywhere_and_stays_chosen(watch):
    seen = watch(scheme="light").open("/")
    page = seen.page
    page.locator("#scheme-toggle").click()
    expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", "dark")
    expect(page.locator("html")).to_have_attribute("data-ag-theme-mode", "dark")
    seen.until(
        "document.querySelector('#overview-tracking .js-plotly-plot')?.layout.template.layout.font.color === '#e6e9ee'"
    )
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 20, 26)"
    page.reload()
    seen.settle()
    expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", "dark")
    page.locator("#scheme-toggle").click()
    expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", "light")


def test_view_and_models_live_in_the_address(watch):
    seen = watch().open("/")
    page = seen.page
    assert seen.query() == ""
    page.get_by_text("Cumulative", exact=True).click()
    seen.until("location.search === '?view=cumulative'")
    page.get_by_text("NBD", exact=True).click()
    seen.until("decodeURIComponent(location.search) === '?view=cumulative&models=mbg_nbd,nbd'")
    legend = page.locator("#overview-tracking .legendtext")
    expect(legend).to_have_text(["Actual", "MBG/NBD", "NBD"])
    page.go_back()
    expect(legend).to_have_text(["Actual", "MBG/NBD"])
    page.go_back()
    seen.until("location.search === ''")
    expect(page.get_by_role("radio", name="By week")).to_be_checked()
    page.go_forward()
    page.go_forward()
    expect(legend).to_have_text(["Actual", "MBG/NBD", "NBD"])
    page.reload()
    seen.settle()
    expect(legend).to_have_text(["Actual", "MBG/NBD", "NBD"])
    expect(page.get_by_role("radio", name="Cumulative")).to_be_checked()


def test_every_number_opens_its_source_by_keyboard(watch, synthetic):
    seen = watch().open("/")
    page = seen.page
    buttons = page.get_by_role("button", name="Source and SQL of")
    assert buttons.count() == 8 + 4
    page.get_by_role("button", name="Source and SQL of Customer value").focus()
    page.keyboard.press("Enter")
    source = page.locator(".source:visible")
    expect(source).to_contain_text("31 Dec 2017")
    expect(source).to_contain_text("5eed000000000001")
    expect(source).to_contain_text(synthetic.MODEL_VERSION)
    expect(source).to_contain_text("80% predictive interval")
    expect(source).to_contain_text("SELECT")
    assert seen.accessibility_findings() == []
    page.keyboard.press("Escape")
    expect(source).to_have_count(0)


def test_a_segment_leads_to_its_customers(watch):
    seen = watch().open("/")
    seen.page.get_by_role("link", name="At risk").click()
    seen.settle().rows()
    assert seen.page.url.endswith("/customers?segment=at_risk")
    expect(seen.page.locator("h1")).to_have_text("Customers")
    expect(seen.page.locator("#customers-grid .ag-row-first [col-id=segment]")).to_have_text("At risk")
    seen.page.go_back()
    expect(seen.page.locator("h1")).to_have_text("Overview")
    seen.settle()


def test_it_can_be_walked_by_keyboard(watch):
    seen = watch().open("/")
    page = seen.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Customers"
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Customers")
    seen.until("document.activeElement.tagName === 'H1'")
    seen.settle()


def test_the_narrow_menu_opens_leads_on_and_closes(watch):
    seen = watch(width=390, height=844).open("/")
    page = seen.page
    expect(page.get_by_role("link", name="Customers")).not_to_be_in_viewport()
    page.get_by_role("button", name="Menu").click()
    expect(page.get_by_role("link", name="Customers")).to_be_in_viewport()
    page.get_by_role("link", name="Customers").click()
    expect(page.locator("h1")).to_have_text("Customers")
    expect(page.get_by_role("link", name="Overview")).not_to_be_in_viewport()
    seen.settle()


def test_a_new_snapshot_is_offered_and_shown_without_a_restart(watch, serve_warehouse, synthetic, tmp_path):
    house = tmp_path / "warehouse"
    at = serve_warehouse(house)
    seen = watch(at=at)
    page = seen.page
    page.goto(at + "/")
    expect(page.locator(".state-title")).to_have_text("No snapshot yet")
    expect(page.locator(".state-commands")).to_contain_text("regulars build")
    assert seen.accessibility_findings() == []

    synthetic.write_snapshot(house, "5eed00000000000a", customers=700)
    page.reload()
    seen.settle()
    expect(page.locator(".stamp")).to_contain_text("31 Dec 2017")

    synthetic.write_snapshot(house, "5eed00000000000b", customers=900, as_of=date(2018, 1, 31))
    page.evaluate("dash_clientside.set_props('poll', {n_intervals: 1})")
    expect(page.locator("#newer")).to_contain_text("as of 31 Jan 2018")
    page.get_by_role("button", name="Show it").click()
    expect(page.locator(".stamp")).to_contain_text("31 Jan 2018")
    seen.settle()
    expect(page.locator("#newer")).to_be_hidden()
    expect(page.locator(".kpi-change").first).to_contain_text("since 31 Dec 2017")

    shutil.rmtree(house)
    page.reload()
    expect(page.locator(".state-title")).to_have_text("No snapshot yet")


def test_too_little_data_is_said_instead_of_a_number(watch, serve_warehouse, synthetic, tmp_path):
    synthetic.write_snapshot(tmp_path / "warehouse", customers=312)
    seen = watch(at=serve_warehouse(tmp_path / "warehouse")).open("/")
    expect(seen.page.locator(".kpi-lead")).to_contain_text("Not enough data (312 of 500 customers)")
    expect(seen.page.locator("#overview-tracking")).to_contain_text("Not enough data (312 of 500 customers)")
    assert seen.accessibility_findings() == []
    seen.open("/customers").rows()
    expect(seen.page.locator("#page")).to_contain_text("Not enough data for predictions (312 of 500 customers)")
    expect(seen.page.locator("#customers-grid [col-id=customer_value]")).to_have_count(0)
    expect(seen.page.get_by_role("button", name="P(alive)")).to_have_count(0)


def test_a_table_of_another_version_takes_away_its_own_card_only(watch, serve_warehouse, synthetic, tmp_path):
    synthetic.write_snapshot(tmp_path / "warehouse", customers=700, without=("order_tracking",))
    seen = watch(at=serve_warehouse(tmp_path / "warehouse")).open("/")
    expect(seen.page.locator("#overview-tracking")).to_contain_text("has no table order_tracking")
    expect(seen.page.locator("#overview-tracking")).to_contain_text("regulars build --force")
    expect(seen.page.locator("#overview-segments tbody tr")).to_have_count(6)
    assert seen.accessibility_findings() == []
