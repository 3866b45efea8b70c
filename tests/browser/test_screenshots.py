"""The pictures of README and docs: every page of the menu, taken as the script takes them from the demo's snapshot."""

import importlib.util

import pytest

import regulars
from regulars.app.server import PAGES

SCRIPT = regulars.__path__[0] + "/docs/screenshots.py"


@pytest.fixture(scope="module")
def screenshots():
    spec = importlib.util.spec_from_file_location("screenshots", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_page_but_the_set_up_has_its_picture(screenshots):
    shown = {path.partition("?")[0] for path, _ in screenshots.PICTURES.values()}
    assert shown == {page.path for page in PAGES} - {"/start"}
    on_disk = {path.stem for path in screenshots.IMAGES.glob("*.png")}
    assert on_disk == set(screenshots.PICTURES)


def test_two_pages_are_taken_without_an_error(browser, screenshots, synthetic_warehouse, tmp_path):
    taken = screenshots.take(synthetic_warehouse, tmp_path, names=("churn", "models"), browser=browser)
    assert [picture.name for picture in taken] == ["churn.png", "models.png"]
    for picture in taken:
        content = picture.read_bytes()
        assert content[:8] == b"\x89PNG\r\n\x1a\n"
        # a page that shows something: an empty one of that size takes some 5 kB
        assert 30_000 < len(content) <= screenshots.LARGEST
