"""RATE against closed forms, integrals of its definition, brute force over orders and halves, econml and causalml."""

import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from regulars.sql.errors import ModelError
from regulars.uplift import half_sample
from regulars.uplift.rate import GRID, Ranking, autoc, compare_rankings, qini, rank_by, toc
from regulars.uplift.simulate import simulate


def _midpoints(n):
    return (np.arange(n) + 0.5) / n


# ---- the definition -------------------------------------------------------------------------------------------------


def test_uniform_effects_give_a_quarter_and_a_twelfth():
    # TOC(q) = (1 - q) / 2 (references/uplift.md; Yadlowsky et al.)
    effects = _midpoints(100_000)
    assert autoc(effects, effects) == pytest.approx(0.25, abs=1e-3)
    assert qini(effects, effects) == pytest.approx(1 / 12, abs=1e-3)


@pytest.mark.parametrize(
    "quantile",
    [
        pytest.param(lambda p: p, id="uniform"),
        pytest.param(lambda p: 0.2 + 0.3 * special.ndtri(p), id="normal"),
        pytest.param(lambda p: -np.log1p(-p), id="exponential"),
        pytest.param(lambda p: p**3, id="beta"),
        pytest.param(lambda p: -np.log(-np.log(p)), id="gumbel"),
    ],
)
def test_equals_the_integral_of_the_definition(quantile):
    def top_mean(q):
        return integrate.quad(quantile, 1 - q, 1)[0] / q

    overall = integrate.quad(quantile, 0, 1)[0]

    def weighted(alpha):
        return integrate.quad(lambda q: alpha(q) * (top_mean(q) - overall), 0, 1, epsabs=1e-7)[0]

    effects = quantile(_midpoints(400_000))
    # the plain mean over n ranks is a Riemann sum, off by about log(n) / n of the effects' spread
    assert autoc(effects, effects) == pytest.approx(weighted(lambda q: 1.0), abs=2e-4)
    assert qini(effects, effects) == pytest.approx(weighted(lambda q: q), abs=2e-5)
    q = np.array([0.1, 0.5, 0.9])
    np.testing.assert_allclose(toc(effects, effects, q), [top_mean(each) - overall for each in q], atol=1e-4)


def test_closed_forms_of_exponential_and_normal():
    # TOC(q) = -log q: AUTOC 1, QINI 1/4. Normal: QINI = integral of the squared density = 1 / (2 sqrt(pi))
    exponential = -np.log1p(-_midpoints(1_000_000))
    assert autoc(exponential, exponential) == pytest.approx(1.0, abs=1e-4)
    assert qini(exponential, exponential) == pytest.approx(0.25, abs=1e-5)
    normal = special.ndtri(_midpoints(1_000_000))
    assert qini(normal, normal) == pytest.approx(1 / (2 * math.sqrt(math.pi)), abs=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 50])
def test_equals_a_plain_reading_of_the_definition(n, weighted):
    rng = np.random.default_rng(n)
    scores, priority = rng.normal(size=n), rng.permutation(n).astype(float)
    weights = rng.uniform(0.1, 4.0, n) if weighted else np.ones(n)
    best_first = np.argsort(-priority)
    s, w = scores[best_first], weights[best_first]
    mean = np.average(s, weights=w)
    curve = np.array([np.average(s[: j + 1], weights=w[: j + 1]) - mean for j in range(n)])
    given_weights = weights if weighted else None
    assert autoc(scores, priority, weights=given_weights) == pytest.approx(np.average(curve, weights=w), abs=1e-12)
    rank = np.minimum(np.cumsum(w) / w.sum(), 1.0)
    assert qini(scores, priority, weights=given_weights) == pytest.approx(
        np.average(rank * curve, weights=w), abs=1e-12
    )
    np.testing.assert_allclose(toc(scores, priority, rank, weights=given_weights), curve, atol=1e-12)


@pytest.mark.parametrize("groups", [[3, 1, 3], [2, 4, 1], [7], [1, 1, 2, 3]])
def test_ties_are_the_mean_over_every_order_of_the_tied(groups):
    rng = np.random.default_rng(len(groups))
    scores = rng.normal(size=7)
    priority = np.repeat(np.arange(len(groups), 0.0, -1.0), groups)
    starts = np.cumsum([0, *groups])
    orders = itertools.product(*(itertools.permutations(range(a, b)) for a, b in itertools.pairwise(starts)))
    q = np.array([0.2, 0.5, 6 / 7, 1.0])
    over_orders = []
    for parts in orders:
        ordered = scores[np.array(list(itertools.chain(*parts)))]
        untied = -np.arange(7.0)
        over_orders.append([autoc(ordered, untied), qini(ordered, untied), *toc(ordered, untied, q)])
    found = [autoc(scores, priority), qini(scores, priority), *toc(scores, priority, q)]
    np.testing.assert_allclose(found, np.mean(over_orders, axis=0), atol=1e-12)


# ---- properties -----------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 60), levels=st.integers(1, 8))
def test_row_order_units_and_monotone_changes_alter_nothing(seed, n, levels):
    rng = np.random.default_rng(seed)
    scores, weights = rng.normal(size=n), rng.uniform(0.2, 3.0, n)
    priority = rng.integers(0, levels, n).astype(float)
    found = np.array([autoc(scores, priority, weights=weights), qini(scores, priority, weights=weights)])
    mixed = rng.permutation(n)
    for same in (
        (scores[mixed], priority[mixed], weights[mixed]),
        (scores, np.exp(3.0 * priority), weights),
        (scores + 7.0, priority, weights),
        (scores, priority, 1e-3 * weights),
    ):
        again = [autoc(same[0], same[1], weights=same[2]), qini(same[0], same[1], weights=same[2])]
        np.testing.assert_allclose(again, found, atol=1e-11)
    doubled = [autoc(-2 * scores, priority, weights=weights), qini(-2 * scores, priority, weights=weights)]
    np.testing.assert_allclose(doubled, -2 * found, atol=1e-11)


@pytest.mark.parametrize("n", [4, 5, 1000])
def test_random_order_and_equal_scores_are_exactly_nothing(n):
    scores = np.random.default_rng(n).normal(size=(n, 2)) * 1e3
    table = compare_rankings(scores, {"random": rank_by(np.full(n, 0.1))}, draws=50)
    for estimate in (table.autoc["random"], table.qini["random"]):
        assert (estimate.value, estimate.standard_error, estimate.p_value) == (0.0, 0.0, 1.0)
    assert autoc(np.full(n, 0.1), np.arange(n, dtype=float)) == 0.0
    assert not toc(np.full(n, 0.1), np.arange(n, dtype=float)).any()


# ---- half-samples ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [False, True])
def test_draws_are_the_halves_each_equally_often(tied):
    rng = np.random.default_rng(1)
    scores = rng.normal(size=6)
    priority = np.array([3.0, 3.0, 2.0, 2.0, 2.0, 1.0]) if tied else np.arange(6.0)
    laid = half_sample.order(priority[None], scores[None], np.ones(6), np.arange(6))
    drawn = half_sample.on_half_samples(laid, 6, GRID, draws=20_000, seed=3)
    halves = [list(rows) for rows in itertools.combinations(range(6), 3)]
    exact = np.array([[autoc(scores[h], priority[h]), qini(scores[h], priority[h]), scores[h].mean()] for h in halves])
    found = np.column_stack([drawn.autoc[:, 0], drawn.qini[:, 0], drawn.mean[:, 0]])
    gap = np.abs(found[:, None, :] - exact[None, :, :]).max(axis=2)
    assert gap.min(axis=1).max() < 1e-12
    times = np.bincount(gap.argmin(axis=1), minlength=20)
    assert stats.chisquare(times).pvalue > 1e-4
    curve = toc(scores[halves[7]], priority[halves[7]], GRID)
    np.testing.assert_allclose(drawn.toc[gap.argmin(axis=1) == 7, 0], np.tile(curve, (times[7], 1)), atol=1e-12)


@pytest.mark.parametrize("n", [7, 8, 101])
def test_standard_error_of_a_mean_is_the_textbook_one(n):
    # the mean's half-sample variance is s^2 / n exactly, odd n included; 20,000 draws leave 0.5% (one standard error)
    scores = np.column_stack([np.zeros(n), np.random.default_rng(n).normal(size=n)])
    table = compare_rankings(scores, {"x": rank_by(np.arange(n, dtype=float))}, draws=20_000)
    assert table.everyone["x"].standard_error == pytest.approx(scores[:, 1].std(ddof=1) / n**0.5, rel=0.03)


def test_standard_errors_are_the_spread_over_fresh_samples():
    rng = np.random.default_rng(0)
    values, errors = [], []
    for seed in range(400):
        effect = rng.normal(size=1000)
        scores = np.column_stack([np.zeros(1000), effect + 2.0 * rng.standard_t(5, size=1000)])
        table = compare_rankings(scores, {"x": rank_by(effect)}, draws=100, seed=seed)
        found = (table.autoc["x"], table.qini["x"])
        values.append([*(each.value for each in found), *table.gain[0, [1, 9, 19]]])
        errors.append([*(each.standard_error for each in found), *table.gain_standard_error[0, [1, 9, 19]]])
    # the spread of 400 values is known to 1/sqrt(800) = 3.5%; five quantities, so three and a half of these
    ratio = np.sqrt((np.array(errors) ** 2).mean(axis=0)) / np.std(values, axis=0)
    assert np.abs(ratio - 1).max() < 0.125


def test_the_same_bytes_at_any_number_of_threads():
    rng = np.random.default_rng(2)
    scores, priority = rng.normal(size=(3000, 3)), rng.normal(size=(3000, 2)).round(1)
    rankings = {"best": rank_by(priority), "first": rank_by(priority, arm=1)}
    tables = [compare_rankings(scores, rankings, draws=101, seed=9, threads=threads) for threads in (1, 2, 3, None)]
    for table in tables[1:]:
        assert all(table.deviations[k].tobytes() == v.tobytes() for k, v in tables[0].deviations.items())
        assert table.tidy() == tables[0].tidy()
    other = compare_rankings(scores, rankings, draws=101, seed=10)
    assert other.qini["best"].value == tables[0].qini["best"].value
    assert other.qini["best"].standard_error != tables[0].qini["best"].standard_error


def test_a_ranking_has_the_same_interval_whoever_else_is_valued():
    rng = np.random.default_rng(2)
    scores, one, two = rng.normal(size=(500, 2)), rank_by(rng.normal(size=500)), rank_by(rng.normal(size=500).round(0))
    both = compare_rankings(scores, {"two": two, "one": one})
    assert both.autoc["one"] == compare_rankings(scores, {"one": one}).autoc["one"]


def test_copies_in_clusters_know_no_more_than_one():
    rng = np.random.default_rng(4)
    effect = rng.normal(size=400)
    scores = np.column_stack([np.zeros(400), effect + rng.normal(size=400)])
    single = compare_rankings(scores, {"x": rank_by(effect)}, seed=1)
    copies = np.tile(np.arange(400), 5)
    clustered = compare_rankings(scores[copies], {"x": rank_by(effect[copies])}, cluster=copies, seed=1)
    naive = compare_rankings(scores[copies], {"x": rank_by(effect[copies])}, seed=1)
    assert clustered.units == 400
    # the same halves are drawn; five tied copies step through TOC in finer steps, of order 1/400
    assert clustered.everyone["x"].standard_error == pytest.approx(single.everyone["x"].standard_error, rel=1e-9)
    assert clustered.qini["x"].standard_error == pytest.approx(single.qini["x"].standard_error, rel=0.02)
    assert clustered.autoc["x"].standard_error == pytest.approx(single.autoc["x"].standard_error, rel=0.02)
    assert naive.qini["x"].standard_error == pytest.approx(clustered.qini["x"].standard_error / 5**0.5, rel=0.12)


def test_clusters_that_share_noise_widen_the_interval_to_what_repeats_show():
    rng = np.random.default_rng(5)
    cluster = np.repeat(np.arange(60), 20)
    priority = rng.normal(size=1200)
    values, errors, naive = [], [], []
    for seed in range(300):
        shared = rng.normal(size=60)[cluster] * (1.0 + (priority > 0))
        scores = np.column_stack([np.zeros(1200), shared + 0.5 * rng.normal(size=1200)])
        table = compare_rankings(scores, {"x": rank_by(priority)}, cluster=cluster, draws=100, seed=seed)
        values.append(table.everyone["x"].value)
        errors.append(table.everyone["x"].standard_error)
        naive.append(scores[:, 1].std() / 1200**0.5)
    # 300 repeats know the spread to 4%; three of these, and the naive error would be a fifth
    assert np.mean(errors) / np.std(values) == pytest.approx(1.0, abs=0.13)
    assert np.mean(naive) / np.std(values) < 0.35


def test_paired_differences():
    rng = np.random.default_rng(6)
    effect = rng.normal(size=4000)
    scores = np.column_stack([np.zeros(4000), effect + 3.0 * rng.normal(size=4000)])
    near = effect + 0.3 * rng.normal(size=4000)
    table = compare_rankings(
        scores, {"effect": rank_by(effect), "near": rank_by(near), "same": rank_by(2.0 * effect + 1.0)}
    )
    gap = table.difference("effect", "near")
    assert gap.value == table.qini["effect"].value - table.qini["near"].value
    apart = math.hypot(table.qini["effect"].standard_error, table.qini["near"].standard_error)
    assert gap.standard_error < 0.5 * apart
    nothing = table.difference("effect", "same", "AUTOC")
    assert (nothing.value, nothing.standard_error) == (0.0, 0.0)


# ---- several arms, and what is refused ------------------------------------------------------------------------------


def test_best_arm_policy_and_each_arm_on_its_own():
    drawn = simulate("several_arms", 400_000, seed=1)
    scores, effects = drawn.expected, drawn.effects
    rankings = {f"arm {a}": rank_by(effects, arm=a) for a in (1, 2, 3)} | {"best arm": rank_by(effects)}
    table = compare_rankings(scores, rankings, draws=2)
    # arms 1 and 2 are normal with sd .3: .3 / (2 sqrt(pi)); arm 3 is constant; 1e-3 is the sample's own noise
    for name in ("arm 1", "arm 2"):
        assert table.qini[name].value == pytest.approx(0.3 / (2 * math.sqrt(math.pi)), abs=1e-3)
    assert table.qini["arm 3"].value == 0.0
    best = np.sort(effects.max(axis=1))[::-1]
    curve = np.cumsum(best) / np.arange(1, 400_001) - best.mean()
    assert table.autoc["best arm"].value == pytest.approx(curve.mean(), abs=1e-9)
    assert table.everyone["best arm"].value == pytest.approx(best.mean(), abs=1e-9)


def test_value_and_cost_turn_scores_into_money():
    rng = np.random.default_rng(8)
    scores, effects = rng.normal(size=(300, 3)), rng.normal(size=(300, 2))
    cost = np.array([0.1, 0.4])
    ranking = rank_by(effects, value=5.0, cost=cost)
    assert (ranking.arm == 1 + (5 * effects - cost).argmax(axis=1)).all()
    table = compare_rankings(scores, {"x": ranking}, value=5.0, cost=cost, draws=10)
    row = np.arange(300)
    earned = 5 * (scores[row, ranking.arm] - scores[:, 0]) - cost[ranking.arm - 1]
    assert table.autoc["x"].value == pytest.approx(autoc(earned, ranking.priority), abs=1e-12)
    top = np.argsort(-ranking.priority)[:150]
    assert table.gain[0, 9] == pytest.approx(earned[top].sum() / 300, abs=1e-12)
    one_column = compare_rankings(scores, {"x": Ranking(ranking.priority, ranking.arm)}, draws=10)
    assert one_column.autoc["x"].value != table.autoc["x"].value


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: autoc(np.ones(3), np.ones(2)), "priority has 2 rows; the others have 3"),
        (lambda: autoc(np.array([1.0, np.nan]), np.ones(2)), "effect_scores holds 1 NaN"),
        (lambda: qini(np.ones(2), np.ones(2), weights=np.array([1.0, 0.0])), "must be positive"),
        (lambda: autoc(np.empty(0), np.empty(0)), "empty"),
        (lambda: toc(np.ones(2), np.ones(2), np.array([0.0, 1.0])), "ascend"),
        (lambda: toc(np.ones(2), np.ones(2), np.array([0.5, 0.4])), "ascend"),
        (lambda: rank_by(np.array([1.0, np.inf])), "1 NaN or infinite"),
        (lambda: rank_by(np.ones((2, 2)), arm=3), "arms 1 to 2"),
        (lambda: compare_rankings(np.ones((2, 2)), {}), "rankings is empty"),
        (lambda: compare_rankings(np.ones((1, 2)), {"x": rank_by(np.ones(1))}), "1 independent units"),
        (lambda: compare_rankings(np.ones((4, 2)), {"x": rank_by(np.ones(4))}, cluster=np.zeros(4)), "1 independent"),
        (lambda: compare_rankings(np.ones((4, 2)), {"x": rank_by(np.ones(4))}, cluster=np.zeros(3)), "one label"),
        (lambda: compare_rankings(np.ones((4, 2)), {"x": rank_by(np.ones(5))}), "priority of 'x' has 5 rows"),
        (lambda: compare_rankings(np.ones((4, 2)), {"x": rank_by(np.ones(4), arm=2)}), "0 .control. to 1"),
        (lambda: compare_rankings(np.ones((4, 2)), {"x": rank_by(np.ones(4))}, draws=1), "draws is 1"),
        (
            lambda: compare_rankings(np.ones((4, 2)), {"effect": rank_by(np.ones(4))}).difference("efect", "effect"),
            "did you mean 'effect'",
        ),
        (lambda: compare_rankings(np.ones((4, 2)), {"x": rank_by(np.ones(4))}).of("QUINI"), "did you mean 'QINI'"),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(ModelError, match=says):
        call()


def test_four_customers_are_the_fewest_that_have_a_standard_error():
    # a half of one customer ranks nothing, so two or three customers would look certain
    scores, priority = np.array([[0.0, 3.0], [0.0, 1.0], [0.0, -1.0], [0.0, -2.0]]), np.arange(4.0, 0.0, -1.0)
    table = compare_rankings(scores, {"x": rank_by(priority)})
    assert table.autoc["x"].value > 0.0
    assert table.autoc["x"].standard_error > 0.0
    with pytest.raises(ModelError, match="3 independent units; half-samples need at least 4"):
        compare_rankings(scores[:3], {"x": rank_by(priority[:3])})


# ---- other tools: equal where the definitions are, asserted differences where they are not --------------------------


def test_econml_has_the_same_curve_and_a_coefficient_cut_at_5_and_95():
    from econml.validate.utils import calc_uplift

    rng = np.random.default_rng(0)
    predicted = rng.normal(size=4001)
    earned = predicted + rng.normal(size=4001)
    percentiles = np.linspace(5, 95, 19)
    _, _, curve = calc_uplift(predicted, predicted, earned, percentiles, "toc", n_bootstrap=2)
    share = np.array([(predicted >= cut).mean() for cut in np.percentile(predicted, percentiles)])
    np.testing.assert_allclose(toc(earned, predicted, share[::-1]), curve["value"].to_numpy()[::-1], atol=1e-12)

    # references/uplift.md: on its default grid, with effects uniform on (0, 1), .221 and .082 for .25 and .0833
    effects = _midpoints(100_000)
    default = np.linspace(5, 95, 50)
    found = [calc_uplift(effects, effects, effects, default, metric, n_bootstrap=2)[0] for metric in ("toc", "qini")]
    assert found == pytest.approx([0.221, 0.082], abs=1e-3)


def test_causalml_weights_by_one_over_q_again():
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shap, which it imports, uses what matplotlib is about to drop
        from causalml.metrics import get_toc, rate_score

    effects = _midpoints(10_000)
    frame = pd.DataFrame({"model": effects, "tau": effects})
    curve = get_toc(frame, treatment_effect_col="tau")["model"]
    np.testing.assert_allclose(toc(effects, effects, GRID), curve.iloc[(GRID * 10_000).round().astype(int)], atol=1e-9)

    # references/uplift.md: .395 to .416, depending on n, and .1667 for .25 and .0833
    theirs = [rate_score(frame, treatment_effect_col="tau", weighting=w)["model"] for w in ("autoc", "qini")]
    assert 0.395 <= theirs[0] <= 0.416
    assert theirs[1] == pytest.approx(1 / 6, abs=1e-3)
