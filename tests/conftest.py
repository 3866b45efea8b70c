"""What tests of several packages share: shops written on the spot, the three examples, data that may be absent."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

import regulars
from regulars.sql.database import Database, connect
from regulars.sql.settings import Settings

ROOT = Path(regulars.__file__).parent
SHARED_DATA = ROOT.parent / "shared" / "data"


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
