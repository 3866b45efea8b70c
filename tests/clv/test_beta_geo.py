"""BG/NBD and MBG/NBD: published values, closed forms, and slow quadrature where the closed forms break down."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, special

from regulars.clv import BetaGeoModel, ModifiedBetaGeoModel
from regulars.clv.beta_geometric_kernels import purchases_by_integral, purchases_if_alive

# Fader, Hardie & Lee (2005), parameters as printed
PUBLISHED = BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)
MODIFIED = ModifiedBetaGeoModel.from_parameters(r=0.525, alpha=6.183, a=0.891, b=1.614)
MODELS = [PUBLISHED, MODIFIED]
IDS = ["bg_nbd", "mbg_nbd"]

# x up to 10,000 and T up to 20 years (1,043 weeks)
HISTORIES = [
    (0, 0.0, 39.0),
    (1, 5.0, 39.0),
    (2, 30.43, 38.86),
    (23, 39.0, 39.0),
    (30, 3.0, 300.0),
    (500, 5.0, 104.0),
    (1, 0.142857, 1043.0),
    (10_000, 1040.0, 1043.0),
    (10_000, 100.0, 1043.0),
    (0, 0.0, 0.142857),
    (0, 0.0, 0.0),
]
CUSTOMERS = {
    "frequency": [h[0] for h in HISTORIES],
    "recency": [h[1] for h in HISTORIES],
    "T": [h[2] for h in HISTORIES],
}


def customer(x, t_x, T):
    return {"frequency": [x], "recency": [t_x], "T": [T]}


# references/clv.md, "Function values", BG/NBD at (.243, 4.414, .793, 2.426); each printed to six decimals
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (PUBLISHED.expected_purchases(customer(2, 30.43, 38.86), 39)[0], 1.226028),
        (PUBLISHED.probability_alive(customer(2, 30.43, 38.86))[0], 0.726579),
        (PUBLISHED.probability_alive(customer(23, 39.0, 39.0))[0], 0.968555),
        (PUBLISHED.probability_alive(customer(1, 5.0, 39.0))[0], 0.313920),
        (PUBLISHED.expected_purchases_new(1), 0.053268),
        (PUBLISHED.expected_purchases_new(2), 0.103390),
        (PUBLISHED.expected_purchases_new(39), 1.196723),
        (PUBLISHED.expected_purchases_new(78), 1.860519),
        (PUBLISHED.pmf(0, 39), 0.5737864),
    ],
)
def test_published_values(value, expected):
    assert float(value) == pytest.approx(expected, abs=5.1e-7)


# references/clv.md, "Must be finite", BG/NBD LL at (a .8, b 2.5, r .25, alpha 4)
@pytest.mark.parametrize(("history", "expected"), [((0, 0, 40), -0.599474), ((200, 38, 40), 100.795693)])
def test_likelihood_of_hard_cases(history, expected):
    model = BetaGeoModel.from_parameters(a=0.8, b=2.5, r=0.25, alpha=4.0)
    assert model.log_likelihood(customer(*history)) == pytest.approx(expected, abs=5.1e-7)


def bg_likelihood(r, alpha, a, b, x, t_x, T):
    """Eq. 6 of Fader, Hardie & Lee (2005), as printed, in logarithms."""
    first = special.betaln(a, b + x) - special.betaln(a, b) + special.gammaln(r + x) - special.gammaln(r)
    alive = first + r * np.log(alpha) - (r + x) * np.log(alpha + T)
    if x == 0:
        return alive
    left = special.betaln(a + 1, b + x - 1) - special.betaln(a, b) + special.gammaln(r + x) - special.gammaln(r)
    return np.logaddexp(alive, left + r * np.log(alpha) - (r + x) * np.log(alpha + t_x))


def mbg_likelihood(r, alpha, a, b, x, t_x, T):
    """Batislam, Denizel & Filiztekin (2007), eq. 3: every purchase, the first too, may be the last."""
    rate = special.gammaln(r + x) - special.gammaln(r) + r * np.log(alpha)
    alive = special.betaln(a, b + x + 1) - special.betaln(a, b) - (r + x) * np.log(alpha + T)
    left = special.betaln(a + 1, b + x) - special.betaln(a, b) - (r + x) * np.log(alpha + t_x)
    return rate + np.logaddexp(alive, left)


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize(("model", "formula"), [(PUBLISHED, bg_likelihood), (MODIFIED, mbg_likelihood)], ids=IDS)
def test_likelihood_is_the_papers(model, formula, history):
    expected = formula(*model.params_.values(), *history)
    # the printed form subtracts log-gammas of 10^5 where x is 10,000
    assert model.log_likelihood(customer(*history)) == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize(("model", "formula"), [(PUBLISHED, bg_likelihood), (MODIFIED, mbg_likelihood)], ids=IDS)
def test_probability_alive_is_the_alive_part_of_the_likelihood(model, formula):
    r, alpha, a, b = model.params_.values()
    for x, t_x, T in [h for h in HISTORIES if h[0] < 100]:
        survived = x + model.chances_at_start
        alive = special.betaln(a, b + survived) - special.betaln(a, b) + special.gammaln(r + x) - special.gammaln(r)
        alive += r * np.log(alpha) - (r + x) * np.log(alpha + T)
        expected = np.exp(alive - formula(r, alpha, a, b, x, t_x, T))
        assert model.probability_alive(customer(x, t_x, T))[0] == pytest.approx(expected, rel=1e-11)


def purchases_by_quad(R, A, a, B, t):
    """E[(1 - (1 + p t/A)^-R) / p] over p ~ Beta(a, B), by scipy's adaptive quadrature in the logit of p."""

    def integrand(y):
        log_p, log_rest = -np.logaddexp(0, -y), -np.logaddexp(0, y)
        p = np.exp(log_p)
        density = np.exp(a * log_p + B * log_rest - special.betaln(a, B))
        return density * -np.expm1(-R * np.log1p(p * t / A)) / p

    centre, spread = np.log(a / B), np.sqrt(1 / a + 1 / B)
    # at both ends the density has fallen by e^-60
    low, high = centre - 12 * spread - 60 / a, centre + 12 * spread + 60 / B
    inner = centre + spread * np.array([-8, -4, -2, -1, 0, 1, 2, 4, 8])
    edges = [low, *inner, high]
    return sum(integrate.quad(integrand, u, v, epsabs=0, epsrel=1e-12, limit=400)[0] for u, v in pairwise(edges))


@pytest.mark.parametrize("horizon", [0.5, 39.0, 1043.0])
@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_expected_purchases_against_quadrature(model, horizon):
    r, alpha, a, b = model.params_.values()
    alive, got = model.probability_alive(CUSTOMERS), model.expected_purchases(CUSTOMERS, horizon)
    for i, (x, _, T) in enumerate(HISTORIES):
        future = purchases_by_quad(r + x, alpha + T, a, b + x + model.chances_at_start, horizon)
        # quad's own tolerance, and what subtracting loses in the series
        assert got[i] == pytest.approx(alive[i] * future, rel=2e-11), HISTORIES[i]


@pytest.mark.parametrize("a", [1e-3, 0.2, 0.999999, 1.0, 1.000001, 2.0, 7.5, 300.0, 1e5])
@pytest.mark.parametrize("b", [1e-3, 0.5, 3.0, 400.0, 1e5])
def test_series_and_integral_agree_for_any_dropout(a, b):
    # a = 1 is a pole of the published form, a = 1e5 a homogeneous base
    for R, A, x, t in [(0.3, 4.0, 0, 39.0), (2.3, 40.0, 2, 39.0), (50.0, 60.0, 49, 500.0), (0.02, 1.0, 0, 8.0)]:
        got = purchases_if_alive(R, A, a, b + x, t)
        # the series is given up where it loses more than four digits: eleven are left
        assert got == pytest.approx(purchases_by_integral(R, A, a, b + x, t), rel=5e-11)
        assert 0 < got <= R / A * t * (1 + 1e-12)


def test_expected_purchases_is_the_published_formula():
    # Fader, Hardie & Lee (2005), eq. 10, with scipy's 2F1 where that is sound
    r, alpha, a, b = PUBLISHED.params_.values()
    x, t_x, T, t = 2, 30.43, 38.86, 39.0
    growth = ((alpha + T) / (alpha + T + t)) ** (r + x)
    growth *= special.hyp2f1(r + x, b + x, a + b + x - 1, t / (alpha + T + t))
    odds = a / (b + x - 1) * ((alpha + T) / (alpha + t_x)) ** (r + x)
    expected = (a + b + x - 1) / (a - 1) * (1 - growth) / (1 + odds)
    assert PUBLISHED.expected_purchases(customer(x, t_x, T), t)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_windows_add_up(model):
    whole = model.expected_purchases(CUSTOMERS, 52)
    parts = model.expected_purchases(CUSTOMERS, 20) + model.expected_purchases(CUSTOMERS, 52, start=20)
    assert parts == pytest.approx(whole, rel=1e-12)
    assert model.expected_purchases(CUSTOMERS, 20, start=20).tolist() == [0.0] * len(HISTORIES)


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_counts_sum_to_one_and_their_mean_is_the_expectation(model):
    few = {name: [values[i] for i in (0, 1, 2, 3, 4, 9)] for name, values in CUSTOMERS.items()}
    p = model.purchase_probabilities(few, 39, 3000)
    assert p.sum(axis=1) == pytest.approx(np.ones(6), abs=1e-11)
    # of 3,000 counts the mean loses what lies beyond, and rounding of 1 - P(fewer) times the count
    assert p @ np.arange(3001) == pytest.approx(model.expected_purchases(few, 39), rel=1e-8)
    assert p[:, 0] == pytest.approx(model.probability_no_purchase(few, 39), rel=1e-13)
    assert (p >= 0).all()


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_counts_of_a_new_customer(model):
    n = np.arange(4000)
    p = model.pmf(n, 39)
    assert p.sum() == pytest.approx(1, abs=1e-11)
    assert p @ n == pytest.approx(float(model.expected_purchases_new(39)), rel=1e-8)
    # of all customers alive at 0 the model is that of a history of length 0
    if not model.chances_at_start:
        newborn = model.purchase_probabilities(customer(0, 0.0, 0.0), 39, 50)[0]
        assert newborn == pytest.approx(p[:51], rel=1e-12)


@pytest.mark.parametrize("model", MODELS, ids=IDS)
@pytest.mark.parametrize("rate", [1e-6, 0.002, 0.1, 5.0])
def test_discounting_against_quadrature(model, rate):
    r, alpha, a, b = model.params_.values()
    got = model.discounted_expected_purchases(CUSTOMERS, 104, rate)
    alive = model.probability_alive(CUSTOMERS)
    for i in (0, 1, 2, 3, 7, 9, 10):
        x, _, T = HISTORIES[i]
        R, A, B = r + x, alpha + T, b + x + model.chances_at_start

        def purchase_rate(u, R=R, A=A, B=B):  # discounted: 2F1(R+1, a; a+B; -u/A) R/A
            return np.exp(-rate * u) * R / A * (1 + u / A) ** -a * special.hyp2f1(a + B - R - 1, a, a + B, u / (A + u))

        end = min(104.0, 50 / rate)
        expected, _ = integrate.quad(purchase_rate, 0, end, epsabs=0, epsrel=1e-11, limit=300)
        assert got[i] == pytest.approx(alive[i] * expected, rel=1e-9), HISTORIES[i]


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_a_rate_of_zero_does_not_discount(model):
    plain = model.expected_purchases(CUSTOMERS, 52)
    assert np.array_equal(model.discounted_expected_purchases(CUSTOMERS, 52, 0.0), plain)
    assert model.discounted_expected_purchases(CUSTOMERS, 52, 1e-12) == pytest.approx(plain, rel=1e-9)


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_median_wait(model):
    alive, wait = model.probability_alive(CUSTOMERS), model.median_time_to_next_purchase(CUSTOMERS)
    assert np.array_equal(np.isnan(wait), alive <= 0.5)
    for i in np.flatnonzero(alive > 0.5):
        silence = model.probability_no_purchase(customer(*HISTORIES[i]), wait[i])
        assert silence[0] == pytest.approx(0.5, rel=1e-9)


def test_one_time_buyers():
    # references/clv.md, trap 1
    once = {"frequency": [0, 0, 0], "recency": [0.0] * 3, "T": [1.0, 39.0, 500.0]}
    assert PUBLISHED.probability_alive(once).tolist() == [1.0, 1.0, 1.0]
    alive = MODIFIED.probability_alive(once)
    assert (np.diff(alive) < 0).all()
    assert alive[-1] < 0.2


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_everything_is_finite_for_any_history(model):
    for values in (
        model.probability_alive(CUSTOMERS),
        model.expected_purchases(CUSTOMERS, 1043),
        model.probability_no_purchase(CUSTOMERS, 1043),
        model.purchase_probabilities(CUSTOMERS, 1043, 30),
        model.discounted_expected_purchases(CUSTOMERS, 1043, 0.002),
    ):
        assert np.isfinite(values).all()
        assert (values >= 0).all()


@pytest.mark.parametrize("model_class", [BetaGeoModel, ModifiedBetaGeoModel])
def test_nbd_is_the_limit_without_dropout(model_class):
    from regulars.clv import NBDModel

    few = {name: values[:4] for name, values in CUSTOMERS.items()}
    nbd = NBDModel.from_parameters(r=0.4, alpha=12.0)
    for a, b in ((1e-12, 3.0), (0.8, 1e13)):
        model = model_class.from_parameters(r=0.4, alpha=12.0, a=a, b=b)
        assert model.log_likelihood(few) == pytest.approx(nbd.log_likelihood(few), rel=1e-9)
        assert model.expected_purchases(few, 39) == pytest.approx(nbd.expected_purchases(few, 39), rel=1e-9)
        assert model.purchase_probabilities(few, 39, 9) == pytest.approx(
            nbd.purchase_probabilities(few, 39, 9), rel=1e-9
        )
