"""Cross-price elasticities within a category: who sells instead of whom, and who along with whom.

Each item's demand is read on its own price and those of the items around it in the same store and week, prices
instrumented by the shop's costs where these are known; the many weak estimates are drawn to the category's usual cross
elasticity, and what is not believed is refused with its reason. A week's shock common to the category is not taken out,
as it is for own prices: it would take along what one item's price does to all the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..sql.errors import ModelError
from ..sql.findings import Finding
from ..sql.frames import frame_like
from .censored_poisson import fit_counts, log_likelihood
from .elasticity import control_columns, grouped_items, panel_findings
from .error_persistence import Persistence, week_series
from .instruments import STRONG_F, available, excluded, first_stage, within
from .panel_arrays import PanelArrays, read_panel

_Z90 = 1.6448536269514722
_FEWEST_ROWS = 30
_WEEKS_A_PRICE = 6
_FURTHER_PRICES = 10
_LEAST_SHARED, _MOST_SHARED = 0.5, 0.9
_USUAL_DEVIATION, _ITS_SPREAD = 0.1, 1.0
_SAME_PRICE = 0.02
# of a single instrument: its answer is then off by less than its own error (Angrist and Kolesar 2024)
_LEAST_F = 4.0


@dataclass(frozen=True)
class CrossElasticities:
    """Cross elasticities of a panel.

    Attributes
    ----------
    table : frame
        A row per pair: ``item, other, elasticity`` (percent of the item's units per percent of the other's price),
        ``standard_error, lower, upper`` (90%), ``own_elasticity`` beside it, ``own_data_share``, ``kind``
        ("substitute", "complement" or "unclear"), ``accepted, reason``.
    usual : dict of str to float
        Mean cross elasticity by category.
    findings : tuple of Finding
        What a reader must know.

    Examples
    --------
    >>> from regulars.pricing.simulate import simulate_prices
    >>> found = estimate_cross_elasticities(simulate_prices(items=4, stores=4, weeks=60, cross=0.4).frame(), others=2)
    >>> list(found.table.columns)[:3], len(found.rows) == len(found.table)
    (['item', 'other', 'elasticity'], True)
    """

    table: Any
    usual: dict[str, float]
    rows: tuple[dict[str, Any], ...] = field(repr=False)
    findings: tuple[Finding, ...] = ()


def estimate_cross_elasticities(
    panel: Any, *, others: int = 6, controls: Sequence[str] | None = None, progress: bool = True
) -> CrossElasticities:
    """Estimate how each item's demand answers to the prices of the best sellers of its category.

    Parameters
    ----------
    panel : frame
        As of `price_panel`.
    others : int
        How many of them, at most. Further items' prices are held beside them as far as there are weeks for it, those
        first that move with the item's own: what is left out is credited to what it moves with.
    controls : sequence of str, optional
        What else moves demand, as in `estimate_elasticities`.
    progress : bool
        Whether a terminal on stderr sees how far it is.

    Raises
    ------
    ContractError
        The panel is not one.
    ModelError
        ``others`` is below 1, or no pair of items shares rows enough.

    Notes
    -----
    Cross elasticities of a category are normal around its usual one; an item's are drawn to it together, with the
    covariance of their estimates, so that two prices that move together share what they do (Efron and Morris 1972).

    Examples
    --------
    >>> from regulars.pricing.simulate import simulate_prices
    >>> history = simulate_prices(items=8, stores=10, weeks=104, cross=0.4, seed=2)
    >>> found = estimate_cross_elasticities(history.frame(), others=3)
    >>> bool(0.1 < found.usual["category"] < 0.8)
    True
    """
    from tqdm import tqdm

    if not isinstance(others, int | np.integer) or others < 1:
        raise ModelError(f"others = {others!r} is not allowed; give a whole number from 1")
    controls = (controls,) if isinstance(controls, str) else controls
    arrays = read_panel(panel, controls or ())
    with_controls = control_columns(arrays, controls)
    findings = panel_findings(arrays, with_controls)
    named = available(arrays)
    instruments = excluded(arrays, named) if named else None
    rows: list[dict[str, Any]] = []
    usual, weak, fitted, left_out = {}, 0, 0, 0
    # disable=None is off where stderr is no terminal
    with tqdm(total=len(arrays.items), desc="cross prices", disable=None if progress else True, leave=False) as bar:
        for path, items in grouped_items(arrays).items():
            category = _Category(arrays, items, int(others), with_controls, instruments)
            answers = []
            for item in items:
                answers.append(category.item(item))
                bar.update()
            known = [answer for answer in answers if answer is not None]
            fitted += len(known)
            weak += sum(not answer.instrumented for answer in known)
            left_out = max([left_out, *(answer.left_out for answer in known)])
            if known:
                name = " / ".join(path) or "all"
                usual[name], made = _drawn(known)
                rows += made
    if not rows:
        raise ModelError(
            f"no two items of a category share {_FEWEST_ROWS} rows of store and week with prices that move apart"
        )
    if left_out:
        findings.append(
            Finding(
                "prices_left_out",
                False,
                f"Up to {left_out} prices of a category are not held beside an item's: there are not weeks enough.",
                "What they do is credited to the prices that they move with; take smaller categories, or more weeks.",
            )
        )
    if weak:
        findings.append(
            Finding(
                "prices_as_they_are",
                False,
                f"{weak} of {fitted} items are read with prices as they are: "
                + ("their costs move them too little." if named else "no cost that moves them is known."),
                "Where the shop prices by what demand it expects, own and cross responses are understated; give what "
                "promotions cost.",
            )
        )
    import pyarrow as pa

    return CrossElasticities(frame_like(panel, pa.Table.from_pylist(rows)), usual, tuple(rows), tuple(findings))


@dataclass(frozen=True)
class _Answer:
    """One item's regression: estimates for ``others`` and their covariance; ``same`` are prices not told apart."""

    item: str
    others: tuple[str, ...]
    wanted: int
    estimate: np.ndarray
    covariance: np.ndarray
    own: float
    instrumented: bool
    weak: bool
    left_out: int
    same: dict[str, str]


class _Category:
    """Prices of a category's items by store and week, as they are and as their costs explain them."""

    def __init__(
        self,
        panel: PanelArrays,
        items: Sequence[int],
        others: int,
        controls: Sequence[str],
        instruments: np.ndarray | None,
    ) -> None:
        self.panel, self.others, self.controls, self.instruments = panel, others, controls, instruments
        sold = np.bincount(panel.item, panel.units, len(panel.items))
        self.ranked = sorted(items, key=lambda i: (-sold[i], panel.items[i]))
        self.place = panel.store.astype(np.int64) * len(panel.weeks) + panel.week
        self.price: dict[int, np.ndarray] = {}
        for i in self.ranked:
            self.price[i] = np.full(len(panel.stores) * len(panel.weeks), np.nan)
            self.price[i][self.place[panel.rows(i)]] = self._explained(i)

    def _explained(self, item: int) -> np.ndarray:
        """The item's log price, what its costs do not explain left out where they are strong."""
        span = self.panel.rows(item)
        log_price = np.log(self.panel.price[span])
        if self.instruments is None or not np.isfinite(self.instruments[span]).all():
            return log_price
        group = np.unique(self.panel.store[span], return_inverse=True)[1]
        stage = first_stage(
            log_price, self.instruments[span], np.empty((len(group), 0)), group, self.panel.week[span]
        )  # fmt: skip
        return log_price if stage is None or not stage.f >= STRONG_F else log_price - stage.residual

    def item(self, item: int) -> _Answer | None:
        """Fit one item; None where its rows do not carry it."""
        panel, span = self.panel, self.panel.rows(item)
        rows = np.arange(span.start, span.stop)
        around = self._around(item, rows)
        theirs = np.stack([self.price[i][self.place[rows]] for i in around], axis=1) if around else np.empty((0, 0))
        whole = np.isfinite(theirs).all(axis=1)
        rows, theirs = rows[whole], theirs[whole]
        if not around or len(rows) < _FEWEST_ROWS:
            return None
        group = np.unique(panel.store[rows], return_inverse=True)[1]
        own = np.log(panel.price[rows])
        columns = [np.nan_to_num(panel.columns[name][rows]) for name in self.controls]
        turn = 2.0 * np.pi * (panel.weeks - panel.weeks[0]).astype(float)[panel.week[rows]] / 365.25
        columns += [wave(k * turn) for k in (1, 2) for wave in (np.sin, np.cos)]
        columns.append(panel.week[rows] / len(panel.weeks))
        if panel.holiday is not None:
            columns.append(panel.holiday[rows].astype(float))
        x = np.column_stack([own, theirs, *columns])
        held, same = _told_apart(within(x, group), len(around))
        if 0 not in held:
            return None
        x = x[:, held]
        stage = None
        if self.instruments is not None and np.isfinite(self.instruments[rows]).all():
            # one instrument, what its costs make of its price: beside prices of the same promotions several would be
            # weak, and weak ones err towards prices as they are
            explained = self.price[item][self.place[rows]][:, None]
            stage = first_stage(own, explained, x[:, 1:], group, panel.week[rows])
            stage = stage if stage is not None and stage.f >= _LEAST_F else None
        if stage is not None and float(np.std(stage.residual)) > 1e-6:
            x = np.column_stack([x, stage.residual])
        out = panel.sold_out[rows] if panel.sold_out is not None else None
        try:
            fit = fit_counts(panel.units[rows], x, group, sold_out=out)
        except (ModelError, np.linalg.LinAlgError):
            return None
        pairs = [k for k in held if 0 < k <= len(around)]
        at = np.array([held.index(k) for k in pairs], dtype=int)
        covariance = _covariance(panel.units[rows], x, group, panel.week[rows], out, fit)
        names = [panel.items[i] for i in around]
        return _Answer(
            panel.items[item],
            tuple(names[k - 1] for k in pairs),
            self.others,
            fit.slope[at],
            covariance[np.ix_(at, at)],
            float(fit.slope[0]),
            stage is not None,
            stage is None and self.instruments is not None,
            len(self.ranked) - 1 - len(around),
            {names[j - 1]: panel.items[item] if k == 0 else names[k - 1] for j, k in same.items()},
        )

    def _around(self, item: int, rows: np.ndarray) -> list[int]:
        """The best sellers, and then those whose prices move most with the item's own."""
        seen = {i: np.isfinite(self.price[i][self.place[rows]]).mean() for i in self.ranked if i != item}
        first = [i for i in seen if seen[i] > _LEAST_SHARED][: self.others]
        weeks = len(np.unique(self.panel.week[rows]))
        room = min(weeks // _WEEKS_A_PRICE, self.others + _FURTHER_PRICES) - len(first)
        rest = [i for i in seen if i not in first and seen[i] > _MOST_SHARED]
        group = self.panel.store[rows]
        own = within(np.log(self.panel.price[rows])[:, None], group)[:, 0]

        def moves_with(i: int) -> float:
            theirs = self.price[i][self.place[rows]]
            theirs = np.where(np.isfinite(theirs), theirs, np.nanmean(theirs))
            theirs = within(theirs[:, None], group)[:, 0]
            scale = float(own @ own) * float(theirs @ theirs)
            return abs(float(own @ theirs)) / scale**0.5 if scale > 0 else 0.0

        rest = sorted(rest, key=lambda i: (-round(moves_with(i), 9), self.panel.items[i]))
        return first + rest[: max(room, 0)]


def _told_apart(columns: np.ndarray, prices: int) -> tuple[list[int], dict[int, int]]:
    """Columns that say something of their own; and of prices that do not, which one they move with."""
    held: list[int] = []
    same: dict[int, int] = {}
    # an orthonormal basis of what is held: twice, for once loses digits
    basis = np.empty((columns.shape[1], len(columns)))
    for k, column in enumerate(columns.T):
        scale = float(column @ column)
        if scale <= 1e-8 * len(column):
            continue
        known = basis[: len(held)]
        rest = column - (known @ column) @ known
        rest = rest - (known @ rest) @ known
        left = float(rest @ rest)
        if left > _SAME_PRICE * scale or not held:
            basis[len(held)] = rest / left**0.5
            held.append(k)
        elif 0 < k <= prices:
            near = [abs(float(column @ columns[:, j])) / float(columns[:, j] @ columns[:, j]) ** 0.5 for j in held]
            same[k] = held[int(np.argmax(near))]
    return held, {j: k for j, k in same.items() if k <= prices}


def _covariance(
    units: np.ndarray, x: np.ndarray, group: np.ndarray, week: np.ndarray, out: np.ndarray | None, fit: Any
) -> np.ndarray:
    """That of the likelihood, raised for shocks that a week's stores share and that last, and for what was fitted."""
    bread = fit.covariance
    total = np.bincount(group, fit.weight) + 1e-12
    centred = x - np.stack([np.bincount(group, fit.weight * c) / total for c in x.T], axis=1)[group]
    score = np.zeros(len(units))
    at = np.flatnonzero(np.isfinite(fit.predictor))
    score[at] = log_likelihood(units[at], fit.predictor[at], None if out is None else out[at], fit.size)[1]
    persistence = Persistence.of([week_series(week, score, fit.weight)])
    makes = centred @ bread
    lasting = np.array([persistence.of_slope(*week_series(week, fit.weight * m, fit.weight)) for m in makes.T])
    index = np.unique(week, return_inverse=True)[1]
    weeks = int(index.max()) + 1
    sums = np.stack([np.bincount(index, score * m) for m in makes.T], axis=1)
    spare = max(weeks - x.shape[1] - 1.0, 0.25 * weeks)
    robust = (sums**2).sum(axis=0) * weeks / max(spare - 2.0, 1.0) / np.diag(bread)
    # one number for all: the sandwich of so many prices and so few weeks is itself a guess
    raised = max(1.0, float(np.median(robust)))
    scale = np.sqrt(lasting * raised)
    return bread * np.outer(scale, scale)


def _drawn(answers: Sequence[_Answer]) -> tuple[float, list[dict[str, Any]]]:
    """The category's usual cross elasticity, and each pair's answer drawn to it, over what their spread may be."""
    grid = np.exp(np.linspace(np.log(0.01), np.log(1.5), 31))
    likelihood, usual, spread, parts = [], [], [], []
    for tau in grid:
        weights = [np.linalg.inv(a.covariance + tau**2 * np.eye(len(a.others))) for a in answers]
        precision = sum(float(w.sum()) for w in weights)
        mean = sum(float((w @ a.estimate).sum()) for w, a in zip(weights, answers, strict=True)) / precision
        value = -0.5 * np.log(precision) - 0.5 * ((np.log(tau) - np.log(_USUAL_DEVIATION)) / _ITS_SPREAD) ** 2
        posterior = []
        for w, a in zip(weights, answers, strict=True):
            left = a.estimate - mean
            value += 0.5 * np.linalg.slogdet(w)[1] - 0.5 * float(left @ w @ left)
            # drawn to the mean, whose own error moves every pair by what it is drawn
            pull = tau**2 * w
            moved = 1.0 - pull.sum(axis=1)
            posterior.append((mean + pull @ left, tau**2 * (1.0 - np.diag(pull)) + moved**2 / precision, np.diag(pull)))
        likelihood.append(value)
        usual.append(mean)
        spread.append(1.0 / precision)
        parts.append(posterior)
    chance = np.exp(np.array(likelihood) - max(likelihood))
    chance /= chance.sum()
    rows = []
    typical = float(chance @ np.array(usual))
    for i, answer in enumerate(answers):
        means, variances, shares = (np.stack([part[i][k] for part in parts]) for k in range(3))
        mean = chance @ means
        deviation = np.sqrt(chance @ (variances + (means - mean) ** 2))
        share = np.clip(chance @ shares, 0.0, 1.0)
        wanted = {name: k for k, name in enumerate(answer.others)}
        told = [*answer.others, *(name for name in answer.same if name not in wanted)][: answer.wanted]
        beside = {**answer.same, **{k: j for j, k in answer.same.items()}}
        alone = float(np.sqrt(chance @ (grid**2 + np.array(spread) + (np.array(usual) - typical) ** 2)))
        for name in told:
            pair = {
                "item": answer.item,
                "other": name,
                "own_elasticity": answer.own,
                "moves_with": beside.get(name),
                "weak": answer.weak,
            }
            k = wanted.get(name)
            if k is None:
                rows.append(_row(pair, typical, alone, 0.0))
            else:
                rows.append(_row(pair, float(mean[k]), float(deviation[k]), float(share[k])))
    return typical, rows


def _row(pair: dict[str, Any], mean: float, deviation: float, share: float) -> dict[str, Any]:
    lower, upper = mean - _Z90 * deviation, mean + _Z90 * deviation
    own = pair["own_elasticity"]
    reason = ""
    if pair.get("moves_with"):
        reason = f"its price moves with that of {pair['moves_with']}: whose effect it is cannot be told"
    elif pair.get("weak"):
        reason = "its costs do not move its own price apart from the others': what answers to demand cannot be told"
    elif own > -0.1:
        reason = f"the item's own elasticity beside it is {own:.2f}: such a pair of answers is not believed"
    elif abs(mean) > abs(own):
        reason = f"{mean:+.2f} is more than the item answers to its own price, {own:.2f}"
    elif abs(mean) > 3.0:
        reason = f"{mean:+.2f} is beyond 3"
    return {
        "item": pair["item"],
        "other": pair["other"],
        "elasticity": mean,
        "standard_error": deviation,
        "lower": lower,
        "upper": upper,
        "own_elasticity": own,
        "own_data_share": share,
        "kind": "substitute" if lower > 0 else "complement" if upper < 0 else "unclear",
        "accepted": not reason,
        "reason": reason,
    }
