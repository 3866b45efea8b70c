"""Derivatives against finite differences; what must change nothing; time units."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regulars.clv import BetaGeoModel, ModifiedBetaGeoModel, NBDModel, ParetoNBDModel, read_histories
from regulars.clv.maximum_likelihood import maximise
from regulars.clv.simulate import simulate_bg_nbd

MODELS = [NBDModel, BetaGeoModel, ModifiedBetaGeoModel, ParetoNBDModel]
IDS = [model.name for model in MODELS]

# all kinds: one purchase, lapsed, active, heavy, heavy and lapsed, on the last day, on the first day
HISTORIES = {
    "frequency": [0, 0, 1, 2, 5, 23, 120, 60, 3, 0],
    "recency": [0.0, 0.0, 2.0, 30.4, 20.0, 38.0, 100.0, 7.0, 39.0, 0.0],
    "T": [39.0, 2.0, 39.0, 38.9, 52.0, 39.0, 104.0, 104.0, 39.0, 0.0],
    "weight": [50, 3, 20, 10, 5, 2, 1, 1, 4, 2],
}
log_parameter = st.floats(-4.0, 4.5)


@pytest.mark.parametrize("model", MODELS, ids=IDS)
@given(point=st.lists(log_parameter, min_size=4, max_size=4))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_gradient_and_hessian_are_finite_differences(model, point):
    objective = model()._objective(read_histories(HISTORIES).distinct)
    point = np.array(point[: len(model.parameter_names)])
    value, gradient, hessian = objective(point)
    assert np.isfinite(value)
    # central differences of fourth order: their error is h^4 of the fifth derivative plus rounding over h
    h = 2e-3
    ahead = {k: [objective(point + k * h * unit) for unit in np.eye(point.size)] for k in (-2, -1, 1, 2)}

    def difference(which):
        one = [np.subtract(a[which], b[which]) for a, b in zip(ahead[1], ahead[-1], strict=True)]
        two = [np.subtract(a[which], b[which]) for a, b in zip(ahead[2], ahead[-2], strict=True)]
        return np.array([(8 * near - far) / (12 * h) for near, far in zip(one, two, strict=True)])

    # relative to the size of what is differenced; 1e-7 is what h^4 = 1.6e-11 leaves where terms of 10^4 cancel
    assert gradient == pytest.approx(
        difference(0), rel=1e-7, abs=1e-9 * (1 + np.abs(gradient).max()) + 1e-12 * abs(value)
    )
    size = np.abs(hessian).max()
    assert hessian == pytest.approx(difference(1), rel=1e-7, abs=1e-7 * size)
    assert np.array_equal(hessian, hessian.T)


@pytest.fixture(scope="module")
def base():
    return simulate_bg_nbd({"r": 0.25, "alpha": 4.0, "a": 0.8, "b": 2.5}, 3000, T=52, seed=3, whole_days=True)


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_grouped_equals_ungrouped(model, base):
    grouped = base.groupby(["frequency", "recency", "T"]).size().rename("weight").reset_index()
    assert len(grouped) < 0.6 * len(base)
    one, many = model().fit(grouped), model().fit(base)
    assert one.n_customers_ == many.n_customers_ == len(base)
    assert one.log_likelihood_ == pytest.approx(many.log_likelihood_, rel=1e-12)
    # the same sums in another order
    assert one.params_ == pytest.approx(many.params_, rel=1e-6)
    by_group = one.expected_purchases(grouped, 39) @ grouped["weight"]
    assert by_group == pytest.approx(many.expected_purchases(base, 39).sum(), rel=1e-6)


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_order_of_rows_and_repeated_rows_change_nothing(model, base):
    shuffled = base.sample(frac=1.0, random_state=np.random.RandomState(0))
    fitted = model().fit(base)
    assert model().fit(shuffled).params_ == pytest.approx(fitted.params_, rel=1e-6)
    doubled = base.assign(weight=2.0)
    twice = model().fit(doubled)
    assert twice.log_likelihood_ == pytest.approx(2 * fitted.log_likelihood_, rel=1e-12)
    assert twice.params_ == pytest.approx(fitted.params_, rel=1e-6)
    assert twice.covariance_ == pytest.approx(fitted.covariance_ / 2, rel=1e-4)


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_each_row_is_answered_in_its_place(model, base):
    fitted = model().fit(base)
    rows = [0, 17, 2999, 17, 4]
    few = base.iloc[rows]
    for method in (
        fitted.probability_alive,
        fitted.median_time_to_next_purchase,
        lambda s: fitted.expected_purchases(s, 39, start=3),
        lambda s: fitted.probability_no_purchase(s, 39),
        lambda s: fitted.purchase_probabilities(s, 39, 4),
        lambda s: fitted.discounted_expected_purchases(s, 39, 0.01),
    ):
        assert np.array_equal(method(few), method(base)[rows], equal_nan=True)


@pytest.mark.parametrize("model", MODELS, ids=IDS)
@pytest.mark.parametrize(("unit", "per_week"), [("day", 7.0), ("hour", 168.0), ("month", 7 / 30.4375)])
def test_time_units_differ_by_the_jacobian_alone(model, base, unit, per_week):
    other = base.assign(recency=base["recency"] * per_week, T=base["T"] * per_week)
    other.attrs["time_unit"] = unit
    weeks, units = model().fit(base), model().fit(other)
    assert units.time_unit_ == unit
    # a density of x purchase times
    jacobian = base["frequency"].sum() * np.log(per_week)
    assert units.log_likelihood_ == pytest.approx(weeks.log_likelihood_ - jacobian, rel=1e-11)
    factor = {name: per_week if name in model.time_parameters else 1.0 for name in model.parameter_names}
    # a maximum is known to the square root of the likelihood's rounding
    assert units.params_ == pytest.approx({k: v * factor[k] for k, v in weeks.params_.items()}, rel=1e-5)
    in_units, in_weeks = units.expected_purchases(other, 39 * per_week), weeks.expected_purchases(base, 39)
    assert in_units == pytest.approx(in_weeks, rel=1e-5)


def test_many_rows_give_the_same_sum_as_few():
    # more rows than a chunk: partial sums, on however many threads
    data = simulate_bg_nbd({"r": 0.25, "alpha": 4.0, "a": 0.8, "b": 2.5}, 250_000, T=52, seed=4)
    for model in (BetaGeoModel, ParetoNBDModel):
        values = dict.fromkeys(model.parameter_names, 1.0)
        known = model.from_parameters(**values)
        parts = sum(known.log_likelihood(data.iloc[i : i + 50_000]) for i in range(0, 250_000, 50_000))
        assert known.log_likelihood(data) == pytest.approx(parts, rel=1e-12)


def test_the_number_of_threads_changes_no_bit(monkeypatch):
    data = simulate_bg_nbd({"r": 0.25, "alpha": 4.0, "a": 0.8, "b": 2.5}, 200_000, T=52, seed=4)
    for model in (BetaGeoModel, ParetoNBDModel):
        found = []
        for threads in ("1", "2"):
            monkeypatch.setenv("REGULARS_BUILD__THREADS", threads)
            fitted = model().fit(data)
            found.append((fitted.params_, fitted.log_likelihood_, fitted.expected_purchases(data, 39).tobytes()))
        assert found[0] == found[1]


class TestClimb:
    """The optimiser on functions with known answers."""

    def test_a_curved_valley(self):
        # Rosenbrock's valley, upside down: maximum at (1, 1)
        def valley(z):
            x, y = z
            value = -((1 - x) ** 2 + 100 * (y - x * x) ** 2)
            gradient = np.array([2 * (1 - x) + 400 * x * (y - x * x), -200 * (y - x * x)])
            hessian = np.array([[-2 + 400 * (y - 3 * x * x), 400 * x], [400 * x, -200.0]])
            return value, gradient, hessian

        found = maximise(valley, np.array([-1.2, 1.0]), np.full(2, -9.0), np.full(2, 9.0))
        assert found.converged
        assert found.log_parameters == pytest.approx([1, 1], abs=1e-4)

    def test_out_of_a_saddle(self):
        def saddle(z):
            x, y = z
            return x * x - x**4 - y * y, np.array([2 * x - 4 * x**3, -2 * y]), np.diag([2 - 12 * x * x, -2.0])

        found = maximise(saddle, np.array([0.0, 0.5]), np.full(2, -9.0), np.full(2, 9.0))
        assert found.value == pytest.approx(0.25)

    def test_held_by_the_box(self):
        def slope(z):
            return z[0] - z[1] ** 2, np.array([1.0, -2 * z[1]]), np.diag([0.0, -2.0])

        found = maximise(slope, np.array([0.0, 1.0]), np.full(2, -3.0), np.full(2, 3.0))
        assert found.log_parameters == pytest.approx([3, 0], abs=1e-6)
        assert found.at_bound.tolist() == [True, False]

    def test_steps_that_run_out_are_told(self):
        def rising(z):
            return np.sum(np.arctan(z / 1e6)), 1 / (1e6 + z**2 / 1e6), np.diag(-2 * z / 1e18 - 1e-30)

        found = maximise(rising, np.zeros(2), np.full(2, -1e9), np.full(2, 1e9), tolerance=1e-16, max_iterations=5)
        assert not found.converged
