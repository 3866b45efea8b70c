"""Own-price elasticities of a panel's items: estimated, shrunk to their category, and held to gates.

What is estimated follows from what the panel knows, never from a forecast error, for forecast accuracy and accuracy of
price response rank in opposite order. Where the cost of promotions, or of goods, is known, it instruments the price;
where stock is known, weeks that sold out count as lower bounds; and only then is an item weighed with its category.
Each of the widest categories is taken as if it stood alone in the panel: what one knows decides nothing of another.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..sql.contract import ELASTICITIES
from ..sql.errors import ModelError, nearest
from ..sql.findings import Finding
from ..sql.frames import contract_table, frame_like
from .category_fit import FEWEST_ITEMS, FITS_AN_ITEM, ItemSlope, fit_category
from .gates import Gates
from .instruments import INSTRUMENTS, available, excluded, within
from .panel_arrays import PanelArrays, read_panel
from .shrinkage import Path, Shrunk, apart, shrink

METHODS = ("auto", "poisson", "instruments")
_Z90 = 1.6448536269514722
_CHANGE = 0.01
_EARLIER = 0.75
_FEWEST_LATER_WEEKS = 20
_TOGETHER, _BLOCK = 0.7, 1_000


@dataclass(frozen=True)
class ElasticityTable:
    """Elasticities of a panel's items.

    Attributes
    ----------
    table : frame
        A row per item in the shape of ``contract.ELASTICITIES``, of the panel's kind.
    method : str
        ``"poisson"`` or ``"instruments"``, and whether sold-out weeks count as lower bounds; several, with commas
        between, where categories differ.
    findings : tuple of Finding
        What a reader must know.
    elasticity, standard_error : ndarray of shape (items,)
        In the table's order; ``items`` are the names, ``reasons`` why they were refused, '' where accepted.
    categories : dict
        Category to (mean elasticity, its standard deviation); () is what a category not in the panel would have.

    Examples
    --------
    >>> from regulars.pricing.simulate import simulate_prices
    >>> found = estimate_elasticities(simulate_prices(items=3, stores=4, weeks=60, seed=1).frame(), held_out=False)
    >>> list(found.as_mapping()), found.answer("a new one")["own_data_share"]
    (['item_0000', 'item_0001', 'item_0002'], 0.0)
    """

    table: Any
    method: str
    findings: tuple[Finding, ...]
    items: tuple[str, ...] = field(repr=False)
    elasticity: np.ndarray = field(repr=False)
    standard_error: np.ndarray = field(repr=False)
    accepted: np.ndarray = field(repr=False)
    reasons: tuple[str, ...] = field(repr=False)
    categories: dict[Path, tuple[float, float]] = field(repr=False)
    _shrunk: Shrunk | None = field(repr=False, default=None)

    def as_mapping(self) -> dict[str, float]:
        """Return the elasticity by item."""
        return dict(zip(self.items, self.elasticity.tolist(), strict=True))

    def answer(self, item: str | None = None, category: Sequence[str] = ()) -> dict[str, Any]:
        """Return what is known of an item, in the panel or new.

        Parameters
        ----------
        item : str, optional
            Name; an item that the panel has not seen gets its category's answer.
        category : sequence of str
            Categories of a new item from the widest; the nearest that is known answers.

        Returns
        -------
        dict
            ``elasticity, standard_error, lower, upper, own_data_share, category_share, sentence``.

        Raises
        ------
        ModelError
            Nothing in the panel had a price that moved, or the item has no answer.
        """
        if item in self.items:
            at = self.items.index(item)
            if not np.isfinite(self.elasticity[at]):
                raise ModelError(f"{item!r} has no elasticity: {self.reasons[at]}")
            share = float(np.asarray(self._shares)[at])
            return _answer(float(self.elasticity[at]), float(self.standard_error[at]), share, item)
        if self._shrunk is None:
            raise ModelError("no item of the panel had a price that moved: there is no answer for another one")
        mean, deviation = self._shrunk.new_item(tuple(category))
        return _answer(mean, deviation, 0.0, item or "a new item")

    @property
    def _shares(self) -> np.ndarray:
        return self._shrunk.own_share if self._shrunk is not None else np.zeros(len(self.items))


def estimate_elasticities(
    panel: Any,
    *,
    method: str = "auto",
    instruments: Sequence[str] | None = None,
    controls: Sequence[str] | None = None,
    censored: bool = True,
    shrunk: bool = True,
    form: str = "log",
    gates: Gates | None = None,
    held_out: bool = True,
    progress: bool = True,
) -> ElasticityTable:
    """Estimate the own-price elasticity of every item of a panel.

    Parameters
    ----------
    panel : frame
        As of `price_panel`: ``item, week, units, price``, and what else is known: ``store_id``, ``promoted``,
        ``display``, ``mailer``, ``unit_cost``, ``promotion_cost``, ``on_hand`` or ``sold_out``, ``competitor_price``,
        ``category_1..3``.
    method : str
        ``"poisson"``: demand on price, the weeks' common shocks and what was promoted. ``"instruments"``: the same with
        the price instrumented. ``"auto"``: instruments where the panel knows the shop's costs and they are strong in
        more than half of a category's items, Poisson otherwise; ``category_1`` is meant, and all those of fewer than
        eight items together.
    instruments : sequence of str, optional
        Of ``"promotion_cost"``, ``"cost"``, ``"regular_price"``; what the panel has of the first two without.
    controls : sequence of str, optional
        Columns that move demand besides the price, of the panel's own or any with numbers. Without: ``display`` and
        ``mailer`` where they are known, else ``promoted``; and the logarithm of ``competitor_price`` where it is known.
    censored : bool
        Whether weeks that sold out are lower bounds; only for comparison should they not be.
    shrunk : bool
        Whether items are weighed with their category.
    form : str
        ``"log"``, or ``"linear"`` (semi-log; the elasticity is that at the item's mean price).
    gates : Gates, optional
        Bounds of what is believed.
    held_out : bool
        Whether the response to the last quarter's price changes is held against the one before; takes as long again.
    progress : bool
        Whether a terminal on stderr sees how far it is.

    Raises
    ------
    ContractError
        The panel is not one, see `read_panel`.
    ModelError
        An unknown choice, or instruments that the panel does not have.

    Notes
    -----
    Demand of item i in store s and week t is a count with mean ``exp(a_is + d_t + e_i log p + g_i x + r_i v)`` and a
    gamma shock; ``d_t`` is common to the category, ``v`` is the part of the price that the instruments do not explain
    (a control function). ``e_i`` has an error clustered by store and week, and is normal around its category's. Source:
    Wooldridge (2015), Control Function Methods in Applied Econometrics; Efron and Morris (1975).

    Examples
    --------
    >>> from regulars.pricing.simulate import CONFOUNDING, simulate_prices
    >>> history = simulate_prices(items=8, stores=10, weeks=104, confounding=CONFOUNDING, seed=3)
    >>> found = estimate_elasticities(history.frame(), held_out=False)
    >>> found.method
    'instruments'
    >>> naive = estimate_elasticities(history.frame(), method="poisson", held_out=False)
    >>> bool(abs(found.elasticity - history.own).mean() < 0.25)
    True
    >>> bool(abs(naive.elasticity - history.own).mean() > 0.5)
    True
    """
    if method not in METHODS:
        close = nearest(method, METHODS) if isinstance(method, str) else ""
        raise ModelError(f"method = {method!r} is not allowed{close}; give {', '.join(METHODS)}")
    if form not in ("log", "linear"):
        raise ModelError(f"form = {form!r} is not allowed; give 'log' or 'linear'")
    gates = gates or Gates()
    controls = (controls,) if isinstance(controls, str) else controls
    instruments = (instruments,) if isinstance(instruments, str) else instruments
    arrays = read_panel(panel, controls or ())
    findings = panel_findings(arrays, control_columns(arrays, controls), censored=censored) + _moving_together(arrays)
    named = tuple(instruments) if instruments is not None else available(arrays)
    if method == "instruments" and not named:
        raise ModelError(
            "method = 'instruments' needs the column promotion_cost or unit_cost in the panel, or "
            "instruments=('regular_price',); it has neither"
        )
    if method != "poisson" and named:
        excluded(arrays, named)  # all must be known of some category
    found = _Found(len(arrays.items))
    for items in apart(arrays.path).values():
        part = arrays if len(items) == len(arrays.items) else arrays.of_items(items)
        known = named if instruments is not None or method == "instruments" else available(part)
        options: dict[str, Any] = {
            "controls": [
                name for name in control_columns(arrays if controls else part, controls) if name in part.columns
            ],
            "censored": censored,
            "form": form,
            "progress": progress,
        }
        slopes, chosen = _estimated(part, method, known, gates, found, options)
        label = f"censored {chosen}" if part.sold_out is not None and part.sold_out.any() else chosen
        later = _later(part, chosen, known, options) if held_out else np.full(len(items), np.nan)
        for i, slope, gap in zip(items, slopes, later, strict=True):
            found.slopes[i], found.later[i], found.methods[i] = slope, gap, label
    return _table(panel, arrays, found, gates, findings + found.weak_instruments(), shrunk)


class _Found:
    """What the categories' own fits said, by item of the panel."""

    def __init__(self, n_items: int) -> None:
        nothing = ItemSlope(np.nan, np.nan, 0, np.nan, np.nan, "no rows")
        self.slopes = [nothing] * n_items
        self.later = np.full(n_items, np.nan)
        self.methods = [""] * n_items
        self.weak: list[tuple[tuple[str, ...], int, int]] = []

    def weak_instruments(self) -> list[Finding]:
        """Whether there were instruments too weak to be used."""
        if not self.weak:
            return []
        names = dict.fromkeys(name for named, _, _ in self.weak for name in named)
        strong, items = sum(moved for _, moved, _ in self.weak), sum(of for _, _, of in self.weak)
        return [
            Finding(
                "weak_instruments",
                False,
                f"{', '.join(names)} moves the price of {strong} of {items} items enough.",
                "Prices are taken as they are: where the shop discounts by what demand it expects, the response is "
                "understated. Give what promotions cost, or run a price test.",
            )
        ]


def _estimated(
    panel: PanelArrays, method: str, named: tuple[str, ...], gates: Gates, found: _Found, options: dict[str, Any]
) -> tuple[list[ItemSlope], str]:
    """Each item's slope, and the method that was chosen for all."""
    missing = [column for name in named for column in INSTRUMENTS[name] if column not in panel.columns]
    if method == "instruments" and missing:
        why = f"{missing[0]} is known of none of its category"
        rows = np.diff(panel.starts)
        return [ItemSlope(np.nan, np.nan, int(n), np.nan, np.nan, why) for n in rows], "instruments"
    if method != "poisson" and named and not missing:
        slopes = _fit(panel, instruments=excluded(panel, named), **options)
        strong = np.nan_to_num([slope.f for slope in slopes]) >= gates.least_f
        if method == "instruments" or strong.mean() > 0.5:
            return slopes, "instruments"
        found.weak.append((named, int(strong.sum()), len(strong)))
    return _fit(panel, **options), "poisson"


def _fit(panel: PanelArrays, *, progress: bool, **options: Any) -> list[ItemSlope]:
    from tqdm import tqdm

    slopes: dict[int, ItemSlope] = {}
    # disable=None is off where stderr is no terminal
    with tqdm(
        total=FITS_AN_ITEM * len(panel.items), desc="price response", disable=None if progress else True, leave=False
    ) as bar:
        for items in grouped_items(panel).values():
            slopes |= dict(zip(items, fit_category(panel, items, done=bar.update, **options), strict=True))
    return [slopes[i] for i in range(len(panel.items))]


def grouped_items(panel: PanelArrays) -> dict[Path, list[int]]:
    """Items by the narrowest of their categories that has items enough to tell a week's shock from a price."""
    count: dict[Path, int] = {}
    for path in panel.path:
        for depth in range(len(path) + 1):
            count[path[:depth]] = count.get(path[:depth], 0) + 1
    groups: dict[Path, list[int]] = {}
    for i, path in enumerate(panel.path):
        depth = next((d for d in range(len(path), 0, -1) if count[path[:d]] >= FEWEST_ITEMS), 0)
        groups.setdefault(path[:depth], []).append(i)
    return groups


def _later(panel: PanelArrays, chosen: str, named: tuple[str, ...], options: dict[str, Any]) -> np.ndarray:
    """How far the response to later price changes is from the earlier, in standard errors; NaN where unknown."""
    at = np.arange(len(panel.weeks))
    cut = int(_EARLIER * len(at))
    none = np.full(len(panel.items), np.nan)
    missing = any(column not in panel.columns for name in named for column in INSTRUMENTS[name])
    if len(at) - cut < _FEWEST_LATER_WEEKS or (chosen == "instruments" and missing):
        return none
    z = excluded(panel, named) if chosen == "instruments" else None
    before, after = (_fit(panel, instruments=z, weeks=part, **options) for part in (at < cut, at >= cut))
    gap = np.array([b.elasticity - a.elasticity for a, b in zip(before, after, strict=True)])
    return gap / np.sqrt([a.variance + b.variance for a, b in zip(before, after, strict=True)])


def control_columns(panel: PanelArrays, asked: Sequence[str] | None) -> tuple[str, ...]:
    """Columns of the panel's arrays that move demand besides the price: those asked for, or what is known.

    Raises
    ------
    ModelError
        A column that the panel does not have.
    """
    if asked is not None:
        named = tuple("log_competitor_price" if name == "competitor_price" else name for name in asked)
        for name in named:
            if name not in panel.columns:
                raise ModelError(
                    f"control {name!r} is no column with numbers in the panel{nearest(name, list(panel.columns))}; it "
                    f"has {', '.join(sorted(panel.columns))}"
                )
        return named
    shown = [name for name in ("display", "mailer") if name in panel.columns and np.ptp(panel.columns[name]) > 0]
    theirs = ["log_competitor_price"] if np.nanstd(panel.columns.get("log_competitor_price", np.zeros(1))) > 0 else []
    # a flag made of the discount itself says something only where nothing better is known
    flag = ["promoted"] if not shown and "promoted" in panel.columns else []
    return (*shown, *flag, *theirs)


def panel_findings(panel: PanelArrays, controls: Sequence[str] = (), *, censored: bool = True) -> list[Finding]:
    """What a reader of anything made of a panel must know: of stock, competitors' prices, and rows left out."""
    findings = []
    if panel.sold_out is None:
        findings.append(
            Finding(
                "stock_unknown",
                False,
                "The panel knows no stock: weeks that sold out cannot be told from weeks of low demand.",
                "Demand cut off where discounts are deep makes the response look weaker than it is; map [stock].",
            )
        )
    elif panel.sold_out.any():
        share = float(panel.sold_out.mean())
        how = "count as lower bounds of demand" if censored else "count as if demand had ended with stock"
        findings.append(Finding("sold_out", False, f"{share:.0%} of rows sold out and {how}.", "Nothing to do."))
    if "log_competitor_price" in controls:
        unknown = float(np.isnan(panel.columns["log_competitor_price"]).mean())
        if unknown:
            findings.append(
                Finding(
                    "competitor_price_unknown",
                    False,
                    f"{unknown:.0%} of rows have no competitor's price: they are left out, and items of which less "
                    "than half are known go without it.",
                    "Fill it in where it is known to have stood.",
                )
            )
    for reason, count in panel.dropped.items():
        findings.append(Finding(reason, False, f"{count} rows have no price and are left out.", "Map unit_price."))
    return findings


def _moving_together(panel: PanelArrays) -> list[Finding]:
    """Whether items' prices move along with another's of their category: what that one does is credited to them."""
    count = 0
    for items in grouped_items(panel).values():
        moves = np.zeros((len(items), len(panel.weeks)))
        for k, i in enumerate(items):
            rows = panel.rows(i)
            group = np.unique(panel.store[rows], return_inverse=True)[1]
            log_price = within(np.log(panel.price[rows])[:, None], group)[:, 0]
            moves[k] = np.bincount(panel.week[rows], log_price, len(panel.weeks))
        scale = np.sqrt((moves**2).sum(axis=1))
        moves = moves[scale > 1e-9] / scale[scale > 1e-9, None]
        for first in range(0, len(moves), _BLOCK):
            block = moves[first : first + _BLOCK] @ moves.T
            block[np.arange(len(block)), first + np.arange(len(block))] = 0.0
            count += int((block.max(axis=1, initial=0.0) > _TOGETHER).sum())
    if not count:
        return []
    return [
        Finding(
            "prices_move_together",
            False,
            f"The prices of {count} of {len(panel.items)} items move with another's (correlation above {_TOGETHER}).",
            "What such items sell in each other's place is credited to their own prices, and to the weeks' common "
            "shock: where substitutes are strong, answers are off by about a cross elasticity, and their intervals do "
            "not say so; see estimate_cross_elasticities.",
        )
    ]


def _table(
    given: Any,
    panel: PanelArrays,
    found: _Found,
    gates: Gates,
    findings: list[Finding],
    with_category: bool,
) -> ElasticityTable:
    slopes, later, n = found.slopes, found.later, len(found.slopes)
    changes, deviation = np.zeros(n, dtype=np.int64), np.zeros(n)
    for i in range(n):
        changes[i], deviation[i] = _price_variation(panel, panel.rows(i))
    own = np.array([slope.elasticity for slope in slopes])
    variance = np.array([slope.variance for slope in slopes])
    silent = [
        slope.why or gates.own_data_refusal(price_deviation=deviation[i], price_changes=int(changes[i]), f=slope.f)
        for i, slope in enumerate(slopes)
    ]
    mute = np.array([bool(why) for why in silent])
    own[mute], variance[mute] = np.nan, np.nan
    shared = np.array([slope.shared for slope in slopes])
    answer = shrink(own, variance, panel.path) if with_category else None
    if answer is not None:
        mean, error, share = answer.mean, np.sqrt(answer.deviation**2 + shared), answer.own_share
    else:
        mean, error, share = own, np.sqrt(variance + shared), np.where(mute, 0.0, 1.0)
    lower, upper = mean - _Z90 * error, mean + _Z90 * error
    reasons = [
        gates.refusal(elasticity=mean[i], lower=lower[i], upper=upper[i], held_out=np.nan if mute[i] else later[i])
        if np.isfinite(mean[i])
        else (silent[i] or gates.refusal(elasticity=np.nan, lower=np.nan, upper=np.nan, held_out=np.nan))
        for i in range(n)
    ]
    if mute.any():
        said = sorted({why.split(";")[0] for why in silent if why})
        findings.append(
            Finding(
                "category_answers",
                False,
                f"{int(mute.sum())} of {n} items have the category's answer alone, e.g. for {said[0]}.",
                "Move their prices, or test them.",
            )
        )
    accepted = np.array([not reason for reason in reasons])
    table = contract_table(
        ELASTICITIES,
        {
            "item": list(panel.items),
            "category": [" / ".join(path) or "all" for path in panel.path],
            "elasticity": _nullable(mean),
            "standard_error": _nullable(error),
            "lower": _nullable(lower),
            "upper": _nullable(upper),
            "own_elasticity": _nullable(own),
            "own_standard_error": _nullable(np.sqrt(variance)),
            "own_data_share": share,
            "category_share": 1.0 - share,
            "observations": np.array([slope.rows for slope in slopes]),
            "price_changes": changes,
            "first_stage_f": _nullable(np.array([slope.f for slope in slopes])),
            "method": ["category" if mute[i] else found.methods[i] for i in range(n)],
            "accepted": accepted,
            "reason": reasons,
        },
    )
    return ElasticityTable(
        frame_like(given, table),
        ", ".join(dict.fromkeys(found.methods)),
        tuple(findings),
        panel.items,
        mean,
        error,
        accepted,
        tuple(reasons),
        answer.categories if answer is not None else {},
        answer,
    )


def _price_variation(panel: PanelArrays, rows: slice) -> tuple[int, float]:
    """Weeks in which the price moved against the row before in some store, and its deviation within stores."""
    log_price, store = np.log(panel.price[rows]), panel.store[rows]
    moved = (np.abs(np.diff(log_price)) >= _CHANGE) & (store[1:] == store[:-1])
    changes = len(np.unique(panel.week[rows][1:][moved]))
    group = np.unique(store, return_inverse=True)[1]
    return changes, float(within(log_price[:, None], group).std())


def _nullable(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _answer(mean: float, deviation: float, share: float, name: str) -> dict[str, Any]:
    return {
        "elasticity": mean,
        "standard_error": deviation,
        "lower": mean - _Z90 * deviation,
        "upper": mean + _Z90 * deviation,
        "own_data_share": share,
        "category_share": 1.0 - share,
        "sentence": f"{name}: elasticity {mean:.2f}; own data {share:.0%}, category {1.0 - share:.0%}",
    }
