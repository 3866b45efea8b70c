"""The command line: ``regulars build | runs | check | query | score | target | readout | markdown | app | demo``.

Nothing heavy is imported before a command runs, so that ``regulars --help`` answers at once.
"""

import math
from collections.abc import Callable
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..sql.errors import (
    CheckFailed,
    MissingExtraError,
    SettingsError,
    WarehouseError,
)
from . import api_commands, erase_command, people_commands
from .command_group import EPILOG, Commands, give_way, print_json, told_to_stop
from .options import DEFAULT_SETTINGS, JsonOption, SettingsOption, WaitOption, WarehouseOption
from .options import settings_of as _settings
from .options import warehouse_of as _warehouse

if TYPE_CHECKING:
    from ..sql.snapshot import Warehouse


class Format(StrEnum):
    """How rows are printed or written."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


# What the ending of a written file means; a table is for people and ends in .txt.
_ENDINGS = {".csv": Format.csv, ".json": Format.json, ".parquet": Format.parquet, ".txt": Format.table}


cli = typer.Typer(
    name="regulars",
    cls=Commands,
    help="Customer value, uplift and markdown decisions from order history in Parquet.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
runs_cli = typer.Typer(help="List the snapshots; compare two; go back to one.", invoke_without_command=True)
cli.add_typer(runs_cli, name="runs")
api_commands.register(cli)
erase_command.register(cli)
people_commands.register(cli)

FormatOption = Annotated[Format | None, typer.Option("--format", "-f", help="As --out ends; else a table.")]
OutOption = Annotated[
    Path | None, typer.Option("--out", "-o", help="A file instead of stdout: .csv, .json, .parquet or .txt.")
]


def _print_version(asked: bool) -> None:
    if asked:
        from .. import __version__

        typer.echo(__version__)
        raise typer.Exit


@cli.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
) -> None:
    del version, debug  # one has been answered, the other is read by the group


@cli.command()
def build(
    settings: SettingsOption = DEFAULT_SETTINGS,
    warehouse: WarehouseOption = None,
    force: Annotated[bool, typer.Option("--force", help="Build even where the same snapshot exists.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Read the whole history, not the new files alone.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    wait: WaitOption = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Check, summarise, fit, score and publish a snapshot."""
    give_way()  # before what a build imports
    from .build import run_build

    with told_to_stop():
        result = run_build(
            _settings(settings, warehouse), force=force, incremental=not full, progress=not quiet, wait=wait
        )
    if as_json:
        print_json(result.to_dict())
    else:
        typer.echo(result.sentence())


@runs_cli.callback()
def runs(
    ctx: typer.Context,
    settings: SettingsOption = DEFAULT_SETTINGS,
    warehouse: WarehouseOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the snapshots; compare two; go back to one."""
    if ctx.invoked_subcommand is not None:
        ctx.obj = lambda: _warehouse(settings, warehouse)
        return
    from .runs import describe_runs

    house = _warehouse(settings, warehouse)
    rows = describe_runs(house)
    if as_json:
        print_json({"warehouse": str(house.path), "runs": rows})
    elif rows:
        _print_rows(rows)
    else:
        typer.echo(f"{house.path}: no snapshot here yet; run 'regulars build' to make one")


@runs_cli.command()
def compare(
    ctx: typer.Context,
    first: Annotated[str, typer.Argument(help="Run id, or its beginning.")],
    second: Annotated[str, typer.Argument(help="Run id, or its beginning.")],
    as_json: JsonOption = False,
) -> None:
    """Show what differs between two snapshots: what made them, and the figures that came out."""
    from .runs import compare_runs

    house: Warehouse = ctx.obj()
    rows = compare_runs(house.snapshot(first), house.snapshot(second))
    if as_json:
        print_json({"differences": rows})
    elif rows:
        _print_rows(rows)
    else:
        typer.echo("no difference")


@runs_cli.command()
def rollback(
    ctx: typer.Context,
    run_id: Annotated[str, typer.Argument(help="Run id, or its beginning.")],
    wait: WaitOption = 0.0,
) -> None:
    """Make an earlier snapshot the current one, until the next build makes its own current."""
    house: Warehouse = ctx.obj()
    snapshot = house.rollback(run_id, wait=wait)
    typer.echo(f"current is now {snapshot.run_id}, as of {snapshot.as_of}")


@cli.command()
def check(settings: SettingsOption = DEFAULT_SETTINGS, as_json: JsonOption = False) -> None:
    """Run the checks on the input alone; nothing is built."""
    from .build import check_inputs

    results = check_inputs(_settings(settings, None))
    rows = results.to_pylist()
    blocking = [row for row in rows if row["severity"] == "blocking" and not row["passed"]]
    if as_json:
        print_json({"passed": not blocking, "checks": rows})
    else:
        _print_rows(rows)
    if blocking:
        raise CheckFailed(
            f"blocking: {', '.join(row['check_name'] for row in blocking)}; mend the input and check again"
        )


@cli.command()
def query(
    name: Annotated[str, typer.Argument(help="A query or a table of the snapshot; none lists them.")] = "",
    param: Annotated[list[str] | None, typer.Option("--param", "-p", help="NAME=VALUE, may be repeated.")] = None,
    settings: SettingsOption = DEFAULT_SETTINGS,
    warehouse: WarehouseOption = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Read the input files, not the snapshot.")] = False,
    engine: Annotated[str, typer.Option("--engine", help="duckdb, or spark for the input files.")] = "duckdb",
    format_: FormatOption = None,
    out: OutOption = None,
) -> None:
    """Print the rows of a named query, or of a table of the current snapshot."""
    from . import named_rows

    format_ = _format(format_, out)
    if not name:
        _print_rows(named_rows.listing())
        return
    rows = named_rows.rows(
        name,
        named_rows.parse_parameters(name, param or []),
        settings=lambda: _settings(settings, warehouse),
        warehouse=lambda: _warehouse(settings, warehouse),
        fresh=fresh,
        engine=engine,
    )
    _write(rows, format_, out)


@cli.command()
def score(
    settings: SettingsOption = DEFAULT_SETTINGS,
    warehouse: WarehouseOption = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Score today's input files with the stored models, without a build.")
    ] = False,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the snapshot's models as SQL that scores customers in DuckDB.")
    ] = False,
    churn: Annotated[
        bool, typer.Option("--churn", help="Who may be leaving, when and why, as [churn] in the settings asks.")
    ] = False,
    format_: FormatOption = None,
    out: OutOption = None,
) -> None:
    """Print or write every customer's score."""
    if sql:
        if anew or churn or format_:
            raise SettingsError("--sql prints a script: leave --anew, --churn and --format out")
        from .scoring import snapshot_sql

        _write_script(snapshot_sql(_warehouse(settings, warehouse).current()), out)
        return
    format_ = _format(format_, out)
    house = _warehouse(settings, warehouse)
    if anew:
        from .scoring import churn_anew, score_anew

        asked = _settings(settings, warehouse)
        if churn:
            # beside the rows, which may go into a pipe
            rows = churn_anew(asked, house.current(), lambda said: typer.echo(said, err=True))
        else:
            rows = score_anew(asked, house.current())
    elif churn:
        from .scoring import churn_scores

        rows = churn_scores(house.current())
    else:
        rows = house.current().read("customer_scores")
    _write(rows, format_, out)


@cli.command(epilog=EPILOG)
def target(
    campaign: Annotated[str, typer.Argument(help="A [campaigns.NAME] section of the settings.")],
    settings: SettingsOption = DEFAULT_SETTINGS,
    warehouse: WarehouseOption = None,
    on: Annotated[str, typer.Option("--on", help="Day of the sends, YYYY-MM-DD; today without it.")] = "",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The list: .parquet or .csv. In the warehouse's lists else.")
    ] = None,
    budget: Annotated[float | None, typer.Option("--budget", help="Instead of the settings' own.")] = None,
    cost: Annotated[
        list[str] | None, typer.Option("--cost", help="ARM=MONEY for one send, instead of the settings' own; repeat.")
    ] = None,
    stock: Annotated[
        list[str] | None, typer.Option("--stock", help="ARM=COUNT, instead of the settings' own; repeat.")
    ] = None,
    segment: Annotated[
        str, typer.Option("--segment", help="Only customers of this segment, such as best, or one saved in the app.")
    ] = "",
    exclude_segment: Annotated[
        list[str] | None, typer.Option("--exclude-segment", help="Leave customers of this segment alone; repeat.")
    ] = None,
    quiet_days: Annotated[
        int | None, typer.Option("--quiet-days", help="Leave alone whoever was sent something within so many days.")
    ] = None,
    suppress: Annotated[
        list[str] | None,
        typer.Option("--suppress", help="REASON=FILE with a column customer_id, such as bounced=bounces.csv; repeat."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Withdraw the list that stands for that day, unsent, and make another.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Decide and print; write nothing.")] = False,
    replay: Annotated[str, typer.Option("--replay", help="Make the list of a logged run again and compare.")] = "",
    customer: Annotated[str, typer.Option("--customer", help="Explain one customer: with --replay or --dry-run.")] = "",
    wait: WaitOption = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Write a campaign's target list from the current snapshot; log every decision first."""
    if budget is not None and not (math.isfinite(budget) and budget >= 0):
        raise SettingsError(
            f"--budget {budget:g}: a budget is 0 or more and finite; leave it out for the settings' own"
        )
    if customer and not (replay or dry_run):
        raise SettingsError("--customer explains a decision: say of which run with --replay RUN, or --dry-run")
    if replay:
        _replay(_warehouse(settings, warehouse).path, campaign, replay, customer, as_json=as_json)
        return
    from .targeting import target as make_list

    result = make_list(
        _settings(settings, warehouse),
        campaign,
        on=_day("--on", on),
        out=out,
        budget=budget,
        costs=_numbers_by_arm("--cost", cost or [], float),
        stock=_numbers_by_arm("--stock", stock or [], int),
        segment=segment,
        exclude_segments=exclude_segment or (),
        quiet_days=quiet_days,
        suppress=_files_by_reason(suppress or []),
        replace_list=replace,
        dry_run=dry_run,
        wait=wait,
    )
    said = [result.target_list.explain(customer)] if customer else []
    if as_json:
        print_json({**result.to_dict(), "exit_code": result.exit_code, **({"explained": said[0]} if said else {})})
    else:
        typer.echo("\n".join([result.sentence(), *said]))
    if result.exit_code:
        raise typer.Exit(result.exit_code)


@cli.command(epilog=EPILOG)
def readout(
    campaign: Annotated[str, typer.Argument(help="A [campaigns.NAME] section of the settings.")],
    settings: SettingsOption = DEFAULT_SETTINGS,
    warehouse: WarehouseOption = None,
    run: Annotated[str, typer.Option("--run", help="Of which list; the latest whose window is over else.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Compare what a campaign's list brought with what it was expected to bring, with intervals."""
    from .campaign_readout import read_out_campaign

    found = read_out_campaign(_settings(settings, warehouse), campaign, run=run)
    if as_json:
        print_json(found.to_dict())
    else:
        typer.echo(found.text())
    if found.exit_code:
        raise typer.Exit(found.exit_code)


@cli.command(epilog=EPILOG)
def markdown(
    plan: Annotated[str, typer.Argument(help="A [pricing.markdowns.NAME] section; the only one without it.")] = "",
    settings: SettingsOption = DEFAULT_SETTINGS,
    warehouse: WarehouseOption = None,
    on: Annotated[str, typer.Option("--on", help="Day of the approval, YYYY-MM-DD; today without it.")] = "",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The approved price file: .csv or .parquet; recorded, too.")
    ] = None,
    override: Annotated[
        list[str] | None,
        typer.Option("--override", help="ITEM:WEEK=PRICE or ITEM:WEEK=DEPTH%, such as 1042:2=2.49; repeat."),
    ] = None,
    overrides: Annotated[
        Path | None, typer.Option("--overrides", help="A CSV file: item, week, price or discount, and store_id.")
    ] = None,
    ladder: Annotated[str, typer.Option("--ladder", help="Other depths off the regular price: 0,0.2,0.5.")] = "",
    weeks: Annotated[int | None, typer.Option("--weeks", min=1, help="Fewer weeks on sale.")] = None,
    budget: Annotated[float | None, typer.Option("--budget", help="What markdowns may cost.")] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option("--rule", help="A rule as the settings write it, in place of theirs; repeat; none for no rule."),
    ] = None,
    item: Annotated[
        list[str] | None, typer.Option("--item", help="Only this item is planned otherwise; repeat.")
    ] = None,
    explain: Annotated[str, typer.Option("--explain", help="Why one item's prices are what they are.")] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Replace the file, and the prices that stand on record.")
    ] = False,
    wait: WaitOption = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Print a markdown plan of the current snapshot; plan it otherwise; write the approved price file."""
    from .markdown import markdown as show_plan
    from .price_overrides import parse_override, read_overrides
    from .price_planning import PlanTerms

    by_hand = [parse_override(word) for word in override or []]
    by_hand += read_overrides(overrides) if overrides else []
    found = show_plan(
        _settings(settings, warehouse),
        plan,
        on=_day("--on", on),
        out=out,
        overrides=by_hand,
        terms=PlanTerms.of_words(ladder, weeks, budget, rule or (), item or ()),
        explain=explain,
        force=force,
        wait=wait,
    )
    if as_json:
        print_json(found.to_dict())
    else:
        typer.echo(found.text())


@cli.command()
def app(
    settings: SettingsOption = DEFAULT_SETTINGS,
    warehouse: WarehouseOption = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")] = 8050,
) -> None:
    """Open the app on the current snapshot; without settings and snapshot, on the page that makes both."""
    _serve(_app_warehouse(settings, warehouse), host, port, settings if settings.exists() else None)


@cli.command()
def demo(
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Open the app afterwards.")] = True,
    warehouse: Annotated[Path, typer.Option("--warehouse", "-w", help="Where the snapshot goes.")] = Path(
        "demo-warehouse"
    ),
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")] = 8050,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Build a snapshot from The Complete Journey and open the app on it."""
    from .build import run_build
    from .demo import demo_settings, example_file

    settings = demo_settings(warehouse)
    result = run_build(settings, progress=not quiet)
    if as_json:
        print_json(result.to_dict())
    else:
        typer.echo(result.sentence())
        if not settings.campaigns:
            typer.echo("campaigns are left out; to see them: pip install 'regulars[uplift]'")
        if settings.pricing is None:
            typer.echo("prices are left out; to see them: pip install 'regulars[pricing]'")
    if serve:
        _serve(warehouse, host, port, example_file())


def main() -> None:
    """Run the command line; the entry point of the ``regulars`` program."""
    cli()


def _app_warehouse(path: Path, warehouse: Path | None) -> Path:
    if warehouse is None and path == DEFAULT_SETTINGS and not path.exists():
        return Path("warehouse")
    return _warehouse(path, warehouse).path


def _replay(warehouse: Path, campaign: str, run: str, customer: str, *, as_json: bool) -> None:
    from .targeting import replay_run

    replayed = replay_run(warehouse, campaign, run)
    said = [replayed.target_list.explain(customer)] if customer else []
    run_id = replayed.target_list.run_id
    if as_json:
        outcome = {"outcome": "same" if replayed.same else "different", "run_id": run_id}
        told = {"differences": list(replayed.differences), **({"explained": said[0]} if said else {})}
        print_json({**outcome, **told, "exit_code": 0 if replayed.same else 1, **replayed.target_list.summary})
    else:
        verdict = "every byte is the same" if replayed.same else "; ".join(replayed.differences)
        typer.echo("\n".join([f"run {run_id} of {campaign}: {verdict}", *said]))
    if not replayed.same:
        raise typer.Exit(1)


def _day(option: str, text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise SettingsError(f"{option} {text!r} is no date; write YYYY-MM-DD") from error


def _files_by_reason(words: list[str]) -> dict[str, Path]:
    files = {}
    for word in words:
        reason, equals, path = word.partition("=")
        if not equals or not reason.strip() or not path:
            raise SettingsError(f"--suppress {word!r} is not REASON=FILE, such as bounced=bounces.csv")
        if reason in files:
            raise SettingsError(f"--suppress {reason} is given twice; name the lists apart")
        files[reason] = Path(path)
    return files


def _numbers_by_arm(option: str, words: list[str], number: Callable[[str], Any]) -> dict[str, Any]:
    numbers = {}
    for word in words:
        arm, equals, text = word.rpartition("=")
        if arm in numbers:
            raise SettingsError(f"{option} {arm} is given twice")
        try:
            numbers[arm] = number(text)
        except ValueError:
            equals = ""
        if not equals or not arm:
            raise SettingsError(f"{option} {word!r} is not ARM=NUMBER, such as mail=0.04")
    return numbers


def _serve(warehouse: Path, host: str, port: int, settings: Path | None) -> None:
    try:
        from .server import serve
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"the app needs the package {error.name!r}; install it with: pip install 'regulars[app]'"
        ) from error
    serve(warehouse, host=host, port=port, settings=settings)


def _write(rows: Any, format_: Format | None, out: Path | None) -> None:
    from .printing import write_rows

    write_rows(rows, _format(format_, out).value, out)


def _write_script(script: str, out: Path | None) -> None:
    if out is None:
        typer.echo(script, nl=False)
        return
    if out.suffix.lower() != ".sql":
        raise SettingsError(f"--out {out}: --sql writes a script; name a file that ends in .sql")
    from ..sql.durability import replace_text

    try:
        replace_text(out, script)
    except OSError as error:
        raise WarehouseError(f"cannot write {out}: {error.strerror or error}; name another file") from None


def _format(said: Format | None, out: Path | None) -> Format:
    """Return the format that was asked for, or that the file's ending means; refuse what would mislead a reader."""
    if out is None:
        return said or Format.table
    ending = out.suffix.lower()
    meant = _ENDINGS.get(ending)
    if said is None and meant is None:
        raise SettingsError(
            f"--out {out}: the ending {ending!r} is no format; allowed: {', '.join(_ENDINGS)}, or another ending with "
            "--format"
        )
    if said is not None and meant is not None and said is not meant:
        raise SettingsError(
            f"--out {out} ends in {ending}, but --format is {said.value}; leave --format out, or name another file"
        )
    return said or meant or Format.table


def _print_rows(rows: list[dict[str, Any]]) -> None:
    from .printing import text_table

    typer.echo(text_table(rows))
