"""The examples of docs/methods run: the formulas on the page are those that the models compute."""

import doctest
from pathlib import Path

import pytest

import regulars

PAGES = sorted((Path(regulars.__file__).parent / "docs" / "methods").glob("*.md"))
WITH_EXAMPLE = [page for page in PAGES if page.name != "README.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_run(page):
    result = doctest.testfile(str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("page", WITH_EXAMPLE, ids=lambda page: page.stem)
def test_every_page_names_traps_and_sources_and_is_listed(page):
    text = page.read_text(encoding="utf-8")
    assert "**Traps.**" in text
    assert "Source" in text
    assert f"({page.name})" in (page.parent / "README.md").read_text(encoding="utf-8")
