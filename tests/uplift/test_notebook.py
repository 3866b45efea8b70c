"""The notebook runs from the first cell to the last, and its answers hold against the truth it was drawn from."""

from pathlib import Path

import jupytext
import pytest

import regulars

NOTEBOOK = Path(regulars.__file__).parent / "docs" / "notebooks" / "uplift.py"


@pytest.fixture(scope="module")
def ran():
    notebook = jupytext.read(NOTEBOOK)
    space = {"__name__": "__main__"}
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            exec(compile(cell.source, f"{NOTEBOOK.name}, cell {number}", "exec"), space)
    return space


def test_the_notebook_is_one_for_jupyter_too():
    import nbformat

    notebook = jupytext.read(NOTEBOOK)
    nbformat.validate(nbformat.from_dict(notebook))
    assert sum(cell.cell_type == "code" for cell in notebook.cells) > 10


def test_what_the_holdout_says_is_true(ran):
    assert ran["found"].lower < ran["truth"] < ran["found"].upper
    assert ran["report"].verdict.decision == "rank"


def test_the_feature_measured_after_the_send_was_refused(ran):
    assert "determines_outcome" in {finding.code for finding in ran["uplift"].preflight(ran["test"], ran["leaking"])}


def test_the_list_keeps_its_limits_and_its_read_out_covers_the_truth(ran):
    made, held_out = ran["made"], set(ran["customers"]["customer_id"][ran["held_out"]])
    assert made.summary["spend"] <= 0.25 * ran["COST"] * len(ran["base"])
    # customers are named alike in both draws, so the holdout is the same
    assert not held_out & set(made.table["customer_id"])
    assert ran["read"].realised.lower < ran["true_profit"] < ran["read"].realised.upper
