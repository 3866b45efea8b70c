"""Elasticities against known truth, their gates, and every kind of bad panel."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import regulars
from regulars.pricing.elasticity import estimate_elasticities
from regulars.pricing.gates import Gates
from regulars.pricing.instruments import excluded, first_stage
from regulars.pricing.panel_arrays import read_panel
from regulars.pricing.simulate import CONFOUNDING, simulate_prices
from regulars.sql.contract import ELASTICITIES
from regulars.sql.errors import ContractError, ModelError

SMALL = {"items": 8, "stores": 10, "weeks": 92, "brands": 4}


@pytest.fixture(scope="module")
def studies():
    """The functions behind `make study`."""
    bench = Path(regulars.__file__).parent / "bench"
    spec = importlib.util.spec_from_file_location("pricing_studies", bench / "pricing_studies.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as path:
        path.syspath_prepend(bench)
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def found():
    return estimate_elasticities(simulate_prices(**SMALL, seed=1).frame(), method="poisson", held_out=False)


def test_the_default_is_as_right_on_the_confounded_twin_as_on_the_clean_one(studies):
    rivals = {name: studies.RIVALS[name] for name in ("default", "Poisson by item", "no change")}
    rows = {row["estimator"]: row for row in studies.twins(2, rivals=rivals, **SMALL)}
    assert rows["default"]["confounded"] <= 0.03
    assert abs(rows["default"]["confounded"] - rows["default"]["clean"]) <= 0.005
    # what the default is not: right on one twin only
    assert rows["Poisson by item"]["clean"] <= 0.03
    assert rows["Poisson by item"]["confounded"] > 0.06
    assert rows["no change"]["clean"] > 0.2


def test_stock_outs_do_not_bias_and_naive_ways_do(studies):
    rows = {row["sold-out weeks"]: row for row in studies.censored(16, **SMALL)}
    assert abs(rows["lower bounds"]["bias"]) <= 0.2
    assert rows["as demand"]["bias"] > 0.67
    assert rows["left out"]["bias"] > 0.3
    assert rows["lower bounds"]["coverage"] > rows["as demand"]["coverage"]


def test_intervals_cover_in_a_small_study(studies):
    seen = studies.coverage("sparse", 192, items=96)
    # 192 items: three standard errors of a coverage of .90 are .065
    assert seen["coverage"] > 0.80
    assert abs(seen["bias"]) < 0.2


@pytest.mark.parametrize("weeks", [10, 20, 26, 29, 40])
def test_instruments_hold_in_short_histories(weeks):
    missed, widths = [], []
    for seed in (1, 2):
        history = simulate_prices(items=24, stores=10, weeks=weeks, confounding=CONFOUNDING, seed=seed)
        answer = estimate_elasticities(history.frame(), held_out=False)
        assert answer.method == "instruments"
        missed.append(answer.elasticity - history.own)
        widths.append(1.645 * answer.standard_error)
        # a strength of 1e27 was what clusters fewer than regressors gave
        assert answer.table["first_stage_f"].dropna().between(0, 1e5).all()
    # prices as they are give +.92 here and cover 5%; 48 items of two histories, whose items share an error: two
    # standard errors of a mean are .25
    assert abs(np.mean(missed)) < 0.3
    assert np.mean(np.abs(missed) < widths) > 0.75


def test_too_few_weeks_for_instruments_are_refused_with_the_reason():
    frame = simulate_prices(items=4, stores=12, weeks=6, confounding=CONFOUNDING, seed=1).frame()
    answer = estimate_elasticities(frame, method="instruments", held_out=False)
    assert answer.table["first_stage_f"].isna().all()
    assert not answer.accepted.any()
    assert set(answer.table["reason"]) == {"6 weeks are too few to tell how strong its instruments are"}


def test_the_strength_of_instruments_is_not_told_from_few_clusters():
    rng = np.random.default_rng(0)
    week = np.repeat(np.arange(5), 40)
    cost, shock = rng.normal(size=(2, 200, 2))
    stage = first_stage(cost.sum(axis=1) + shock[:, 0], cost, np.empty((200, 0)), np.zeros(200, dtype=int), week)
    assert np.isnan(stage.f)


def test_later_price_changes_are_no_reason_to_refuse_what_holds():
    history = simulate_prices(items=24, stores=8, weeks=104, confounding=CONFOUNDING, seed=700)
    answer = estimate_elasticities(history.frame())
    # the last quarter is 26 weeks: read without instruments it is off by a unit, and a quarter of items were refused
    assert answer.accepted.mean() > 0.95


def test_the_table_is_the_contracts_and_of_the_panels_kind(found):
    polars = pytest.importorskip("polars")
    frame = simulate_prices(**SMALL, seed=1).frame()
    other = estimate_elasticities(polars.from_pandas(frame), method="poisson", held_out=False)
    assert list(found.table.columns) == list(ELASTICITIES.column_names)
    assert isinstance(other.table, polars.DataFrame)
    np.testing.assert_array_equal(other.table["elasticity"].to_numpy(), found.table["elasticity"].to_numpy())
    assert ((found.table["own_data_share"] + found.table["category_share"]) - 1).abs().max() < 1e-12


def test_the_order_of_rows_changes_nothing(found):
    frame = simulate_prices(**SMALL, seed=1).frame().sample(frac=1, random_state=3)
    other = estimate_elasticities(frame, method="poisson", held_out=False)
    np.testing.assert_allclose(other.elasticity, found.elasticity, rtol=1e-9)


def test_prices_in_another_unit_change_nothing(found):
    frame = simulate_prices(**SMALL, seed=1).frame()
    frame[["price", "regular_price", "unit_cost"]] *= 100
    other = estimate_elasticities(frame, method="poisson", held_out=False)
    # equal up to where Newton's steps end
    np.testing.assert_allclose(other.elasticity, found.elasticity, rtol=1e-4)


def test_new_items_get_the_categorys_answer_and_it_says_so(found):
    answer = found.answer("never seen", ("category",))
    assert answer["own_data_share"] == 0.0
    assert answer["sentence"].endswith("own data 0%, category 100%")
    assert answer["lower"] < found.categories["category",][0] < answer["upper"]
    seen = found.answer(found.items[0])
    assert 0.5 < seen["own_data_share"] <= 1.0


def _category(name, mean, spread, seed, **sizes):
    """A category whose items' elasticities have this mean and deviation, and its truth by item."""
    history = simulate_prices(seed=seed, **sizes)
    history = replace(history, own=mean + spread * (history.own + 2.4) / 0.5)
    units = np.random.default_rng(seed).poisson(history.expected_demand())
    frame = replace(history, units=units).frame()
    frame["item"], frame["category_1"] = name + frame["item"], name
    return frame, pd.Series(history.own, [name + item for item in history.items])


def _answers(frame, **options):
    return estimate_elasticities(frame, held_out=False, **options).table.set_index("item")


@pytest.mark.parametrize("spreads", [(0.5, 0.5), (0.2, 1.0)])
def test_what_stands_beside_a_category_changes_none_of_its_answers(spreads):
    covered = []
    for seed in (100, 101):
        # ten weeks of four stores: most of an answer is the category's
        sizes = {"items": 48, "brands": 12, "stores": 4, "weeks": 10, "cross": 0.0}
        first, of_first = _category("first ", -2.4, spreads[0], seed, **sizes)
        second, of_second = _category("second ", -1.2, spreads[1], seed + 100, **sizes)
        alone = pd.concat([_answers(frame, method="poisson") for frame in (first, second)])
        both = _answers(pd.concat([first, second], ignore_index=True), method="poisson").loc[alone.index]
        pd.testing.assert_series_equal(both["own_elasticity"], alone["own_elasticity"])
        # the other's mean is a prior with a deviation of 1.2 or so; one pooled deviation moved answers by up to .8
        np.testing.assert_allclose(both["elasticity"], alone["elasticity"], atol=0.05)
        np.testing.assert_allclose(both["standard_error"], alone["standard_error"], rtol=0.02)
        assert (both["accepted"] == alone["accepted"]).all()
        assert both.loc[of_first.index, "accepted"].all()
        truth = pd.concat([of_first, of_second]).loc[both.index]
        covered.append((both["elasticity"] - truth).abs() < 1.645 * both["standard_error"])
    # 192 items: three standard errors of a coverage of .90 are .065
    assert 0.835 < np.mean(covered) < 0.975


def test_costs_known_of_one_category_leave_another_as_it_is():
    sizes = {"items": 8, "stores": 6, "weeks": 92, "brands": 4}
    costed, _ = _category("costed ", -2.4, 0.5, 1, confounding=CONFOUNDING, **sizes)
    plain, _ = _category("plain ", -2.0, 0.5, 2, **sizes)
    plain = plain.drop(columns=["unit_cost", "promotion_cost"])
    frame = pd.concat([costed, plain], ignore_index=True)
    answer = estimate_elasticities(frame, held_out=False)
    assert answer.method == "instruments, poisson"
    both = answer.table.set_index("item")
    for part, method in ((costed, "instruments"), (plain, "poisson")):
        alone = _answers(part)
        assert set(both.loc[alone.index, "method"]) == {method}
        pd.testing.assert_series_equal(both.loc[alone.index, "own_elasticity"], alone["own_elasticity"])
    forced = _answers(frame, method="instruments").loc[plain["item"].unique()]
    # no instrument: another category's answer, and wide
    assert set(forced["method"]) == {"category"}
    assert (forced["standard_error"] > 1.0).all()


def test_displays_known_of_one_category_leave_another_its_flag():
    sizes = {"items": 8, "stores": 6, "weeks": 60, "brands": 4}
    shown, _ = _category("shown ", -2.4, 0.5, 1, **sizes)
    plain, _ = _category("plain ", -2.0, 0.5, 2, **sizes)
    shown = shown.assign(display=shown["promoted"])
    both = _answers(pd.concat([shown, plain], ignore_index=True), method="poisson")
    alone = _answers(plain, method="poisson")
    # without its flag, what promotions do besides their price is credited to the price
    pd.testing.assert_series_equal(both.loc[alone.index, "own_elasticity"], alone["own_elasticity"])


def test_the_sign_is_judged_by_the_answer_with_the_spread_between_items():
    frame = simulate_prices(**SMALL, seed=1).frame()
    frame.loc[frame["item"] == "item_0003", "price"] = 2.0
    table = estimate_elasticities(frame, method="poisson", held_out=False).table.set_index("item")
    # no own data: the category's answer is about -2.3 +- .6, and its sign is known
    row = table.loc["item_0003"]
    assert row["own_data_share"] == 0.0
    assert row["standard_error"] > 0.3
    assert (row["accepted"], row["reason"]) == (True, "")


def test_unknown_stock_is_a_finding(found):
    assert [finding.code for finding in found.findings] == ["stock_unknown", "prices_move_together"]


def test_prices_that_move_apart_are_no_finding():
    # a brand an item: none is promoted with another
    frame = simulate_prices(items=4, stores=2, weeks=60, brands=4, seed=1).frame()
    answer = estimate_elasticities(frame, method="poisson", held_out=False)
    assert [finding.code for finding in answer.findings] == ["stock_unknown"]


def test_an_item_with_a_single_price_has_the_categorys_answer():
    frame = simulate_prices(**SMALL, seed=1).frame()
    still = frame["item"] == "item_0003"
    frame.loc[still, "price"] = 2.0
    answer = estimate_elasticities(frame, method="poisson", held_out=False)
    row = answer.table.set_index("item").loc["item_0003"]
    assert (row["method"], row["own_data_share"], row["price_changes"]) == ("category", 0.0, 0)
    assert np.isnan(row["own_elasticity"])
    assert -3.5 < row["elasticity"] < -1.5
    assert "category_answers" in [finding.code for finding in answer.findings]


def test_a_panel_of_one_price_has_no_answer_and_says_why():
    frame = simulate_prices(**SMALL, seed=1).frame().assign(price=2.0)
    answer = estimate_elasticities(frame, method="poisson", held_out=False)
    assert np.isnan(answer.elasticity).all()
    assert not answer.accepted.any()
    assert set(answer.table["reason"]) == {"a single price"}
    with pytest.raises(ModelError, match="no item of the panel had a price that moved"):
        answer.answer("new")
    with pytest.raises(ModelError, match="'item_0000' has no elasticity: a single price"):
        answer.answer("item_0000")


def test_a_price_response_that_changed_is_refused():
    history = simulate_prices(items=8, stores=10, weeks=120, seed=4)
    frame = history.frame()
    late = (frame["item"] == "item_0002") & (frame["week"] >= frame["week"].sort_values().unique()[90])
    # from week 90 on this item's buyers do the opposite
    lifted = frame["units"] * (frame["price"] / frame["price"].mean()) ** 5
    frame["units"] = np.where(late, np.round(lifted), frame["units"]).astype(int)
    table = estimate_elasticities(frame, method="poisson").table.set_index("item")
    assert not table.loc["item_0002", "accepted"]
    assert "later price changes" in table.loc["item_0002", "reason"]


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ({"elasticity": -0.07, "lower": -0.2, "upper": 0.1}, "does not answer to price"),
        ({"elasticity": 1.2, "lower": 0.2, "upper": 2.1}, "does not answer to price"),
        ({"elasticity": -14.0, "lower": -15.0, "upper": -13.0}, "is below -10.00"),
        ({"elasticity": -1.0, "lower": -2.5, "upper": 0.5}, "the sign is not known"),
        ({"elasticity": -5.0, "lower": -9.5, "upper": -0.5}, "9.0 wide"),
        ({"elasticity": float("nan"), "lower": float("nan"), "upper": float("nan")}, "neither the item"),
        ({"elasticity": -2.0, "lower": -2.5, "upper": -1.5}, ""),
    ],
)
def test_gates(seen, reason):
    said = Gates().refusal(**seen, held_out=float("nan"))
    assert reason in said
    assert bool(said) == bool(reason)


def test_gates_on_own_data():
    gates = Gates()
    assert "1 price changes" in gates.own_data_refusal(price_deviation=0.1, price_changes=1, f=float("nan"))
    assert "varies by 0.010" in gates.own_data_refusal(price_deviation=0.01, price_changes=9, f=float("nan"))
    assert "F = 3.0" in gates.own_data_refusal(price_deviation=0.1, price_changes=9, f=3.0)
    with pytest.raises(ModelError, match="least < most"):
        Gates(least=-1.0, most=-2.0)


def _rows(**changes):
    weeks = pd.date_range("2024-01-01", periods=6, freq="7D")
    rows = {"item": ["a"] * 6, "week": weeks, "units": [3, 2, 4, 3, 2, 5], "price": [2.0, 2.5, 1.5, 2.0, 2.5, 1.0]}
    return rows | changes


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"price": [2.0, 0.0, 1.5, 2.0, 2.5, 1.0]}, r"price is 0 in 1 of 6 rows, the first item 'a' in 2024-01-08"),
        ({"price": [2.0, -1.0, 1.5, 2.0, -2.5, 1.0]}, r"price is -1 in 2 of 6 rows"),
        ({"price": [2.0, np.inf, 1.5, 2.0, 2.5, 1.0]}, r"price is inf"),
        ({"price": [np.nan] * 6}, r"none with a price"),
        ({"units": [3, -2, 4, 3, 2, 5]}, r"units is -2 .* returns do not belong"),
        ({"units": [3, None, 4, 3, 2, 5]}, r"units is nan"),
        ({"units": ["many"] * 6}, r"units holds values that are no numbers"),
        ({"on_hand": [9, 9, -4, 9, 9, 9]}, r"on_hand is -4"),
        ({"units": [3, np.inf, 4, 3, 2, 5]}, r"units is inf .* a number from 0"),
        ({"regular_price": [2.0, 0.0, -1.0, 2.0, 2.0, 2.0]}, r"regular_price is 0 in 2 of 6 rows"),
        ({"unit_cost": [1.0, -1.0, 1.0, 1.0, 1.0, 1.0]}, r"unit_cost is -1 .* above 0, or missing"),
        ({"unit_cost": [0.0] * 6}, r"unit_cost is 0 in 6 of 6 rows"),
        ({"promotion_cost": [0.0, -0.1, 0.0, 0.0, 0.0, 0.0]}, r"promotion_cost is -0.1 .* from 0"),
        ({"display": [0, np.inf, 0, 1, 0, 0]}, r"display is inf .* finite numbers"),
        ({"sold_out": ["no"] * 6}, r"sold_out holds 'no'; allowed: true, false"),
        ({"item": ["a", None, "a", "a", "a", "a"]}, r"item is missing in 1 of 6 rows"),
        ({"week": ["2024-01-01", None, *range(4)]}, r"week holds '0'|week is missing"),
        ({"currency": ["GBP"] * 5 + ["EUR"]}, r"currency is EUR, GBP"),
        ({"week": ["soon"] * 6}, r"week holds 'soon'"),
        ({"week": ["2024-01-01"] * 6}, r"item 'a' stands twice in 2024-01-01"),
    ],
)
def test_a_bad_panel_is_refused_with_what_is_wrong(changes, said):
    with pytest.raises(ContractError, match=said):
        estimate_elasticities(_rows(**changes))


def test_a_missing_column_is_named():
    rows = _rows()
    rows["prise"] = rows.pop("price")
    with pytest.raises(ContractError, match="no column 'price'; did you mean 'prise'"):
        estimate_elasticities(rows)


def test_rows_without_a_price_are_left_out_and_counted():
    arrays = read_panel(_rows(price=[2.0, None, 1.5, None, 2.5, 1.0], units=[3, 2, 4, 0, 2, 5]))
    assert arrays.dropped == {"missing_price": 1, "units_without_price": 1}
    assert len(arrays.price) == 4


def test_unknown_choices_are_named():
    with pytest.raises(ModelError, match="did you mean 'poisson'"):
        estimate_elasticities(_rows(), method="poison")
    with pytest.raises(ModelError, match="needs the column promotion_cost or unit_cost"):
        estimate_elasticities(_rows(), method="instruments")
    with pytest.raises(ModelError, match="control 'wether' is no column"):
        estimate_elasticities(_rows(), controls=("wether",))
    with pytest.raises(ModelError, match="method = None"):
        estimate_elasticities(_rows(), method=None)
    with pytest.raises(ModelError, match="control 'wether' is no column"):
        estimate_elasticities(_rows(), controls="wether")
    with pytest.raises(ModelError, match="instrument 'rain' is unknown"):
        estimate_elasticities(_rows(), method="instruments", instruments=("rain",))


def test_weak_instruments_are_said_and_not_used():
    frame = simulate_prices(**SMALL, confounding=CONFOUNDING, seed=2).frame().drop(columns="promotion_cost")
    rng = np.random.default_rng(0)
    # a cost that has nothing to do with the price
    frame["unit_cost"] = rng.uniform(1, 2, len(frame))
    answer = estimate_elasticities(frame, held_out=False)
    assert answer.method == "poisson"
    assert "weak_instruments" in [finding.code for finding in answer.findings]
    forced = estimate_elasticities(frame, method="instruments", held_out=False)
    assert (forced.table["method"] == "category").any()


def test_the_first_stage_is_a_regression():
    arrays = read_panel(simulate_prices(**SMALL, seed=5).frame())
    rows = arrays.rows(0)
    z = excluded(arrays, ("promotion_cost",))[rows]
    promoted = arrays.columns["promoted"][rows][:, None]
    log_price = np.log(arrays.price[rows])
    stage = first_stage(log_price, z, promoted, arrays.store[rows], arrays.week[rows])
    dummies = np.eye(10)[arrays.store[rows]]
    x = np.concatenate([z, promoted, dummies], axis=1)
    expected = log_price - x @ np.linalg.lstsq(x, log_price, rcond=None)[0]
    np.testing.assert_allclose(stage.residual, expected, atol=1e-8)
    assert stage.f > 10
