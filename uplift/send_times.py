"""When features were measured, messages sent and outcomes counted, and whether the order of the three allows a fit."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from ..sql.errors import ContractError, nearest
from ..sql.findings import Finding
from ..sql.frames import columns_of
from .balance import arm_scores, chi_square
from .experiment import Experiment, ExperimentData
from .leakage import midranks

# Another campaign to so many customers within the window changes what the effect is an effect of.
MUCH_OVERLAP = 0.01


def ids_of(column: Any) -> np.ndarray:
    """Return a column as text, missing as "" and whole numbers as such, whatever a join made of them.

    Examples
    --------
    >>> ids_of([1, None, "b"]).tolist(), ids_of([1.0, float("nan")]).tolist()
    (['1', '', 'b'], ['1', ''])
    """
    import narwhals as nw

    if isinstance(column, nw.Series) and (column.dtype == nw.String or column.dtype.is_integer()):
        return column.cast(nw.String).fill_null("").to_numpy().astype(np.str_)
    values = column.to_list() if hasattr(column, "to_list") else list(column)
    return np.array([_id(value) for value in values], dtype=np.str_)


def _id(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or value != value:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def times_of(columns: Mapping[str, Any], name: str) -> np.ndarray:
    """Return a column of dates or times as datetime64, missing as NaT; with a time zone, in UTC.

    Raises
    ------
    ContractError
        Where the column is missing or holds no times.

    Examples
    --------
    >>> times_of({"sent_at": ["2026-05-01", None]}, "sent_at").astype(str).tolist()
    ['2026-05-01T00:00:00.000000', 'NaT']
    """
    import narwhals as nw
    import pandas as pd

    if name not in columns:
        raise ContractError(
            f"there is no column {name!r}{nearest(name, list(columns))}; there are {', '.join(columns)}."
        )
    column = columns[name]
    dtype = getattr(column, "dtype", None)
    if isinstance(dtype, nw.Datetime) and dtype.time_zone is None:
        return column.to_numpy().astype("datetime64[us]")
    values = column.to_list() if hasattr(column, "to_list") else list(column)
    if any(isinstance(value, bool | int | float) and value == value for value in values[:1000]):
        raise ContractError(f"column {name!r} holds numbers, e.g. {values[0]!r}; it must hold dates or times.")
    try:
        parsed = pd.to_datetime(pd.Series(values, dtype=object), utc=True, format="ISO8601")
    except (TypeError, ValueError) as error:
        raise ContractError(f"column {name!r} holds no dates or times: {error}") from error
    return parsed.dt.tz_localize(None).to_numpy().astype("datetime64[us]")


def judge_times(
    exp: Experiment,
    columns: Mapping[str, Any],
    data: ExperimentData,
    *,
    as_of: date | datetime | None = None,
    level: float = 0.0005,
) -> list[Finding]:
    """Check the moments that the experiment names against each other.

    Parameters
    ----------
    exp : Experiment
    columns : mapping
        Columns of the frame.
    data : ExperimentData
        As read by ``exp``.
    as_of : date or datetime, optional
        Last moment the data know of; the clock without it.
    level : float
        Of the tests whether arms were measured at other times or over other windows.

    Examples
    --------
    >>> frame = {"arm": ["no", "mail"], "spend": [0.0, 1.0], "sent_at": ["2026-05-01"] * 2, "seen": ["2026-05-02"] * 2}
    >>> exp = Experiment(treatment="arm", outcome="spend", control="no", sent_at="sent_at", measured_at="seen")
    >>> [finding.code for finding in judge_times(exp, frame, exp.read(frame))]
    ['measured_after_send']
    """

    def read(name: str | None) -> np.ndarray | None:
        return None if name is None else times_of(columns, name)[data.rows]

    sent, measured = _filled(read(exp.sent_at)), read(exp.measured_at)
    begun, until = read(exp.outcome_from), read(exp.outcome_until)
    found = []
    if sent is not None and measured is not None and (late := measured > sent).any():
        gap = (measured - sent)[late].max().astype("timedelta64[m]").astype(float) / 1440.0
        found.append(
            Finding(
                "measured_after_send",
                True,
                f"{exp.measured_at!r} is later than {exp.sent_at!r} for {int(late.sum())} of {len(late)} customers, by "
                f"up to {gap:.2g} days.",
                "Measure the features as of the send: what the message changed cannot say whom it moves.",
            )
        )
    if measured is not None and _differs(measured.astype(np.int64), data, exp, level):
        found.append(
            Finding(
                "measured_by_arm",
                True,
                f"{exp.measured_at!r} differs between the arms.",
                "Measure the features of all arms at the same moment: later ones have seen more orders.",
            )
        )
    if sent is not None and begun is not None and (early := begun < sent).any():
        found.append(
            Finding(
                "window_before_send",
                True,
                f"{exp.outcome_from!r} is before {exp.sent_at!r} for {int(early.sum())} of {len(early)} customers.",
                "Count outcomes from the send on: what came before it was not moved by it.",
            )
        )
    start = _filled(begun) if begun is not None else sent
    if until is not None and start is not None:
        found.extend(_judge_lengths(exp, data, start, until, level))
    if until is not None:
        last = _last_moment(as_of)
        if (open_ := until > last).any():
            found.append(
                Finding(
                    "window_not_closed",
                    True,
                    f"{exp.outcome_until!r} is later than {last.astype('datetime64[s]')} for {int(open_.sum())} of "
                    f"{len(open_)} customers, as late as {until[open_].max().astype('datetime64[s]')}.",
                    "Wait until the window is over, or shorten it for everyone.",
                )
            )
    return found


def judge_sends(
    exp: Experiment,
    columns: Mapping[str, Any],
    data: ExperimentData,
    sends: Any,
    *,
    campaign: str | None = None,
    holdout: Any = None,
    level: float = 0.0005,
) -> list[Finding]:
    """Check the frame and the holdout against everything that was sent.

    Parameters
    ----------
    exp, columns, data
        As in `judge_times`; the frame must name its customers.
    sends : frame
        ``customer_id, campaign, arm, sent_at``, a row per customer and campaign. Arm ``exp.control`` or "control" is
        nothing sent.
    campaign : str, optional
        This campaign's name; without it the one most of whose sends are at the frame's ``sent_at``, or which nearly all
        of the treated got.
    holdout : frame or sequence, optional
        As in `preflight`.
    level : float
        Of the test whether another campaign went to one arm more than to another.

    Examples
    --------
    >>> frame = {"customer_id": ["a", "b"], "arm": ["no", "mail"], "spend": [0.0, 1.0]}
    >>> exp = Experiment(treatment="arm", outcome="spend", control="no")
    >>> sends = {"customer_id": ["a", "b"], "campaign": ["may"] * 2, "arm": ["mail"] * 2, "sent_at": ["2026-05-01"] * 2}
    >>> [finding.code for finding in judge_sends(exp, frame, exp.read(frame), sends, campaign="may")]
    ['contaminated_control']
    """
    table = columns_of(sends, "sends")
    customer, name, arm = (_text(table, column) for column in ("customer_id", "campaign", "arm"))
    sent_at = times_of(table, "sent_at")
    mailed = ~np.isin(arm, [exp.control, "control", ""])
    found: list[Finding] = []
    own = campaign
    if exp.unit in columns:
        units = ids_of(columns[exp.unit])[data.rows]
        start = times_of(columns, exp.sent_at)[data.rows] if exp.sent_at else None
        order = np.argsort(units, kind="stable")
        place = np.minimum(np.searchsorted(units, customer, sorter=order), len(units) - 1)
        row = np.where(units[order[place]] == customer, order[place], -1)
        own = campaign or _own_campaign(data, name, sent_at, row, arm, start)
        found.extend(_judge_own(data, (name == own) & (row >= 0), row, arm, mailed, own))
        begin = _filled(times_of(columns, exp.outcome_from)[data.rows]) if exp.outcome_from else _filled(start)
        until = _filled(times_of(columns, exp.outcome_until)[data.rows]) if exp.outcome_until else None
        if begin is not None and until is not None:
            other = mailed & (row >= 0) & (name != own)
            inside = other & (sent_at >= begin[row]) & (sent_at <= until[row])
            found.extend(_judge_others(data, np.unique(row[inside]), sorted(set(name[inside].tolist())), level))
    if holdout is not None:
        found.extend(_judge_kept_out(exp, holdout, customer, name, arm, mailed, own))
    return found


def _text(table: Mapping[str, Any], column: str) -> np.ndarray:
    if column not in table:
        raise ContractError(f"sends has no column {column!r}{nearest(column, list(table))}; it has {', '.join(table)}.")
    return ids_of(table[column])


def _last_moment(as_of: date | datetime | None) -> np.datetime64:
    if as_of is not None and not isinstance(as_of, datetime):
        return np.datetime64(as_of, "us") + np.timedelta64(1, "D")  # the whole day is known
    moment = datetime.now(UTC) if as_of is None else as_of
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(moment, "us")


def _filled(sent: np.ndarray | None) -> np.ndarray | None:
    # who was sent nothing has no moment of it: the last one of the others stands in
    if sent is None or np.isnat(sent).all():
        return None
    return np.where(np.isnat(sent), sent[~np.isnat(sent)].max(), sent)


def _differs(values: np.ndarray, data: ExperimentData, exp: Experiment, level: float) -> bool:
    if exp.kind == "observational" or data.propensity is None or np.ptp(values) == 0:
        return False
    ranks = midranks(values.astype(np.float64))
    columns = np.column_stack([ranks, np.abs(ranks - ranks.mean())])
    return chi_square(*arm_scores(columns, data.arm, data.propensity, data.cluster))[2] < level


def _judge_lengths(
    exp: Experiment, data: ExperimentData, start: np.ndarray, until: np.ndarray, level: float
) -> list[Finding]:
    length = (until - start) / np.timedelta64(1, "D")  # NaN where a moment is missing
    if (length <= 0.0).any():
        return [
            Finding(
                "window_reversed",
                True,
                f"{exp.outcome_until!r} is not after the window's begin for {int((length <= 0.0).sum())} of "
                f"{len(length)} customers.",
                "Give every customer a window with an end after its begin.",
            )
        ]
    mean = [float(np.nan_to_num(length)[data.arm == a].mean()) for a in range(data.n_arms)]
    unequal = _differs(length, data, exp, level) or (
        exp.kind == "observational" and max(mean) - min(mean) > 0.02 * max(mean)
    )
    if not unequal:
        return []
    told = ", ".join(f"{arm} {days:.3g}" for arm, days in zip(data.arm_names, mean, strict=True))
    return [
        Finding(
            "window_by_arm",
            True,
            f"the outcome windows have other lengths in the arms, in days: {told}.",
            "Count the outcomes of all arms over windows of the same length.",
        )
    ]


def _own_campaign(
    data: ExperimentData, name: np.ndarray, sent_at: np.ndarray, row: np.ndarray, arm: np.ndarray, start: Any
) -> str | None:
    # most of its sends are at the frame's moments; where there are none, nearly all the treated got it
    inside = row >= 0
    if start is not None and (same := inside & (sent_at == start[row])).any():
        names, counts = np.unique(name[same], return_counts=True)
        return str(names[counts.argmax()])
    recorded = np.array(data.arm_names)[data.arm[row]]
    agreed = inside & (arm == recorded) & (data.arm[row] > 0)
    names, counts = np.unique(name[agreed], return_counts=True)
    if not len(names) or counts.max() < 0.9 * (data.arm > 0).sum():
        return None
    return str(names[counts.argmax()])


def _judge_own(
    data: ExperimentData, own: np.ndarray, row: np.ndarray, arm: np.ndarray, mailed: np.ndarray, campaign: str | None
) -> list[Finding]:
    if campaign is None or not own.any():
        return []
    recorded = np.array(data.arm_names)[data.arm[row[own]]]
    given = np.where(mailed[own], arm[own], data.arm_names[0])
    wrong = recorded != given
    if not wrong.any():
        return []
    told = int((wrong & (recorded == data.arm_names[0])).sum())
    return [
        Finding(
            "contaminated_control",
            True,
            f"sends of {campaign!r} has another arm than the frame for {int(wrong.sum())} of {int(own.sum())} "
            f"customers; {told} of them are in the frame as {data.arm_names[0]!r} and were sent something.",
            "Take the arm that was assigned, and find out why something else was sent.",
        )
    ]


def _judge_others(data: ExperimentData, rows: np.ndarray, names: list[str], level: float) -> list[Finding]:
    if not len(rows):
        return []
    hit = np.zeros(len(data.arm))
    hit[rows] = 1.0
    shares = [float(hit[data.arm == a].mean()) for a in range(data.n_arms)]
    unequal = (
        data.propensity is not None
        and len(rows) * data.propensity.mean(axis=0).min() >= 5.0
        and chi_square(*arm_scores(hit[:, None], data.arm, data.propensity, data.cluster))[2] < level
    )
    told = ", ".join(f"{share:.1%} of {arm}" for arm, share in zip(data.arm_names, shares, strict=True))
    return [
        Finding(
            "window_overlaps_campaign",
            bool(unequal or hit.mean() >= MUCH_OVERLAP),
            f"within the outcome window {', '.join(map(repr, names[:3]))} went to {told}.",
            "End the window before the next campaign, or keep these customers out of it; otherwise the effect is that "
            "of both.",
        )
    ]


def _judge_kept_out(
    exp: Experiment,
    holdout: Any,
    customer: np.ndarray,
    name: np.ndarray,
    arm: np.ndarray,
    mailed: np.ndarray,
    own: str | None,
) -> list[Finding]:
    from .preflight import holdout_columns

    columns = holdout_columns(exp, holdout)
    if exp.unit not in columns:
        return []
    units, called = ids_of(columns[exp.unit]), "held-out customers"
    advice = "They are no comparison any more: take them out of the holdout, and out of the mailing list."
    if "why" in columns:
        # a log of decisions: control is also who was not chosen, and may be sent other things
        units = units[ids_of(columns["why"]) == "holdout"]
    elif exp.treatment in columns:
        # the part to be evaluated on may get other campaigns; its control must not have got this one
        units = units[ids_of(columns[exp.treatment]) == exp.control]
        mailed = mailed & (name == own)
        called = f"customers to judge the effects on who are {exp.control!r} in the frame"
        advice = "Take the arm that was assigned, and find out why something else was sent."
    reached = mailed & np.isin(customer, units)
    if not reached.any():
        return []
    return [
        Finding(
            "holdout_contaminated",
            True,
            f"{len(np.unique(customer[reached]))} of {len(units)} {called} were sent something, e.g. "
            f"{str(customer[reached][0])!r} by {str(name[reached][0])!r} ({str(arm[reached][0])!r}).",
            advice,
        )
    ]
