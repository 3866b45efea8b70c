"""Whom a list must leave alone today: consent, bounces and recent sends, read from the sources and never a snapshot."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ..sql import catalog
from ..sql.contract import SECTIONS
from ..sql.engine import DuckDBEngine, FileSet
from ..sql.errors import ContractError, SettingsError, SourceError, nearest
from ..sql.sources import reading_inputs, stage
from ..uplift.suppression import MAILED_LATELY, Suppression, id_text

if TYPE_CHECKING:
    import pyarrow as pa

    from ..sql.engine import Engine
    from ..sql.settings import Settings
    from ..sql.sources import Staged

_READ = ("customers", "customer_links", "sends")
_DECIDED = {"customer_id": "VARCHAR", "campaign": "VARCHAR", "sent_at": "TIMESTAMP", "arm": "VARCHAR"}
_ENDINGS = {".csv": "csv", ".parquet": "parquet"}

# Someone who says no in one place has said no, whatever other rows of his say.
_CONSENT = """
SELECT
    coalesce(resolved_customer_links.customer_id, customers.customer_id) AS customer_id,
    max(CASE WHEN customers.email_consent THEN 1 ELSE 0 END) AS agreed,
    max(CASE WHEN customers.email_consent = false THEN 1 ELSE 0 END) AS refused
FROM customers
LEFT JOIN resolved_customer_links ON customers.customer_id = resolved_customer_links.old_id
WHERE customers.customer_id IS NOT NULL
GROUP BY coalesce(resolved_customer_links.customer_id, customers.customer_id)
"""

# What was decided here may come back through the shop's own sends: one campaign on one day is one contact, and the list
# that is being made is none yet.
_CONTACTS = """
WITH contacts AS (
    SELECT customer_id, campaign, CAST(sent_at AS DATE) AS day, arm FROM ({said}) AS said
    UNION ALL
    SELECT customer_id, campaign, CAST(sent_at AS DATE) AS day, arm FROM decided
),
named AS (
    SELECT DISTINCT
        coalesce(resolved_customer_links.customer_id, contacts.customer_id) AS customer_id,
        contacts.campaign,
        contacts.day
    FROM contacts
    LEFT JOIN resolved_customer_links ON contacts.customer_id = resolved_customer_links.old_id
    WHERE contacts.arm IS NOT NULL AND NOT list_contains($nothing, contacts.arm)
        AND contacts.day > $first AND contacts.day <= $last
        AND NOT (contacts.campaign = $campaign AND contacts.day = $last)
)
SELECT customer_id, count(*) AS contacts FROM named WHERE customer_id IS NOT NULL GROUP BY customer_id
"""

# A row without an id stays: the summary counts it.
_LISTED = """
SELECT coalesce(resolved_customer_links.customer_id, listed_ids.customer_id) AS customer_id
FROM listed_ids
LEFT JOIN resolved_customer_links ON listed_ids.customer_id = resolved_customer_links.old_id
"""


@dataclass(frozen=True)
class ContactFacts:
    """Whom to leave alone, and how often the others were mailed lately: customer -> sends."""

    suppression: Suppression
    recent_contacts: Mapping[str, int] = field(repr=False)


def read_contacts(
    settings: "Settings",
    campaign: str,
    on: date,
    *,
    logs: Sequence[Path] = (),
    suppress: Mapping[str, Path] | None = None,
    quiet_days: int | None = None,
    lists: "Mapping[str, pa.Array | pa.ChunkedArray] | None" = None,
) -> ContactFacts:
    """Read consent, lists of customers to leave alone, and recent sends, links followed.

    Parameters
    ----------
    settings : Settings
        Its ``[customers]`` say who consented, its ``[sends]`` who was mailed.
    campaign : str
        Whose ``require_consent``, ``frequency_days`` count.
    on : date
        Day of the list.
    logs : sequence of Path
        Our own logs of decisions that count as sends.
    suppress : mapping of str to Path, optional
        Reason -> CSV or Parquet file with a column ``customer_id``.
    quiet_days : int, optional
        Whoever was sent something within so many days is suppressed as mailed recently.
    lists : mapping of str to array, optional
        Reason -> further customers to leave alone.

    Raises
    ------
    SettingsError
        Consent is required and nothing says who gave it.
    SourceError, ContractError
        A file cannot be read or lacks its column.
    """
    said = settings.campaign(campaign)
    if said.require_consent and settings.customers is None:
        raise SettingsError(
            f"{settings.origin}: [campaigns.{campaign}] require_consent = true, and there is no [customers] section "
            "that says who consented; write one with columns.email_consent, or set require_consent = false"
        )
    nothing = sorted({"control", *(each.control for each in settings.campaigns.values())})
    with _engine(settings) as (engine, staged):
        mapped = [column.name for column in staged.tables["customers"].mapped]
        if said.require_consent and "email_consent" not in mapped:
            raise SettingsError(
                f"{settings.origin}: [campaigns.{campaign}] require_consent = true, and [customers] has no column "
                "email_consent; map it under [customers.columns], or set require_consent = false"
            )
        shop_sends = staged.tables["sends"].sql
        suppressed = {**(lists or {}), **{reason: _listed(engine, path) for reason, path in (suppress or {}).items()}}
        consent = engine.query(_CONSENT)
        refused = consent.filter(_flag(consent, "refused"))["customer_id"]
        agreed = consent.filter(_flag(consent, "agreed"))["customer_id"]
        _register_logs(engine, logs)
        window = {
            "first": on - timedelta(days=said.frequency_days),
            "last": on,
            "nothing": nothing,
            "campaign": campaign,
        }
        contacts = engine.query(_CONTACTS.format(said=shop_sends), window)
        if quiet_days is not None:
            lately = {**window, "first": on - timedelta(days=quiet_days)}
            suppressed[MAILED_LATELY] = engine.query(_CONTACTS.format(said=shop_sends), lately)["customer_id"]
    counts = dict(zip(contacts["customer_id"].to_pylist(), contacts["contacts"].to_pylist(), strict=True))
    return ContactFacts(Suppression(suppressed, agreed if said.require_consent else None, refused), counts)


@contextmanager
def _engine(settings: "Settings") -> "Iterator[tuple[Engine, Staged]]":
    unread = {section: None for table, section in SECTIONS.items() if table not in _READ}
    # orders and products play no part here, and reading them takes minutes
    few = settings.model_copy(update=unread)
    engine = DuckDBEngine(threads=settings.build.threads, memory_limit=settings.build.memory_limit)
    with closing(engine):
        staged = stage(engine, few)
        with reading_inputs(engine, staged):
            engine.materialize("resolved_customer_links", catalog.query("resolved_customer_links").sql)
            yield engine, staged


def _flag(table: "pa.Table", name: str) -> "pa.ChunkedArray":
    import pyarrow as pa

    return table[name].cast(pa.bool_())


def _listed(engine: "Engine", path: Path) -> "pa.ChunkedArray":
    import pyarrow as pa

    format_ = _ENDINGS.get(path.suffix.lower())
    if format_ is None:
        raise SettingsError(f"--suppress {path}: a list is a .csv or .parquet file with a column customer_id")
    if not path.is_file():
        raise SourceError(f"--suppress {path}: there is no such file; nobody is mailed before it is there")
    engine.register_files("listed", FileSet((str(path),), format_))
    columns = list(engine.columns("listed"))
    if "customer_id" not in columns:
        raise ContractError(
            f"--suppress {path}: no column customer_id{nearest('customer_id', columns)}; it has {', '.join(columns)}"
        )
    given = engine.query("SELECT customer_id FROM listed")["customer_id"].combine_chunks()
    texts = [id_text(value, f"--suppress {path}") for value in given.to_pylist()]
    engine.register("listed_ids", pa.table({"customer_id": pa.array(texts, pa.string())}))
    return engine.query(_LISTED)["customer_id"]


def _register_logs(engine: "Engine", logs: Sequence[Path]) -> None:
    import pyarrow.parquet as pq

    # whoever was held out counts with what was meant for him: a cap that struck the others alone would leave more of
    # the holdout than its share
    columns = "customer_id, campaign, sent_at"
    parts = [
        f"SELECT {', '.join(f'CAST(NULL AS {kind}) AS {name}' for name, kind in _DECIDED.items())} WHERE 1 = 0",
    ]
    for i, arm in enumerate(("intended_arm", "planned_arm")):  # logs of before there was the first have the second
        files = [str(log) for log in logs if ("intended_arm" in pq.read_schema(log).names) == (arm == "intended_arm")]
        if files:
            engine.register_files(f"logs_{i}", FileSet(tuple(files), "parquet"))
            meant = f"CASE WHEN why = 'holdout' THEN {arm} ELSE arm END AS arm"
            parts.append(f"SELECT {columns}, {meant} FROM logs_{i} WHERE why IN ('sent', 'holdout')")
    engine.view("decided", " UNION ALL ".join(parts))
