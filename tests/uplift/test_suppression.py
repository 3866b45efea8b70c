"""Whom a list leaves alone: ids of every kind and in every kind of column find their customer."""

from datetime import date

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from regulars.sql.errors import ContractError, ModelError
from regulars.uplift.suppression import Suppression, count_contacts
from regulars.uplift.target import TargetList

ON = date(2026, 5, 4)


def build(n: int = 6, ids=None, **given) -> TargetList:
    rows = {"customer_id": np.arange(n) if ids is None else ids, "arm": ["mail"] * n, "effect": [1.0] * n}
    return TargetList.build(rows | {"net_effect": np.linspace(1, 2, n), "cost": [0.0] * n}, "spring", on=ON, **given)


def mailed(made: TargetList) -> set[str]:
    return set(made.lines["customer_id"].to_pylist())


LISTS = {
    "whole floats": [1.0, 2.0],
    "float array": np.array([1.0, 2.0]),
    "float series with one missing": pd.Series([1, 2, None]),
    "polars series": pl.Series([1.0, 2.0, None]),
    "arrow floats": pa.array([1.0, None, 2.0]),
    "chunked arrow floats": pa.chunked_array([[1.0], [2.0]]),
    "nullable integers": pd.Series([1, 2, None], dtype="Int64"),
    "text of floats": ["1.0", " 2.00 "],
    "mixed": [1, "2", None, float("nan"), pd.NA, pd.NaT, ""],
    "generator": (i for i in (1, 2)),
    "set": {1, 2},
    "pandas frame": pd.DataFrame({"customer_id": [1, 2], "why": ["full", "gone"]}),
    "pandas frame of floats": pd.DataFrame({"why": ["full", "gone", ""], "customer_id": [1, 2, None]}),
    "arrow table": pa.table({"customer_id": ["1", "2"]}),
    "record batch": pa.record_batch({"customer_id": [1, 2]}),
    "polars frame": pl.DataFrame({"customer_id": [1, 2]}),
    "lazy frame": pl.LazyFrame({"customer_id": [1.0, 2.0]}),
    "mapping of columns": {"customer_id": [1, 2]},
}


@pytest.mark.parametrize("kind", LISTS)
def test_ids_of_every_kind_suppress(kind):
    made = build(suppression={"bounced": LISTS[kind]})
    assert mailed(made) == {"0", "3", "4", "5"}
    assert made.summary["suppression_lists"]["bounced"]["matched"] == 2


def test_ids_with_a_point_find_the_customers_who_have_one_too():
    assert mailed(build(2, ids=["1000.0", "7"], suppression={"bounced": [1000]})) == {"7"}
    assert mailed(build(2, ids=["007", "7"], suppression={"bounced": [7.0]})) == {"007"}
    assert mailed(build(2, ids=[1000.0, 7.0], suppression={"bounced": ["1000"]})) == {"7"}


def test_consent_is_read_by_the_same_rule():
    assert mailed(build(suppression=Suppression(consented=pd.Series([1, 2, None])))) == {"1", "2"}
    assert mailed(build(suppression=Suppression(refused=[1.0, 2.0, 3.0, 4.0]))) == {"0", "5"}


@pytest.mark.parametrize(
    ("suppression", "kind", "said"),
    [
        ({"bounced": [1.5]}, ContractError, "bounced holds the id 1.5: ids are text or whole numbers"),
        ({"bounced": [float("inf")]}, ContractError, "bounced holds the id inf"),
        ({"bounced": pd.DataFrame({"custmer_id": [1]})}, ContractError, "bounced has no column 'customer_id'; did you"),
        ({"bounced": pl.DataFrame({"id": [1]})}, ContractError, "bounced has no column 'customer_id'; it has id"),
        ({"bounced": {1: True}}, ModelError, "bounced is dict; it is a list of customer ids"),
        ({"bounced": 7}, ModelError, "bounced is int; it is a list of customer ids"),
        ([1, 2], ModelError, "suppression is list; it maps a reason to customer ids"),
        ([], ModelError, "suppression is list; it maps a reason to customer ids"),
        (pd.DataFrame({"customer_id": [1]}), ModelError, "suppression is DataFrame; it maps a reason"),
        ({3: [1]}, ModelError, "the reason 3; name it in text"),
    ],
)
def test_what_is_no_list_is_refused(suppression, kind, said):
    with pytest.raises(kind, match=said):
        build(suppression=suppression)


def test_reasons_that_meet_are_said_once():
    asked = pa.array(["1", "2", "3"])
    both = Suppression({"unsubscribed": [2], "no consent": [2, 3]}, consented=[1], refused=[1, 2])
    assert both.reasons(asked).to_pylist() == ["unsubscribed", "unsubscribed, no consent", "no consent"]
    capped = build(suppression={"mailed recently": [1]}, recent_contacts={2: 1}, frequency_cap=1)
    assert mailed(capped) == {"0", "3", "4", "5"}


def test_the_summary_says_what_each_list_held_and_a_list_that_matched_nobody_is_noted():
    made = build(suppression={"bounced": [1, 1, 99, None], "complained": [77], "moved": []})
    assert made.summary["suppression_lists"] == {
        "bounced": {"ids": 2, "without_id": 1, "matched": 1},
        "complained": {"ids": 1, "without_id": 0, "matched": 0},
        "moved": {"ids": 0, "without_id": 0, "matched": 0},
    }
    assert made.manifest["summary"]["suppression_lists"] == made.summary["suppression_lists"]
    said = "\n".join(made.summary["notes"])
    assert "'bounced': 1 rows without an id" in said
    assert "'complained' holds 1 ids and matches none of 6 customers" in said
    assert "'moved' holds no ids" in said
    assert "suppression list" not in "\n".join(build(suppression={"bounced": [1]}).summary["notes"])


@pytest.mark.parametrize(
    "contacts",
    [
        {1: 5, 2: 5}, {"1": 5, "2": 5}, {1.0: 5, " 2": 5}, pd.Series({1: 5, 2: 5}), pd.Series({"1": 5.0, "2": 5.0}),
        pd.Series([5, 5], index=[1.0, 2.0]),
    ],
)  # fmt: skip
def test_recent_contacts_find_their_customers_whatever_their_keys(contacts):
    made = build(recent_contacts=contacts, frequency_cap=5)
    assert mailed(made) == {"0", "3", "4", "5"}
    assert made.log["recent_contacts"].to_pylist() == [0, 5, 5, 0, 0, 0]


@pytest.mark.parametrize(
    ("contacts", "said"),
    [
        ({"1": float("nan")}, "holds nan of customer '1'; they are counts"),
        ({"1": None}, "holds None of customer '1'"),
        ({"1": 0.5}, "holds 0.5 of customer '1'"),
        ({"1": "2"}, "holds 2 of customer '1'"),
        (["1"], "recent_contacts is list; it maps customers to their sends"),
    ],
)
def test_contacts_that_are_no_counts_are_refused(contacts, said):
    with pytest.raises(ModelError, match=said):
        build(recent_contacts=contacts, frequency_cap=1)


@pytest.mark.parametrize("rules", [{"frequency_cap": 1}, {"fatigue": 0.2}])
def test_a_cap_without_contacts_is_no_cap_and_is_refused(rules):
    with pytest.raises(ModelError, match="need recent_contacts"):
        build(**rules)
    assert len(mailed(build(**rules, recent_contacts={}))) == 6


def test_contacts_are_counted_by_the_same_ids():
    sends = pd.DataFrame({"customer_id": [1, 2, None], "arm": ["mail"] * 3, "sent_at": [ON] * 3})
    assert count_contacts(sends, ON, 1) == {"1": 1, "2": 1}
