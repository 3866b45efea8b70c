"""Who is leaving, and when: one door to the survival models, for orders that stop and for contracts that end."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ContractError, ModelError, nearest
from .arguments import require_count, require_time, require_times
from .churn_data import ChurnData, gap_data
from .churn_features import FeatureEncoder
from .churn_reasons import reason_columns
from .hazard import DiscreteHazard
from .survival import STEP_MODELS, SurvivalModel

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

CHURN_MODELS = (*STEP_MODELS, "hazard")
# Rows that a fit takes in some seconds, which for boosted Cox grows with their square; the hazard counts a row a bin.
_MOST_ROWS = {
    "cox": 20_000,
    "coxnet": 20_000,
    "gradient_boosting": 3_000,
    "random_survival_forest": 10_000,
    "hazard": 600_000,
}
_SAVED_AS = "churn_"
# Options that say how fast, not what: no part of a saved model.
_OF_THE_MACHINE = frozenset({"threads", "num_threads", "n_jobs", "memory_limit"})
_HALF = float(np.log(2))
# Models whose contributions add up exactly.
_EXPLAINED = frozenset({"cox", "coxnet", "hazard"})
# Customers whose mean contributions reasons are held against: TreeSHAP takes milliseconds a row.
_COHORT = 500


class ChurnModel:
    """Time to the next order, or to the end of a contract, by customer.

    =========================  =========================================================================================
    ``kaplan_meier``           the same for everybody: the floor (Kaplan & Meier 1958)
    ``cox``                    proportional hazards (Cox 1972), ties by Efron; ``ties="breslow"``, ``alpha`` a ridge
    ``coxnet``                 the same under an elastic net (Simon et al. 2011), its penalty by held-out customers
    ``gradient_boosting``      boosted trees on Cox's likelihood (Ridgeway 1999)
    ``random_survival_forest`` Ishwaran et al. (2008), times in ``bins``; refuses what would not fit in memory
    ``hazard``                 discrete-time hazard on LightGBM (Singer & Willett 1993): millions, missing values
    =========================  =========================================================================================

    All but Kaplan-Meier need ``pip install 'regulars[churn]'``; scikit-survival in it is GPL-3.0-or-later.

    Parameters
    ----------
    model : str
        One of the above.
    features : sequence of str, optional
        Columns to use; all that were known at the start where not given.
    max_rows : int, optional
        Customers are sampled, never intervals, until so many rows are left to learn from; a bin of time that an
        interval reaches is a row of ``hazard``.
    seed : int
        Of sampling, boosting and forests.
    **options
        Of the model: those above, or parameters of the library's estimator.

    Attributes
    ----------
    last_time_ : float
        The longest duration seen: nothing is known beyond it.
    n_customers_, n_intervals_ : int
        Learnt from.
    feature_names_ : tuple of str
        Columns of the matrix.
    coefficients_ : dict of float
        Log hazard ratios of ``cox`` and ``coxnet``; empty for the others.
    message_ : str
        What was left out or sampled; "" where nothing was.

    Examples
    --------
    >>> from regulars.clv.churn_data import churn_frame
    >>> rng = np.random.default_rng(7)
    >>> yearly = rng.random(2_000) < 0.5
    >>> data = churn_frame(rng.geometric(np.where(yearly, 0.02, 0.1)), np.ones(2_000), {"yearly": yearly})
    >>> model = ChurnModel("cox").fit(data)
    >>> bool(abs(model.coefficients_["yearly"] - np.log(np.log(0.98) / np.log(0.9))) < 0.15)
    True
    """

    def __init__(
        self,
        model: str = "hazard",
        *,
        features: Sequence[str] | None = None,
        max_rows: int | None = None,
        seed: int = 0,
        **options: Any,
    ) -> None:
        if model not in CHURN_MODELS:
            raise ModelError(f"no churn model {model!r}{nearest(model, CHURN_MODELS)}; there are {CHURN_MODELS}")
        if isinstance(features, str):
            raise ModelError(f"features is {features!r}; give a list of names, [{features!r}]")
        if max_rows is not None and require_count("max_rows", max_rows) < 1:
            raise ModelError("max_rows is 0; it must be a whole number from 1")
        seed = require_count("seed", seed)
        self.model, self.features, self.max_rows, self.seed, self.options = model, features, max_rows, seed, options

    def __repr__(self) -> str:
        return f"<ChurnModel {self.model}>"

    @property
    def has_reasons(self) -> bool:
        """Whether contributions of features are exact, so that `reasons` can tell them."""
        return self.model in _EXPLAINED

    def fit(self, data: Any) -> Self:
        """Learn from intervals of `order_gaps` or from a `churn_frame`.

        Raises
        ------
        ModelError
            There is no event or nothing to learn from, a covariate is missing that the model cannot do without, or a
            forest would not fit in memory (the text says by how much).
        ContractError
            A column is missing.
        MissingExtraError
            The extra is not installed.
        """
        read = self._read(data)
        if (read.events & (read.durations == 0)).any():
            raise ModelError("an event at duration 0: count the first period as 1, so that it lasted before it ended")
        read = read.take(read.durations > 0)  # one that has just begun says nothing yet
        if not read.events.any():
            remedy = "ask for a later as-of date" if read.are_gaps else "wait until some have"
            raise ModelError(
                f"none of {len(read):,} intervals ended: without an event there is no time to learn; {remedy}"
            )
        made = self._made()
        read, customers = _in_order(read)
        sample = self._sample(read, made.rows_of(read.durations, read.events))
        self.n_intervals_, self.n_customers_ = len(sample), len(np.unique(sample.customers))
        notes = []
        if self.n_customers_ < customers:
            notes.append(f"learnt from {self.n_customers_:,} of {customers:,} customers, all their intervals")
        if self.model == "kaplan_meier":
            sample = sample.with_columns([])
        self._encoder = FeatureEncoder.learnt(sample, linear=made.linear)
        made.names = self._encoder.names
        dtype = np.float64 if made.linear else np.float32
        made.fit(self._encoder.matrix(sample, dtype), sample.durations, sample.events, sample.customers)
        self._take(made)
        self.message_ = "; ".join(filter(None, [*notes, made.note, *self._encoder.notes]))
        return self

    def survival(self, data: Any, times: Any) -> Array:
        """P(the interval lasts longer than t) from its start, whatever it has come to; NaN beyond the last time seen.

        Parameters
        ----------
        data : frame or ChurnData
            Intervals, n rows.
        times : array_like, shape (m,)
            In the unit of the durations.

        Returns
        -------
        ndarray, shape (n, m)
        """
        return self.conditional_survival(data, times, elapsed=0.0)

    def conditional_survival(self, data: Any, times: Any, elapsed: Any = None) -> Array:
        """P(no order in (e, e + t]) given none until e: S(e + t) / S(e), shape (n, m); NaN beyond the last time seen.

        ``elapsed`` is each interval's own duration where not given, which must then be open.
        """
        read, X = self._matrix(data)
        begin = self._elapsed(read, elapsed)
        ends = begin[:, None] + np.atleast_1d(require_times("times", times, "day"))
        S = np.exp(-self._fitted.growth(X, np.minimum(begin, self.last_time_), np.minimum(ends, self.last_time_)))
        return np.where(ends > self.last_time_, np.nan, S)

    def probability_no_order(self, data: Any, horizon: float, elapsed: Any = None) -> Array:
        """P(no order in the next ``horizon`` days), given the days gone since the last one.

        The window must lie in the range of durations that was seen. Where the time elapsed reaches so far that it does
        not, the last window that does is taken instead (`beyond_range` marks the rows).

        Parameters
        ----------
        data : frame or ChurnData
            Open intervals, n rows: ``order_gaps(db, open_only=True)``.
        horizon : float
            Above 0, in the unit of the durations.
        elapsed : array_like, optional
            Shape (n,) or one for all; each interval's own duration where not given.

        Returns
        -------
        ndarray, shape (n,)

        Raises
        ------
        ModelError
            The horizon is longer than any duration seen, or an interval has ended.
        """
        read, X = self._matrix(data)
        begin = self._begin(self._elapsed(read, elapsed), horizon)
        return np.exp(-self._fitted.growth(X, begin, begin[:, None] + horizon)[:, 0])

    def median_time_to_next(self, data: Any, elapsed: Any = None) -> Array:
        """Days until an order is as likely as not to have come, (n,); NaN where never within the range seen."""
        read, X = self._matrix(data)
        begin = self._elapsed(read, elapsed)
        return self._fitted.time_to_grow(X, begin, _HALF) - begin

    def answers(self, data: Any, horizon: float) -> tuple[Array, Array]:
        """`probability_no_order` and `median_time_to_next` of open intervals in one pass: what a score needs."""
        read, X = self._matrix(data)
        elapsed = self._elapsed(read, None)
        begin = self._begin(elapsed, horizon)
        grown, when = self._fitted.answers(X, begin, horizon, _HALF)
        return np.exp(-grown), np.where(begin < elapsed, np.nan, when - elapsed)

    def beyond_range(self, data: Any, horizon: float, elapsed: Any = None) -> NDArray[np.bool_]:
        """Mark the rows whose window ends later than any duration seen, and whose answers are those of the last one."""
        return self._elapsed(self._read(data), elapsed) + horizon > self.last_time_

    def reasons(self, data: Any, horizon: float, count: int = 3, *, cohort: Any = None) -> "pd.DataFrame":
        """What made each open interval's P(no order) higher than the cohort's: exact contributions, largest first.

        They add up: for ``cox`` and ``coxnet`` each is beta (x - cohort's mean), for ``hazard`` TreeSHAP (Lundberg et
        al. 2020) of the log-odds of an order in each of the window's bins, weighted by the bin's part of the hazard,
        less the cohort's mean; columns of one
        feature are added, and so is what compares the time elapsed with the customer's own gaps.

        Parameters
        ----------
        data : frame or ChurnData
            Open intervals to explain, n rows.
        horizon : float
            As of `probability_no_order`.
        count : int
            Reasons a row.
        cohort : frame or ChurnData, optional
            With whom they are compared: ``data`` itself where not given. Of many rows every k-th, some 500.

        Returns
        -------
        pandas.DataFrame
            ``reason_1`` (text), ``effect_1`` (log-odds or log hazard towards no order, above 0), ...; "" and 0 where
            fewer reasons point that way.

        Raises
        ------
        ModelError
            The model has no exact contributions: a forest, boosted Cox or Kaplan-Meier.
        """
        read = self._read(data)
        against = read if cohort is None else self._read(cohort)
        against = against.take(np.arange(0, len(against), max(1, len(against) // _COHORT)))
        moved, names = self._contributions(read, horizon)
        centre = self._contributions(against, horizon)[0].mean(axis=0)
        source_of = dict(zip(self._encoder.names, self._encoder.sources, strict=True))
        sources = [source_of.get(name, name) for name in names]
        return reason_columns(read, centre - moved, sources, require_count("count", count))

    def at_risk(
        self, gaps: Any, horizon: float, top: int = 100, *, value: Any = None, count: int = 3
    ) -> "pd.DataFrame":
        """The open intervals most likely to bring no order in the horizon, with reasons; by value at stake if given.

        Parameters
        ----------
        gaps : frame
            ``order_gaps(db, open_only=True)``, n rows.
        horizon : float
            Days ahead.
        top : int
            Rows.
        value : array_like, optional
            What each customer is worth, (n,): the list is then ordered by P(no order) times it.
        count : int
            Reasons a row; "" for models that have none (`has_reasons`).

        Returns
        -------
        pandas.DataFrame
            ``customer_id, elapsed, probability_no_order, median_days, beyond_range [, at_stake], reason_1, ...``.
        """
        import pandas as pd

        read = self._read(gaps)
        probability, median = self.answers(read, horizon)
        frame = pd.DataFrame(
            {
                "customer_id": read.customers,
                "elapsed": read.durations,
                "probability_no_order": probability,
                "median_days": median,
                "beyond_range": self.beyond_range(read, horizon),
            }
        )
        key = "probability_no_order"
        if value is not None:
            worth = np.asarray(value, dtype=np.float64)
            if worth.shape != probability.shape:
                raise ContractError(
                    f"value has shape {worth.shape} and the intervals {probability.shape}; give one each"
                )
            key, frame["at_stake"] = "at_stake", probability * worth
        frame = frame.sort_values([key, "customer_id"], ascending=[False, True], kind="stable")
        frame = frame.head(require_count("top", top))
        if not require_count("count", count):
            return frame.reset_index(drop=True)
        if not self.has_reasons:
            told = {f"{part}_{k + 1}": no for k in range(count) for part, no in (("reason", ""), ("effect", 0.0))}
            return frame.reset_index(drop=True).assign(**told)
        reasons = self.reasons(read.take(frame.index.to_numpy()), horizon, count, cohort=read)
        return pd.concat([frame.reset_index(drop=True), reasons], axis=1)

    @property
    def name(self) -> str:
        """What its file says that it is."""
        return _SAVED_AS + self.model

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values; `from_dict` takes it back.

        Cox's coefficients and baseline, boosted and forests' trees, LightGBM's text; no customer's data.

        Raises
        ------
        ModelError
            It is not fitted, or an option is an object that cannot be written.
        """
        self._require_fitted()
        options = {name: value for name, value in self.options.items() if name not in _OF_THE_MACHINE}
        for option, value in options.items():
            if not _is_plain(value):
                raise ModelError(
                    f"option {option!r} of {self!r} is a {type(value).__name__}, which cannot be written; fit with "
                    "numbers, text or lists of them, and save that"
                )
        return {
            "model": self.model,
            "features": None if self.features is None else list(self.features),
            "max_rows": self.max_rows,
            "seed": self.seed,
            "options": options,
            "encoder": self._encoder.to_dict(),
            "fitted": self._fitted.state(),
            "n_intervals": self.n_intervals_,
            "n_customers": self.n_customers_,
            "message": self.message_,
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Make a fitted model of what `to_dict` returned."""
        features = state["features"]
        model = cls(
            state["model"],
            features=None if features is None else tuple(features),
            max_rows=state["max_rows"],
            seed=state["seed"],
            **state["options"],
        )
        model._encoder = FeatureEncoder.from_dict(state["encoder"])
        made = model._made()
        made.names = model._encoder.names
        made.restore(state["fitted"])
        model._take(made)
        model.n_intervals_, model.n_customers_ = int(state["n_intervals"]), int(state["n_customers"])
        model.message_ = str(state["message"])
        return model

    def save(self, path: str | Path) -> None:
        """Write the model as JSON, see `clv.persistence.save_model`; never a pickle.

        What is loaded answers the same bits, without scikit-survival; LightGBM is needed for ``hazard`` alone.

        Examples
        --------
        >>> import tempfile
        >>> from regulars.clv.churn_data import churn_frame
        >>> data = churn_frame([1, 2, 4, 5], [1, 1, 0, 1])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ChurnModel("kaplan_meier").fit(data).save(f"{folder}/floor.json")
        ...     again = ChurnModel.load(f"{folder}/floor.json")
        >>> again.survival(data.take(np.array([0])), [2.0]).tolist()
        [[0.5]]
        """
        from .persistence import save_model

        self._require_fitted()
        save_model(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model that `save` wrote."""
        from .persistence import load_model

        return load_model(path, cls)

    def _take(self, made: SurvivalModel) -> None:
        self._fitted = made
        self.last_time_ = made.last_time
        self.feature_names_ = self._encoder.names
        values = getattr(made, "coefficients", None)
        self.coefficients_ = {} if values is None else dict(zip(made.names, map(float, values), strict=True))

    def _require_fitted(self) -> None:
        if not hasattr(self, "_fitted"):
            raise ModelError(f"{self!r} is not fitted; call fit(order_gaps(db)) first")

    def _made(self) -> SurvivalModel:
        if self.model == "kaplan_meier":
            if self.options:
                raise ModelError(f"kaplan_meier has no option {next(iter(self.options))!r}: it has none")
            return STEP_MODELS[self.model]()
        made = DiscreteHazard if self.model == "hazard" else STEP_MODELS[self.model]
        return made(**({"seed": self.seed} | self.options))

    def _contributions(self, read: ChurnData, horizon: float) -> tuple[Array, tuple[str, ...]]:
        begin = self._begin(self._elapsed(read, None), horizon)
        return self._fitted.contributions(self._matrix(read)[1], begin, horizon)

    def _read(self, data: Any) -> ChurnData:
        if isinstance(data, ChurnData):
            if self.features is None:
                return data
            for name in self.features:
                if name not in data.columns:
                    present = list(data.columns)
                    raise ContractError(f"no feature {name!r}{nearest(name, present)}; there are {present}")
            return data.with_columns(self.features)
        return gap_data(data, self.features if not hasattr(self, "_encoder") else self._columns())

    def _columns(self) -> list[str]:
        # what the fit read, so that a single day of starts is not judged by its own span
        sources = dict.fromkeys(self._encoder.sources)
        return ["day_of_year" if s == "season_sin" else s for s in sources if s != "season_cos"]

    def _matrix(self, data: Any) -> tuple[ChurnData, Array]:
        self._require_fitted()
        read = self._read(data)
        return read, self._encoder.matrix(read, np.float64 if self._fitted.linear else np.float32)

    def _elapsed(self, read: ChurnData, elapsed: Any) -> Array:
        if elapsed is None:
            if read.events.any():
                who = read.customers[read.events][0]
                raise ModelError(
                    f"an interval of customer {who!s} has ended; score open ones, order_gaps(db, open_only=True), "
                    "or give elapsed, how long each had lasted"
                )
            return read.durations
        given = require_times("elapsed", elapsed, "day")
        if given.ndim and given.shape != (len(read),):
            raise ContractError(
                f"elapsed has shape {given.shape} and there are {len(read)} intervals; give one for each"
            )
        return np.broadcast_to(given, (len(read),)).astype(np.float64)

    def _begin(self, elapsed: Array, horizon: Any) -> Array:
        ahead = require_time("horizon", horizon, "day")
        if not 0 < ahead <= self.last_time_:
            raise ModelError(
                f"horizon is {ahead:g} days; the longest interval seen has {self.last_time_:g}: it must be above 0 "
                "and at most that; give a shorter one, or a longer history"
            )
        return np.minimum(elapsed, self.last_time_ - ahead)

    def _sample(self, read: ChurnData, rows: NDArray[np.int64]) -> ChurnData:
        most = _MOST_ROWS.get(self.model) if self.max_rows is None else require_count("max_rows", self.max_rows)
        if most is None or rows.sum() <= most:
            return read
        ids, place = np.unique(read.customers, return_inverse=True)
        order = np.random.default_rng(self.seed).permutation(len(ids))
        taken = np.cumsum(np.bincount(place, rows)[order]) <= most
        taken[0] = True
        chosen = np.zeros(len(ids), dtype=bool)
        chosen[order[taken]] = True
        sample = read.take(chosen[place])
        if not sample.events.any():
            raise ModelError(f"max_rows is {most}; no interval of so small a sample ended: give more")
        return sample


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str | np.number | np.ndarray)


def _in_order(read: ChurnData) -> tuple[ChurnData, int]:
    """By customer and first day, and how many customers: halves, samples and sums go by position."""
    ids, place = np.unique(read.customers, return_inverse=True)
    keys = (read.events, read.durations, place)
    if read.starts is not None:
        keys = (*keys[:2], read.starts, place)
    order = np.lexsort(keys)
    if (order[1:] > order[:-1]).all():
        return read, len(ids)
    return read.take(order), len(ids)
