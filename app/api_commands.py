"""``regulars token create | list | revoke`` and ``regulars api``: who may ask the read API, and serving it."""

import getpass
from datetime import UTC, date, datetime
from typing import Annotated, Any

import typer

from ..sql.errors import MissingExtraError, SettingsError
from .command_group import print_json
from .options import (
    DEFAULT_SETTINGS,
    JsonOption,
    SettingsOption,
    WarehouseOption,
    settings_of,
    warehouse_of,
)

token_cli = typer.Typer(help="Tokens of the read API: make one, list them, close one.", no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(help="What the token is for, such as 'newsletter'.")]


@token_cli.command()
def create(
    name: NameArgument,
    settings: SettingsOption = DEFAULT_SETTINGS,
    warehouse: WarehouseOption = None,
    expires: Annotated[str, typer.Option("--expires", help="Its last day (UTC), YYYY-MM-DD; none without it.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Make a token that may read, and print it: this once, for only a hash of it is kept."""
    from .tokens import SCOPE, Tokens

    try:
        until = date.fromisoformat(expires) if expires else None
    except ValueError as error:
        raise SettingsError(f"--expires {expires!r} is no date; write YYYY-MM-DD") from error
    text = Tokens(warehouse_of(settings, warehouse).path).create(name, _me(), until)
    if as_json:
        print_json({"name": name, "token": text, "scope": SCOPE, "expires": expires or None})
    else:
        typer.echo(text)
        typer.echo("keep it now: only its hash is kept here, and nobody can show it again", err=True)


@token_cli.command("list")
def list_tokens(
    settings: SettingsOption = DEFAULT_SETTINGS, warehouse: WarehouseOption = None, as_json: JsonOption = False
) -> None:
    """List the tokens: who made them, until when they open, when they were last used."""
    from .printing import text_table
    from .tokens import Tokens

    now = datetime.now(UTC)
    rows: list[dict[str, Any]] = [
        {
            "name": token.name,
            "state": token.state(now),
            "scope": token.scope,
            "made_by": token.made_by,
            "made_at": _minutes(token.made_at),
            "expires": _minutes(token.expires_at),
            "last_used": _minutes(token.last_used_at),
        }
        for token in Tokens(warehouse_of(settings, warehouse).path).all()
    ]
    if as_json:
        print_json({"tokens": rows})
    else:
        typer.echo(text_table(rows) if rows else "no token yet; make one: regulars token create NAME")


@token_cli.command()
def revoke(
    name: NameArgument,
    settings: SettingsOption = DEFAULT_SETTINGS,
    warehouse: WarehouseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Close a token for good, from the next request on."""
    from .tokens import Tokens

    Tokens(warehouse_of(settings, warehouse).path).revoke(name, _me())
    if as_json:
        print_json({"name": name, "state": "revoked"})
    else:
        typer.echo(f"{name} opens nothing any more")


def api(
    settings: SettingsOption = DEFAULT_SETTINGS,
    warehouse: WarehouseOption = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")] = 8051,
) -> None:
    """Serve the read API alone, for e-mail and web jobs: no page of the app can hold it up."""
    try:
        from .api_server import serve_api
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"the API needs the package {error.name!r}; install it with: pip install 'regulars[app]'"
        ) from error
    is_open = settings.exists() and settings_of(settings, warehouse).app.open_api
    serve_api(warehouse_of(settings, warehouse).path, host, port, open_api=is_open)


def register(cli: typer.Typer) -> None:
    """Add the commands to the command line."""
    cli.add_typer(token_cli, name="token")
    cli.command()(api)


def _me() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return "command line"


def _minutes(moment: datetime | None) -> str:
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M")
