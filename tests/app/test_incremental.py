"""Building on the last snapshot gives the bytes of a full build, or falls back to one and says why."""

import re
import shutil
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regulars.app.build import run_build
from regulars.sql.errors import ContractError
from regulars.sql.snapshot import Snapshot, Warehouse


def bytes_of(snapshot: Snapshot) -> dict[str, bytes]:
    files = (path for path in snapshot.path.rglob("*") if path.is_file() and path.name != "run.log")
    return {path.relative_to(snapshot.path).as_posix(): path.read_bytes() for path in files}


class Growing:
    """A shop whose months come in one after the other."""

    def __init__(self, shop, by_month, **sections) -> None:
        self.shop, self.by_month, self.sections = shop, by_month, sections
        self.months = list(by_month)

    def add(self, *months: str, text: bool = False) -> None:
        for month in months:
            (self.shop.write_month_as_csv if text else self.shop.write_month)(month, self.by_month[month])

    def build(self, **more):
        sections = {name: {**self.sections.get(name, {}), **more.get(name, {})} for name in self.sections | more}
        return run_build(self.shop.settings(**sections), progress=False)

    def equals_full(self, result, **more) -> bool:
        """Compare with a full build of the same files in another warehouse."""
        build = more.pop("build", {}) | {"warehouse": "other"}
        shutil.rmtree(self.shop.folder / "other", ignore_errors=True)
        full = self.build(build=build, **more)
        assert full.how == "full"
        assert full.snapshot.run_id == result.snapshot.run_id
        ours, theirs = bytes_of(result.snapshot), bytes_of(full.snapshot)
        assert ours.keys() == theirs.keys()
        differing = [name for name in ours if ours[name] != theirs[name]]
        assert differing == []
        return True


@pytest.fixture
def growing(empty_shop, lines_by_month):
    return Growing(empty_shop, lines_by_month)


@pytest.fixture(scope="session")
def base(shop_at, tmp_path_factory, lines_by_month):
    """A shop with a run of twenty months; not to be changed."""
    from regulars.app.build import build

    shop = shop_at(tmp_path_factory.mktemp("base") / "shop")
    growing = Growing(shop, lines_by_month)
    growing.add(*growing.months[:20])
    build(shop.settings(), progress=False)
    return shop


@pytest.fixture
def grown(base, shop_at, tmp_path, lines_by_month):
    """A copy of the base with one more month."""
    shutil.copytree(base.folder, tmp_path / "copy")
    growing = Growing(shop_at(tmp_path / "copy"), lines_by_month)
    growing.add(growing.months[20])
    return growing


@pytest.fixture
def deciding(monkeypatch):
    """Builds that only decide what to read, and publish a run without tables."""
    from regulars.app.run_content import RunContent

    monkeypatch.setattr(RunContent, "write", lambda content, step: None)


POLICIES = {
    "default": {},
    "guests are customers": {"policy": {"guests": "one_customer_per_order"}},
    "refunds ignored": {"policy": {"refunds": "ignore"}},
    "nothing twice, nothing free": {"policy": {"duplicates": "set_aside", "zero_revenue": "set_aside"}},
    "days": {"value": {"time_unit": "day", "horizon": 100}},
}


@pytest.mark.parametrize("policy", POLICIES)
def test_new_files_give_what_a_full_build_gives(growing, policy):
    growing.sections = POLICIES[policy]
    growing.add(*growing.months[:18])
    assert growing.build().how == "full"
    growing.add(*growing.months[18:21])
    first = growing.build()
    assert first.how == "incremental"
    growing.add(*growing.months[21:])
    second = growing.build()
    assert (second.how, second.reason) == ("incremental", f"3 new files on run {first.snapshot.run_id}")
    assert "incremental build: 3 new files on run" in (second.snapshot.path / "run.log").read_text()
    assert growing.equals_full(second)


def test_each_month_on_the_month_before(grown):
    growing = grown
    for month in growing.months[20:]:
        growing.add(month)
        result = growing.build()
        assert result.how == "incremental"
    assert growing.equals_full(result)


def test_text_files_can_be_built_on(growing):
    growing.add(*growing.months[8:14], text=True)
    growing.build()
    growing.add(*growing.months[14:17], text=True)
    result = growing.build()
    assert result.how == "incremental"
    assert growing.equals_full(result)


def test_other_settings_of_value_do_not_ask_for_the_history(grown):
    growing = grown
    result = growing.build(value={"horizon": 9, "margin": 0.5})
    assert result.how == "incremental"
    assert growing.equals_full(result, value={"horizon": 9, "margin": 0.5})


def test_only_new_files_are_read(grown, deciding, monkeypatch):
    growing = grown
    from regulars.app import build as building

    staged = []
    original = building.stage

    def watched(engine, settings, only=None):
        staged.append(only)
        return original(engine, settings, only=only)

    monkeypatch.setattr(building, "stage", watched)
    assert growing.build().how == "incremental"
    (only,) = staged
    assert [path.rsplit("/")[-1] for path in only["order_lines"]] == ["2025-09.parquet"]


# -- reasons to read everything ----------------------------------------------------------------------------------------


def spoil_old_file(growing):
    growing.by_month = dict(growing.by_month)
    rows = growing.by_month["2024-03"]
    growing.by_month["2024-03"] = rows[1:]
    growing.add("2024-03")


def remove_old_file(growing):
    (growing.shop.folder / "orders" / "2024-01.parquet").unlink()


def rename_old_file(growing):
    path = growing.shop.folder / "orders" / "2024-01.parquet"
    path.rename(path.with_name("2024-01-again.parquet"))


def late_lines(growing):
    late = growing.by_month["2024-03"][:3]
    growing.by_month = growing.by_month | {"late": late}
    growing.add("late")


def damage_base(growing):
    Warehouse(growing.shop.settings().warehouse).current().table_path("customer_days").write_bytes(b"")


def links(growing):
    (growing.shop.folder / "links.csv").write_text("old_id,customer_id\nc0001,c0002\n")
    growing.sections = {"customer_links": {"path": "links.csv"}}


def policy(growing):
    growing.sections = {"policy": {"refunds": "ignore"}}


def currency(growing):
    growing.sections = {"shop": {"currency": "GBP"}}


def columns(growing):
    growing.sections = {"orders": {"path": "orders", "columns": {"quantity": "quantity + 0"}}}


def nothing_new(growing):
    (growing.shop.folder / "orders" / "2025-09.parquet").unlink()
    growing.sections = {"value": {"horizon": 3}}


def earlier_date(growing):
    growing.sections = {"value": {"as_of": "2025-06-30"}}


REASONS = {
    spoil_old_file: "1 files of order lines have changed or gone, such as 2024-03.parquet",
    remove_old_file: "1 files of order lines have changed or gone, such as 2024-01.parquet",
    rename_old_file: "1 files of order lines have changed or gone, such as 2024-01.parquet",
    late_lines: "the new files hold lines of 2024-03-",
    damage_base: "the last snapshot is damaged",
    links: "the settings in [customer_links] have changed",
    policy: "the settings in [policy] have changed",
    currency: "the settings in [shop] have changed",
    columns: "the settings in [orders] have changed",
    nothing_new: "no new file of order lines",
    earlier_date: "the as-of date 2025-06-30 is earlier than the last snapshot's 2025-08-",
}


@pytest.mark.parametrize("change", REASONS, ids=lambda change: change.__name__)
def test_what_else_changes_asks_for_a_full_build_and_the_log_says_so(grown, deciding, change):
    change(grown)
    result = grown.build()
    assert result.how == "full"
    assert result.reason.startswith(REASONS[change])
    assert f"full build: {REASONS[change]}" in (result.snapshot.path / "run.log").read_text()


def test_a_full_build_in_place_of_an_incremental_one_reads_everything(grown):
    late_lines(grown)
    result = grown.build()
    assert result.how == "full"
    assert grown.equals_full(result)


def test_links_that_change_in_content_ask_for_a_full_build(growing):
    growing.add(*growing.months[:3])
    links(growing)
    growing.build()
    growing.add(growing.months[3])
    (growing.shop.folder / "links.csv").write_text("old_id,customer_id\nc0001,c0003\n")
    result = growing.build()
    assert (result.how, result.reason) == ("full", "the input customer_links has changed")


def test_another_version_asks_for_a_full_build(grown, deciding, monkeypatch):
    monkeypatch.setattr("regulars.sql.lineage.versions", lambda *_: {"duckdb": "3.0"})
    result = grown.build()
    assert result.reason == "another version of regulars or of a package made the last snapshot"


def test_lines_set_aside_as_later_than_the_date_ask_for_a_full_build(growing):
    growing.add(*growing.months[:8])
    growing.build(value={"as_of": "2024-08-10"})
    growing.add(growing.months[8])
    result = growing.build()
    assert result.reason == "the last snapshot set lines aside that were later than its as-of date"
    assert growing.equals_full(result)


def test_the_first_returns_ask_for_a_full_build(growing):
    growing.by_month = {
        month: [row for row in rows if month == "2024-09" or not row["revenue"].startswith("-")]
        for month, rows in growing.by_month.items()
    }
    growing.add(*growing.months[:8])
    growing.build()
    growing.add("2024-09")
    result = growing.build()
    assert result.reason == "the new files hold the first returns"
    assert growing.equals_full(result)


def test_a_column_that_only_new_files_have_asks_for_a_full_build(grown, deciding):
    path = grown.shop.folder / "orders" / "2025-09.parquet"
    rows = pq.read_table(path)
    pq.write_table(rows.append_column("channel", pa.array(["web"] * rows.num_rows)), path)
    assert grown.build().reason == "the new files change the columns or types of the order lines"


def test_sales_marked_as_returned_later_ask_for_a_full_build(growing):
    def mark(month: str, returned_at: str) -> None:
        path = growing.shop.folder / "orders" / f"{month}.parquet"
        rows = pq.read_table(path)
        moment = pa.array([datetime.fromisoformat(returned_at)] * rows.num_rows, pa.timestamp("us"))
        pq.write_table(rows.append_column("returned_at", moment), path)

    growing.add("2024-07", "2024-08")
    mark("2024-07", "2024-07-31 12:00:00")
    mark("2024-08", "2024-09-15 12:00:00")
    growing.build()
    growing.add("2024-09")
    mark("2024-09", "2024-09-30 12:00:00")
    result = growing.build()
    assert result.reason == "the last snapshot holds sales marked as returned after its as-of date"
    assert growing.equals_full(result)


def test_another_clock_in_new_files_is_refused_as_a_full_build_refuses_it(growing):
    growing.add("2024-07", text=True)
    growing.build()
    path = growing.shop.write_month_as_csv("2024-08", growing.by_month["2024-08"])
    path.write_text(re.sub(r"(\d\d:\d\d:\d\d)", r"\1+02:00", path.read_text()))
    with pytest.raises(ContractError, match="mixes two clocks"):
        growing.build()


def test_asking_for_a_full_build_gives_one(grown, deciding):
    result = run_build(grown.shop.settings(), incremental=False, progress=False)
    assert (result.how, result.reason) == ("full", "asked for")
