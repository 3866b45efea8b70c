"""Which models stand behind a page's numbers, each with its version: their fingerprint and that of the package."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...sql.contract import CAMPAIGN_EFFECTS, MARKDOWN_PLANS
from .tracking import model_name

if TYPE_CHECKING:
    from ..snapshot_data import SnapshotData

# more than these are no line at a page's head
_MOST_NAMED = 2


def of_scores(data: "SnapshotData") -> str:
    """Return the models of orders and spend."""
    return data.model_version


def of_churn(data: "SnapshotData") -> str:
    """Return the models behind P(no order): the forecast that the run keeps, which holds all of them."""
    return str(((data.manifest.get("models") or {}).get("churn_forecast") or {}).get("version") or "")


def of_campaigns(data: "SnapshotData") -> str:
    """Return the effects that score customers, a version for each campaign that has one."""
    if data.lacks(CAMPAIGN_EFFECTS.name):
        return ""
    return _together(row["model_version"] for row in data.table(CAMPAIGN_EFFECTS.name, "campaign, arm").records)


def of_plans(data: "SnapshotData") -> str:
    """Return the price responses that plans were made by."""
    if data.lacks(MARKDOWN_PLANS.name):
        return ""
    return _together(row["model_version"] for row in data.table(MARKDOWN_PLANS.name, "plan").records)


def none(data: "SnapshotData") -> str:  # noqa: ARG001
    """Return "": the page counts and predicts nothing."""
    return ""


def named_versions(data: "SnapshotData", models: Iterable[str]) -> str:
    """Return models by name, each with its version where the run keeps it, and by its name alone where it does not."""
    kept = data.manifest.get("models") or {}
    said = (str((kept.get(name) or {}).get("version") or "").split(",")[0] for name in models)
    return " + ".join(version or model_name(name) for name, version in zip(models, said, strict=True))


def _together(versions: Iterable[str | None]) -> str:
    known = list(dict.fromkeys(version for version in versions if version))
    return " + ".join(known) if len(known) <= _MOST_NAMED else f"{len(known)} models, named at their numbers"
