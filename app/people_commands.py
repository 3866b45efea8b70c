"""The commands about people: ``regulars user`` (who may sign in with a password), ``regulars audit`` (who did what)."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..sql.errors import MissingExtraError, SettingsError
from .command_group import EPILOG, print_json
from .options import DEFAULT_SETTINGS, JsonOption, SettingsOption, WarehouseOption, settings_of, warehouse_of

if TYPE_CHECKING:
    from .users import UsersFile

_LONGEST_LINE = 4096
_DETAIL_WIDTH = 160

user_cli = typer.Typer(help="Who may sign in to the app with a password: add, list, remove.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="The name they sign in with.")]
UsersOption = Annotated[
    Path | None, typer.Option("--users", help="The users file, instead of [app] users_file of the settings.")
]


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.add_typer(user_cli, name="user")
    cli.command(epilog=EPILOG)(audit)


@user_cli.command(epilog=EPILOG)
def add(
    name: NameArgument,
    role: Annotated[str, typer.Option("--role", help="viewer, analyst (writes lists and plans) or admin (builds).")],
    replace: Annotated[bool, typer.Option("--replace", help="Give a user another password and role.")] = False,
    settings: SettingsOption = DEFAULT_SETTINGS,
    users: UsersOption = None,
) -> None:
    """Add a user. The password is asked for, or read as the first line of stdin; it is never an option."""
    file = _users(users, settings)
    added = file.add(name, role, _password(), replace=replace)
    typer.echo(f"{added.name} may sign in as {added.role} ({file.path})")


@user_cli.command("list", epilog=EPILOG)
def list_users(
    settings: SettingsOption = DEFAULT_SETTINGS, users: UsersOption = None, as_json: JsonOption = False
) -> None:
    """List who may sign in, and as what."""
    file = _users(users, settings)
    rows = [{"name": user.name, "role": user.role} for user in file.users()]
    if as_json:
        print_json({"users_file": str(file.path), "users": rows})
    else:
        _print_rows(rows)


@user_cli.command(epilog=EPILOG)
def remove(name: NameArgument, settings: SettingsOption = DEFAULT_SETTINGS, users: UsersOption = None) -> None:
    """Remove a user; their sessions are over at once."""
    file = _users(users, settings)
    typer.echo(f"{file.remove(name).name} may not sign in any more ({file.path})")


def audit(
    settings: SettingsOption = DEFAULT_SETTINGS,
    warehouse: WarehouseOption = None,
    most: Annotated[int, typer.Option("--most", min=1, help="How many of the latest lines.")] = 50,
    person: Annotated[str, typer.Option("--person", help="Of one person only.")] = "",
    action: Annotated[str, typer.Option("--action", help="Of one kind only, such as 'export rows'.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Show who exported and wrote what, the latest first: every export, list, plan, segment and sign-in of the app."""
    from .state import State

    house = warehouse_of(settings, warehouse)
    lines = State(house.path).audit_lines(most, person=person, action=action)
    if as_json:
        told: list[dict[str, Any]] = [
            {
                "id": line.id,
                "at": line.at.isoformat(),
                "person": line.person,
                "action": line.action,
                "subject": line.subject,
                "details": dict(line.details),
            }
            for line in lines
        ]
        print_json({"warehouse": str(house.path), "lines": told})
    elif lines:
        _print_rows(
            [
                {
                    "at": line.at.isoformat(sep=" ", timespec="seconds"),
                    "person": line.person,
                    "action": line.action,
                    "subject": line.subject,
                    "details": _details(line.details),
                }
                for line in lines
            ]
        )
    else:
        typer.echo(f"{house.path}: nothing was exported or written so far")


def _users(path: Path | None, settings: Path) -> "UsersFile":
    try:
        from .users import UsersFile
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"users of the app need the package {error.name!r}; install it with: pip install 'regulars[app]'"
        ) from error
    if path is not None:
        return UsersFile(path.absolute())
    read = settings_of(settings, None)
    return UsersFile(read.folder / Path(read.app.users_file).expanduser())


def _password() -> str:
    if sys.stdin.isatty():
        return typer.prompt("Password", hide_input=True, confirmation_prompt="Once more")
    line = sys.stdin.readline(_LONGEST_LINE).rstrip("\r\n")
    if not line:
        raise SettingsError("no password: type it when asked, or give it as the first line of stdin")
    return line


def _details(details: Any) -> str:
    text = ", ".join(f"{key}={value}" for key, value in details.items() if value not in ("", None))
    return text if len(text) <= _DETAIL_WIDTH else text[: _DETAIL_WIDTH - 1] + "…"


def _print_rows(rows: list[dict[str, Any]]) -> None:
    from .printing import text_table

    typer.echo(text_table(rows))
