"""What was tried on whom: the declaration of an experiment or campaign, and its data as arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ..sql.errors import ContractError, ModelError, nearest
from ..sql.frames import columns_of
from .features import FeatureEncoder, fit_encoder, require_even

Kind = Literal["randomised", "observational"]
OutcomeKind = Literal["binary", "count", "revenue", "number"]


@dataclass(frozen=True)
class Experiment:
    """Which columns say who got what, what came of it, and how it was decided.

    Attributes
    ----------
    treatment : str
        Column with the arm each customer was given.
    outcome : str
        Column with what is to be moved: 0/1, a count, money or any number.
    control : str
        The arm that stands for "nothing".
    unit : str
        Column that names the customer; where it is not in the frame, and has its default name, the row is the unit.
    features : sequence of str, optional
        Columns known before the send. Without it: every column that is not named in this declaration.
    exclude : sequence of str
        Columns that are not features though nothing else names them, e.g. other outcomes.
    arms : sequence of str, optional
        Arms to look at beside control; rows of other arms are left out. Without it: all.
    kind : {"randomised", "observational"}
        How the arm was decided. Observational: propensities are estimated from the features.
    propensity : str, float or mapping, optional
        Known probabilities. A mapping from arm to its share, or to the column with its probability; one number or one
        column: the probability of treatment, with one arm beside control. Without it a randomised experiment takes
        the arms' shares. Where ``arms`` leaves rows out, those of the arms looked at are made to sum to 1 again; one
        number or column is meant among them already.
    outcome_kind : {"binary", "count", "revenue", "number"}, optional
        Seen from the values without it.
    cluster : str, optional
        Column with the unit of randomisation where it is not the customer, e.g. the store.
    sent_at, measured_at, outcome_from, outcome_until : str, optional
        Columns with the moments of the send, of the features, and of the outcome window: what preflight checks.
    dose : mapping of str to float, optional
        Dose of each arm, e.g. the discount's depth; control is 0.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"customer_id": ["a", "b", "c", "d"], "arm": ["no", "mail"] * 2, "age": [30, 40, 50, 60],
    ...                       "spend": [0.0, 5.0, 0.0, 0.0]})
    >>> data = Experiment(treatment="arm", outcome="spend", control="no").read(frame)
    >>> data.arm_names, data.arm.tolist(), data.encoder.names, data.propensity[0].tolist()
    (('no', 'mail'), [0, 1, 0, 1], ('age',), [0.5, 0.5])
    """

    treatment: str
    outcome: str
    control: str
    unit: str = "customer_id"
    features: Sequence[str] | None = None
    exclude: Sequence[str] = ()
    arms: Sequence[str] | None = None
    kind: Kind = "randomised"
    propensity: str | float | Mapping[str, str | float] | None = None
    outcome_kind: OutcomeKind | None = None
    cluster: str | None = None
    sent_at: str | None = None
    measured_at: str | None = None
    outcome_from: str | None = None
    outcome_until: str | None = None
    dose: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("randomised", "observational"):
            raise ModelError(f"kind is {self.kind!r}; it must be 'randomised' or 'observational'.")
        if self.outcome_kind not in (None, "binary", "count", "revenue", "number"):
            raise ModelError(
                f"outcome_kind is {self.outcome_kind!r}; it must be 'binary', 'count', 'revenue' or 'number'."
            )
        if isinstance(self.features, str) or isinstance(self.exclude, str) or isinstance(self.arms, str):
            raise ModelError("features, exclude and arms are sequences of names; put the one name in a list.")
        self._settle()
        if self.treatment == self.outcome:
            raise ModelError(f"treatment and outcome are both {self.outcome!r}; they must be two columns.")
        named = set(self.features or ()) & {self.treatment, self.outcome, self.unit}
        if named:
            raise ModelError(f"features names {sorted(named)}, which is the treatment, the outcome or the unit.")

    def _settle(self) -> None:
        """Keep sequences as tuples and mappings by text: what is saved and read again is equal to what was declared."""
        for name in ("features", "exclude", "arms"):
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, tuple(given))
        for name in ("propensity", "dose"):
            given = getattr(self, name)
            if isinstance(given, Mapping):
                object.__setattr__(self, name, {str(arm): value for arm, value in given.items()})
        given = self.propensity
        wrong = [v for v in given.values() if not _may_be_propensity(v)] if isinstance(given, Mapping) else []
        if wrong or (given is not None and not isinstance(given, Mapping) and not _may_be_propensity(given)):
            raise ModelError(
                f"propensity is {given!r}; it is a mapping from arm to its share or to the column with its "
                "probability, or, with one arm beside control, one number or column."
            )

    def feature_columns(self, frame: Any) -> tuple[str, ...]:
        """Return the columns that are features in this frame."""
        if self.features is not None:
            return tuple(self.features)
        named = {self.treatment, self.outcome, self.unit, self.cluster, self.sent_at, self.measured_at}
        named |= {self.outcome_from, self.outcome_until, *self.exclude, *self._propensity_columns()}
        return tuple(name for name in columns_of(frame, "an experiment") if name not in named)

    def read(
        self,
        frame: Any,
        *,
        encoder: FeatureEncoder | None = None,
        arm_names: Sequence[str] | None = None,
    ) -> "ExperimentData":
        """Read a frame into arrays.

        Parameters
        ----------
        frame : frame or mapping
            pandas, Polars or Arrow frame, or a mapping of columns; a row per customer.
        encoder : FeatureEncoder, optional
            That of the fit, for a holdout; learnt from this frame without it.
        arm_names : sequence of str, optional
            Those of the fit, for a holdout: all must be there, and no other.

        Raises
        ------
        ContractError
            Where a column is missing or of the wrong kind.
        ModelError
            Where there is no control or no other arm, an outcome or arm is missing, a propensity is not a probability
            above 0, or a value is infinite.
        """
        columns = columns_of(frame, "an experiment")
        require_even(columns, "an experiment")
        labels = self._labels(columns)
        names = self._arm_names(labels, arm_names)
        code = {name: a for a, name in enumerate(names)}
        arm = np.array([code.get(label, -1) for label in labels.tolist()], dtype=np.int64)
        kept = arm >= 0
        if arm_names is not None and self.arms is None and not kept.all():
            others = sorted(set(labels[~kept].tolist()))
            raise ModelError(f"column {self.treatment!r} holds {others}, arms unknown to the fit: {list(names)}.")
        outcome = _finite(columns, self.outcome, kept)
        if encoder is None:
            encoder = fit_encoder({n: _rows(columns[n], kept) for n in self._present(columns)}, self._present(columns))
        features = encoder.encode(frame)[kept]
        return ExperimentData(
            unit=self._units(columns, kept),
            features=features,
            arm=arm[kept],
            outcome=outcome,
            propensity=self._known_propensity(columns, arm[kept], kept, names, set(labels[~kept].tolist())),
            cluster=None if self.cluster is None else _texts(columns, self.cluster)[kept],
            arm_names=names,
            outcome_kind=self.outcome_kind or guess_outcome_kind(outcome),
            encoder=encoder,
            rows=np.flatnonzero(kept),
        )

    def _present(self, columns: Mapping[str, Any]) -> tuple[str, ...]:
        names = self.feature_columns(columns)
        for name in names:
            _require(columns, name)
        return names

    def _labels(self, columns: Mapping[str, Any]) -> np.ndarray:
        labels = _texts(columns, self.treatment)
        missing = int((labels == "").sum())
        if missing:
            raise ModelError(
                f"column {self.treatment!r} is missing in {missing} rows; every customer has an arm. Drop or mend them."
            )
        return labels

    def _arm_names(self, labels: np.ndarray, known: Sequence[str] | None) -> tuple[str, ...]:
        found = sorted(set(labels.tolist()))
        control = str(self.control)
        if control not in found:
            raise ModelError(
                f"column {self.treatment!r} holds no control {control!r}{nearest(control, found)}; "
                f"it holds {found[:10]}. Effects are against a control."
            )
        wanted = known if known is not None else (control, *(str(arm) for arm in self.arms or found if arm != control))
        names = tuple(str(name) for name in wanted)
        absent = [name for name in names if name not in found]
        if absent:
            raise ModelError(
                f"column {self.treatment!r} holds no customer of arm {absent[0]!r}{nearest(absent[0], found)}; it "
                f"holds {found[:10]}. Every split needs every arm: split within arms, or leave the arm out by arms=."
            )
        if len(names) < 2:
            raise ModelError(
                f"column {self.treatment!r} holds only {control!r}; an effect needs at least one arm beside control."
            )
        return names

    def _units(self, columns: Mapping[str, Any], kept: np.ndarray) -> np.ndarray:
        if self.unit not in columns:
            if self.unit != "customer_id":
                _require(columns, self.unit)
            return np.flatnonzero(kept).astype(np.str_)
        units = _texts(columns, self.unit, whole=True)[kept]
        missing = int((units == "").sum())
        if missing:
            raise ModelError(
                f"column {self.unit!r} is missing in {missing} of {len(units)} rows; every row names its customer. "
                "Mend or drop them."
            )
        return units

    def _propensity_columns(self) -> tuple[str, ...]:
        if isinstance(self.propensity, str):
            return (self.propensity,)
        if isinstance(self.propensity, Mapping):
            return tuple(value for value in self.propensity.values() if isinstance(value, str))
        return ()

    def _known_propensity(
        self, columns: Mapping[str, Any], arm: np.ndarray, kept: np.ndarray, names: tuple[str, ...], left_out: set[str]
    ) -> np.ndarray | None:
        n = len(arm)
        if self.propensity is None:
            if self.kind == "observational":
                return None
            return np.tile(np.bincount(arm, minlength=len(names)) / n, (n, 1))
        given = self.propensity
        if not isinstance(given, Mapping):
            if len(names) != 2:
                raise ModelError(
                    f"propensity is {given!r} and there are {len(names) - 1} arms beside control; give a mapping from "
                    "each arm to its share or to the column with its probability."
                )
            given = {names[1]: given}
            left_out = set()
        unknown = [name for name in given if name not in names]
        if unknown and self.arms is None:
            raise ModelError(f"propensity names {unknown}{nearest(unknown[0], names)}; the arms are {list(names)}.")
        matrix = np.full((n, len(names)), np.nan)
        for a, name in enumerate(names):
            if name in given:
                matrix[:, a] = _propensities(columns, given[name], kept)
        absent = np.flatnonzero([name not in given for name in names])
        lacking = [names[a] for a in absent] + sorted(left_out - set(given))
        if len(absent) and len(lacking) > 1:
            raise ModelError(f"propensity lacks {lacking}; at most one arm may be left to the rest.")
        if len(absent):
            others = sum(_propensities(columns, given[name], kept) for name in sorted(left_out & set(given)))
            matrix[:, absent[0]] = 1.0 - np.nansum(matrix, axis=1) - others
        if self.arms is not None:
            matrix /= matrix.sum(axis=1, keepdims=True)  # among the arms looked at
        bad = (matrix <= 0.0) | (matrix >= 1.0)
        if bad.any():
            # what was given is named before what is left to the rest
            column = min(np.flatnonzero(bad.any(axis=0)).tolist(), key=lambda a: a in absent)
            row = int(bad[:, column].argmax())
            raise ModelError(
                f"propensity of arm {names[column]!r} is {matrix[row, column]:g} in {int(bad.any(axis=1).sum())} rows; "
                f"it must lie between 0 and 1, ends left out. {_ADVICE[bool(0.0 <= matrix[row, column] <= 1.0)]}"
            )
        if (np.abs(matrix.sum(axis=1) - 1.0) > 1e-6).any():
            raise ModelError(f"propensities sum to {matrix.sum(axis=1)[0]:g}; those of {list(names)} must sum to 1.")
        return matrix


@dataclass(frozen=True)
class ExperimentData:
    """An experiment as arrays, a row per customer.

    Attributes
    ----------
    unit : ndarray of shape (n,), str
    features : ndarray of shape (n, p)
    arm : ndarray of shape (n,), int
        Index into ``arm_names``; 0 is control.
    outcome : ndarray of shape (n,)
    propensity : ndarray of shape (n, k + 1) or None
        Known probability of each arm; None where they have to be estimated.
    cluster : ndarray of shape (n,), str, or None
    arm_names : tuple of str
        Control first.
    outcome_kind : str
    encoder : FeatureEncoder
    rows : ndarray of shape (n,), int
        Rows of the frame that are here: all but those of arms not looked at.

    Examples
    --------
    >>> frame = {"arm": ["no", "mail", "mail"], "age": [30, 40, 50], "spend": [0.0, 5.0, 0.0]}
    >>> data = Experiment(treatment="arm", outcome="spend", control="no").read(frame)
    >>> data.n_arms, data.arm.tolist(), data.outcome.tolist()
    (2, [0, 1, 1], [0.0, 5.0, 0.0])
    """

    unit: np.ndarray = field(repr=False)
    features: np.ndarray = field(repr=False)
    arm: np.ndarray = field(repr=False)
    outcome: np.ndarray = field(repr=False)
    propensity: np.ndarray | None = field(repr=False)
    cluster: np.ndarray | None = field(repr=False)
    arm_names: tuple[str, ...]
    outcome_kind: OutcomeKind
    encoder: FeatureEncoder = field(repr=False)
    rows: np.ndarray = field(repr=False)

    @property
    def n_arms(self) -> int:
        """Arms with control."""
        return len(self.arm_names)


def guess_outcome_kind(outcome: np.ndarray) -> OutcomeKind:
    """Return what an outcome looks like: ``binary``, ``count``, ``revenue`` (no negatives, at least a fifth 0) or not.

    Examples
    --------
    >>> guess_outcome_kind(np.array([0.0, 1.0, 1.0])), guess_outcome_kind(np.array([0.0, 0.0, 12.5]))
    ('binary', 'revenue')
    """
    if np.isin(outcome, (0.0, 1.0)).all():
        return "binary"
    if outcome.min(initial=0.0) < 0.0:
        return "number"
    if (outcome == np.floor(outcome)).all() and outcome.max() <= 100.0:
        return "count"
    return "revenue" if (outcome == 0.0).mean() >= 0.2 else "number"


_ADVICE = {
    True: "Leave out customers whose arm was certain: there is nothing to compare them with.",
    False: "Give probabilities, e.g. 0.25 and not 25, and one for each arm that adds up to 1.",
}


def _may_be_propensity(given: Any) -> bool:
    is_number = isinstance(given, int | float | np.integer | np.floating) and not isinstance(given, bool)
    return isinstance(given, str) or (is_number and bool(np.isfinite(given)))


def _propensities(columns: Mapping[str, Any], given: str | float, kept: np.ndarray) -> np.ndarray:
    if not isinstance(given, str):
        return np.full(int(kept.sum()), float(given))
    return _finite(columns, given, kept, "a probability is known for every customer, or for none")


def _require(columns: Mapping[str, Any], name: str) -> Any:
    if name not in columns:
        raise ContractError(
            f"the experiment has no column {name!r}{nearest(name, list(columns))}; it has {', '.join(columns)}."
        )
    return columns[name]


def _rows(column: Any, kept: np.ndarray) -> Any:
    if kept.all():
        return column
    if hasattr(column, "filter"):
        return column.filter(kept.tolist())
    return np.asarray(column)[kept]


def _texts(columns: Mapping[str, Any], name: str, *, whole: bool = False) -> np.ndarray:
    column = _require(columns, name)
    values = column.to_list() if hasattr(column, "to_list") else list(column)
    if whole:  # a join turns whole numbers into floats
        values = [int(value) if isinstance(value, float) and value.is_integer() else value for value in values]
    return np.array(["" if _is_missing(value) else str(value) for value in values], dtype=np.str_)


def _is_missing(value: Any) -> bool:
    # a value that does not know whether it equals itself is pandas' NA
    return value is None or type(value).__name__ == "NAType" or value != value


_OUTCOME = "an order that did not come is 0, one that is not known yet is not an outcome"


def _finite(columns: Mapping[str, Any], name: str, kept: np.ndarray, why: str = _OUTCOME) -> np.ndarray:
    import narwhals as nw

    column = _require(columns, name)
    try:
        if isinstance(column, nw.Series):
            column = column.to_numpy() if column.dtype == nw.Object else column.cast(nw.Float64).to_numpy()
        values = np.asarray(column, dtype=np.float64)[kept]
    except (TypeError, ValueError, nw.exceptions.NarwhalsError) as error:
        raise ContractError(f"column {name!r} holds no numbers: {error}") from error
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise ModelError(
            f"column {name!r} is missing or infinite in {bad} of {len(values)} rows; {why}. Mend or drop those rows."
        )
    return values
