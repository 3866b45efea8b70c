"""Times, windows, rates and counts: what is none is refused in one wording by everything that takes one."""

import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from regulars import clv
from regulars.clv import BetaGeoModel, ParetoNBDModel
from regulars.clv.arguments import require_counts
from regulars.clv.portfolio import portfolio_value
from regulars.clv.time_units import continuous_rate
from regulars.sql.errors import ModelError

COLUMNS = {"frequency": [2, 0, 1], "recency": [30.4, 0.0, 3.0], "T": [38.9, 39.0, 39.0]}
MODEL = BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)
PARETO = ParetoNBDModel.from_parameters(r=0.55, alpha=10.58, s=0.61, beta=11.67)

NO_TIMES = ["39", None, True, np.nan, np.inf, -1, -1e-9, 1j, [39], np.timedelta64(39, "D")]
TIMES = {
    "expected_purchases": (lambda value: MODEL.expected_purchases(COLUMNS, value), "horizon"),
    "start": (lambda value: MODEL.expected_purchases(COLUMNS, 39, start=value), "start"),
    "probability_no_purchase": (lambda value: MODEL.probability_no_purchase(COLUMNS, value), "horizon"),
    "purchase_probabilities": (lambda value: MODEL.purchase_probabilities(COLUMNS, value, 3), "horizon"),
    "discounted": (lambda value: MODEL.discounted_expected_purchases(COLUMNS, value, 0.1), "horizon"),
    "pmf": (lambda value: MODEL.pmf(1, value), "t"),
    "portfolio_value": (lambda value: portfolio_value(MODEL, None, COLUMNS, horizon=value), "horizon"),
    "surface": (lambda value: clv.recency_frequency_surface(MODEL, 9, 2, horizon=value), "horizon"),
    "surface_age": (lambda value: clv.recency_frequency_surface(MODEL, value, 2), "T"),
    "holdout": (lambda value: clv.simulate_nbd({"r": 1, "alpha": 1}, 1, 9, seed=1, holdout=value), "holdout"),
}
RATES = {
    "discounted": (lambda value: MODEL.discounted_expected_purchases(COLUMNS, 39, value), "continuous rate per week"),
    "dert": (lambda value: PARETO.dert(COLUMNS, value), "continuous rate per week above 0"),
    "yearly": (lambda value: continuous_rate(value, "week"), "rate per year from 0"),
}
COUNTS = {
    "n_max": (lambda value: MODEL.purchase_probabilities(COLUMNS, 39, value), "n_max"),
    "max_frequency": (lambda value: clv.recency_frequency_surface(MODEL, 9, value), "max_frequency"),
}


def seen(value):
    return re.escape(repr(value.item() if isinstance(value, np.generic) else value))


@pytest.mark.parametrize("value", NO_TIMES, ids=repr)
@pytest.mark.parametrize("given", TIMES)
def test_what_is_no_time_is_named(given, value):
    call, name = TIMES[given]
    with pytest.raises(ModelError, match=f"^{name} is {seen(value)}; it must be a finite number of weeks from 0"):
        call(value)


@pytest.mark.parametrize("value", NO_TIMES, ids=repr)
@pytest.mark.parametrize("given", RATES)
def test_what_is_no_rate_is_named(given, value):
    call, allowed = RATES[given]
    with pytest.raises(ModelError, match=f"^discount_rate is {seen(value)}; it must be a finite {allowed}"):
        call(value)


@pytest.mark.parametrize("value", [*NO_TIMES, 2.5, 2.0], ids=repr)
@pytest.mark.parametrize("given", COUNTS)
def test_what_is_no_count_is_named(given, value):
    call, name = COUNTS[given]
    with pytest.raises(ModelError, match=f"^{name} is {seen(value)}; it must be a whole number from 0"):
        call(value)


@pytest.mark.parametrize(
    "value", ["39", [None], np.nan, [1.0, -2.0], [True], ["1"], [np.timedelta64(39, "D")]], ids=repr
)
def test_arrays_of_times_and_counts_are_checked_value_by_value(value):
    with pytest.raises(ModelError, match=r"^t is .*; it must be .*numbers? of weeks from 0"):
        MODEL.expected_purchases_new(value)
    with pytest.raises(ModelError, match=r"^n is .*; it must be .*whole numbers? from 0"):
        MODEL.pmf(value, 39)
    assert MODEL.expected_purchases_new([]).shape == MODEL.pmf([], 39).shape == (0,)


@pytest.mark.parametrize("value", [39, np.int32(39), np.float32(39), Decimal(39), Fraction(39)], ids=repr)
def test_any_kind_of_number_is_a_time(value):
    assert np.array_equal(MODEL.expected_purchases(COLUMNS, value), MODEL.expected_purchases(COLUMNS, 39.0))


def test_a_whole_column_is_not_read_out_in_an_error():
    with pytest.raises(ModelError) as told:
        require_counts("observed", [None] * 2_000)
    assert len(str(told.value)) < 150
