"""Options that several commands share, and what they lead to."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..sql.settings import Settings
    from ..sql.snapshot import Warehouse

DEFAULT_SETTINGS = Path("regulars.toml")

SettingsOption = Annotated[Path, typer.Option("--settings", "-s", help="The settings file.")]
WarehouseOption = Annotated[
    Path | None, typer.Option("--warehouse", "-w", help="The folder of snapshots, instead of the settings' own.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, for machines.")]


def _seconds(given: float) -> float:
    if not 0 <= given < float("inf"):
        raise typer.BadParameter(f"{given} is no time to wait; give seconds from 0, such as 600")
    return given


WaitOption = Annotated[
    float, typer.Option("--wait", callback=_seconds, help="Seconds to wait for another build to end.")
]


def settings_of(path: Path, warehouse: Path | None) -> "Settings":
    """Read the settings file; ``warehouse`` overrides the one it names.

    Raises
    ------
    SettingsError
        The file is missing, or says what is not allowed.
    """
    from ..sql.settings import Settings

    sections: dict[str, Any] = {} if warehouse is None else {"build": {"warehouse": str(warehouse.absolute())}}
    return Settings.from_toml(path, **sections)


def warehouse_of(path: Path, warehouse: Path | None) -> "Warehouse":
    """Return the warehouse that was named, else that of the settings file.

    Raises
    ------
    SettingsError
        None was named, and the settings cannot be read.
    """
    from ..sql.snapshot import Warehouse

    return Warehouse(warehouse if warehouse is not None else settings_of(path, None).warehouse)
