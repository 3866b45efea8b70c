"""The boosted rivals against worlds whose expectation is known, and against what must not reach their features."""

import json
from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regulars.clv import TwoPartValueModel, ZILNModel, load_model, value_window
from regulars.sql import connect
from regulars.sql.errors import ContractError, ModelError

N = 20_000


def _world(seed: int, n: int = N) -> tuple[dict, np.ndarray, np.ndarray]:
    """Zero-inflated lognormal spend with known whether, mu and sigma; returns features, money and its expectation."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=n), rng.uniform(size=n)
    spends = 1.0 / (1.0 + np.exp(0.5 - x))
    mu, sigma = 3.0 + 0.6 * z, 0.3 + 0.5 * z
    money = np.where(rng.uniform(size=n) < spends, np.exp(mu + sigma * rng.normal(size=n)), 0.0)
    return {"x": x, "z": z}, money, spends * np.exp(mu + 0.5 * sigma**2)


@pytest.mark.parametrize("kind", [TwoPartValueModel, ZILNModel])
def test_the_expectation_is_found(kind):
    features, money, _ = _world(1)
    new, _, truth = _world(2)
    model = kind().fit(features, money > 0, money)
    found = model.expected_money(new)
    assert found.mean() == pytest.approx(truth.mean(), rel=0.03)  # the training sum itself has a standard error of 1%
    # nine tenths of the spread between customers; the variance of money is nine times that of its expectation
    assert ((found - truth) ** 2).mean() < 0.1 * truth.var()
    # in each fifth of the truth, not on the whole alone
    fifth = np.argsort(np.argsort(truth)) * 5 // N
    for k in range(5):
        assert found[fifth == k].mean() == pytest.approx(truth[fifth == k].mean(), rel=0.1)


def test_ziln_intervals_hold_what_they_say():
    features, money, _ = _world(3)
    new, spent, _ = _world(4)
    model = ZILNModel().fit(features, money > 0, money)
    for level in (0.5, 0.8, 0.9):
        low, high = model.money_interval(new, level)
        # an interval that begins at 0 holds the mass there, so it may hold more than its level, never less
        covered = ((spent >= low) & (spent <= high)).mean()
        assert level - 0.015 < covered
        both = low > 0
        if both.sum() > 500:
            assert ((spent >= low) & (spent <= high))[both].mean() == pytest.approx(level, abs=0.03)


def test_orders_are_those_of_their_rate():
    rng = np.random.default_rng(5)
    rate = rng.gamma(1.0, 1.5, N)
    orders = rng.poisson(rate).astype(float)
    model = TwoPartValueModel().fit({"rate": rate}, orders, orders * 10)
    grid = np.array([0.5, 1.0, 2.0, 4.0])
    np.testing.assert_allclose(model.expected_purchases({"rate": grid}), grid, rtol=0.15)
    np.testing.assert_allclose(model.probability_buys({"rate": grid}), 1 - np.exp(-grid), atol=0.06)


def test_the_same_bytes_again():
    features, money, _ = _world(6, 3_000)
    first, again = (ZILNModel().fit(features, money > 0, money).expected_money(features) for _ in range(2))
    assert first.tobytes() == again.tobytes()


@pytest.mark.parametrize("kind", [TwoPartValueModel, ZILNModel])
@pytest.mark.parametrize("known_by", ["customer_id", "nothing"])
def test_the_order_of_rows_changes_no_bit(kind, known_by):
    features, money, _ = _world(8, 2_000)
    features |= {"customer_id": np.arange(2_000).astype(str)} if known_by == "customer_id" else {}
    other = np.random.default_rng(1).permutation(2_000)
    first = kind(rounds=20).fit(features, money > 0, money)
    again = kind(rounds=20).fit(
        {name: column[other] for name, column in features.items()}, money[other] > 0, money[other]
    )
    assert first.expected_money(features).tobytes() == again.expected_money(features).tobytes()
    assert first.expected_purchases(features).tobytes() == again.expected_purchases(features).tobytes()


@pytest.mark.parametrize("kind", [TwoPartValueModel, ZILNModel])
def test_saved_and_loaded(kind, tmp_path):
    features, money, _ = _world(9, 2_000)
    model = kind(rounds=20).fit(features, money > 0, money)
    model.save(tmp_path / "value.json")
    loaded = load_model(tmp_path / "value.json")
    assert type(loaded) is kind
    assert loaded.features_ == ("x", "z")
    for ask in ("expected_money", "expected_purchases", "probability_buys"):
        assert getattr(loaded, ask)(features).tobytes() == getattr(model, ask)(features).tobytes()
    if kind is ZILNModel:
        pairs = zip(loaded.money_interval(features), model.money_interval(features), strict=True)
        assert all(one.tobytes() == other.tobytes() for one, other in pairs)
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "value.json").read_bytes()
    with pytest.raises(ModelError, match="not fitted"):
        kind().save(tmp_path / "none.json")
    document = json.loads((tmp_path / "value.json").read_text(encoding="utf-8"))
    del document["state"]["trees"]["whether"]
    (tmp_path / "broken.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ModelError, match="incomplete"):
        load_model(tmp_path / "broken.json")


@pytest.mark.parametrize("given", [{"rounds": -1}, {"rounds": 0}, {"rounds": "a"}, {"seed": 1.5}])
def test_rounds_and_seeds_that_are_none_are_refused(given):
    with pytest.raises(ModelError, match=f"{next(iter(given))} is"):
        ZILNModel(**given)


def test_decimals_of_arrow_are_numbers():
    column = pa.array([Decimal(i % 7) / 4 for i in range(400)], pa.decimal128(3, 2))
    money = np.arange(400) % 2.0
    model = TwoPartValueModel(rounds=3).fit(pa.table({"x": column}), money, pa.array(money))
    plain = TwoPartValueModel(rounds=3).fit({"x": (np.arange(400) % 7) / 4}, money, money)
    assert np.array_equal(
        model.expected_money(pa.table({"x": column})), plain.expected_money({"x": np.array(column, float)})
    )


@pytest.mark.parametrize(
    "column",
    [
        pa.array([i % 2 == 0 for i in range(400)]),
        pa.array([None, *(i % 2 == 0 for i in range(1, 400))]),
        pa.array([None, *(Decimal(i % 7) / 4 for i in range(1, 400))], pa.decimal128(21, 2)),
        pa.array([None, *range(1, 400)]),
        pa.chunked_array([[1.0] * 150, [2.0] * 250]),
    ],
    ids=["booleans", "booleans and nulls", "decimals and nulls", "integers and nulls", "chunks"],
)
def test_columns_of_arrow_alone_are_read_as_those_of_a_table(column):
    money = np.arange(400) % 2.0
    model = TwoPartValueModel(rounds=3).fit(pa.table({"x": column}), money, money)
    alone = TwoPartValueModel(rounds=3).fit({"x": column}, money, money)
    assert alone.expected_money({"x": column}).tobytes() == model.expected_money(pa.table({"x": column})).tobytes()


@pytest.mark.parametrize("column", [pa.array(["a"] * 400), pa.array([date(2024, 1, 1)] * 400), pa.array([[1]] * 400)])
def test_columns_of_arrow_that_are_no_numbers_are_named(column):
    with pytest.raises(ContractError, match="feature 'x' "):
        TwoPartValueModel(rounds=3).fit({"x": column}, np.arange(400) % 2.0, np.arange(400) % 2.0)


@pytest.fixture
def shop(tmp_path):
    def open_(lines):
        table = pa.table(
            {
                "customer_id": [line[0] for line in lines],
                "ordered_at": pa.array([datetime.combine(line[1], datetime.min.time()) for line in lines]),
                "revenue": pa.array([Decimal(line[2]) for line in lines], pa.decimal128(18, 2)),
            }
        )
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.parquet"
        pq.write_table(table, path)
        return connect(orders=str(path))

    return open_


def test_a_window_knows_nothing_of_what_comes_after_its_begin(shop):
    begin = date(2024, 3, 1)
    before = [(c, begin - timedelta(days=d), "10.00") for c in "abc" for d in (3, 40, 0)]
    after = [("a", begin + timedelta(days=d), "7.00") for d in (1, 30)] + [("new", begin + timedelta(days=2), "5.00")]
    last = [("b", begin + timedelta(days=60), "9.00")]
    window = value_window(shop(before + after + last), begin, 30)
    alone = value_window(shop([*before, ("c", begin + timedelta(days=90), "1.00")]), begin, 30)
    assert window.features.equals(alone.features)
    assert window.features["customer_id"].to_pylist() == ["a", "b", "c"]
    assert (window.orders.tolist(), window.money.tolist()) == ([2.0, 0.0, 0.0], [14.0, 0.0, 0.0])
    assert value_window(shop(before), begin).orders is None


def test_a_window_that_is_not_over_is_refused(shop):
    with pytest.raises(ModelError, match="ends on 2024-03-31, after the as-of date 2024-03-01"):
        value_window(shop([("a", date(2024, 3, 1), "1.00")]), date(2024, 3, 1), 30)


@pytest.mark.parametrize(
    ("begins_after", "days", "said"),
    [
        (date(2024, 2, 1), 0, "days is 0"),
        (date(2024, 2, 1), -5, "days is -5"),
        (date(2024, 2, 1), 30.5, r"days is 30\.5"),
        (date(2024, 2, 1), 10**9, "a window of 1000000000 days"),
        (date(2024, 3, 2), None, "begins_after is 2024-03-02, after the as-of date 2024-03-01"),
        (None, 5, "begins_after is None; it must be a day"),
        ("soon", 5, "begins_after is 'soon'"),
    ],
)
def test_windows_that_are_none_are_refused(shop, begins_after, days, said):
    with pytest.raises(ModelError, match=said):
        value_window(shop([("a", date(2024, 3, 1), "1.00")]), begins_after, days)


def test_a_window_may_begin_at_a_timestamp_or_a_day_as_text(shop):
    lines = [("a", date(2024, 1, 5), "10.00"), ("a", date(2024, 3, 1), "1.00")]
    first = value_window(shop(lines), date(2024, 2, 1), 29)
    for begin in ("2024-02-01", datetime.combine(date(2024, 2, 1), datetime.min.time()), np.datetime64("2024-02-01")):
        again = value_window(shop(lines), begin, 29)
        assert again.features.equals(first.features)
        assert again.orders.tolist() == first.orders.tolist() == [1.0]


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"features": {"x": ["a"] * 200}}, ContractError, "feature 'x' is no number"),
        ({"features": {"customer_id": ["a"] * 200}}, ContractError, "no numeric column"),
        ({"money": np.zeros(200)}, ModelError, "0 of 200 customers spent"),
        ({"money": np.ones(200)}, ModelError, "200 of 200 customers spent"),
        ({"money": np.full(200, np.nan)}, ContractError, "finite numbers"),
        ({"orders": np.ones(3)}, ContractError, "3 of orders"),
        ({"orders": 1.0}, ContractError, "1 of orders"),
        ({"orders": np.full(200, -1.0)}, ContractError, "orders is -1 in row 0"),
        ({"money": ["7.00"] * 200}, ContractError, "money holds text"),
        ({"money": np.ones((200, 2))}, ContractError, r"money has shape \(200, 2\)"),
        ({"features": {"x": np.array(["2024-01-01"] * 200, "M8[D]")}}, ContractError, "feature 'x' holds dates"),
        ({"features": {"x": [date(2024, 1, 1)] * 200}}, ContractError, "feature 'x' is no number"),
        ({"features": {"x": np.array(["a"] * 200)}}, ContractError, r"such as 'a'\)"),
        ({"features": {"x": np.arange(200.0), "y": np.arange(3.0)}}, ContractError, "differ in length: x 200, y 3"),
        ({"features": {"x": np.ones((200, 2))}}, ContractError, r"feature 'x' has shape \(200, 2\)"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(change, error, said):
    given = {"features": {"x": np.arange(200.0)}, "orders": np.ones(200), "money": np.arange(200) % 2.0} | change
    with pytest.raises(error, match=said):
        TwoPartValueModel().fit(**given)


def test_before_a_fit_and_with_other_features():
    with pytest.raises(ModelError, match="not fitted"):
        ZILNModel().expected_money({"x": [1.0]})
    features, money, _ = _world(7, 1_000)
    model = TwoPartValueModel(rounds=5).fit(features, money > 0, money)
    with pytest.raises(ContractError, match="no numeric column 'z'"):
        model.expected_money({"x": [1.0]})
