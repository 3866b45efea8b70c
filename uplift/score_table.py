"""Scores of customers by arm, from a table of rows to matrices: one row per customer, in the order of their ids."""

# pyarrow.compute makes its functions at import time, unseen by type checkers
# pyright: reportAttributeAccessIssue=false

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.errors import ContractError, ModelError, nearest
from ..sql.frames import columns_of

if TYPE_CHECKING:
    import pyarrow as pa

    from .effects import Effects

_NEEDED = ("customer_id", "arm", "effect", "net_effect", "cost")


def read_scores(
    effects: Any, campaign: str, *, control: str = "control", offers: Sequence[str] | None = None
) -> tuple["pa.Array", tuple[str, ...], dict[str, np.ndarray]]:
    """Read rows of ``customer_id, arm, effect, net_effect, cost`` into matrices.

    Parameters
    ----------
    effects : frame or mapping
        A row per customer and arm. Rows of other campaigns, where there is a column ``campaign``, are left out.
    campaign, control : str
        Names of the campaign and of the arm that stands for nothing.
    offers : sequence of str, optional
        Arms to choose from; all without it.

    Returns
    -------
    ids : pyarrow.Array of shape (n,)
        Customers, in the order of their ids' code points.
    arms : tuple of str
        The k arms, in that order too.
    matrices : dict of str to ndarray of shape (n, k)
        ``effect``, ``net_effect``, ``cost``; NaN where there is no row.

    Raises
    ------
    ContractError
        A column is missing, an id, effect or cost is missing or infinite, a customer has two rows for an arm, or the
        arms are not those asked for.
    ModelError
        There are no rows.

    Examples
    --------
    >>> rows = {"customer_id": [9, 10], "arm": ["b", "a"], "effect": [1.0, 2.0], "net_effect": [0.1, 0.2],
    ...         "cost": [0.0, 0.0]}
    >>> ids, arms, matrices = read_scores(rows, "spring")
    >>> ids.to_pylist(), arms, matrices["effect"].tolist()
    (['10', '9'], ('a', 'b'), [[2.0, nan], [nan, 1.0]])
    """
    import pyarrow.compute as pc

    columns = _columns(effects, campaign)
    customers, labels = text_column(columns, "customer_id"), text_column(columns, "arm")
    known = sorted(pc.unique(labels).to_pylist())
    if isinstance(offers, str):
        raise ModelError(f"offers is the text {offers!r}; give the arms as a list: [{offers!r}]")
    if offers is not None and not len(offers):
        raise ModelError(f"offers is empty; name arms to choose from, or leave it out for all: {known}")
    if offers is not None:
        kept = pc.is_in(labels, value_set=text_column({"arm": list(offers)}, "arm"))
        for offer in offers:
            if offer not in known:
                raise ContractError(
                    f"effects of {campaign!r} hold no arm {offer!r}{nearest(str(offer), known)}; they hold {known}"
                )
        customers, labels = customers.filter(kept), labels.filter(kept)
        columns = {name: column.filter(kept) for name, column in columns.items()}
        known = sorted(set(offers))
    if control in known:
        raise ContractError(f"effects of {campaign!r} hold the control {control!r}; it is nothing, and has no effect")
    ids = pc.unique(customers)
    ids = ids.take(pc.sort_indices(ids))
    arms = tuple(known)
    row = pc.index_in(customers, value_set=ids).to_numpy()
    column = pc.index_in(labels, value_set=text_column({"arm": list(arms)}, "arm")).to_numpy()
    cells = row.astype(np.int64) * len(arms) + column
    _once(np.bincount(cells, minlength=len(ids) * len(arms)), ids, arms, campaign)
    matrices = {}
    for name in ("effect", "net_effect", "cost"):
        matrix = np.full((len(ids), len(arms)), np.nan)
        matrix.ravel()[cells] = _numbers(columns[name], name, customers, labels)
        matrices[name] = matrix
    return ids, arms, matrices


def score_table(effects: "Effects", frame: Any) -> "pa.Table":
    """Score the customers of a frame by fitted effects: the table that `TargetList.build` takes.

    Parameters
    ----------
    effects : Effects
        Fitted, or loaded from a folder.
    frame : frame or mapping
        A row per customer: the experiment's ``unit`` and features.

    Returns
    -------
    pyarrow.Table
        ``customer_id, arm, effect, response, cost, net_effect``, a row per customer and arm; in units as
        ``contract.UPLIFT_SCORES``.

    Raises
    ------
    ContractError
        A column is missing, or an id.
    ModelError
        A feature is infinite.

    Examples
    --------
    >>> from regulars.uplift.experiment import Experiment
    >>> from regulars.uplift.learners import fit_effects
    >>> from regulars.uplift.simulate import simulate
    >>> drawn = simulate("linear", 2000, seed=1).frame()
    >>> effects = fit_effects(Experiment(treatment="arm", outcome="outcome", control="control"), drawn, "t", cost=0.1)
    >>> score_table(effects, drawn.head(3).assign(customer_id=["a", "b", "c"]))["customer_id"].to_pylist()
    ['a', 'b', 'c']
    """
    import pyarrow as pa

    given = columns_of(frame, "customers")
    unit = effects.experiment.unit
    if unit not in given:
        raise ContractError(f"customers have no column {unit!r}{nearest(unit, list(given))}; it names each of them")
    ids, arms = text_column(given, unit), effects.arm_names[1:]
    moved = effects.predict(frame)
    n, k = moved.shape
    return pa.table(
        {
            "customer_id": ids.take(pa.array(np.repeat(np.arange(n), k))),
            "arm": pa.array(list(arms) * n, pa.string()),
            "effect": moved.ravel(),
            "response": np.repeat(effects.response(frame), k),
            "cost": np.tile(effects.cost, n),
            "net_effect": (effects.value * moved - effects.cost).ravel(),
        }
    )


def _columns(effects: Any, campaign: str) -> "dict[str, pa.Array]":
    import pyarrow.compute as pc

    given = columns_of(effects, "effects")
    for name in _NEEDED:
        if name not in given:
            advice = "; every offer needs its cost, 0 where it has none" if name == "cost" else ""
            raise ContractError(
                f"effects have no column {name!r}{nearest(name, list(given))}; they need {', '.join(_NEEDED)}{advice}"
            )
    columns = {name: arrow_column(given[name]) for name in _NEEDED}
    if "campaign" in given:
        named = arrow_column(given["campaign"])
        kept = pc.equal(named, campaign)
        if not pc.any(kept).as_py():
            known = sorted(str(name) for name in pc.unique(named).to_pylist())
            raise ModelError(
                f"effects hold no row of campaign {campaign!r}{nearest(campaign, known)}; they hold {known}"
            )
        columns = {name: column.filter(kept) for name, column in columns.items()}
    if not len(columns["arm"]):
        raise ModelError(f"effects of {campaign!r} hold no rows: there is nobody to decide about")
    return columns


def arrow_column(column: Any) -> "pa.Array":
    """Return a column of any kind of frame as one Arrow array."""
    import narwhals as nw
    import pyarrow as pa

    if isinstance(column, nw.Series):
        found = column.to_arrow()
    elif isinstance(column, pa.Array | pa.ChunkedArray):
        found = column
    else:
        found = pa.array(column, from_pandas=True)
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def text_column(columns: "Mapping[str, Any]", name: str) -> "pa.Array":
    """Return a column of ids as text.

    Raises
    ------
    ContractError
        An id is missing, or they are numbers with a point.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    found = arrow_column(columns[name])
    if pa.types.is_floating(found.type) and found.null_count < len(found):
        # whole numbers become floats where one was missing: 17850.0 is 17850, as in all that is read
        try:
            found = found.cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise ContractError(
                f"column {name!r} holds numbers with a point, which are no whole numbers; ids are text or whole numbers"
            ) from error
    texts = found.cast(pa.string())
    missing = int(pc.sum(pc.or_kleene(pc.is_null(texts), pc.equal(texts, ""))).as_py() or 0)
    if missing:
        raise ContractError(f"column {name!r} is missing in {missing} of {len(texts)} rows; every row needs it")
    return texts


def _numbers(column: "pa.Array", name: str, customers: "pa.Array", labels: "pa.Array") -> np.ndarray:
    import pyarrow as pa

    try:
        values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid as error:
        raise ContractError(f"column {name!r} holds no numbers: {error}") from error
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        customer, arm = customers[int(bad[0])].as_py(), labels[int(bad[0])].as_py()
        advice = "write 0 where it costs nothing" if name == "cost" else "leave out rows that were not scored"
        raise ContractError(
            f"{name} of offer {arm!r} is {values[bad[0]]} for customer {customer!r}, and missing or infinite in "
            f"{len(bad)} of {len(values)} rows; give a number, {advice}"
        )
    return values


def _once(counts: np.ndarray, ids: "pa.Array", arms: Sequence[str], campaign: str) -> None:
    twice = np.flatnonzero(counts > 1)
    if len(twice):
        customer, arm = ids[int(twice[0]) // len(arms)].as_py(), arms[int(twice[0]) % len(arms)]
        raise ContractError(
            f"effects of {campaign!r} hold {int(counts[twice[0]])} rows of customer {customer!r} for arm {arm!r}, and "
            f"{len(twice)} such cases in all; give one row per customer and arm"
        )
