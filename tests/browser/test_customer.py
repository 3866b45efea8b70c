"""One customer in a browser: reached from the list, searched for, with ids of every kind."""

from urllib.parse import quote

from playwright.sync_api import expect


def test_it_is_whole_and_accessible(looks):
    for seen in looks("/customer?id=C0000017"):
        page = seen.page
        expect(page.locator("h1")).to_have_text("Customer")
        expect(page.locator("h1")).to_have_count(1)
        expect(page.locator("#customer-heading")).to_have_text("C0000017")
        expect(page.locator(".customer-cards .js-plotly-plot")).to_have_count(3)
        expect(page.get_by_role("region", name="Versions", exact=True).locator("tbody tr")).to_have_count(2)
        expect(page.locator(".state")).to_have_count(0)
        assert seen.overflow() <= 0
        assert seen.accessibility_findings() == []


def test_the_list_leads_to_a_customer_and_back(watch):
    seen = watch().open("/customers?segment=best&q=C00").rows()
    page = seen.page
    wanted = seen.row()["customer_id"]
    page.locator("#customers-grid .ag-row-first [col-id=customer_id] a").click()
    seen.until("location.pathname === '/customer'")
    seen.settle()
    expect(page.locator("#customer-heading")).to_have_text(wanted)
    page.go_back()
    seen.until("location.pathname === '/customers'")
    seen.settle().rows()
    assert seen.query() == "?segment=best&q=C00"
    page.go_forward()
    expect(page.locator("#customer-heading")).to_have_text(wanted)
    seen.settle()


def test_hard_ids_are_shown_whole_and_linked(watch, synthetic):
    seen = watch(width=390)
    page = seen.page
    for awkward in synthetic.AWKWARD_IDS:
        seen.open("/customer?id=" + quote(awkward, safe=""))
        assert page.locator("#customer-id").text_content() == awkward
        expect(page.locator("#customer-heading b")).to_have_count(0)
        expect(page.get_by_role("textbox", name="Customer id")).to_have_value(awkward)
        assert seen.overflow() <= 0
    assert len(page.locator("#customer-heading").inner_text()) < 70
    assert page.locator("#customer-id").is_visible()
    assert seen.accessibility_findings() == []
    # the grid's link to the longest one
    seen = watch().open("/customers?q=LLLLLLLL").rows()
    seen.page.locator("#customers-grid .ag-row-first [col-id=customer_id] a").click()
    seen.until("location.pathname === '/customer'")
    seen.settle()
    assert seen.page.locator("#customer-id").text_content() == synthetic.AWKWARD_IDS[-1]


def test_a_search_that_misses_leads_to_near_ids(watch):
    seen = watch().open("/customer")
    page = seen.page
    expect(page.locator(".state-title")).to_have_text("Which customer?")
    page.get_by_role("textbox", name="Customer id").fill("c17")
    seen.until("location.search === '?id=c17'")
    expect(page.locator(".state-title")).to_have_text("No such customer")
    assert seen.accessibility_findings() == []
    page.get_by_role("link", name="C0000017", exact=True).click()
    seen.until("location.search === '?id=C0000017'")
    expect(page.locator("#customer-heading")).to_have_text("C0000017")
    expect(page.get_by_role("textbox", name="Customer id")).to_have_value("C0000017")
    page.go_back()
    expect(page.locator(".state-title")).to_have_text("No such customer")
    seen.settle()


def test_back_is_not_undone_by_a_field_that_tells_its_value_late(watch):
    """The search waits 450 ms before it tells a value, also one it was given; going back at that moment must hold."""
    seen = watch().open("/customer?id=c17")
    page = seen.page
    link = "[...document.querySelectorAll('.near a')].find(one => one.textContent === 'C0000017')"
    for wait in (430, 445, 455, 465, 480, 500):
        seen.until(f"{link} !== undefined")
        page.evaluate(
            f"""wait => new Promise(done => {{
              {link}.click();
              setTimeout(() => {{ history.back(); setTimeout(done, 700); }}, wait);
            }})""",
            wait,
        )
        seen.settle()
        assert seen.query() == "?id=c17", wait
        expect(page.get_by_role("textbox", name="Customer id")).to_have_value("c17")
        expect(page.locator(".state-title")).to_have_text("No such customer")
