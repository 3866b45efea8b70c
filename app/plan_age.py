"""Whether a plan may still be approved: how old its snapshot is, whether today's settings would shape it otherwise."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..sql.settings import Settings
    from ..sql.snapshot import Snapshot

# Sections of the settings that shape a plan, beside the plan's own and the as-of date.
_SHAPING = ("orders", "products", "stock", "promotions", "exchange_rates", "shop", "policy", "build")


def last_day(account: Mapping[str, Any]) -> date:
    """Return the last day of a plan's last week.

    Examples
    --------
    >>> last_day({"starts": date(2018, 1, 1), "weeks": 2})
    datetime.date(2018, 1, 14)
    """
    return account["starts"] + timedelta(weeks=account["weeks"]) - timedelta(days=1)


def stale_reason(settings: "Settings", snapshot: "Snapshot", account: Mapping[str, Any], on: date) -> str:
    """Return why a price file of a plan must not be made on a day, '' where it may; ``account`` is its row.

    Raises
    ------
    SettingsError
        The settings have no such plan.
    """
    name = account["plan"]
    said = settings.markdown(name)
    age = (on - snapshot.as_of).days
    if age < 0:
        return f"--on {on} is before {snapshot.as_of}, the as-of date of run {snapshot.run_id}: name a later day"
    if age > said.max_snapshot_age_days:
        return (
            f"run {snapshot.run_id} is as of {snapshot.as_of}, {age} days before {on}; allowed: "
            f"{said.max_snapshot_age_days} ([pricing.markdowns.{name}] max_snapshot_age_days); run 'regulars build' "
            "with newer orders"
        )
    ends = last_day(account)
    if ends < on:
        return (
            f"{name} ended on {ends}, before {on}: run 'regulars build' for a plan of weeks to come, or name a day of "
            "the plan with --on"
        )
    changed = _changed_settings(settings, snapshot, name)
    if changed:
        return (
            f"run {snapshot.run_id} was built with other settings of {name}: {', '.join(changed)}; run 'regulars build'"
        )
    return ""


def _changed_settings(settings: "Settings", snapshot: "Snapshot", name: str) -> list[str]:
    """Return what would shape the plan otherwise today."""
    then, now = snapshot.manifest.get("settings", {}), settings.identity()
    changed = [
        f"[{section}]{f' {key}' if key else ''}"
        for section in _SHAPING
        for key in _differing(then.get(section), now.get(section))
    ]
    if (then.get("value") or {}).get("as_of") != now["value"]["as_of"]:
        changed.append("[value] as_of")
    before, after = then.get("pricing") or {}, now["pricing"]
    changed += [f"[pricing] {key}" for key in _differing(before, after) if key != "markdowns"]
    return changed + _differing(before.get("markdowns", {}).get(name), after["markdowns"][name])


def _differing(then: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> list[str]:
    """Return the keys that differ; '' where one of the two is missing as a whole."""
    if then is None or now is None:
        return [] if then is now else [""]
    return [key for key in sorted({*then, *now}) if then.get(key) != now.get(key)]
