"""Columns by group and saved segments in a browser: saved, opened, deleted, with names of every kind."""

import pytest
from playwright.sync_api import expect

from regulars.app.segments import segment_customers
from regulars.app.state import State

NAMES = ('<b>VIP</b> & "friends"', "Zoë/Ω漢字 🎁")


@pytest.fixture(scope="module")
def own(synthetic, serve_warehouse, tmp_path_factory):
    """A warehouse that may be written to, and its address."""
    path = tmp_path_factory.mktemp("segments") / "warehouse"
    synthetic.write_snapshot(path, customers=800)
    return path, serve_warehouse(path)


def save(page, name: str) -> None:
    page.get_by_role("button", name="Save as segment").click()
    page.get_by_role("textbox", name="Name").fill(name)
    page.get_by_role("button", name="Save", exact=True).click()


def test_groups_of_columns_show_and_the_address_knows(watch):
    seen = watch().open("/customers?show=intervals").rows()
    page = seen.page
    head = page.locator(".ag-header-cell[col-id=orders_low_50]")
    expect(head).to_be_visible()
    expect(page.locator(".ag-header-cell[col-id=customer_value]")).to_have_count(0)
    page.get_by_text("Churn", exact=True).last.click()
    seen.until("location.search === '?show=intervals,churn'")
    expect(page.locator(".ag-header-cell[col-id=churn_no_order]")).to_contain_text("P(no order in 30 d)")
    # further to the right than the window reaches
    assert page.evaluate("dash_ag_grid.getApi('customers-grid').getColumn('reason_1').isVisible()")
    page.go_back()
    expect(page.locator(".ag-header-cell[col-id=churn_no_order]")).to_have_count(0)
    assert seen.accessibility_findings() == []


def test_churn_is_a_filter(watch):
    seen = watch().open("/customers?no_order=0.9..&next=..60&sort=-churn_no_order").rows()
    page = seen.page
    expect(page.locator("#pill-no_order")).to_have_text("P(no order in 30 d) ≥ 90%")
    assert seen.row().get("churn_no_order", 1) >= 0.9
    seen.settle()


@pytest.mark.parametrize("name", NAMES)
def test_a_filter_is_saved_opened_and_deleted(watch, own, name):
    path, address = own
    seen = watch(at=address).open("/customers?segment=best,active&no_order=..0.9").rows()
    page = seen.page
    save(page, f"  {name} ")
    expect(page.locator("#segment-said")).to_contain_text(f"Saved {name}")
    saved = State(path).segment(name)
    assert saved is not None
    assert saved.filter == "segment=best,active&no_order=..0.9"
    held = len(segment_customers(_snapshot(path), saved.filter))
    expect(page.locator("#segment-said")).to_contain_text(f"{held:,} customers")
    save_again = page.get_by_role("button", name="Save", exact=True)
    save_again.click()
    expect(page.locator("#segment-said")).to_contain_text("tick 'replace'")
    page.get_by_role("checkbox", name="Replace the one of this name").check()
    save_again.click()
    expect(page.locator("#segment-said")).to_contain_text("Saved")
    assert seen.accessibility_findings() == []
    page.keyboard.press("Escape")

    seen.open("/customers").rows()
    page.get_by_role("button", name="Segments", exact=True).click()
    item = page.locator(".segments-saved li").filter(has_text=name)
    expect(item).to_contain_text(f"{held:,} customers")
    expect(item).to_contain_text("Segment Best or Active; P(no order) ≤ 90%")
    expect(page.locator(".segments-saved b")).to_have_count(0)
    assert seen.accessibility_findings() == []
    item.get_by_role("link").click()
    seen.until("location.search.includes('segment=best')")
    seen.settle()
    seen.until(f"document.querySelector('.totals strong').textContent === '{held:,}'")

    page.get_by_role("button", name="Segments", exact=True).click()
    page.get_by_role("button", name=f"Delete {name}", exact=True).click()
    expect(page.locator("#segment-confirm-text")).to_contain_text(name)
    page.get_by_role("button", name="Keep it").click()
    expect(page.locator("#segment-confirm")).to_be_hidden()
    assert State(path).segment(name) is not None
    page.get_by_role("button", name=f"Delete {name}", exact=True).click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.locator(".segments-saved li").filter(has_text=name)).to_have_count(0)
    assert State(path).segment(name) is None
    actions = [(line.action, line.subject) for line in State(path).audit_lines(3)]
    assert actions == [("delete segment", name), ("save segment", name), ("save segment", name)]
    seen.settle()


def test_a_name_without_end_is_refused_with_the_limit(watch, own):
    path, address = own
    seen = watch(at=address, width=390).open("/customers")
    save(seen.page, "L" * 10_000)
    expect(seen.page.locator("#segment-said")).to_contain_text("10,000 characters; at most 100")
    assert State(path).segments() == []
    assert seen.overflow() <= 0
    assert seen.accessibility_findings() == []


def _snapshot(path):
    from regulars.sql.snapshot import Warehouse

    return Warehouse(path).current()


def test_a_segment_is_saved_by_keyboard_alone(watch, own):
    path, address = own
    seen = watch(at=address).open("/customers?segment=best").rows()
    page = seen.page
    page.get_by_role("button", name="Save as segment").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="Name")).to_be_visible()
    page.get_by_role("textbox", name="Name").focus()
    page.keyboard.type("by keys")
    page.keyboard.press("Enter")
    expect(page.locator("#segment-said")).to_contain_text("Saved by keys")
    assert State(path).segment("by keys") is not None
    seen.settle()
