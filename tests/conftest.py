"""What tests of several packages share: shops written on the spot, the three examples, data that may be absent."""

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pytest

import regulars
from regulars.sql import contract
from regulars.sql.database import Database, connect
from regulars.sql.engine import Engine
from regulars.sql.pipeline import settings_parameters
from regulars.sql.settings import Settings

if TYPE_CHECKING:
    from regulars.sql.spark import SparkEngine

ROOT = Path(regulars.__file__).parent
SHARED_DATA = ROOT.parent / "shared" / "data"
NO_JAVA = "Java is absent: nothing was run on Spark; install it (Debian: apt-get install openjdk-17-jre-headless)"


# Files that take longest: begun first, so that no worker is left with one when the others are done.
SLOW_FILES = (
    "test_bench_small.py",
    "test_house.py",
    "test_engines_agree.py",
    "test_staging_on_spark.py",
    "test_method_notes.py",
    "test_kill.py",
    "test_pricing_notebook.py",
    "test_churn_notebook.py",
    "test_elasticity.py",
    "test_specification_curve.py",
    "test_demand.py",
    "test_prices.py",
    "test_markdown_command.py",
    "test_price_file.py",
)


def pytest_collection_modifyitems(items):
    order = {name: place for place, name in enumerate(SLOW_FILES)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


# Files whose tests run on Spark, besides single tests called test_spark_*: one worker runs them all, on one Spark.
SPARK_FILES = ("test_engines_agree.py", "test_staging_on_spark.py", "test_spark.py", "test_campaign_queries.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """``--dist loadfile``, with Spark's tests as one file."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByFileAndSpark(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.split("::", 1)[0]
            return "spark" if Path(path).name in SPARK_FILES or "::test_spark_" in nodeid else path

    return ByFileAndSpark(config, log)


@pytest.fixture(autouse=True)
def _no_settings_from_the_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith("REGULARS_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def example_settings() -> Callable[[str], Path]:
    """Path of the shipped ``regulars.toml`` called complete_journey, online_retail or cdnow."""

    def path(name: str) -> Path:
        if name == "online_retail" and not SHARED_DATA.is_dir():
            pytest.skip("../shared/data is absent: Online Retail is not shipped with the project")
        return ROOT / "docs" / "examples" / name / "regulars.toml"

    return path


@pytest.fixture
def write_parquet(tmp_path: Path) -> Callable[..., Path]:
    """Write the rows of a SELECT (DuckDB) to a Parquet file below tmp_path."""

    def write(select: str, name: str = "orders.parquet") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
        return path

    return write


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., Settings]:
    """Settings whose folder is tmp_path and whose orders come from ``orders.parquet`` unless said otherwise."""

    def make(**sections: object) -> Settings:
        sections.setdefault("orders", {"path": "orders.parquet"})
        return Settings.from_mapping(sections, folder=tmp_path, origin="regulars.toml")

    return make


@pytest.fixture
def open_shop(write_parquet, make_settings) -> Iterator[Callable[..., Database]]:
    """Write orders by a SELECT and open them; settings sections as keywords."""
    opened: list[Database] = []

    def open_(select: str | None = None, *, today=None, engine=None, **sections: object) -> Database:
        if select is not None:
            write_parquet(select)
        database = connect(make_settings(**sections), today=today, engine=engine)
        opened.append(database)
        return database

    yield open_
    for database in opened:
        database.close()


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    """The module that writes made-up snapshots (tests/synthetic_snapshot.py)."""
    spec = importlib.util.spec_from_file_location("synthetic_snapshot", ROOT / "tests" / "synthetic_snapshot.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def synthetic_warehouse(synthetic, tmp_path_factory) -> Path:
    """A warehouse with two published runs of about 3,000 customers, hard ids among them; not to be changed."""
    path = tmp_path_factory.mktemp("synthetic") / "warehouse"
    synthetic.write_snapshot(path, "5eed000000000000", customers=2_800, seed=6, as_of=date(2017, 11, 30))
    synthetic.write_snapshot(path, "5eed000000000001", customers=3_000, awkward=True)
    return path


def _has_java() -> bool:
    return shutil.which("java") is not None or "JAVA_HOME" in os.environ


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _has_java():
        terminalreporter.section("SPARK TESTS SKIPPED", red=True, bold=True)
        terminalreporter.write_line(NO_JAVA, red=True, bold=True)


@pytest.fixture(scope="session")
def spark() -> "Iterator[SparkEngine]":
    """One Spark for all tests: it takes ten seconds to start."""
    if not _has_java():
        pytest.skip(NO_JAVA)
    from regulars.sql.spark import SparkEngine

    with pytest.MonkeyPatch.context() as environment:
        # short statements over few rows: half of Java's time would go into optimizing its own code
        environment.setenv("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        with SparkEngine() as engine:
            yield engine
        engine.session.stop()


@pytest.fixture(scope="module")
def spark_for_few_rows(spark) -> "Iterator[SparkEngine]":
    """A session of the module's own, where no plan is compiled or planned anew: that takes longer than few rows do."""
    from regulars.sql.spark import SparkEngine

    with SparkEngine(spark.session) as engine:
        for name, value in (
            ("spark.sql.shuffle.partitions", "1"),
            ("spark.sql.codegen.wholeStage", "false"),
            ("spark.sql.codegen.factoryMode", "NO_CODEGEN"),
            ("spark.sql.adaptive.enabled", "false"),
            # each plan is written out in words for the pages of Spark, which nobody sees
            ("spark.sql.ui.explainMode", "simple"),
            ("spark.sql.debug.maxToStringFields", "1"),
        ):
            engine.session.conf.set(name, value)
        yield engine


@pytest.fixture(scope="session")
def stage_lines() -> Callable[..., None]:
    """Register inputs, given as dicts of contract columns, as staging would have typed them."""

    def stage(
        engine: Engine,
        lines: list[dict],
        links: list[dict] = (),
        rates: list[dict] = (),
        sends: list[dict] = (),
        customers: list[dict] = (),
        products: list[dict] = (),
        stock: list[dict] = (),
        promotions: list[dict] = (),
    ) -> None:
        text = pa.field("ordered_at_text", pa.string()), pa.field("revenue_text", pa.string())
        for table, rows, further in (
            (contract.ORDER_LINES, lines, text),
            (contract.CUSTOMER_LINKS, links, ()),
            (contract.EXCHANGE_RATES, rates, ()),
            (contract.SENDS, sends, ()),
            (contract.CUSTOMERS, customers, ()),
            (contract.PRODUCTS, products, ()),
            (contract.STOCK, stock, ()),
            (contract.PROMOTIONS, promotions, ()),
        ):
            engine.register(table.name, pa.Table.from_pylist(list(rows), pa.schema([*arrow_fields(table), *further])))

    return stage


@pytest.fixture(scope="session")
def shop_values() -> Callable[..., dict]:
    """Parameters of the queries as of a day: pounds, weeks, default policies; keywords change them."""

    def values(as_of: date, **changes: object) -> dict:
        settings = Settings.from_mapping({"orders": {"path": "orders.parquet"}})
        return settings_parameters(settings, as_of) | changes

    return values


def arrow_fields(table: contract.Table) -> list[pa.Field]:
    types = {
        "VARCHAR": pa.string(),
        "TIMESTAMP": pa.timestamp("us"),
        "DATE": pa.date32(),
        "BOOLEAN": pa.bool_(),
        "BIGINT": pa.int64(),
        "DOUBLE": pa.float64(),
    }
    fields = []
    for column in table.columns:
        scale = column.type.removeprefix("DECIMAL(").rstrip(")").split(",")
        decimal = pa.decimal128(int(scale[0]), int(scale[1])) if column.type.startswith("DECIMAL") else None
        fields.append(pa.field(column.name, decimal or types[column.type]))
    return fields
