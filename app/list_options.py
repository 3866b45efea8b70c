"""What one target list says beside the settings: costs, stock, and the segments it keeps to or leaves out."""

import math
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.contract import SEGMENTS
from ..sql.errors import SettingsError, nearest

if TYPE_CHECKING:
    import pyarrow as pa

    from ..sql.campaign_settings import CampaignSettings
    from ..sql.snapshot import Snapshot
    from .listing import ListFilters


@dataclass(frozen=True)
class ListOptions:
    """Options of one list; what is left out is as the settings say.

    Attributes
    ----------
    costs : mapping of str to float
        Arm -> cost of one send, instead of ``offers.ARM.cost``; may be negative.
    stock : mapping of str to int
        Arm -> how often it can be given, instead of ``offers.ARM.stock``.
    segment : str
        Only customers of this segment: one of the contract's, or a saved one.
    exclude_segments : tuple of str
        Customers of these are left alone.
    quiet_days : int, optional
        Whoever was sent something within so many days is left alone.
    """

    costs: Mapping[str, float] = field(default_factory=dict)
    stock: Mapping[str, int] = field(default_factory=dict)
    segment: str = ""
    exclude_segments: tuple[str, ...] = ()
    quiet_days: int | None = None

    def __post_init__(self) -> None:
        for arm, cost in self.costs.items():
            if not math.isfinite(cost):
                raise SettingsError(f"--cost {arm}={cost}: the cost of one send is a finite number")
        for arm, stock in self.stock.items():
            if stock < 0:
                raise SettingsError(f"--stock {arm}={stock}: stock is a count, 0 or more")
        if self.quiet_days is not None and not 1 <= self.quiet_days <= 3650:
            raise SettingsError(f"--quiet-days {self.quiet_days}: give 1 to 3650 days, or leave it out")

    def facts(self, filters: "Mapping[str, ListFilters]") -> dict[str, Any]:
        """Return what is recorded with the list: {} where nothing was asked for, so that such a list is as before."""
        said: dict[str, Any] = {
            "costs": {arm: float(cost) for arm, cost in sorted(self.costs.items())},
            "stock": {arm: int(stock) for arm, stock in sorted(self.stock.items())},
            "segment": self.segment,
            "exclude_segments": sorted(self.exclude_segments),
            "quiet_days": self.quiet_days,
            "segments": {name: chosen.query() for name, chosen in sorted(filters.items())},
        }
        kept = {name: value for name, value in said.items() if value not in ({}, [], "", None)}
        return {"options": kept} if kept else {}

    def require_arms(self, arms: "set[str]") -> None:
        """Refuse costs or stock of an arm that is not on offer.

        Raises
        ------
        SettingsError
            The text names the nearest.
        """
        for option, given in (("--cost", self.costs), ("--stock", self.stock)):
            for arm in given:
                if arm not in arms:
                    known = sorted(arms)
                    raise SettingsError(f"{option} names {arm!r}{nearest(arm, known)}; the arms are {', '.join(known)}")


def cost_changes(options: ListOptions, campaign: "CampaignSettings", arms: tuple[str, ...]) -> np.ndarray:
    """Return by how much a send of each arm costs more than the scores were reckoned with; shape (k,), in money."""
    reckoned = [campaign.offers[arm].cost if arm in campaign.offers else 0.0 for arm in arms]
    return np.array([options.costs.get(arm, old) - old for arm, old in zip(arms, reckoned, strict=True)])


def repriced(scores: "pa.Table", options: ListOptions, campaign: "CampaignSettings") -> "pa.Table":
    """Return rows of ``uplift_scores`` with the costs of the options: dearer by as much as the send is."""
    import pyarrow as pa

    if not options.costs:
        return scores
    coded = scores["arm"].combine_chunks().dictionary_encode()
    arms = tuple(coded.dictionary.to_pylist())
    dearer = cost_changes(options, campaign, arms)[coded.indices.to_numpy(zero_copy_only=False)]
    for name, change in (("cost", dearer), ("net_effect", -dearer)):
        column = scores[name].to_numpy() + change
        scores = scores.set_column(scores.column_names.index(name), name, pa.array(column))
    return scores


def segment_filter(warehouse: Path, name: str) -> "ListFilters":
    """Return the filter over customers that a segment stands for: one of the contract's, or a saved one.

    Raises
    ------
    SettingsError
        There is no such segment, or its filter is none of this version.
    """
    from .listing import FilterError
    from .listings import CUSTOMERS
    from .state import State

    if name in SEGMENTS:
        return CUSTOMERS.parse(f"segment={name}")
    saved = {segment.name: segment for segment in State(warehouse).segments()}
    if name not in saved:
        known = [*SEGMENTS, *saved]
        raise SettingsError(
            f"no segment {name!r}{nearest(name, known)}; there are {', '.join(known)}; the page Customers saves others"
        )
    try:
        return CUSTOMERS.parse(saved[name].filter)
    except FilterError as error:
        raise SettingsError(f"segment {name!r}: {error}; save it anew on the page Customers") from error


def left_alone(
    options: ListOptions, warehouse: Path, snapshot: "Snapshot", customer_ids: "pa.ChunkedArray"
) -> "tuple[dict[str, pa.Array | pa.ChunkedArray], dict[str, ListFilters]]":
    """Return reason -> customers whom segments leave alone, and segment -> its filter.

    Parameters
    ----------
    options : ListOptions
    warehouse : Path
        Where the saved segments are.
    snapshot : Snapshot
        Over which their filters run.
    customer_ids : pyarrow.ChunkedArray
        Everybody the list considers.

    Raises
    ------
    SettingsError
        There is no such segment.
    WarehouseError
        The snapshot lacks a table that a filter needs.
    """
    import pyarrow.compute as pc

    from .data import AppData

    names = [*([options.segment] if options.segment else []), *options.exclude_segments]
    filters = {name: segment_filter(warehouse, name) for name in names}
    if not filters:
        return {}, {}
    with closing(AppData(warehouse)) as data:
        opened = data.snapshot(snapshot.run_id)
        members = {name: opened.ids(chosen) for name, chosen in filters.items()}
    lists: dict[str, Any] = {exclusion(name): members[name] for name in options.exclude_segments}
    if options.segment:
        everybody = pc.unique(customer_ids)  # pyright: ignore[reportAttributeAccessIssue]
        inside = pc.is_in(everybody, value_set=members[options.segment])  # pyright: ignore[reportAttributeAccessIssue]
        lists[restriction(options.segment)] = everybody.filter(pc.invert(inside))  # pyright: ignore[reportAttributeAccessIssue]
    return lists, filters


def exclusion(name: str) -> str:
    """Return the reason why a segment's customers are left alone.

    Examples
    --------
    >>> exclusion("at_risk"), restriction("VIP, north")
    ('segment at_risk', 'outside segment VIP north')
    """
    return f"segment {_plain(name)}"


def restriction(name: str) -> str:
    """Return the reason why customers outside a segment are left alone."""
    return f"outside segment {_plain(name)}"


def _plain(name: str) -> str:
    # several reasons of one customer are parted by commas
    return " ".join(name.replace(",", " ").split())
