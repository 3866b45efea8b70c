"""What given price paths sell, earn and give away, week by week: the account behind columns, plans and explanations."""

from dataclasses import dataclass

import numpy as np

from .path_search import PathProblem


@dataclass(frozen=True)
class Account:
    """m paths followed through the season; arrays are (m, T) unless said.

    ``sold`` and ``on_hand`` (at the week's start) in units; ``worth`` of the week's sales; ``given_away`` and
    ``written_off`` in money; ``marked_down`` is whether the week is below the regular price; ``value`` (m,) is the
    whole path's worth, the end and soft targets included; ``kept`` (m,) whether the path keeps every rule.
    """

    sold: np.ndarray
    on_hand: np.ndarray
    worth: np.ndarray
    given_away: np.ndarray
    written_off: np.ndarray
    marked_down: np.ndarray
    value: np.ndarray
    kept: np.ndarray


def account(
    problem: PathProblem, rows: np.ndarray, rungs: np.ndarray, *, unsold_from: np.ndarray | None = None
) -> Account:
    """Follow paths of items.

    Parameters
    ----------
    problem : PathProblem
    rows : ndarray of shape (m,), int
        The item of each path; an item may have several.
    rungs : ndarray of shape (m, T), int
        -1 off sale.
    unsold_from : ndarray of shape (m,), int, optional
        Week from which nothing is sold any more, where stock is shared.

    Examples
    --------
    >>> from regulars.pricing.path_search import plain_problem
    >>> one = plain_problem(demand=np.array([[[1.0, 3.0], [1.0, 3.0]]]), price=np.array([[10.0, 6.0]]), stock=[4.0])
    >>> found = account(one, np.array([0]), np.array([[0, 1]]))
    >>> found.sold.tolist(), found.value.tolist(), found.given_away.tolist()
    ([[1.0, 3.0]], [28.0], [[0.0, 12.0]])
    """
    p = problem
    m, weeks = rungs.shape
    left = p.stock[rows].astype(np.float64)
    stock = left.copy()
    slack = 1e-9 * np.maximum(1.0, stock)
    before = p.start[rows].copy()
    cuts = np.zeros(m, np.int64)
    changed = -p.weeks_waited[rows]
    kept = np.ones(m, np.bool_)
    value = np.zeros(m)
    out = {name: np.zeros((m, weeks)) for name in ("sold", "on_hand", "worth", "given_away", "written_off")}
    marked = np.zeros((m, weeks), np.bool_)
    for t in range(weeks):
        on_sale = t < p.horizon[rows]
        rung = np.where(on_sale, rungs[:, t], 0).astype(np.int64)
        kept &= on_sale == (rungs[:, t] >= 0)
        rung = np.maximum(rung, 0)
        kept &= ~on_sale | _bit(p.allowed[rows, t], rung)
        change = on_sale & (rung != before)
        down = change & (rung > before)
        kept &= ~change | (p.may_change[rows, t] & _bit(p.steps[rows, before], rung))
        kept &= ~change | (t - changed >= p.weeks_between[rows])
        changed = np.where(change, t, changed)
        cuts += down
        kept &= ~down | (left >= p.least_on_hand[rows] - slack)
        kept &= ~down | (cuts <= p.most_markdowns[rows]) | (p.most_markdowns[rows] >= weeks)
        price = p.price[rows, rung]
        out["on_hand"][:, t] = left
        out["written_off"][:, t] = np.where(down, (p.price[rows, before] - price) * left, 0.0)
        selling = on_sale if unsold_from is None else on_sale & (t < unsold_from)
        sold = np.where(selling, np.minimum(p.demand[rows, t, rung], left), 0.0)
        left = left - sold
        given = p.regular_price[rows] - price
        out["sold"][:, t], out["worth"][:, t] = sold, p.unit_worth[rows, rung] * sold
        out["given_away"][:, t] = given * sold
        marked[:, t] = on_sale & (given > 1e-9)
        gone = stock - left
        kept &= ~on_sale | (gone >= p.must_sell[rows, t] - slack)
        short = np.maximum(p.should_sell[rows, t] - gone, 0.0)
        value -= np.where(on_sale & (p.short_cost[rows, t] > 0.0), p.short_cost[rows, t] * short, 0.0)
        before = np.where(on_sale, rung, before)
    value += out["worth"].sum(axis=1) + p.end_worth[rows] * left
    return Account(**out, marked_down=marked, value=value, kept=kept)


def _bit(masks: np.ndarray, rung: np.ndarray) -> np.ndarray:
    return (masks >> rung.astype(np.uint64)) & np.uint64(1) == 1
