"""Pareto/NBD: published values, the papers' 2F1 where it is sound, and slow quadrature where it is not."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, special

from regulars.clv import NBDModel, ParetoNBDModel

MODEL = ParetoNBDModel.from_parameters(r=0.5534, alpha=10.5802, s=0.6061, beta=11.6562)
# beta below alpha: the other side of the integral's substitution
SWAPPED = ParetoNBDModel.from_parameters(r=1.4, alpha=30.0, s=1.7, beta=2.5)
MODELS = [MODEL, SWAPPED]

HISTORIES = [
    (0, 0.0, 39.0),
    (2, 30.43, 38.86),
    (26, 30.86, 31.0),
    (1, 5.0, 39.0),
    (30, 3.0, 300.0),  # lapsed heavy buyers: without the substitution the integral breaks down
    (500, 5.0, 104.0),
    (200, 38.0, 40.0),
    (10_000, 1040.0, 1043.0),
    (10_000, 100.0, 1043.0),
    (1, 0.142857, 1043.0),
    (3, 39.0, 39.0),
    (0, 0.0, 0.0),
]
CUSTOMERS = {
    "frequency": [h[0] for h in HISTORIES],
    "recency": [h[1] for h in HISTORIES],
    "T": [h[2] for h in HISTORIES],
}


def customer(x, t_x, T):
    return {"frequency": [x], "recency": [t_x], "T": [T]}


# references/clv.md, "Function values", Pareto/NBD at (.5534, 10.5802, .6061, 11.6562); each printed to six decimals
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (MODEL.probability_alive(customer(26, 30.86, 31.0)), 0.997918),
        (MODEL.expected_purchases(customer(26, 30.86, 31.0), 52), 25.454914),
        (MODEL.probability_alive(customer(2, 30.43, 38.86)), 0.869111),
        (MODEL.expected_purchases(customer(2, 30.43, 38.86), 39), 1.455093),
        (MODEL.probability_alive(customer(0, 0.0, 39.0)), 0.294142),
    ],
)
def test_published_values(value, expected):
    assert value[0] == pytest.approx(expected, abs=5.1e-7)


def test_published_dert():
    # references/clv.md, "Function values": DERT, d = .0027, (7, 35), T = 77.86
    model = ParetoNBDModel.from_parameters(r=0.5629966, alpha=12.559037, s=0.4081095, beta=10.5148048)
    assert model.dert(customer(7, 35.0, 77.86), 0.0027)[0] == pytest.approx(1.864183, abs=5.1e-7)


# references/clv.md, "Must be finite", Pareto/NBD LL at (.55, 10.58, .61, 11.67)
@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ((2, 30.43, 38.86), -9.56198126084296),
        ((200, 38.0, 40.0), 76.2782072774822),
        ((221, 103.42857, 103.57143), -76.9948750042621),
        ((500, 300.0, 364.0), -271.744381219763),
    ],
)
def test_likelihood_of_hard_cases(history, expected):
    model = ParetoNBDModel.from_parameters(r=0.55, alpha=10.58, s=0.61, beta=11.67)
    assert model.log_likelihood(customer(*history)) == pytest.approx(expected, rel=1e-13)


# references/clv.md, "Must be finite", P(alive) at (.5143, 2.8845, .2856, 14.1087); printed to five decimals
@pytest.mark.parametrize(
    ("history", "expected"), [((221, 103.42857, 103.57143), 0.99960), ((161, 94.71429, 98.0), 0.74949)]
)
def test_probability_alive_of_hard_cases(history, expected):
    model = ParetoNBDModel.from_parameters(r=0.5143, alpha=2.8845, s=0.2856, beta=14.1087)
    assert model.probability_alive(customer(*history))[0] == pytest.approx(expected, abs=5.1e-6)


def leaving_odds(model, x, t_x, T):
    """ln of s int_{t_x}^T ((alpha+T)/(alpha+t))^(r+x) ((beta+T)^s/(beta+t)^(s+1)) dt, by scipy, piece by piece."""
    r, alpha, s, beta = model.params_.values()
    peak = (r + x) * np.log((alpha + T) / (alpha + t_x)) + s * np.log((beta + T) / (beta + t_x))

    def integrand(t):
        fall = (r + x) * np.log((alpha + t) / (alpha + t_x)) + s * np.log((beta + t) / (beta + t_x))
        return s * np.exp(-fall) / (beta + t)

    # the integrand falls on a scale of (alpha + t_x) / (r + x) and less
    scale = 1 / ((r + x) / (alpha + t_x) + (s + 1) / (beta + t_x))
    edges = np.minimum(t_x + scale * np.array([0, 0.3, 1, 2, 4, 8, 16, 32, 64, 200, 1000, 1e5]), T)
    edges = np.unique(np.append(edges, T))
    pieces = (integrate.quad(integrand, u, v, epsabs=0, epsrel=1e-13, limit=200)[0] for u, v in pairwise(edges))
    return peak + np.log(sum(pieces))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("history", [h for h in HISTORIES if h[2] > h[1]])
def test_likelihood_and_alive_against_quadrature(model, history):
    x, t_x, T = history
    r, alpha, s, beta = model.params_.values()
    z = leaving_odds(model, x, t_x, T)
    staying = special.gammaln(r + x) - special.gammaln(r) + r * np.log(alpha) - (r + x) * np.log(alpha + T)
    staying += s * np.log(beta / (beta + T))
    # log-gammas of 10^5 are subtracted where x is 10,000
    assert model.log_likelihood(customer(*history)) == pytest.approx(staying + np.logaddexp(0, z), rel=2e-12)
    alive = model.probability_alive(customer(*history))[0]
    # e^z itself: z may be 1,000, whose last digit is worth 1e-13
    assert alive == pytest.approx(special.expit(-z), rel=3e-12, abs=1e-300)


@pytest.mark.parametrize("history", [(0, 0.0, 39.0), (2, 30.43, 38.86), (1, 5.0, 39.0), (26, 30.86, 31.0)])
@pytest.mark.parametrize("model", MODELS)
def test_likelihood_is_the_papers(model, history):
    # Fader & Hardie, note 009, eq. 14 and 15, with scipy's 2F1
    x, t_x, T = history
    r, alpha, s, beta = model.params_.values()
    top, bottom, c = (alpha, beta, s + 1) if alpha >= beta else (beta, alpha, r + x)
    n = r + s + x
    gap = top - bottom
    at_recency = special.hyp2f1(n, c, n + 1, gap / (top + t_x)) / (top + t_x) ** n
    at_age = special.hyp2f1(n, c, n + 1, gap / (top + T)) / (top + T) ** n
    left = s / n * (at_recency - at_age)
    stayed = (alpha + T) ** -(r + x) * (beta + T) ** -s
    ahead = special.gammaln(r + x) - special.gammaln(r) + r * np.log(alpha) + s * np.log(beta)
    # A_0 is the difference of two 2F1, which leaves ten digits of it
    assert model.log_likelihood(customer(*history)) == pytest.approx(ahead + np.log(stayed + left), rel=1e-10)


@pytest.mark.parametrize("model", MODELS)
def test_expected_purchases_is_the_published_formula(model):
    # Schmittlein, Morrison & Colombo (1987), eq. 22
    r, alpha, s, beta = model.params_.values()
    x, T = np.array(CUSTOMERS["frequency"]), np.array(CUSTOMERS["T"])
    future = (r + x) * (beta + T) / ((alpha + T) * (s - 1)) * (1 - ((beta + T) / (beta + T + 39)) ** (s - 1))
    got = model.expected_purchases(CUSTOMERS, 39)
    assert got == pytest.approx(model.probability_alive(CUSTOMERS) * future, rel=1e-12)
    new = r * beta / (alpha * (s - 1)) * (1 - (beta / (beta + 39)) ** (s - 1))
    assert float(model.expected_purchases_new(39)) == pytest.approx(new, rel=1e-12)


def test_expected_purchases_has_no_pole_at_s_of_one():
    near = [
        ParetoNBDModel.from_parameters(r=0.5, alpha=10.0, s=s, beta=11.0).expected_purchases(CUSTOMERS, 39)
        for s in (1 - 1e-9, 1.0, 1 + 1e-9)
    ]
    assert near[0] == pytest.approx(near[1], rel=1e-8)
    assert near[2] == pytest.approx(near[1], rel=1e-8)


@pytest.mark.parametrize("model", MODELS)
def test_windows_add_up(model):
    parts = model.expected_purchases(CUSTOMERS, 20) + model.expected_purchases(CUSTOMERS, 52, start=20)
    assert parts == pytest.approx(model.expected_purchases(CUSTOMERS, 52), rel=1e-12)


@pytest.mark.parametrize("model", MODELS)
def test_no_purchase_against_quadrature(model):
    r, alpha, s, beta = model.params_.values()
    for h in (0.1, 39.0, 1043.0):
        got = model.probability_no_purchase(CUSTOMERS, h)
        for i, (x, t_x, T) in enumerate(HISTORIES):
            R, A, B = r + x, alpha + T, beta + T

            def leaves_first(u, R=R, A=A, B=B):
                return (1 + u / A) ** -R * s / B * (1 + u / B) ** -(s + 1)

            first = integrate.quad(leaves_first, 0, min(h, 50 * A / R), epsabs=1e-15, epsrel=1e-12, limit=300)[0]
            first += integrate.quad(leaves_first, min(h, 50 * A / R), h, epsabs=1e-15, epsrel=1e-12, limit=300)[0]
            silence = first + (1 + h / A) ** -R * (1 + h / B) ** -s
            alive = model.probability_alive(customer(x, t_x, T))[0]
            assert got[i] == pytest.approx(1 - alive + alive * silence, rel=1e-11), (h, x, t_x, T)


@pytest.mark.parametrize("model", MODELS)
def test_counts_sum_to_one_and_their_mean_is_the_expectation(model):
    few = {name: [values[i] for i in (0, 1, 2, 3, 6, 10, 11)] for name, values in CUSTOMERS.items()}
    p = model.purchase_probabilities(few, 39, 3000)
    assert p.sum(axis=1) == pytest.approx(np.ones(7), abs=1e-12)
    assert p @ np.arange(3001) == pytest.approx(model.expected_purchases(few, 39), rel=1e-11)
    assert p[:, 0] == pytest.approx(model.probability_no_purchase(few, 39), rel=1e-12)


@pytest.mark.parametrize("model", MODELS)
def test_counts_of_heavy_buyers(model):
    # 10,000 purchases in 20 years: some 500 a year, whose counts underflow when taken one by one from zero
    p = model.purchase_probabilities(customer(10_000, 1042.9, 1043.0), 520, 9000)[0]
    assert p.sum() == pytest.approx(1, abs=1e-11)
    expected = model.expected_purchases(customer(10_000, 1042.9, 1043.0), 520)[0]
    assert p @ np.arange(9001) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("model", MODELS)
def test_counts_against_quadrature(model):
    r, alpha, s, beta = model.params_.values()
    p = model.pmf(np.arange(8), 39)
    for n in range(8):

        def count(u, n=n):
            ways = special.gammaln(r + n) - special.gammaln(r) - special.gammaln(n + 1)
            return np.exp(ways) * (alpha / (alpha + u)) ** r * (u / (alpha + u)) ** n

        leaves = integrate.quad(
            lambda u, count=count: count(u) * s * beta**s / (beta + u) ** (s + 1), 0, 39, epsrel=1e-12
        )[0]
        assert p[n] == pytest.approx(count(39.0) * (beta / (beta + 39)) ** s + leaves, rel=1e-11)


@pytest.mark.parametrize("model", MODELS)
def test_counts_of_a_new_customer(model):
    n = np.arange(4000)
    p = model.pmf(n, 39)
    assert p.sum() == pytest.approx(1, abs=1e-12)
    assert p @ n == pytest.approx(float(model.expected_purchases_new(39)), rel=1e-11)
    # fewer counts are integrated in fewer panels
    assert model.pmf([[0, 3]], 39) == pytest.approx(p[[[0, 3]]], rel=1e-12)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("rate", [1e-6, 0.002, 0.1, 5.0])
def test_discounting_against_quadrature(model, rate):
    r, alpha, s, beta = model.params_.values()
    for horizon in (104.0, np.inf):
        if horizon == np.inf:
            got = model.dert(CUSTOMERS, rate)
        else:
            got = model.discounted_expected_purchases(CUSTOMERS, horizon, rate)
        for i, (x, _, T) in enumerate(HISTORIES):
            B = beta + T
            end = min(horizon, 60 / rate)
            # in ln(1 + u/B), where the integrand is smooth
            expected, _ = integrate.quad(
                lambda v, B=B: B * np.exp((1 - s) * v - rate * B * np.expm1(v)),
                *(0, np.log1p(end / B)),
                epsabs=0,
                epsrel=1e-12,
                limit=500,
            )
            alive = model.probability_alive(customer(*HISTORIES[i]))[0]
            assert got[i] == pytest.approx(alive * (r + x) / (alpha + T) * expected, rel=1e-10, abs=1e-300)


def test_dert_is_the_papers():
    # Fader, Hardie & Lee (2005), JMR 42(4), eq. 5: Tricomi's U(s, s, d (beta + T))
    r, alpha, s, beta = MODEL.params_.values()
    for x, t_x, T in HISTORIES[:4]:
        z = 0.01 * (beta + T)
        residual = (r + x) / (alpha + T) * 0.01 ** (s - 1) * (beta + T) ** s * special.hyperu(s, s, z)
        alive = MODEL.probability_alive(customer(x, t_x, T))[0]
        # scipy's hyperu is good to seven digits or so
        assert MODEL.dert(customer(x, t_x, T), 0.01)[0] == pytest.approx(alive * residual, rel=1e-6)


def test_dert_is_the_limit_of_a_long_horizon():
    long = MODEL.discounted_expected_purchases(CUSTOMERS, 1e7, 0.002)
    assert MODEL.dert(CUSTOMERS, 0.002) == pytest.approx(long, rel=1e-12)


def test_a_rate_of_zero_does_not_discount():
    plain = MODEL.expected_purchases(CUSTOMERS, 52)
    assert np.array_equal(MODEL.discounted_expected_purchases(CUSTOMERS, 52, 0.0), plain)
    assert MODEL.discounted_expected_purchases(CUSTOMERS, 52, 1e-12) == pytest.approx(plain, rel=1e-10)


@pytest.mark.parametrize("model", MODELS)
def test_median_wait(model):
    wait = model.median_time_to_next_purchase(CUSTOMERS)
    for i, history in enumerate(HISTORIES):
        if np.isnan(wait[i]):
            assert model.probability_no_purchase(customer(*history), 1e9)[0] >= 0.5
        else:
            assert model.probability_no_purchase(customer(*history), wait[i])[0] == pytest.approx(0.5, abs=1e-10)
    assert 0 < np.isnan(wait).sum() < len(HISTORIES)


@pytest.mark.parametrize("model", MODELS)
def test_everything_is_finite_for_any_history(model):
    for values in (
        model.probability_alive(CUSTOMERS),
        model.expected_purchases(CUSTOMERS, 1043),
        model.probability_no_purchase(CUSTOMERS, 1043),
        model.purchase_probabilities(CUSTOMERS, 1043, 30),
        model.discounted_expected_purchases(CUSTOMERS, 1043, 0.002),
        model.dert(CUSTOMERS, 0.002),
    ):
        assert np.isfinite(values).all()
        assert (values >= 0).all()


def test_nbd_is_the_limit_without_dropout():
    few = {name: values[:4] for name, values in CUSTOMERS.items()}
    nbd = NBDModel.from_parameters(r=0.4, alpha=12.0)
    for s, beta in ((1e-12, 3.0), (0.8, 1e13)):
        model = ParetoNBDModel.from_parameters(r=0.4, alpha=12.0, s=s, beta=beta)
        assert model.log_likelihood(few) == pytest.approx(nbd.log_likelihood(few), rel=1e-9)
        assert model.expected_purchases(few, 39) == pytest.approx(nbd.expected_purchases(few, 39), rel=1e-9)
        assert model.purchase_probabilities(few, 39, 9) == pytest.approx(
            nbd.purchase_probabilities(few, 39, 9), rel=1e-9
        )
