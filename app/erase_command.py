"""``regulars erase``: remove a person and print the proof."""

import getpass
from typing import Annotated

import typer

from .command_group import EPILOG, print_json
from .options import (
    DEFAULT_SETTINGS,
    JsonOption,
    SettingsOption,
    WaitOption,
    WarehouseOption,
    settings_of,
    warehouse_of,
)


def erase(
    customer: Annotated[str, typer.Argument(help="The customer's id, or one that customer links join to it.")],
    settings: SettingsOption = DEFAULT_SETTINGS,
    warehouse: WarehouseOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what names the person; change nothing.")] = False,
    wait: WaitOption = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Remove a person from every snapshot, list, log and state file; prove it; keep them out of later builds."""
    from .erase import erase as remove

    said = settings_of(settings, warehouse) if warehouse is None or settings.exists() else None
    house = warehouse_of(settings, warehouse)
    found = remove(house.path, customer, settings=said, person=_me(), dry_run=dry_run, wait=wait)
    if as_json:
        print_json(found.to_dict())
    else:
        typer.echo(found.text())
    if found.exit_code:
        raise typer.Exit(found.exit_code)


def register(cli: typer.Typer) -> None:
    """Add the command to the command line."""
    cli.command(epilog=EPILOG)(erase)


def _me() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return "command line"
