"""Models in a browser: whole in every look, its choices in the address; an admin goes back and everybody sees it."""

import shutil

from playwright.sync_api import expect


def test_it_is_whole_and_accessible(looks):
    for seen in looks("/models"):
        page = seen.page
        expect(page.locator("h1")).to_have_text("Models")
        expect(page.locator("#models-league tbody tr")).to_have_count(5)
        expect(page.locator("#models-deciles .main-svg").first).to_be_visible()
        expect(page.locator("#models-runs tbody tr")).to_have_count(2)
        expect(page.locator("#models-compare")).to_contain_text("as_of")
        expect(page.locator("#models-lineage")).to_contain_text("SHA-256")
        expect(page.get_by_text("could not be shown")).to_have_count(0)
        assert seen.overflow() <= 0
        assert seen.accessibility_findings() == []


def test_a_link_restores_models_and_table(watch):
    query = "?models=nbd,pareto_nbd&table=kpis"
    seen = watch().open("/models" + query)
    page = seen.page
    expect(page.locator("#models-deciles .legendtext")).to_contain_text(["Pareto/NBD", "Pareto/NBD", "NBD"])
    expect(page.get_by_role("textbox", name="Table").or_(page.get_by_role("combobox", name="Table"))).to_have_value(
        "kpis"
    )
    expect(page.locator("#models-lineage")).to_contain_text("Rows8")
    assert seen.query() == query
    page.locator(".chips").get_by_text("BG/NBD", exact=True).click()
    seen.until("decodeURIComponent(location.search) !== '" + query + "'")
    page.go_back()
    seen.until("decodeURIComponent(location.search) === '" + query + "'")


def test_an_admin_goes_back_from_start_to_pointer(watch, serve_warehouse, synthetic_warehouse, tmp_path):
    shutil.copytree(synthetic_warehouse, tmp_path / "warehouse")
    seen = watch(at=serve_warehouse(tmp_path / "warehouse")).open("/models")
    page = seen.page
    page.get_by_role("textbox", name="Run to go back to").or_(
        page.get_by_role("combobox", name="Run to go back to")
    ).click()
    page.get_by_role("option", name="2017-11-30").click()
    page.get_by_role("button", name="Go back").click()
    expect(page.locator("#rollback-said")).to_contain_text("Tick the box")
    page.get_by_label("Yes, for everybody").check()
    page.get_by_role("button", name="Go back").click()
    expect(page.locator("#rollback-said")).to_contain_text("is current now")
    assert '"5eed000000000000"' in (tmp_path / "warehouse" / "current.json").read_text()
    page.reload()
    seen.settle()
    expect(page.locator(".stamp")).to_contain_text("30 Nov 2017")
