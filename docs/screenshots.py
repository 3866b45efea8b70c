"""Take the pictures of the README from a real browser: ``python docs/screenshots.py [WAREHOUSE]``.

The warehouse is the demo's where none is named (``regulars demo --no-serve`` makes it). Needs Chromium.
"""

import shutil
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from regulars.app.server import create_server, served

IMAGES = Path(__file__).parent / "images"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-headless-shell") or "/usr/bin/chromium"
# without these Chromium asks its maker's hosts at every start
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
]
PICTURES = {
    "overview": ("/", 1010),
    "customers": ("/customers?segment=best,active&frequency=15..&color=value", 1130),
    "customer": ("/customer?id=1", 1080),
    "cohorts": ("/cohorts", 1010),
    "churn": ("/churn", 1010),
    "uplift": ("/uplift", 1080),
    "pricing": ("/pricing", 1080),
    "data": ("/data", 1010),
    "models": ("/models", 1010),
}
WIDTH = 1360
LARGEST = 300_000


def take(
    warehouse: Path, images: Path = IMAGES, names: Iterable[str] = PICTURES, browser: Browser | None = None
) -> list[Path]:
    """Write one picture for each name; returns their paths.

    Raises
    ------
    RuntimeError
        Where a picture would be larger than 300 kB, or a page has an error on its console.
    """
    images.mkdir(parents=True, exist_ok=True)
    with served(create_server(warehouse, warm=False)) as address, ExitStack() as opened:
        if browser is None:
            playwright = opened.enter_context(sync_playwright())
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            opened.callback(browser.close)
        return [_picture(browser, address, name, images / f"{name}.png") for name in names]


def _picture(browser: Browser, address: str, name: str, picture: Path) -> Path:
    path, height = PICTURES[name]
    page = browser.new_page(viewport={"width": WIDTH, "height": height})
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(address + path)
    _settle(page)
    page.screenshot(path=picture)
    if errors or picture.stat().st_size > LARGEST:
        raise RuntimeError(f"{picture}: {picture.stat().st_size} bytes of at most {LARGEST}; errors: {errors}")
    return picture


def _settle(page: Page) -> None:
    page.wait_for_selector("#page h1")
    page.wait_for_load_state("networkidle")
    while page.locator(".skeleton:visible").count():
        page.wait_for_timeout(50)
    if page.locator(".ag-root").count():
        page.wait_for_selector(".ag-row-first .ag-cell:not(:empty)")
    page.wait_for_timeout(600)


if __name__ == "__main__":
    for path in take(Path(sys.argv[1] if len(sys.argv) > 1 else "demo-warehouse")):
        sys.stdout.write(f"{path}: {path.stat().st_size:,} bytes\n")
