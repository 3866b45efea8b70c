"""What the planning tool keeps in memory: each campaign's scores, and whom a list must leave alone, of one snapshot."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

import numpy as np

from ..sql.errors import RegularsError, SettingsError, StaleSnapshotError
from .campaign_planning import Candidates, CurvePoint, HeldOut, Plan, Terms, budget_curve, most_spend, plan_list
from .list_options import ListOptions, cost_changes, exclusion, restriction, segment_filter

if TYPE_CHECKING:
    from ..sql.campaign_settings import CampaignSettings
    from ..sql.settings import Settings
    from .campaign_readout import CampaignReadOut
    from .data import AppData
    from .list_files import StandingList
    from .snapshot_data import SnapshotData

_T = TypeVar("_T")
_MOST_READ_OUT = 100_000  # rows of a log up to whom a list is read out while one waits
_KEPT = 12
_SECONDS = 120.0  # consent and sends are read again after so long; a list that is written reads them anew


@dataclass(frozen=True)
class Asked:
    """What the tool asks for: the arguments of ``regulars target``."""

    campaign: str
    on: date
    budget: float | None = None
    costs: tuple[tuple[str, float], ...] = ()
    stock: tuple[tuple[str, int], ...] = ()
    segment: str = ""
    exclude_segments: tuple[str, ...] = ()
    quiet_days: int | None = None

    @property
    def options(self) -> ListOptions:
        """The same as options of a list."""
        return ListOptions(
            dict(self.costs), dict(self.stock), self.segment, tuple(self.exclude_segments), self.quiet_days
        )

    @property
    def plain(self) -> "Asked":
        """The list as the settings say."""
        return Asked(self.campaign, self.on)


@dataclass(frozen=True)
class Whom:
    """Who may get something: ``is_open`` (n,), recent ``contacts`` (n,), and how many are left alone by reason."""

    is_open: np.ndarray = field(repr=False)
    contacts: np.ndarray = field(repr=False)
    left_alone: dict[str, int]
    held_out: int


@dataclass(frozen=True)
class Planned:
    """A plan with what it was made of; ``most`` is the largest sum that could pay."""

    asked: Asked
    said: "CampaignSettings"
    budget: float | None
    candidates: Candidates = field(repr=False)
    whom: Whom
    plan: Plan
    most: float


class Planner:
    """Plans of the campaigns of a warehouse's snapshots; safe to share between threads."""

    def __init__(self, data: "AppData") -> None:
        self._data = data
        self._kept: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def settings(self) -> "Settings | None":
        """Return the app's settings; None where it was started without any."""
        return self._data.settings() if self._data.settings_path is not None else None

    def said(self, data: "SnapshotData", campaign: str) -> "CampaignSettings":
        """Return what the settings say of a campaign; those of the build where the app has none.

        Raises
        ------
        SettingsError
            They have no such campaign.
        """
        from ..sql.campaign_settings import CampaignSettings

        settings = self.settings()
        if settings is not None:
            return settings.campaign(campaign)
        then = (data.settings.get("campaigns") or {}).get(campaign)
        if not isinstance(then, dict):
            raise SettingsError(f"the snapshot was built without [campaigns.{campaign}]; run 'regulars build'")
        return CampaignSettings.model_validate({k: v for k, v in then.items() if k in CampaignSettings.model_fields})

    def usual_day(self, data: "SnapshotData", campaign: str) -> tuple[date, str]:
        """Return the day that a list is for unless another is named, and why it is not today ("" where it is)."""
        settings = self.settings()
        today = datetime.now(ZoneInfo(settings.shop.timezone if settings else "UTC")).date()
        most = self.said(data, campaign).max_snapshot_age_days
        age = (today - data.as_of).days
        if 0 <= age <= most:
            return today, ""
        return (
            data.as_of + timedelta(days=1),
            f"The snapshot is {age:,} days old and lists take at most {most}: the day after it stands in for today. "
            "Build with newer orders before anything is sent.",
        )

    def plan(self, data: "SnapshotData", asked: Asked) -> Planned:
        """Plan a list.

        Raises
        ------
        SettingsError, StaleSnapshotError, SourceError, ContractError
            As of `targeting.target`.
        AllocationError
            The limits cannot be met.
        """
        return self._once(("plan", data.run_id, asked), lambda: self._plan(data, asked), _SECONDS)

    def curve(self, data: "SnapshotData", asked: Asked) -> list[CurvePoint]:
        """Return what other budgets would bring under the same terms; errors as of `plan`."""
        return self._once(("curve", data.run_id, asked), lambda: self._curve(data, asked), _SECONDS)

    def candidates(self, data: "SnapshotData", campaign: str) -> Candidates:
        """Return the campaign's scores.

        Raises
        ------
        StaleSnapshotError
            The snapshot has none.
        """
        return self._once(("scores", data.run_id, campaign), lambda: self._candidates(data, campaign))

    def held_out(self, data: "SnapshotData", campaign: str) -> HeldOut | None:
        """Return the campaign's held-out customers; None where the snapshot has none."""

        def read() -> HeldOut | None:
            from .targeting import campaign_rows

            lacks = data.lacks("campaign_holdout")
            rows = None if lacks else campaign_rows(data.snapshot, "campaign_holdout", campaign)
            return None if rows is None else HeldOut.of(rows, self.candidates(data, campaign).arms)

        return self._once(("holdout", data.run_id, campaign), read)

    def read_out(self, data: "SnapshotData", campaign: str, each: "StandingList") -> "CampaignReadOut | str":
        """Return what a list brought, or why that cannot be said here."""
        if each.rows > _MOST_READ_OUT:
            return f"regulars readout {campaign} --run {each.run_id[:8]}"
        settings = self.settings()
        if settings is None:
            return "the app was started without settings"

        def read() -> "CampaignReadOut | str":
            from .campaign_readout import read_out_campaign

            try:
                return read_out_campaign(settings, campaign, run=each.run_id)
            except RegularsError as error:
                return str(error)

        return self._once(("readout", data.run_id, each.run_id), read)

    # ---- how it is done

    def _plan(self, data: "SnapshotData", asked: Asked) -> Planned:
        terms, whom, candidates, said = self._ready(data, asked)
        held_out = self.held_out(data, asked.campaign)
        plan = plan_list(candidates, whom.is_open, terms, held_out, whom.contacts)
        most = most_spend(candidates, whom.is_open, terms)
        return Planned(asked, said, terms.budget, candidates, whom, plan, most)

    def _curve(self, data: "SnapshotData", asked: Asked) -> list[CurvePoint]:
        terms, whom, candidates, _ = self._ready(data, asked)
        marks = [terms.budget] if terms.budget is not None else []
        held_out = self.held_out(data, asked.campaign)
        return budget_curve(candidates, whom.is_open, terms, held_out, whom.contacts, marks=marks)

    def _ready(self, data: "SnapshotData", asked: Asked) -> "tuple[Terms, Whom, Candidates, CampaignSettings]":
        from .targeting import list_seed

        candidates, said = self.candidates(data, asked.campaign), self.said(data, asked.campaign)
        options = asked.options
        options.require_arms(set(candidates.arms))
        settings = self.settings()
        stock = {arm: offer.stock for arm, offer in said.offers.items() if offer.stock is not None}
        stock = {**stock, **options.stock}
        terms = Terms(
            budget=said.budget if asked.budget is None else asked.budget,
            stock=tuple(float(stock.get(arm, np.inf)) for arm in candidates.arms),
            dearer=tuple(cost_changes(options, said, candidates.arms).tolist()),
            max_contacts=said.max_contacts,
            exploration=said.exploration,
            fatigue=said.fatigue,
            seed=list_seed(settings, asked.campaign, asked.on) if settings is not None else 0,
        )
        return terms, self._whom(data, asked, said), candidates, said

    def _candidates(self, data: "SnapshotData", campaign: str) -> Candidates:
        from ..uplift.score_table import read_scores
        from .targeting import campaign_rows

        rows = None if data.lacks("uplift_scores") else campaign_rows(data.snapshot, "uplift_scores", campaign)
        if rows is None or not rows.num_rows:
            raise StaleSnapshotError(f"run {data.run_id} has no scores of {campaign}; its verdict says why")
        ids, arms, matrices = read_scores(rows, campaign, control=self.said(data, campaign).control)
        return Candidates(ids, arms, matrices["net_effect"], matrices["cost"])

    def _whom(self, data: "SnapshotData", asked: Asked, said: "CampaignSettings") -> Whom:
        campaign, run = asked.campaign, data.run_id
        ids = self.candidates(data, campaign).customer_ids
        key = ("contacts", run, campaign, asked.on, asked.quiet_days, self._logs(campaign, asked.on))
        concerned, contacts = self._once(key, lambda: self._contacts(data, asked, said), _SECONDS)
        concerned = dict(concerned)
        for name in asked.exclude_segments:
            concerned[exclusion(name)] = self._members(data, campaign, name)
        if asked.segment:
            concerned[restriction(asked.segment)] = ~self._members(data, campaign, asked.segment)
        alone = np.zeros(len(ids), dtype=np.bool_)
        for mask in concerned.values():
            alone |= mask
        drawn = self._once(
            ("drawn", run, campaign, said.holdout, said.holdout_salt),
            lambda: _held_out(ids.to_pylist(), said.holdout, said.holdout_salt),
        )
        held = drawn & ~alone
        counts = {reason: int(mask.sum()) for reason, mask in concerned.items() if mask.any()}
        return Whom(~alone & ~held, contacts, counts, int(held.sum()))

    def _logs(self, campaign: str, on: date) -> tuple[str, ...]:
        from .targeting import DECISIONS, find_logs

        if self._data.settings_path is None:
            return ()
        logs = find_logs(self._data.path / DECISIONS)
        return tuple(str(log.path) for log in logs if (log.campaign, log.on) != (campaign, on.isoformat()))

    def _contacts(
        self, data: "SnapshotData", asked: Asked, said: "CampaignSettings"
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        import pyarrow as pa

        from ..uplift.suppression import MAILED_LATELY, contact_counts, contacts_of
        from .contacts import read_contacts

        ids = self.candidates(data, asked.campaign).customer_ids
        settings = self.settings()
        if settings is None:
            return {}, np.zeros(len(ids), dtype=np.int64)
        logs = [Path(path) for path in self._logs(asked.campaign, asked.on)]
        facts = read_contacts(settings, asked.campaign, asked.on, logs=logs, quiet_days=asked.quiet_days)
        contacts = np.array(contacts_of(ids, contact_counts(facts.recent_contacts)), dtype=np.int64)
        cap = said.frequency_cap
        also = {} if cap is None else {MAILED_LATELY: pa.array(contacts >= cap)}
        return facts.suppression.concerned(ids, also=also), contacts

    def _members(self, data: "SnapshotData", campaign: str, name: str) -> np.ndarray:
        import pyarrow.compute as pc

        filters = segment_filter(self._data.path, name)

        def find() -> np.ndarray:
            ids = self.candidates(data, campaign).customer_ids
            return np.asarray(pc.is_in(ids, value_set=data.ids(filters)), dtype=np.bool_)  # pyright: ignore[reportAttributeAccessIssue]

        return self._once(("members", data.run_id, campaign, filters.query()), find)

    def _once(self, key: Hashable, make: Callable[[], _T], seconds: float = float("inf")) -> _T:
        """Make what is asked for once, however many ask at the same time; keep the latest."""
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                found = self._kept.get(key)
                if found is not None and time.monotonic() - found[0] < seconds:
                    self._kept.move_to_end(key)
                    return found[1]
            made = make()
            with self._lock:
                self._kept[key] = (time.monotonic(), made)
                self._kept.move_to_end(key)
                for kind, most in _LIMITS.items():
                    mine = [other for other in self._kept if isinstance(other, tuple) and other[0] == kind]
                    for old in mine[:-most]:
                        self._kept.pop(old, None)
                        self._making.pop(old, None)
            return made


_LIMITS = {"scores": 3, "holdout": 3, "drawn": 3, "contacts": 4, "members": 12, "plan": 16, "curve": 16, "readout": 50}


def _held_out(ids: list[str], share: float, salt: str) -> np.ndarray:
    from ..uplift.design import persistent_holdout

    return persistent_holdout(ids, share, salt)
