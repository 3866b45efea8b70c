"""The path search against the enumeration of every path, and what it promises: bounds, determinism, stated limits."""

from itertools import product

import numba
import numpy as np
import pytest

from regulars.pricing import path_search
from regulars.pricing.path_account import account
from regulars.pricing.path_search import Tolls, all_rungs, best_paths, paths_above, plain_problem

WEEKS, RUNGS = 5, 4


def drawn(n: int, seed: int) -> dict[str, np.ndarray]:
    """Items of every kind: ladders, demand, stock from none to plenty, and any mix of rules."""
    rng = np.random.default_rng(seed)
    discounts = np.sort(rng.uniform(0.02, 0.8, (n, RUNGS)), axis=1) * (rng.uniform(size=(n, 1)) < 0.9)
    discounts[:, 0] = 0.0
    discounts += np.arange(RUNGS) * 1e-3
    regular = rng.uniform(5, 100, n)
    price = regular[:, None] * (1 - discounts)
    base = rng.gamma(2, 4, (n, WEEKS))
    demand = base[:, :, None] * (price / regular[:, None])[:, None, :] ** -rng.uniform(0.5, 4, (n, 1, 1))
    stock = np.round(base.sum(axis=1) * rng.choice([0.0, 0.3, 0.8, 1.5, 3.0], n))
    every = int(all_rungs(RUNGS))
    falling = np.array([every ^ ((2 << r) - 1) for r in range(RUNGS)])
    rises = rng.uniform(size=n) < 0.4
    steps = np.where(rises[:, None], every, falling) & rng.integers(1, every + 1, (n, RUNGS)) | rng.integers(
        0, 2, (n, 1)
    ) * np.where(rises[:, None], every, falling)
    targets = np.full((n, WEEKS), -np.inf)
    wanted, short = np.full((n, WEEKS), -np.inf), np.zeros((n, WEEKS))
    for i in range(n):
        if rng.uniform() < 0.4:
            targets[i, rng.choice([2, WEEKS - 1])] = stock[i] * rng.uniform(0.2, 1.0)
        if rng.uniform() < 0.4:
            week = rng.choice([1, WEEKS - 1])
            wanted[i, week], short[i, week] = stock[i] * rng.uniform(0.5, 1.3), rng.uniform(0.5, 20)
    horizon = rng.integers(3, WEEKS + 1, n)
    for i in range(n):
        moved = targets[i, horizon[i] :].max(initial=-np.inf)
        targets[i, horizon[i] :] = -np.inf
        targets[i, horizon[i] - 1] = max(targets[i, horizon[i] - 1], moved)
    return {
        "demand": demand,
        "price": price,
        "regular_price": regular,
        "unit_worth": price - rng.uniform(0, 0.9, (n, 1)) * price * rng.integers(0, 2, (n, 1)),
        "end_worth": regular * rng.uniform(-0.2, 0.5, n) * rng.integers(0, 2, n),
        "stock": stock,
        "horizon": horizon,
        "start": rng.choice([0, 0, 1, 2], n),
        "allowed": np.where(
            rng.uniform(size=(n, 1)) < 0.5, every, rng.integers(1, every + 1, (n, WEEKS)) | 1 << rng.integers(0, RUNGS)
        ).astype(np.uint64),
        "steps": steps.astype(np.uint64),
        "may_change": (rng.uniform(size=(n, WEEKS)) < 0.8) | (rng.uniform(size=(n, 1)) < 0.5),
        "most_markdowns": rng.choice([0, 1, 2, WEEKS, WEEKS], n),
        "weeks_between": rng.choice([1, 1, 2, 3], n),
        "weeks_waited": rng.integers(1, 4, n),
        "least_on_hand": stock * rng.uniform(0, 1, n) * rng.integers(0, 2, n),
        "must_sell": targets,
        "should_sell": wanted,
        "short_cost": short,
    }


def every_path(fields: dict[str, np.ndarray], i: int, tolls: Tolls) -> tuple[float, tuple[int, ...]]:
    """The best path by trying all of them, by the words of the fields' meaning."""
    f = {name: values[i] for name, values in fields.items()}
    best, best_path = -np.inf, ()
    for path in product(range(RUNGS), repeat=int(f["horizon"])):
        left, worth, cuts, before, changed = f["stock"], 0.0, 0, int(f["start"]), -int(f["weeks_waited"])
        for t, rung in enumerate(path):
            if not int(f["allowed"][t]) >> rung & 1:
                break
            if rung != before:
                late_enough = t - changed >= f["weeks_between"]
                if not (f["may_change"][t] and int(f["steps"][before]) >> rung & 1 and late_enough):
                    break
                changed = t
                if rung > before:
                    cuts += 1
                    if left < f["least_on_hand"] - 1e-9 or cuts > f["most_markdowns"]:
                        break
                    worth -= tolls.written_off[i, t] * (f["price"][before] - f["price"][rung]) * left
            sold = min(f["demand"][t, rung], left)
            left -= sold
            given = f["regular_price"] - f["price"][rung]
            worth += (f["unit_worth"][rung] - tolls.given_away[i, t] * given - tolls.stock[i]) * sold
            worth -= tolls.marked_down[i, t] * (given > 1e-9)
            gone = f["stock"] - left
            if gone < f["must_sell"][t] - 1e-9 * max(1.0, f["stock"]):
                break
            worth -= f["short_cost"][t] * max(0.0, f["should_sell"][t] - gone) if f["short_cost"][t] else 0.0
            before = rung
        else:
            worth += f["end_worth"] * left
            if worth > best:
                best, best_path = worth, path
    return best, best_path


def no_toll(n: int) -> Tolls:
    zeros = np.zeros((n, WEEKS))
    return Tolls(zeros, zeros, zeros, np.zeros(n))


@pytest.mark.parametrize("tolled", [False, True])
def test_equals_every_path_on_400_items(tolled):
    n = 400
    fields = drawn(n, seed=20261121 + tolled)
    tolls = no_toll(n)
    if tolled:
        rng = np.random.default_rng(3)
        tolls = Tolls(
            rng.uniform(0, 1, (n, WEEKS)),
            rng.uniform(0, 1, (n, WEEKS)) * (rng.uniform(size=(n, 1)) < 0.5),
            rng.normal(0, 20, (n, WEEKS)),
            rng.uniform(0, 10, n),
        )
    problem = plain_problem(**fields)
    found = best_paths(problem, tolls)
    true = [every_path(fields, i, tolls) for i in range(n)]
    values = np.array([value for value, _ in true])
    assert (found.feasible == np.isfinite(values)).all()
    assert 60 < (~found.feasible).sum() < 340
    ok = found.feasible
    # both add a handful of products; the search prunes at a relative 1e-10
    np.testing.assert_allclose(found.value[ok], values[ok], rtol=1e-9, atol=1e-9)
    assert (found.bound == found.value).all()
    assert (found.rungs[~ok] == -1).all()
    for i in np.flatnonzero(ok):
        assert (found.rungs[i, fields["horizon"][i] :] == -1).all()


def test_the_same_at_any_number_of_threads_and_in_any_company():
    problem = plain_problem(**drawn(200, seed=5))
    threads = numba.get_num_threads()
    both = best_paths(problem)
    try:
        numba.set_num_threads(1)
        one = best_paths(problem)
    finally:
        numba.set_num_threads(threads)
    alone = best_paths(problem.take(np.arange(37, 38)))
    for name in ("rungs", "value", "bound", "nodes"):
        np.testing.assert_array_equal(getattr(both, name), getattr(one, name))
        np.testing.assert_array_equal(getattr(both, name)[37:38], getattr(alone, name))


def test_a_stopped_search_says_how_much_better_it_could_be():
    problem = plain_problem(**drawn(300, seed=8))
    full, stopped = best_paths(problem), best_paths(problem, node_limit=12)
    cut = stopped.value < stopped.bound
    assert cut.any()
    found = np.isfinite(stopped.value)
    assert (stopped.value[found] <= full.value[found] + 1e-9).all()
    assert (stopped.bound >= full.value - 1e-9 * np.abs(full.value)).all()


def test_with_one_rung_the_season_is_an_account():
    problem = plain_problem(demand=np.full((1, 3, 1), 4.0), price=np.array([[5.0]]), stock=[10.0], end_worth=1.0)
    assert best_paths(problem).value[0] == 5.0 * 10.0
    problem = plain_problem(demand=np.full((1, 3, 1), 2.0), price=np.array([[5.0]]), stock=[10.0], end_worth=1.0)
    assert best_paths(problem).value[0] == 5.0 * 6.0 + 1.0 * 4.0


def test_no_items_and_no_stock():
    empty = plain_problem(demand=np.ones((0, 3, 2)), price=np.ones((0, 2)), stock=[])
    assert best_paths(empty).rungs.shape == (0, 3)
    none = plain_problem(demand=np.ones((1, 3, 2)), price=np.array([[2.0, 1.0]]), stock=[0.0])
    found = best_paths(none)
    # nothing is won by a cut, so the price stays
    assert found.rungs.tolist() == [[0, 0, 0]]
    assert found.value[0] == 0.0


def test_paths_above_a_floor_are_all_there_are():
    fields = drawn(60, seed=21)
    problem = plain_problem(**fields)
    best = best_paths(problem)
    floor = np.where(best.feasible, best.value - 0.2 * np.abs(best.value) - 1.0, 0.0)
    item, rungs, complete = paths_above(problem, None, floor, most=2000)
    assert complete.all()
    told = account(problem, item, rungs)
    assert told.kept.all()
    assert (told.value >= floor[item] - 1e-9).all()
    for i in np.flatnonzero(best.feasible):
        horizon = int(fields["horizon"][i])
        every = np.full((RUNGS**horizon, WEEKS), -1, np.int8)
        every[:, :horizon] = list(product(range(RUNGS), repeat=horizon))
        all_told = account(problem, np.full(len(every), i), every)
        # the floor itself may fall on either side of a rounding
        assert (item == i).sum() >= (all_told.kept & (all_told.value > floor[i] + 1e-6)).sum()
        assert (item == i).sum() <= (all_told.kept & (all_told.value > floor[i] - 1e-6)).sum()
    few = paths_above(problem, None, floor, most=3)
    assert np.bincount(few[0], minlength=60).max() <= 3
    assert not few[2].all()


def test_the_same_in_steps_that_show_progress(monkeypatch, capfd):
    fields = drawn(50, seed=23)
    problem = plain_problem(**{name: fields[name] for name in ("demand", "price", "stock")})
    whole = best_paths(problem)
    monkeypatch.setattr(path_search, "_ITEMS_A_STEP", 16)
    steps = best_paths(problem)
    for name in ("rungs", "value", "bound", "nodes"):
        np.testing.assert_array_equal(getattr(steps, name), getattr(whole, name))
    # where nobody looks nothing is said
    assert capfd.readouterr() == ("", "")
