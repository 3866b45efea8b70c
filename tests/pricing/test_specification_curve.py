"""The curve: every specification in one call, one of them argued, none by forecast error; and what stands beside it."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from regulars.pricing.cross_price import estimate_cross_elasticities
from regulars.pricing.double_ml import double_ml
from regulars.pricing.log_linear import log_linear
from regulars.pricing.poisson import poisson
from regulars.pricing.simulate import CONFOUNDING, simulate_prices
from regulars.pricing.specification_curve import specification_curve
from regulars.sql.errors import ModelError

SMALL = {"items": 8, "stores": 10, "weeks": 92, "brands": 4}


def test_one_row_is_chosen_and_argued():
    history = simulate_prices(**SMALL, confounding=CONFOUNDING, seed=1)
    curve = specification_curve(history.frame())
    table = curve.table
    assert table["chosen"].sum() == 1
    assert table.loc[table["chosen"], "specification"].item() == curve.chosen == "by item, instrumented"
    assert (table["failed"] == "").all()
    assert table["elasticity"].is_monotonic_increasing
    assert {"pooled", "fixed effects", "poisson", "semi-log", "double machine learning"} <= set(table["specification"])
    assert "know nothing of the week's demand" in curve.argument
    assert curve.elasticity() == pytest.approx(history.own.mean(), abs=0.25)
    # the shop discounts where demand is weak: every row that takes prices as they are says too little
    assert curve.elasticity("by item") > history.own.mean() + 0.5
    with pytest.raises(ModelError, match="no specification 'best'"):
        curve.elasticity("best")


def test_stock_outs_have_their_rows():
    history = simulate_prices(**SMALL, stock_weeks=1.0, seed=2)
    curve = specification_curve(history.frame(), double_machine_learning=False)
    own = history.own.mean()
    assert curve.elasticity() == pytest.approx(own, abs=0.3)
    assert curve.elasticity("by item, stock-outs as demand") > own + 0.67
    assert curve.elasticity("by item, stock-outs left out") > own + 0.3
    assert "lower bounds" in curve.argument


def test_a_specification_that_cannot_be_carried_says_so():
    rows = {"item": ["a"] * 8 + ["b"] * 8, "week": [*range(8)] * 2, "units": [3, 2, 4, 0, 2, 5, 3, 1] * 2}
    rows["price"] = [2.0, 2.5, 1.5, 2.0, 2.5, 1.0, 2.0, 3.0, 2.1, 2.5, 1.5, 2.2, 2.5, 1.1, 2.0, 3.0]
    curve = specification_curve(pd.DataFrame(rows))
    failed = curve.table.set_index("specification")["failed"]
    assert "double machine learning needs 200 rows" in failed["double machine learning"]
    assert failed["pooled"] == ""
    assert curve.chosen == "by item"


def _small(**changes):
    rows = {"item": ["a"] * 8 + ["b"] * 8, "week": [*range(8)] * 2, "units": [3, 2, 4, 0, 2, 5, 3, 1] * 2}
    rows["price"] = [2.0, 2.5, 1.5, 2.0, 2.5, 1.0, 2.0, 3.0, 2.1, 2.5, 1.5, 2.2, 2.5, 1.1, 2.0, 3.0]
    return pd.DataFrame(rows | changes)


def test_a_panel_of_one_price_has_a_curve_without_answers_and_says_so():
    curve = specification_curve(_small(price=2.0), double_machine_learning=False)
    assert curve.table["elasticity"].isna().all()
    assert (curve.table["failed"] != "").all()
    assert curve.argument.startswith("This panel has no answer to argue for: no item has an answer: a single price")


def test_nothing_is_argued_for_where_every_row_sold_out():
    curve = specification_curve(_small(sold_out=True), double_machine_learning=False)
    assert np.isnan(curve.elasticity())
    assert "no units besides those that stock cut off" in curve.argument
    assert [finding.code for finding in curve.findings] == ["sold_out"]


def test_prices_may_be_decimals_and_missing():
    plain = _small()
    decimals = plain.assign(price=[Decimal(str(price)) for price in plain["price"]])
    one, other = (specification_curve(frame, double_machine_learning=False) for frame in (plain, decimals))
    assert one.rows == other.rows
    gap = plain.assign(price=pd.Series([None, *plain["price"][1:]], dtype=object))
    curve = specification_curve(gap, double_machine_learning=False)
    assert "missing_price" in {f.code for f in curve.findings} or "units_without_price" in {
        f.code for f in curve.findings
    }
    assert {"stock_unknown"} <= {finding.code for finding in curve.findings}


def test_the_order_of_rows_changes_no_byte():
    frame = simulate_prices(items=8, stores=2, weeks=40, seed=4).frame()
    one, other = (
        specification_curve(given, double_machine_learning=False)
        for given in (frame, frame.sample(frac=1, random_state=1))
    )
    assert repr(one.rows) == repr(other.rows)


@pytest.mark.parametrize("form", ["semi-log", "poisson"])
def test_known_slopes_are_found(form):
    rng = np.random.default_rng(0)
    n = 4_000
    item, week = rng.integers(20, size=n), rng.integers(40, size=n)
    price = rng.uniform(1, 3, n)
    level = 3 + rng.normal(0, 1, 20)[item] + rng.normal(0, 0.3, 40)[week]
    frame = pd.DataFrame({"item": item, "week": week, "price": price})
    if form == "semi-log":
        frame["units"] = np.exp(level - 0.8 * price + rng.normal(0, 0.1, n))
        estimate, error = log_linear(frame, "price", effects=("item", "week"))["price"]
        assert abs(estimate + 0.8) < 4 * error
    else:
        frame["units"] = rng.poisson(np.exp(level - 1.6 * np.log(price)))
        estimate, error = poisson(frame, effects=("item", "week"))["log_price"]
        other, _ = poisson(frame, effects=("item", "week"), solver="alternating")["log_price"]
        assert abs(estimate + 1.6) < 4 * error
        assert other == pytest.approx(estimate, abs=1e-6)


def test_two_stages_undo_confounding():
    history = simulate_prices(items=6, stores=10, weeks=104, mean_units=200, confounding=CONFOUNDING, seed=3)
    frame = history.frame()
    frame["share"] = frame["promotion_cost"] / frame["unit_cost"]
    options = {"effects": ("item^store_id",), "cluster": "store_id"}
    plain = log_linear(frame, "log_price + promoted", **options)["log_price"][0]
    fit = log_linear(frame, "promoted", **options, instruments=("share",))
    assert abs(fit["log_price"][0] - history.own.mean()) < 0.4
    assert plain > history.own.mean() + 0.5
    assert fit.first_stage_f > 10


def test_what_fixed_effects_cannot_take_is_said():
    frame = pd.DataFrame({"item": [*"abcd"], "price": [1.0, 2.0, 3.0, 4.0], "units": [4, 3, 2, 1]})
    with pytest.raises(ModelError, match="every row is the only one"):
        log_linear(frame, effects=("item",))
    with pytest.raises(ModelError, match="effects name 'shop'"):
        poisson(frame, effects=("shop",))
    with pytest.raises(ModelError, match="cannot be estimated"):
        log_linear(frame, "log_price + weather")
    with pytest.raises(ModelError, match="did you mean 'krylov'"):
        poisson(frame, solver="krilov")
    with pytest.raises(ModelError, match="needs 200 rows"):
        double_ml(frame.assign(week=1))


@pytest.mark.parametrize("confounding", [0.0, CONFOUNDING])
def test_cross_intervals_cover_and_are_not_biased(confounding):
    seen = []
    for seed in range(3):
        history = simulate_prices(items=8, stores=6, weeks=90, brands=4, cross=0.3, confounding=confounding, seed=seed)
        found = estimate_cross_elasticities(history.frame())
        at = {name: i for i, name in enumerate(history.items)}
        table = found.table
        truth = [history.cross[at[a], at[b]] for a, b in zip(table["item"], table["other"], strict=True)]
        seen.append(np.stack([truth, table["elasticity"], table["standard_error"]]))
    truth, mean, error = np.concatenate(seen, axis=1)
    # prices of one brand move together: read without each other each was credited with both, +.12 and 65% covered.
    # 144 pairs, those of one item together: two standard errors of a coverage of .90 are about .08
    assert abs(np.mean(mean - truth)) < 0.08
    assert np.mean(np.abs(mean - truth) < 1.645 * error) > 0.8


def test_what_cross_prices_cannot_tell_is_said():
    frame = simulate_prices(items=6, stores=3, weeks=60, brands=6, cross=0.3, seed=1).frame()
    twin, of = frame["item"] == "item_0005", frame["item"] == "item_0004"
    frame.loc[twin, "price"] = frame.loc[of, "price"].to_numpy() * 1.5
    found = estimate_cross_elasticities(frame.drop(columns=["promotion_cost", "unit_cost"]))
    table = found.table.set_index(["item", "other"])
    assert "moves with that of item_000" in table.loc[("item_0000", "item_0005"), "reason"]
    assert not table.loc[("item_0000", "item_0004"), "accepted"]
    assert {"stock_unknown", "prices_as_they_are"} <= {finding.code for finding in found.findings}


def test_cross_prices_find_substitutes_and_refuse_what_is_not_believed():
    history = simulate_prices(items=8, stores=10, weeks=104, cross=0.4, brands=8, seed=2)
    found = estimate_cross_elasticities(history.frame(), others=4)
    at = {name: i for i, name in enumerate(history.items)}
    truth = np.array(
        [history.cross[at[a], at[b]] for a, b in zip(found.table["item"], found.table["other"], strict=True)]
    )
    assert found.usual["category"] == pytest.approx(truth.mean(), abs=0.15)
    assert np.corrcoef(found.table["elasticity"], truth)[0, 1] > 0.3
    assert (found.table.loc[found.table["kind"] != "unclear", "kind"] == "substitute").mean() > 0.8

    from regulars.pricing.cross_price import _row

    refused = _row({"item": "a", "other": "b", "own_elasticity": -0.07}, 1.8, 0.2, 1.0)
    assert not refused["accepted"]
    assert "-0.07" in refused["reason"]
    with pytest.raises(ModelError, match="others = 0"):
        estimate_cross_elasticities(history.frame(), others=0)
