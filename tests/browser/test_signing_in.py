"""Signing in and out in a browser: by keyboard, light and dark, wide and narrow; a session that ends meanwhile."""

import shutil
from contextlib import ExitStack

import pytest
from playwright.sync_api import expect

from regulars.app.server import create_server, served
from regulars.app.users import UsersFile

PASSWORD = "correct horse battery"
LOOKS = [
    pytest.param(width, scheme, id=f"{scheme}-{name}")
    for name, width in (("desktop", 1440), ("narrow", 390))
    for scheme in ("light", "dark")
]


@pytest.fixture(scope="module")
def house(tmp_path_factory, synthetic_warehouse):
    folder = tmp_path_factory.mktemp("signing-in")
    shutil.copytree(synthetic_warehouse, folder / "warehouse", ignore=shutil.ignore_patterns("state.sqlite*"))
    UsersFile(folder / "users.toml").add("ann", "analyst", PASSWORD)
    (folder / "regulars.toml").write_text('[orders]\npath = "none"\n[app]\nsign_in = "basic"\n')
    return folder


@pytest.fixture(scope="module")
def guarded(house):
    with ExitStack() as servers:
        app = create_server(house / "warehouse", settings=house / "regulars.toml", threads=2, warm=False)
        yield servers.enter_context(served(app))


@pytest.fixture
def visit(watch, guarded):
    """A watched page that is signed out at the end, for pages of a kind share their cookies."""
    opened = []

    def visit_(**look):
        opened.append(watch(at=guarded, **look))
        return opened[-1]

    yield visit_
    for seen in opened:
        seen.page.context.clear_cookies()


def enter(page, password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill("ann")
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")


def arrive(seen) -> None:
    """Wait until the way past the sign-in has come to a page of the app, and that to rest."""
    expect(seen.page.locator("#page h1")).to_have_count(1)
    seen.settle()


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_the_page_is_whole_and_accessible(visit, width, scheme):
    seen = visit(width=width, scheme=scheme)
    page = seen.page
    page.goto(seen.address + "/customers?segment=best")
    expect(page.locator("h1")).to_have_text("Sign in")
    assert page.title() == "Sign in · regulars"
    seen.until("document.activeElement.id === 'name'")
    assert page.evaluate("document.documentElement.dataset.mantineColorScheme") == scheme
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 20, 26)"
    assert dark == (scheme == "dark")
    expect(page.locator("#plain")).to_be_hidden()  # loopback needs no https
    assert page.evaluate("document.fonts.ready.then(() => document.fonts.check('14px Inter'))")
    assert seen.overflow() <= 0
    assert seen.accessibility_findings() == []

    enter(page, "wrong wrong wrong")
    expect(page.get_by_role("alert")).to_have_text("Name or password is wrong.")
    seen.until("document.activeElement.id === 'password'")
    expect(page.get_by_label("Name")).to_have_value("ann")
    assert seen.accessibility_findings() == []
    assert all("401" in line for line in seen.wrong)
    seen.wrong.clear()


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_the_frame_says_who_is_signed_in_and_leads_out(visit, width, scheme):
    seen = visit(width=width, scheme=scheme)
    page = seen.page
    page.goto(seen.address + "/customers?segment=best")
    enter(page)
    arrive(seen)
    assert page.url.endswith("/customers?segment=best")
    if width < 600:
        page.get_by_role("button", name="Menu").click()
    account = page.get_by_role("group", name="Signed in as")
    expect(account).to_contain_text("ann")
    expect(account).to_contain_text("Analyst")
    expect(page.get_by_role("button", name="Sign out")).to_be_in_viewport()
    assert seen.overflow() <= 0
    assert seen.accessibility_findings() == []
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("h1")).to_have_text("Sign in")
    page.go_back()
    expect(page.locator("h1")).to_have_text("Sign in")


def test_a_session_that_ends_leads_to_the_sign_in_and_back(visit):
    seen = visit()
    page = seen.page
    page.goto(seen.address + "/")
    enter(page)
    arrive(seen)
    expect(page.locator("h1")).to_have_text("Overview")
    page.context.clear_cookies()
    page.get_by_role("link", name="Customers").click()
    expect(page.locator("h1")).to_have_text("Sign in")
    assert seen.wrong, "the server answered 401"
    assert all("401" in line for line in seen.wrong)
    seen.wrong.clear()
    enter(page)
    arrive(seen)
    assert page.url == seen.address + "/customers"


def test_scripts_cannot_read_the_session(visit):
    seen = visit()
    page = seen.page
    page.goto(seen.address + "/")
    enter(page)
    arrive(seen)
    assert page.evaluate("document.cookie") == ""
    assert [one["name"] for one in page.context.cookies() if one["name"].endswith("session")] == ["regulars_session"]


def test_an_export_is_downloaded_and_on_record(visit, house):
    from regulars.app.state import State

    seen = visit()
    page = seen.page
    page.goto(seen.address + "/customers?segment=best")
    enter(page)
    arrive(seen)
    with page.expect_download() as download:
        page.locator("#export-csv").click()
    rows = download.value.path().read_bytes().count(b"\n") - 1
    line = State(house / "warehouse").audit_lines(1)[0]
    assert (line.person, line.action, line.subject) == ("ann", "export rows", "customers.csv")
    assert line.details["rows"] == rows
    assert line.details["filter"] == "segment=best"
