"""Our own decisions read back as `sends`: every ``warehouse/decisions/*.parquet``, beside what the shop sent."""

from pathlib import Path
from typing import TYPE_CHECKING

from .contract import SENDS
from .engine import FileSet
from .errors import ContractError
from .files import Source
from .inspection import columns_by_file

if TYPE_CHECKING:
    from .engine import Engine
    from .settings import Settings

FOLDER = "decisions"
RAW_DECISIONS = "raw_decisions"


def find_decisions(settings: "Settings") -> Source | None:
    """Find the logs of decisions in the warehouse; None where nothing was decided yet.

    Examples
    --------
    >>> from regulars.sql.settings import Settings
    >>> find_decisions(Settings.from_mapping({"orders": {"path": "o.parquet"}, "build": {"warehouse": "/none"}}))
    """
    folder = settings.warehouse / FOLDER
    files = sorted(file for file in folder.glob("*.parquet") if file.is_file() and not file.name.startswith((".", "_")))
    if not files:
        return None
    return Source(
        table=FOLDER,
        place=f"{Path(settings.build.warehouse).name}/{FOLDER}",
        files=tuple(map(str, files)),
        names=tuple(file.name for file in files),
        format="parquet",
    )


def add_decisions(engine: "Engine", sends: str, decisions: Source) -> None:
    """Make the view ``sends`` of what ``sends`` selects and of what was decided.

    Raises
    ------
    SourceError
        A file is corrupt.
    ContractError
        A file lacks a column of `sends`.
    """
    for file, columns in columns_by_file(engine, decisions).items():
        missing = [name for name in SENDS.column_names if name not in columns]
        if missing:
            raise ContractError(
                f"{file}: a log of decisions has the columns {', '.join(SENDS.column_names)}; {missing[0]} is missing: "
                "take the file out of that folder, which is for what 'regulars target' writes"
            )
    engine.register_files(RAW_DECISIONS, file_set(decisions))
    engine.view(SENDS.name, sends_sql(sends, RAW_DECISIONS))


def file_set(decisions: Source) -> FileSet:
    """Return the files as an engine reads them."""
    return FileSet(decisions.files, decisions.format)


def sends_sql(sends: str, decisions: str) -> str:
    """Return the SELECT of all sends; whoever was left alone, without an arm, is in the log and was sent nothing.

    Parameters
    ----------
    sends : str
        The SELECT of what the shop says.
    decisions : str
        The table, or the function that reads the files, of what was decided.

    Examples
    --------
    >>> print(sends_sql("SELECT * FROM said", "decided").splitlines()[-1])
    FROM decided WHERE arm IS NOT NULL
    """
    given = ", ".join(SENDS.column_names)
    typed = ", ".join(f"CAST({column.name} AS {column.type}) AS {column.name}" for column in SENDS.columns)
    return (
        f"SELECT {given} FROM ({sends}\n) AS given\nUNION ALL\nSELECT {typed}\nFROM {decisions} WHERE arm IS NOT NULL"
    )
