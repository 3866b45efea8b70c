"""A real Chromium before a real server. Each page is watched for errors and for requests that leave the house."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from regulars.app.server import create_server, served

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
# Without these Chromium asks its maker's hosts at every start, which a closed network refuses.
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-default-apps",
]  # fmt: skip
ABSENT = "Chromium is absent: the pages were NOT seen in a browser; install it (Debian: apt-get install chromium)"
PATIENCE = 30_000  # for machines with one busy core

expect.set_options(timeout=PATIENCE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not Path(CHROMIUM).exists():
        terminalreporter.section("BROWSER TESTS SKIPPED", red=True, bold=True)
        terminalreporter.write_line(ABSENT, red=True, bold=True)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.skip(ABSENT)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def context_of(browser) -> Callable[[int, int, str], BrowserContext]:
    """One context for each kind of window, so that scripts are fetched and compiled once."""
    made: dict[tuple[int, int, str], BrowserContext] = {}

    def context(width: int, height: int, scheme: str) -> BrowserContext:
        key = (width, height, scheme)
        if key not in made:
            made[key] = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        return made[key]

    return context


@pytest.fixture(scope="session")
def serve_warehouse() -> Iterator[Callable[[Path], str]]:
    """Serve a warehouse on a free port of loopback until the session ends; returns its address."""
    with ExitStack() as servers:
        yield lambda house: servers.enter_context(served(create_server(house, threads=2, warm=False)))


@pytest.fixture(scope="session")
def address(serve_warehouse, synthetic_warehouse) -> str:
    return serve_warehouse(synthetic_warehouse)


@dataclass
class Watched:
    """A page with what went wrong on it."""

    page: Page
    address: str
    wrong: list[str] = field(default_factory=list)

    def open(self, path: str) -> "Watched":
        """Open a path and wait until every skeleton has given way to what it stood for."""
        self.page.goto(self.address + path)
        self.settle()
        return self

    def settle(self) -> "Watched":
        """Wait until nothing is loading: no request under way, no skeleton left."""
        self.until("document.querySelector('#page h1') !== null")
        self.page.wait_for_load_state("networkidle")
        self.until("[...document.querySelectorAll('.skeleton')].every(one => one.offsetParent === null)")
        return self

    def until(self, expression: str, seconds: float = PATIENCE / 1000) -> None:
        """Wait until an expression of the page is true; Playwright's own way needs eval, which the page forbids."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, f"not within {seconds} s: {expression}"
            self.page.wait_for_timeout(40)

    def rows(self) -> "Watched":
        """Bring the grid into view and wait for its rows."""
        self.page.locator("#customers-grid").scroll_into_view_if_needed()
        self.until(
            "document.querySelector('#customers-grid .ag-row-first [col-id=customer_id]')?.textContent.trim()"
            " || document.querySelector('#customers-grid-message')?.textContent"
        )
        return self

    def row(self, index: int = 0) -> dict:
        """A row of the grid as it was fetched, columns out of sight too; {} while it is loading."""
        grid = "dash_ag_grid.getApi('customers-grid')"
        return self.page.evaluate(f"{grid}.getDisplayedRowAtIndex({index})?.data ?? {{}}")

    def query(self) -> str:
        """The query part of the address, as text a person reads."""
        return self.page.evaluate("decodeURIComponent(window.location.search)")

    def accessibility_findings(self) -> list[str]:
        """Critical and serious findings of axe, each with where it was found."""
        found = Axe().run(self.page).response["violations"]
        return [
            f"{one['impact']} {one['id']}: {node['target']} {node['failureSummary']}"
            for one in found
            if one["impact"] in {"critical", "serious"}
            for node in one["nodes"]
        ]

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        return self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


@pytest.fixture
def watch(context_of, address) -> Iterator[Callable[..., Watched]]:
    """Open a watched page; at the test's end nothing may have gone wrong on it."""
    opened: list[Watched] = []

    def watch_(*, width: int = 1440, height: int = 900, scheme: str = "light", at: str = address) -> Watched:
        page = context_of(width, height, scheme).new_page()
        page.set_default_timeout(PATIENCE)
        watched = Watched(page, at)
        wrong = watched.wrong
        page.on("console", lambda m: wrong.append(f"{m.type}: {m.text}") if m.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: wrong.append(f"exception: {error}"))
        page.on(
            "request",
            lambda r: None if r.url.startswith((at + "/", "data:", "blob:")) else wrong.append(f"outside: {r.url}"),
        )
        page.on("response", lambda r: wrong.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
        opened.append(watched)
        return watched

    yield watch_
    for watched in opened:
        watched.page.evaluate("localStorage.clear()")
        watched.page.close()
    assert [line for watched in opened for line in watched.wrong] == []
