"""How long shocks last and what it does to a slope: closed forms of an autoregression."""

import numpy as np
import pytest

from regulars.pricing.error_persistence import Persistence


def _series(rho, items=40, weeks=100, seed=0):
    rng = np.random.default_rng(seed)
    shocks = rng.normal(size=(items, weeks))
    shocks[:, 0] /= (1.0 - rho**2) ** 0.5
    for week in range(1, weeks):
        shocks[:, week] += rho * shocks[:, week - 1]
    # what is left when each item's level is fitted
    return [(row - row.mean(), np.ones(weeks)) for row in shocks]


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6, 0.8])
def test_correlations_are_the_autoregressions_or_a_little_more(rho):
    found = np.append(Persistence.of(_series(rho)).correlation, np.zeros(3))[:3]
    expected = rho ** np.arange(1, 4)
    # of 40 series of 100 each is known to .03; three coefficients' worth is given back where one level was fitted, and
    # each is the long-run variance over 100: it errs to the side of wide intervals
    given_back = 3.0 * (1.0 + rho) / (1.0 - rho) / 100
    assert (found > expected - 0.06).all()
    assert (found < expected + given_back + 0.06).all()


def test_an_alternating_price_gains_nothing_and_loses_nothing():
    found = Persistence.of(_series(0.6))
    assert found.of_slope(np.tile([-1.0, 1.0], 50), np.ones(100)) == 1.0


def test_few_weeks_say_nothing():
    assert len(Persistence.of([(np.ones(5), np.ones(5))]).correlation) == 0
    assert len(Persistence.of([]).correlation) == 0
    assert Persistence.of([]).of_slope(np.zeros(4), np.ones(4)) == 1.0
