"""What a model accepts as a summary, what it refuses and how it says so."""

import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from regulars.clv import BetaGeoModel, ModifiedBetaGeoModel, NBDModel, ParetoNBDModel, read_histories
from regulars.clv.grouping import group_equal
from regulars.sql.errors import ContractError, ModelError

COLUMNS = {"frequency": [2, 0, 2, 1], "recency": [30.4, 0.0, 30.4, 3.0], "T": [38.9, 39.0, 38.9, 39.0]}
MODEL = BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)


@pytest.mark.parametrize(
    "frame",
    [
        COLUMNS,
        {name: np.array(values) for name, values in COLUMNS.items()},
        pd.DataFrame(COLUMNS),
        pd.DataFrame(COLUMNS).convert_dtypes(dtype_backend="pyarrow"),
        pl.DataFrame(COLUMNS),
        pl.LazyFrame(COLUMNS),
        pa.table(COLUMNS),
    ],
    ids=["mapping", "arrays", "pandas", "pandas-arrow", "polars", "polars-lazy", "arrow"],
)
def test_frames_of_any_kind(frame):
    assert MODEL.probability_alive(frame) == pytest.approx(MODEL.probability_alive(pd.DataFrame(COLUMNS)), rel=0)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table], ids=["pandas", "polars", "arrow"])
def test_predictions_are_arrays_in_the_order_of_the_rows_whatever_the_frame(make):
    rows = np.random.default_rng(1).permutation(600)
    x = rows % 7
    columns = {"frequency": x, "recency": np.where(x > 0, 30.0 - rows % 11, 0.0), "T": 40.0 + rows % 3}
    model = BetaGeoModel().fit(make(columns))
    assert type(model.summary_) is pd.DataFrame
    for predict, shape in [
        (model.probability_alive, (600,)),
        (lambda frame: model.expected_purchases(frame, 39), (600,)),
        (lambda frame: model.purchase_probabilities(frame, 39, 2), (600, 3)),
        (model.median_time_to_next_purchase, (600,)),
    ]:
        found = predict(make(columns))
        assert type(found) is np.ndarray
        assert found.shape == shape
        one_by_one = [predict(make({name: values[i : i + 1] for name, values in columns.items()})) for i in range(25)]
        assert found[:25] == pytest.approx(np.concatenate(one_by_one), rel=1e-12, nan_ok=True)


def test_histories_serve_in_place_of_the_frame():
    histories = read_histories(COLUMNS)
    assert read_histories(histories) is histories
    assert np.array_equal(MODEL.probability_alive(histories), MODEL.probability_alive(COLUMNS))


def test_what_histories_keep_belongs_to_one_model():
    histories = read_histories(COLUMNS)
    other = BetaGeoModel.from_parameters(r=0.5, alpha=4.414, a=0.793, b=2.426)
    expected = [m.expected_purchases(COLUMNS, 39) for m in (MODEL, other)]
    for _ in range(2):
        assert np.array_equal(MODEL.expected_purchases(histories, 39), expected[0])
        assert np.array_equal(other.expected_purchases(histories, 39), expected[1])
    alive = MODEL.probability_alive(histories)
    alive[:] = 7.0
    assert np.array_equal(MODEL.probability_alive(histories), MODEL.probability_alive(COLUMNS))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frequency": [2, 0, 2, np.nan]}, r"frequency nan in row 3 is missing"),
        ({"T": [38.9, np.inf, 38.9, 39.0]}, r"T inf in row 1 is missing or not finite"),
        ({"recency": [30.4, 0.0, -1.0, 3.0]}, r"recency -1\.0 in row 2 is negative"),
        ({"frequency": [2, 0, 2.5, 1]}, r"frequency 2\.5 in row 2 is no whole number"),
        ({"recency": [30.4, 0.0, 30.4, 39.5]}, r"recency 39\.5 in row 3 is later than T 39\.0"),
        ({"recency": [30.4, 0.0, 0.0, 3.0]}, r"frequency 2\.0 in row 2 with recency 0.*same-day"),
        ({"recency": [30.4, 4.0, 30.4, 3.0]}, r"recency 4\.0 in row 1 with frequency 0"),
        ({"weight": [1, 1, -2, 1]}, r"weight -2\.0 in row 2 is negative"),
        ({"weight": [1, 1, 1, None]}, r"weight nan in row 3 is missing"),
        ({"T": ["a", "b", "c", "d"]}, r"'T' of the summary is not numeric"),
    ],
)
def test_impossible_rows_are_refused_by_number(change, words):
    summary = pd.DataFrame({**COLUMNS, **change})
    for use in (BetaGeoModel().fit, MODEL.probability_alive):
        with pytest.raises(ContractError, match=words):
            use(summary)


def test_a_last_bit_beyond_the_age_is_no_contradiction():
    T = 0.1 + 0.2
    histories = read_histories({"frequency": [1], "recency": [T], "T": [0.3]})
    assert T > 0.3
    assert histories.recency[0] == 0.3


def test_a_missing_column_is_named_with_the_nearest():
    with pytest.raises(ContractError, match="no column 'recency'; did you mean 'recncy'"):
        read_histories(pd.DataFrame(COLUMNS).rename(columns={"recency": "recncy"}))


def test_what_is_no_frame_is_refused():
    with pytest.raises(ContractError, match="not list"):
        read_histories([1, 2, 3])


def test_columns_of_different_length_are_refused():
    with pytest.raises(ContractError, match="differ in length"):
        read_histories({**COLUMNS, "T": [39.0]})


@pytest.mark.parametrize(
    ("summary", "words"),
    [
        ({"frequency": [], "recency": [], "T": []}, "is empty"),
        ({**COLUMNS, "weight": [0, 0, 0, 0]}, "only weights of 0"),
        ({"frequency": [3], "recency": [3.0], "T": [9.0]}, "1 customer"),
        ({"frequency": [0, 0], "recency": [0.0, 0.0], "T": [9.0, 8.0]}, "none of 2 customers has bought a second time"),
        ({"frequency": [0, 0], "recency": [0.0, 0.0], "T": [0.0, 0.0]}, "every customer's T is 0"),
        # the only repeater has no weight
        ({"frequency": [1, 0, 0], "recency": [1.0, 0, 0], "T": [9.0] * 3, "weight": [0, 3, 3]}, "second time"),
    ],
)
def test_what_no_model_can_be_fitted_to(summary, words):
    with pytest.raises(ModelError, match=words):
        BetaGeoModel().fit(summary)


def test_weights_of_zero_count_for_nothing():
    rng = np.random.default_rng(0)
    base = {"frequency": rng.poisson(1.0, 200), "T": np.full(200, 39.0)}
    base["recency"] = np.where(base["frequency"] > 0, rng.uniform(0.1, 39, 200), 0.0)
    more = {name: np.append(values, 7) for name, values in base.items()}
    more["T"][-1] = 900.0
    fitted = BetaGeoModel().fit({**more, "weight": np.append(np.ones(200), 0.0)})
    assert fitted.params_ == pytest.approx(BetaGeoModel().fit(base).params_, rel=1e-9)
    assert fitted.n_customers_ == 200


def test_the_time_unit_travels_and_is_not_mixed():
    days = pd.DataFrame(COLUMNS)
    days.attrs["time_unit"] = "day"
    table = pa.table(COLUMNS).replace_schema_metadata({"regulars.time_unit": "day"})
    for frame in (days, table):
        with pytest.raises(ModelError, match="the summary counts in days, the model in weeks"):
            MODEL.probability_alive(frame)
    in_days = BetaGeoModel.from_parameters(time_unit="day", r=0.243, alpha=31.0, a=0.793, b=2.426)
    assert np.array_equal(in_days.probability_alive(days), in_days.probability_alive(table))
    # a frame that does not say is taken at its word
    assert np.array_equal(in_days.probability_alive(days), in_days.probability_alive(COLUMNS))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: MODEL.expected_purchases(COLUMNS, 5, start=6),
            r"start is 6; it must be at most horizon, 5: the window is",
        ),
        (
            lambda: MODEL.purchase_probabilities(COLUMNS, 5, -1),
            "n_max is -1; it must be a whole number from 0, such as 10",
        ),
        (lambda: BetaGeoModel().probability_alive(COLUMNS), "BetaGeoModel is not fitted"),
        (lambda: BetaGeoModel().summary_, "not fitted"),
        (lambda: BetaGeoModel.from_parameters(r=1, alpha=1, a=1), "parameter b is None"),
        (lambda: BetaGeoModel.from_parameters(r=1, alpha=1, a=-1, b=1), "parameter a is -1"),
        (lambda: BetaGeoModel.from_parameters(r=1, alpha=1, a=1, b=1, beta=1), "no parameter 'beta'"),
    ],
)
def test_what_cannot_be_answered_is_refused(call, words):
    with pytest.raises(ModelError, match=words):
        call()


@pytest.mark.parametrize(
    "model",
    [
        NBDModel.from_parameters(r=0.4, alpha=12.0),
        MODEL,
        ModifiedBetaGeoModel.from_parameters(r=0.525, alpha=6.183, a=0.891, b=1.614),
        ParetoNBDModel.from_parameters(r=0.553, alpha=10.58, s=0.606, beta=11.67),
    ],
    ids=lambda model: model.name,
)
def test_nothing_happens_in_no_time(model):
    assert model.expected_purchases(COLUMNS, 0).tolist() == [0.0] * 4
    assert model.expected_purchases(COLUMNS, 5, start=5).tolist() == [0.0] * 4
    assert model.probability_no_purchase(COLUMNS, 0).tolist() == [1.0] * 4
    assert model.purchase_probabilities(COLUMNS, 0, 3) == pytest.approx(np.eye(4)[[0] * 4], abs=1e-15)
    assert model.discounted_expected_purchases(COLUMNS, 0, 0.1).tolist() == [0.0] * 4
    assert model.pmf([0, 1], 0) == pytest.approx([1.0, 0.0], abs=1e-15)
    assert model.expected_purchases_new(0) == 0.0
    # windows down to the clock's last digits are not negative
    tiny = model.expected_purchases(COLUMNS, 5 + 1e-15, start=5)
    assert (tiny >= 0).all()


def test_importing_a_model_loads_no_compiler():
    code = "import sys; from regulars.clv import ParetoNBDModel; print({'numba', 'scipy', 'pandas'} & set(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "set()"


def test_predictions_of_no_customer_are_empty():
    nobody = {"frequency": [], "recency": [], "T": []}
    assert MODEL.probability_alive(nobody).shape == (0,)
    assert MODEL.expected_purchases(nobody, 5).shape == (0,)
    assert MODEL.purchase_probabilities(nobody, 5, 3).shape == (0, 4)


class TestGrouping:
    def test_groups_equal_keys_by_first_appearance(self):
        rng = np.random.default_rng(1)
        keys = rng.integers(-(2**62), 2**62, 5000)[rng.integers(0, 5000, 60_000)]
        index, first = group_equal(keys)
        assert np.array_equal(keys[first][index], keys)
        assert np.unique(keys).size == first.size
        assert (np.diff(first) > 0).all()

    def test_numbers_that_share_their_low_bits(self):
        # whole weeks as floats end in zeros: a bad hash would send them all to one place
        keys = np.arange(100_000) * 1024.0
        index, first = group_equal(keys)
        assert np.array_equal(index, first)

    def test_nothing_to_group(self):
        index, first = group_equal(np.empty(0))
        assert index.size == first.size == 0

    @pytest.mark.parametrize("n", [30, 50_000])
    @pytest.mark.parametrize("whole", ["all times", "T", "none"])
    def test_distinct_histories_are_the_summary_again(self, whole, n):
        rng = np.random.default_rng(2)
        x = rng.poisson(0.7, n)
        T = rng.uniform(1, 104, n) if whole == "none" else rng.integers(1, 730, n) / 7
        last = rng.integers(1, np.rint(T * 7) + 1) / 7 if whole == "all times" else T * rng.uniform(0.01, 1, n)
        recency = np.where(x > 0, last, 0.0)
        histories = read_histories({"frequency": x, "recency": recency, "T": T})
        distinct = histories.distinct
        for one, many in ((distinct.frequency, x), (distinct.recency, recency), (distinct.T, T)):
            assert np.array_equal(distinct.scatter(one), many)
        assert distinct.weight.sum() == n
        pairs_x, pairs_T, pair = distinct.rate_histories
        assert np.array_equal(distinct.scatter(pairs_x[pair]), x)
        assert np.array_equal(distinct.scatter(pairs_T[pair]), T)
        ages, age = distinct.ages
        assert np.array_equal(distinct.scatter(ages[age]), T)
        if whole == "all times":
            assert distinct.times.size <= 730
        if n > 1000 and whole != "none":
            assert pairs_x.size < 0.2 * n
            assert (distinct.frequency == 0).sum() <= 730

    def test_one_age_for_all(self):
        rng = np.random.default_rng(4)
        x = rng.poisson(0.7, 30_000)
        recency = np.where(x > 0, rng.uniform(0.1, 52, 30_000), 0.0)
        distinct = read_histories({"frequency": x, "recency": recency, "T": np.full(30_000, 52.0)}).distinct
        assert (distinct.frequency == 0).sum() == 1
        assert distinct.weight[0 if distinct.frequency[0] == 0 else -1] == (x == 0).sum()

    def test_thinned_rows_stand_for_all(self):
        rng = np.random.default_rng(3)
        x = rng.poisson(0.7, 80_000)
        recency = np.where(x > 0, rng.uniform(0.1, 52, 80_000), 0.0)
        distinct = read_histories({"frequency": x, "recency": recency, "T": np.full(80_000, 52.0)}).distinct
        few = distinct.thinned(5000)
        assert few.frequency.size <= 5000
        # each row as often as its share: totals keep to one step
        assert few.weight.sum() == pytest.approx(80_000, rel=1e-3)
        assert few.weight[few.frequency == 0].sum() == pytest.approx((x == 0).sum(), rel=2e-3)
