"""A real Chromium before a real server. Each page is watched for errors and for requests that leave the house."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    expect,
    sync_playwright,
)

from regulars.app import theme
from regulars.app.server import create_server, served

# The shell is the same browser without windows, and takes half of the time.
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
# Without these Chromium asks its maker's hosts at every start, which a closed network refuses.
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-default-apps",
]  # fmt: skip
ABSENT = (
    "Chromium is absent: the pages were NOT seen in a browser; "
    "install it (Debian: apt-get install chromium-headless-shell, or chromium)"
)
PATIENCE = 30_000  # for machines with one busy core

# The page has come to rest: no callback of Dash is asked for, waits, runs or is being followed up, no skeleton is left.
AT_REST = """() => {
  const stores = window.dash_stores ?? [];
  const waiting = stores.flatMap(store => {
    const { completed, ...lists } = store.getState().callbacks;
    return Object.values(lists).flat();
  });
  const loading = [...document.querySelectorAll('.skeleton, .dash-graph--pending')];
  return stores.length > 0 && waiting.length === 0 && document.querySelector('#page h1') !== null
    && loading.every(one => one.offsetParent === null);
}"""
# Two frames, for what is about to fade in; then nothing that has an end is still fading or moving.
STILL = """() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(
  document.getAnimations()
    .every(one => one.playState !== 'running' || one.effect.getComputedTiming().endTime === Infinity)
))))"""
LOOKS_AT_REST = 3  # with 50 ms between them: one callback may ask for the next, a script for its data

expect.set_options(timeout=PATIENCE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if CHROMIUM is None:
        terminalreporter.section("BROWSER TESTS SKIPPED", red=True, bold=True)
        terminalreporter.write_line(ABSENT, red=True, bold=True)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip(ABSENT)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def context(browser) -> BrowserContext:
    """One context for all pages, so that scripts are fetched once."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    return context


@pytest.fixture(scope="session")
def pages() -> list[Page]:
    """Blank pages that an earlier test brought back: their process has the scripts compiled."""
    return []


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
    scheme: str
    wrong: list[str] = field(default_factory=list)
    under_way: set[Request] = field(default_factory=set, repr=False)
    requests: int = 0

    def __post_init__(self) -> None:
        self._watchers = {
            "console": self._heard,
            "pageerror": self._raised,
            "request": self._begun,
            "requestfinished": self._ended,
            "requestfailed": self._ended,
            "response": self._answered,
        }
        for event, watcher in self._watchers.items():
            self.page.on(event, watcher)

    def leave(self) -> None:
        """Leave nothing behind in the page for whom it is given next."""
        self.page.evaluate("localStorage.clear()")
        self.page.mouse.move(0, 0)
        # from within: a blank page that the browser goes to by itself is another process, with nothing compiled
        self.page.evaluate("location.replace('about:blank')")
        self.page.wait_for_url("about:blank")
        for event, watcher in self._watchers.items():
            self.page.remove_listener(event, watcher)

    def _raised(self, error: Exception) -> None:
        self.wrong.append(f"exception: {error}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.wrong.append(f"{response.status}: {response.url}")

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.wrong.append(f"{message.type}: {message.text}")

    def _begun(self, request: Request) -> None:
        self.under_way.add(request)
        self.requests += 1
        if not request.url.startswith((self.address + "/", "data:", "blob:")):
            self.wrong.append(f"outside: {request.url}")

    def _ended(self, request: Request) -> None:
        self.under_way.discard(request)

    def open(self, path: str) -> "Watched":
        """Open a path and wait until every skeleton has given way to what it stood for."""
        self.page.goto(self.address + path)
        return self.settle()

    def settle(self) -> "Watched":
        """Wait for rest, several looks in a row: no request or callback under way, no skeleton left."""
        end = time.monotonic() + PATIENCE / 1000
        looks = requests = 0
        while looks < LOOKS_AT_REST:
            at_rest = self.page.evaluate(AT_REST) and not self.under_way
            looks = (looks + 1 if requests == self.requests else 1) if at_rest else 0
            requests = self.requests
            assert time.monotonic() < end, f"no rest within {PATIENCE} ms; under way: {[r.url for r in self.under_way]}"
            if looks < LOOKS_AT_REST:
                self.page.wait_for_timeout(50)
        return self

    def switch_scheme(self) -> "Watched":
        """Press the switch from light to dark or back and wait until figures, grids and the rest have followed."""
        self.scheme = "light" if self.scheme == "dark" else "dark"
        narrow = self.page.evaluate("window.innerWidth") < 768
        self.page.locator("#scheme-toggle-top" if narrow else "#scheme-toggle").click()
        self.until(f"document.documentElement.dataset.mantineColorScheme === '{self.scheme}'")
        self.until(
            "[...document.querySelectorAll('.js-plotly-plot')].every(plot => plot.offsetParent === null"
            f" || plot.layout.template.layout.font.color === '{theme.template(self.scheme).layout.font.color}')"
        )
        return self.settle()

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
        """Critical and serious findings of axe, each with where it was found; waits for what fades in."""
        self.until(STILL)
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE_SCRIPT)
        found = self.page.evaluate("axe.run({ resultTypes: ['violations'] }).then(results => results.violations)")
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
def watch(context, pages, address) -> Iterator[Callable[..., Watched]]:
    """Open a watched page; at the test's end nothing may have gone wrong on it."""
    opened: list[Watched] = []

    def watch_(*, width: int = 1440, height: int = 900, scheme: str = "light", at: str = address) -> Watched:
        page = pages.pop() if pages else context.new_page()
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=scheme)
        opened.append(Watched(page, at, scheme))
        return opened[-1]

    yield watch_
    for watched in opened:
        watched.leave()
        pages.append(watched.page)
    assert [line for watched in opened for line in watched.wrong] == []


@pytest.fixture(params=[pytest.param((1440, "light"), id="desktop"), pytest.param((390, "dark"), id="narrow")])
def looks(request, watch) -> Callable[..., Iterator[Watched]]:
    """The looks of a page at one width: opened in one scheme, then switched to the other by the page's own switch.

    Wide begins in light, narrow in dark: each width and each scheme is loaded afresh, and changed to.
    """
    width, scheme = request.param

    def looks_(path: str, **at: str) -> Iterator[Watched]:
        seen = watch(width=width, scheme=scheme, **at).open(path)
        yield seen
        yield seen.switch_scheme()

    return looks_
