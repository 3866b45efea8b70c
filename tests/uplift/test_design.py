"""Assignment against SQL and chance; power against statsmodels, quadrature and simulation."""

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import ndtri
from scipy.stats import chisquare, kstest
from statsmodels.stats.power import NormalIndPower

from regulars.uplift import design
from regulars.uplift.design import DesignError, assign, persistent_holdout, power_targeting, unit_interval

IDS = [f"customer {i}" for i in range(40_000)]


def test_places_are_even_and_salts_are_independent():
    first, second = unit_interval(IDS, "spring 2026"), unit_interval(IDS, "autumn 2026")
    assert kstest(first, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(len(IDS))


def test_sql_places_a_unit_where_python_does():
    connection = duckdb.connect()
    for unit, place in zip(IDS[:200], unit_interval(IDS[:200], "s"), strict=True):
        (digits,) = connection.execute("SELECT left(md5('s' || ':' || $1), 13)", [unit]).fetchone()
        assert int(digits, 16) / 16**13 == place


def test_arms_come_in_their_shares():
    arms = assign(IDS, "spring", {"control": 0.2, "a": 0.5, "b": 0.3})
    counts = [int((arms == name).sum()) for name in ("control", "a", "b")]
    assert chisquare(counts, [8000, 20_000, 12_000]).pvalue > 1e-3


@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=30, unique=True), st.randoms())
def test_an_assignment_does_not_depend_on_order_or_company(units, random):
    arms = {"control": 0.5, "mail": 0.5}
    alone = {unit: assign([unit], "salt", arms)[0] for unit in units}
    shuffled = random.sample(units, len(units))
    assert assign(shuffled, "salt", arms).tolist() == [alone[unit] for unit in shuffled]


def test_a_larger_holdout_holds_the_smaller_one_and_splits_arms_evenly():
    small, large = persistent_holdout(IDS, 0.05), persistent_holdout(IDS, 0.1)
    assert not np.any(small & ~large)
    arms = assign(IDS, "spring", {"control": 0.5, "mail": 0.5})
    assert (arms[large] == "mail").mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(large.sum()))


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_power_is_statsmodels(share):
    effect, sd, units = 0.05, 0.9, 12_000
    ours = design.power_average_effect(units, effect, sd, treated_share=share)
    theirs = NormalIndPower().power(effect / sd, units * share, 0.05, ratio=(1 - share) / share)
    assert ours.power == pytest.approx(theirs, abs=1e-9)


@given(st.floats(0.01, 1.0), st.floats(0.1, 5.0), st.floats(0.3, 0.99), st.floats(0.1, 0.9))
def test_sample_size_effect_and_power_undo_each_other(effect, sd, power, share):
    units = design.sample_size(effect, sd, power=power, treated_share=share)
    if units < 4:
        return
    seen = design.minimum_detectable_effect(units, sd, power=power, treated_share=share)
    assert seen <= effect * (1 + 1e-9)
    assert design.power_average_effect(units, effect, sd, treated_share=share).power >= power - 1e-9


def test_clusters_and_covariates_change_the_variance_as_the_papers_say():
    plain = design.power_average_effect(10_000, 0.1, 1.0).standard_error
    clustered = design.power_average_effect(10_000, 0.1, 1.0, cluster_size=21, icc=0.05).standard_error
    adjusted = design.power_average_effect(10_000, 0.1, 1.0, explained=0.36).standard_error
    assert clustered / plain == pytest.approx(np.sqrt(2.0))  # 1 + 20 x .05 (Kish 1965)
    assert adjusted / plain == pytest.approx(0.8)  # sqrt(1 - .36) (Deng et al. 2013)


def test_power_of_targeting_follows_the_metrics_definition():
    weights = {"AUTOC": lambda u: -np.log(u) - 1.0, "QINI": lambda u: 0.5 - u}
    for metric, weight in weights.items():
        slope = quad(lambda u, w=weight: w(u) * ndtri(1 - u), 0, 1)[0]
        square = quad(lambda u, w=weight: w(u) ** 2, 0, 1)[0]
        plan = power_targeting(5000, 0.05, 0.36, correlation=0.5, metric=metric)
        assert plan.effect == pytest.approx(0.5 * 0.05 * slope, rel=1e-8)
        assert plan.standard_error == pytest.approx(np.sqrt(square / 5000) * 0.36 / 0.5, rel=1e-6)


def test_power_of_targeting_is_what_a_simulation_finds():
    units, effect_sd, sd, draws = 4000, 0.25, 1.0, 1500
    generator = np.random.default_rng(4)
    rejected = 0
    weight = 0.5 - (np.arange(units) + 0.5) / units
    for _ in range(draws):
        ranking, rest = generator.standard_normal((2, units))
        effect = effect_sd * (0.5 * ranking + np.sqrt(0.75) * rest)
        treated = generator.random(units) < 0.5
        # the doubly robust score with the true means: effect plus noise over the propensity
        score = effect + generator.standard_normal(units) * sd * np.where(treated, 2.0, -2.0)
        parts = weight * score[np.argsort(-ranking)]
        rejected += abs(parts.mean()) > 1.959964 * parts.std(ddof=1) / np.sqrt(units)
    expected = power_targeting(units, effect_sd, sd, correlation=0.5).power
    assert rejected / draws == pytest.approx(expected, abs=4 * np.sqrt(0.25 / draws))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: unit_interval(["a"], " "), "salt is blank"),
        (lambda: unit_interval(["a", None], "s"), "row 1: the unit is None"),
        (lambda: unit_interval(["a", float("nan")], "s"), "row 1: the unit is nan"),
        (lambda: assign(["a"], "s", {"x": 0.4, "y": 0.4}), "adding up to 1"),
        (lambda: assign(["a"], "s", {}), "at least one"),
        (lambda: persistent_holdout(["a"], 1.0), r"lies in \[0, 1\)"),
        (lambda: design.sample_size(0.0, 1.0), "effect is 0.0"),
        (lambda: design.sample_size(0.1, -1.0), "sd is -1.0"),
        (lambda: design.power_average_effect(2, 0.1, 1.0), "units is 2"),
        (lambda: power_targeting(100, 0.1, 1.0, metric="Qini"), "'AUTOC' or 'QINI'"),
        (lambda: power_targeting(100, 0.1, 1.0, correlation=2.0), "correlation is 2.0"),
    ],
)
def test_bad_designs_are_named(call, says):
    with pytest.raises(DesignError, match=says):
        call()
