"""The runs of a warehouse in words: which there are, and how two differ."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..sql.errors import WarehouseError
from ..sql.snapshot import Snapshot, Warehouse

# Machine facts and hashes that say no more than what they are the hash of.
_NOT_COMPARED = {"run_id", "format", "tables", "money"}


def describe_runs(warehouse: Warehouse) -> list[dict[str, Any]]:
    """One row per run, the one published last first.

    Returns
    -------
    list of dict
        ``run_id``, ``current`` ("*" or ""), ``as_of``, ``published`` (UTC, from the log), ``customers``, ``model``
        (the winner) and ``regulars`` (the package version). Of one whose manifest cannot be read only the id is known:
        its ``as_of`` is "".
    """
    try:
        current = warehouse.current().run_id
    except WarehouseError:
        current = ""
    rows = []
    for run in warehouse.runs():
        try:
            manifest = run.manifest
        except WarehouseError:
            manifest = {"as_of": "", "tables": {}}
        rows.append(
            {
                "run_id": run.run_id,
                "current": "*" if run.run_id == current else "",
                "as_of": manifest["as_of"],
                "published": _published(run),
                "customers": manifest["tables"].get("customer_summary", {}).get("rows"),
                "model": (manifest.get("model") or {}).get("name", ""),
                "regulars": (manifest.get("code") or {}).get("regulars", ""),
            }
        )
    return rows


def compare_runs(first: Snapshot, second: Snapshot) -> list[dict[str, Any]]:
    """What differs between two runs: inputs, settings, versions and models first, then row counts, money and KPIs.

    Returns
    -------
    list of dict
        ``what``, ``first`` and ``second``; [] where the runs are the same.

    Raises
    ------
    WarehouseError
        A manifest or table cannot be read.
    """
    facts = [dict(_facts(run)) for run in (first, second)]
    names = [*facts[0], *(name for name in facts[1] if name not in facts[0])]
    return [
        {"what": name, "first": facts[0].get(name), "second": facts[1].get(name)}
        for name in names
        if facts[0].get(name) != facts[1].get(name)
    ]


def _facts(run: Snapshot) -> Iterator[tuple[str, Any]]:
    manifest = run.manifest
    for key in sorted(manifest.keys() - _NOT_COMPARED):
        yield from _flat(key, manifest[key])
    for name in run.tables():
        yield f"rows of {name}", manifest["tables"][name]["rows"]
    for row in manifest.get("money", []):
        what = " ".join(str(row[key]) for key in ("disposition", "reason", "currency") if row.get(key))
        yield f"money {what}", row["revenue"]
    if "kpis" in run.tables():
        for row in run.read("kpis").to_pylist():
            yield f"kpi {row['kpi']}", row["value"]


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from _flat(f"{name}.{key}", value[key])
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _flat(f"{name}[{i}]", item)
    else:
        yield name, value


def _published(run: Snapshot) -> str:
    try:
        lines = (run.path / "run.log").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    times = [line.split(" ")[0] for line in lines if line.endswith("current: published")]
    return times[-1][:19].replace("T", " ") if times else ""
