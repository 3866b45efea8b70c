"""Cohorts in a browser: the answer, the triangle, the curves and the audit; the address remembers how one looks."""

from playwright.sync_api import expect


def test_it_is_whole_and_accessible(looks):
    for seen in looks("/cohorts"):
        page = seen.page
        expect(page.locator("h1")).to_have_text("Cohorts")
        expect(page.locator("h1")).to_have_count(1)
        expect(page.locator(".answer")).to_have_text("Nothing shows that newer cohorts are worse.")
        expect(page.locator(".page .js-plotly-plot")).to_have_count(4)
        expect(page.locator(".state")).to_have_count(0)
        assert seen.overflow() <= 0
        assert seen.accessibility_findings() == []


def test_a_link_restores_everything_and_back_undoes(watch):
    query = "?by=quarter&show=count&within=182&lens=two_periods"
    seen = watch().open("/cohorts" + query)
    page = seen.page
    for name in ("Quarterly", "Customers", "182 days", "Two periods"):
        expect(page.get_by_role("radio", name=name, exact=True)).to_be_checked()
    expect(page.locator("#cohorts-answer .answer-details")).to_contain_text("Within 182 days")
    expect(page.locator("#cohorts-audit")).to_contain_text("of the best tenth stayed in it")
    assert seen.query() == query
    page.get_by_text("One period", exact=True).click()
    seen.until("location.search.includes('lens=one_period')")
    expect(page.locator("#cohorts-audit .answer-details")).to_contain_text("The best tenth brought")
    page.get_by_text("Monthly", exact=True).click()
    seen.until("!location.search.includes('by=')")
    expect(page.locator("#cohorts-triangle")).to_contain_text("month on")
    seen.settle()
    page.go_back()
    expect(page.get_by_role("radio", name="Quarterly")).to_be_checked()
    page.go_back()
    expect(page.get_by_role("radio", name="Two periods")).to_be_checked()
    expect(page.locator("#cohorts-audit")).to_contain_text("of the best tenth stayed in it")
    page.go_forward()
    expect(page.get_by_role("radio", name="One period")).to_be_checked()
    seen.settle()
