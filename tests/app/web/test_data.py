"""The app's answers, against the same questions asked of the Parquet files in pandas."""

import re
import shutil
from datetime import date

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from regulars.app.data import AppData, NoSnapshot
from regulars.app.listing import FilterError, ListFilters, page_bounds
from regulars.app.listings import CUSTOMERS
from regulars.app.server import create_server
from regulars.app.snapshot_data import MOST_ROWS, SnapshotGap, query
from regulars.sql.contract import SEGMENTS
from regulars.sql.engine import QueryError
from regulars.sql.errors import WarehouseError
from regulars.sql.snapshot import Warehouse


@pytest.fixture(scope="module")
def frame(snapshot) -> pd.DataFrame:
    """All customers as the list shows them, by id, joined in pandas."""
    scores = snapshot.snapshot.read("customer_scores").to_pandas()
    summary = snapshot.snapshot.read("customer_summary").to_pandas()
    both = scores.merge(summary, on="customer_id", validate="one_to_one")
    both["days_since_last_order"] = both["T_days"] - both["recency_days"]
    churn = snapshot.snapshot.read("customer_churn").to_pandas().set_index("customer_id")
    # the mean of both models was chosen: the middle of both medians, missing where either is
    churn["churn_median_days"] = (churn["median_days_survival"] + churn["median_days_btyd"]) / 2
    said = [f"reason_{i}" for i in (1, 2, 3)]
    churn[said] = churn[said].where(churn[said] != "", None)
    names = {"probability_no_order": "churn_no_order", "beyond_range": "churn_beyond_range"}
    names |= {"horizon_days": "churn_horizon_days"}
    both = both.join(churn.rename(columns=names)[[*names.values(), "churn_median_days", *said]], on="customer_id")
    for table in ("customer_intervals", "portfolio_terms"):
        both = both.merge(snapshot.snapshot.read(table).to_pandas(), on="customer_id")
    # SQL orders text by its UTF-8 bytes
    return both.sort_values("customer_id", key=lambda ids: ids.map(lambda text: text.encode())).reset_index(drop=True)


def chosen(frame: pd.DataFrame, filters: ListFilters) -> pd.DataFrame:
    keep = np.ones(len(frame), dtype=bool)
    if "segment" in filters.choices:
        keep &= frame["segment"].isin(filters.choices["segment"])
    for key, range_ in filters.ranges.items():
        column = frame[CUSTOMERS.range_of[key].column].astype(float)
        if range_.low is not None:
            keep &= column >= range_.low
        if range_.high is not None:
            keep &= column <= range_.high
    if filters.search:
        keep &= frame["customer_id"].str.lower().str.contains(filters.search.lower(), regex=False)
    by = [sort.column for sort in filters.sorts]
    ascending = [not sort.descending for sort in filters.sorts]
    return frame[keep].sort_values(by, ascending=ascending, kind="stable", na_position="last")


_NUMBERS = st.none() | st.sampled_from([0.0, 0.3, 0.9, 1.0, 2.0, 7.0, 30.0, 100.0, 400.0])
_SORTABLE = [name for name, column in CUSTOMERS.column_of.items() if column.format not in {"text", "segment"}]


@st.composite
def queries(draw) -> str:
    parts = []
    if draw(st.booleans()):
        parts.append("segment=" + ",".join(draw(st.lists(st.sampled_from(list(SEGMENTS)), max_size=3))))
    for key in draw(st.lists(st.sampled_from(list(CUSTOMERS.range_of)), max_size=3, unique=True)):
        low, high = draw(_NUMBERS), draw(_NUMBERS)
        parts.append(f"{key}={'' if low is None else low}..{'' if high is None else high}")
    if draw(st.booleans()):
        parts.append("q=" + draw(st.sampled_from(["C00", "c0001", "'", "%", "_", "nobody"])).replace("%", "%25"))
    columns = draw(st.lists(st.sampled_from(_SORTABLE), max_size=3, unique=True))
    if columns:
        parts.append("sort=" + ",".join(draw(st.sampled_from(["", "-"])) + column for column in columns))
    return "&".join(parts)


@given(query=queries(), offset=st.integers(0, 3_100))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_page_and_its_totals_equal_pandas(snapshot, frame, query, offset):
    filters = CUSTOMERS.parse(query)
    expected = chosen(frame, filters)
    rows, total = snapshot.page(filters, offset, 50)
    assert total == len(expected)
    assert [row["customer_id"] for row in rows] == expected["customer_id"].iloc[offset : offset + 50].tolist()
    totals = snapshot.customer_totals(filters).records[0]
    assert totals["customers"] == len(expected)
    # sums over threads: the order of addition is free, nothing else
    assert (totals["customer_value"] or 0.0) == pytest.approx(expected["customer_value"].sum(), rel=1e-9)
    for kind, mean in (("value", "customer_value"), ("orders", "expected_orders")):
        loadings = [name for name in expected if name.startswith(f"{kind}_loading_")]
        variance = expected[f"{kind}_variance"].sum() + (expected[loadings].sum() ** 2).sum()
        found = totals[f"{kind}_low"], totals[f"{kind}_high"]
        if len(expected) == 0 or expected[mean].sum() == 0:
            assert found == (None, None)
            continue
        sigma = np.sqrt(np.log1p(variance / expected[mean].sum() ** 2))
        ends = stats.lognorm(sigma, scale=expected[mean].sum() / np.exp(sigma**2 / 2)).interval(0.8)
        # terms are held as 32-bit floats: 6e-8 of a variance or loading
        assert found == pytest.approx(ends, rel=1e-6)


def test_ties_are_broken_by_id_so_that_pages_neither_repeat_nor_miss(snapshot):
    filters = CUSTOMERS.parse("sort=segment")
    seen = []
    for offset in range(0, 3_000, 170):
        seen += [row["customer_id"] for row in snapshot.page(filters, offset, 170)[0]]
    assert len(seen) == len(set(seen)) == 3_000


def test_a_page_is_cut_to_200_rows_and_starts_beyond_the_end_are_empty(snapshot):
    assert len(snapshot.page(CUSTOMERS.everything, 0, 300_000)[0]) == MOST_ROWS == 200
    assert snapshot.page(CUSTOMERS.everything, 10**15, 100) == ([], 3_000)
    assert page_bounds("0", "300000", MOST_ROWS) == (0, 200)


def test_segments_and_concentration_add_up(snapshot, frame):
    segments = snapshot.segments().records
    assert sum(row["customers"] for row in segments) == len(frame)
    assert {row["segment"] for row in segments} <= set(SEGMENTS)
    steps = snapshot.value_concentration().records
    for measure, column in (("expected", "customer_value"), ("past", "revenue")):
        mine = [row for row in steps if row["measure"] == measure]
        assert len(mine) == 200
        assert sum(row["amount"] for row in mine) == pytest.approx(float(frame[column].sum()), rel=1e-9)
    best = frame["customer_value"].sort_values(ascending=False).iloc[:300].sum()
    top = sum(row["amount"] for row in steps if row["measure"] == "expected" and row["step"] <= 20)
    assert top == pytest.approx(best, rel=1e-9)


def test_recency_and_frequency_count_every_customer_once(snapshot, frame):
    rows = snapshot.recency_frequency(CUSTOMERS.everything).rows
    assert rows["customers"].to_numpy().sum() == len(frame)
    one_time = frame[frame["frequency"] == 0]
    mine = rows.to_pandas()
    assert mine.loc[mine["frequency"] == 0, "customers"].sum() == len(one_time)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("valeu=1..2", "did you mean 'value'"),
        ("value=1", "no range"),
        ("value=a..b", "no number"),
        ("value=nan..", "not between"),
        ("value=1e400..", "not between"),
        ("segment=best,worst", "no segment 'worst'"),
        ("sort=customer_value;DROP TABLE customers", "no column"),
        ("sort=(select 1)", "no column"),
        ("sort=orders,revenue,frequency,segment", "at most 3"),
        ("q=" + "x" * 201, "at most 200"),
        ("q=%00", "NUL"),
        ("&".join(f"q={i}" for i in range(50)), "more than 40"),
    ],
)
def test_what_is_no_filter_is_refused_with_what_is_allowed(query, said):
    with pytest.raises(FilterError, match=said.replace("(", r"\(")):
        CUSTOMERS.parse(query)


@pytest.mark.parametrize(("start", "end"), [("-1", "5"), ("5", "1"), ("x", "1"), ("0", str(10**40)), (None, None)])
def test_what_is_no_page_is_refused(start, end):
    with pytest.raises(FilterError):
        page_bounds(start, end, MOST_ROWS)


@given(query=queries())
@settings(max_examples=100, deadline=None)
def test_a_filter_survives_being_written_and_read(query):
    filters = CUSTOMERS.parse(query)
    assert CUSTOMERS.parse(filters.query(sort=True)) == filters


def test_the_same_question_is_answered_from_memory_and_another_is_not(snapshot):
    filters = CUSTOMERS.parse("value=12..")
    assert snapshot.customer_totals(filters) is snapshot.customer_totals(CUSTOMERS.parse("value=12.."))
    assert snapshot.customer_totals(filters) is not snapshot.customer_totals(CUSTOMERS.parse("value=13.."))


def test_an_answer_shows_the_statement_and_the_values_it_was_made_with(snapshot):
    shown = snapshot.customer_totals(CUSTOMERS.parse("segment=best")).sql
    assert "-- $segment_0 = 'best'" in shown
    assert "FROM filtered_customers" in shown


def test_the_last_snapshot_is_the_latest_of_an_earlier_date(snapshot):
    as_of, figures = snapshot.previous_kpis()
    assert as_of == date(2017, 11, 30)
    assert figures["customers"] == 2_800


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_parquet('{elsewhere}/*.parquet')",
        "SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')",
        "COPY (SELECT 1) TO '{elsewhere}/out.csv'",
        "ATTACH '{elsewhere}/other.duckdb'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SET threads = 1",
    ],
)
def test_the_apps_duckdb_is_shut_in_its_snapshots_folder(snapshot, tmp_path, sql):
    with pytest.raises(duckdb.Error):
        snapshot.engine.connection.execute(sql.format(elsewhere=tmp_path))


def test_python_variables_are_no_tables(snapshot):
    leaked = pd.DataFrame({"secret": [1]})
    with pytest.raises(QueryError):
        snapshot.engine.query("SELECT * FROM leaked")
    assert len(leaked) == 1


def test_a_published_snapshot_is_seen_without_a_restart(synthetic, tmp_path):
    house = tmp_path / "warehouse"
    data = AppData(house)
    with pytest.raises(NoSnapshot, match="regulars build"):
        data.snapshot()
    synthetic.write_snapshot(house, "5eed00000000000a", customers=600)
    first = data.snapshot()
    assert first.customer_totals(CUSTOMERS.everything).records[0]["customers"] == 600
    synthetic.write_snapshot(house, "5eed00000000000b", customers=700, as_of=date(2018, 1, 31))
    assert data.snapshot().customer_totals(CUSTOMERS.everything).records[0]["customers"] == 700
    assert data.snapshot("5eed00000000000a") is first
    with Warehouse(house).lock():
        pass
    Warehouse(house).rollback("5eed00000000000a")
    assert data.current_run() == "5eed00000000000a"
    data.close()


@pytest.mark.parametrize("run", ["../../etc", "nope", "5eed", "' OR 1=1 --", "/etc/passwd", "5eed\x00"])
def test_a_run_that_is_not_published_is_not_opened(app_data, run):
    with pytest.raises(WarehouseError):
        app_data.snapshot(run)


def test_only_so_many_snapshots_are_kept_open(synthetic, tmp_path):
    house = tmp_path / "warehouse"
    runs = [f"5eed0000000000c{i}" for i in range(5)]
    for i, run in enumerate(runs):
        synthetic.write_snapshot(house, run, customers=50, as_of=date(2018, 1, 1 + i))
    data = AppData(house)
    first = data.snapshot(runs[0])
    for run in runs[1:]:
        data.snapshot(run)
    # dropped from the list, yet whole for whoever still reads it
    assert first.customer_totals(CUSTOMERS.everything).records[0]["customers"] == 50
    assert data.snapshot(runs[0]) is not first
    data.close()


def test_a_snapshot_of_another_version_names_what_it_lacks(synthetic, tmp_path):
    house = tmp_path / "warehouse"
    synthetic.write_snapshot(house, customers=600, without=("order_tracking",))
    data = AppData(house)
    with pytest.raises(SnapshotGap, match=r"has no table order_tracking.*regulars build --force"):
        data.snapshot().order_tracking()
    assert data.snapshot().kpis().records
    data.close()


def test_a_column_that_is_missing_is_named(synthetic, tmp_path):
    house = tmp_path / "warehouse"
    snapshot = synthetic.write_snapshot(house, customers=600)
    path = snapshot.table_path("customer_scores")
    with duckdb.connect() as connection:
        older = tmp_path / "older.parquet"
        connection.execute(f"COPY (SELECT * EXCLUDE (segment) FROM '{path}') TO '{older}'")
    older.replace(path)
    data = AppData(house)
    with pytest.raises(SnapshotGap, match="has no segment in table customer_scores"):
        data.snapshot().segments()
    data.close()


@pytest.mark.parametrize("harm", ["gone", "junk", "an older one"])
@pytest.mark.parametrize("name", ["customer_churn", "customer_intervals"])
def test_a_table_that_is_beside_the_point_takes_no_page_with_it(synthetic, tmp_path, name, harm):
    house = tmp_path / "warehouse"
    path = synthetic.write_snapshot(house, customers=600).table_path(name)
    older = pq.read_table(path).select(["customer_id"])
    path.unlink()
    if harm == "junk":
        path.write_bytes(b"junk")
    elif harm == "an older one":
        pq.write_table(older, path)
    client = create_server(house, threads=1, warm=False).server.test_client()
    for route in ("/rows/customers", "/export/customers.csv", "/report/overview.html", "/report/customers.html"):
        assert client.get(route).status_code == 200
    assert client.get("/rows/customers").get_json()["total"] == 600
    assert client.get("/rows/at_risk").status_code == (404 if name == "customer_churn" else 200)
    assert client.get("/report/churn.html").status_code in {200, 404}


def test_a_file_that_is_damaged_while_the_app_runs_is_named(synthetic, tmp_path):
    house = tmp_path / "warehouse"
    path = synthetic.write_snapshot(house, customers=600).table_path("customer_churn")
    client = create_server(house, threads=1, warm=False).server.test_client()
    assert client.get("/rows/customers").status_code == 200  # the snapshot is open
    path.write_bytes(b"junk")
    for route in ("/rows/at_risk", "/export/at_risk.csv", "/export/at_risk.parquet"):
        answer = client.get(route)
        assert answer.status_code == 404
        assert "customer_churn.parquet: cannot be read" in answer.get_json()["error"]
        assert "regulars build --force" in answer.get_json()["error"]


def test_a_file_that_is_damaged_within_is_named(synthetic, tmp_path):
    house = tmp_path / "warehouse"
    path = synthetic.write_snapshot(house, customers=600).table_path("customer_churn")
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)  # the footer stands
    path.write_bytes(content)
    client = create_server(house, threads=1, warm=False).server.test_client()
    for route in ("/rows/at_risk", "/export/at_risk.csv", "/rows/customers"):
        answer = client.get(route)
        assert answer.status_code == 404
        assert "customer_churn.parquet has other content" in answer.get_json()["error"]


def test_a_warehouse_that_goes_away_says_so(synthetic, tmp_path):
    house = tmp_path / "warehouse"
    synthetic.write_snapshot(house, customers=600)
    data = AppData(house)
    opened = data.snapshot()
    shutil.rmtree(house / "runs")
    with pytest.raises(WarehouseError):
        data.snapshot()
    with pytest.raises(WarehouseError, match="gone"):
        opened.kpis()
    shutil.rmtree(house)
    with pytest.raises(NoSnapshot):
        data.snapshot()
    data.close()


@pytest.mark.parametrize(("customers", "said"), [(312, "312 of 500 customers"), (600, "")])
def test_too_few_customers_are_counted_out(synthetic, tmp_path, customers, said):
    house = tmp_path / "warehouse"
    synthetic.write_snapshot(house, customers=customers)
    data = AppData(house)
    assert data.snapshot().enough_data() == said
    data.close()


def test_every_query_of_the_app_has_its_header():
    for name in ("customers", "segments", "value_concentration", "customer_totals", "recency_frequency"):
        assert query(name).meaning
        assert query(name).output == name


@pytest.mark.parametrize(
    "asked",
    [
        lambda data: data.kpis(),
        lambda data: data.model_reports(),
        lambda data: data.segments(),
        lambda data: data.value_concentration(),
        lambda data: data.customer_totals(CUSTOMERS.parse("segment=best,active&revenue=10..&q=C00")),
        lambda data: data.recency_frequency(CUSTOMERS.parse("alive=0.5..")),
        lambda data: data.ask("churn_totals"),
        lambda data: data.ask("data_days", {"as_of": data.as_of, "shown_days": 180}),
    ],
    ids=["kpis", "model_reports", "segments", "concentration", "totals", "map", "churn", "days"],
)
def test_the_sql_that_is_shown_gives_the_same_over_the_run_alone(snapshot, asked):
    answer = asked(snapshot)
    with duckdb.connect() as alone:
        for name in snapshot.snapshot.tables():
            alone.execute(f"CREATE VIEW {name} AS FROM '{snapshot.snapshot.table_path(name)}'")
        shown = answer.sql.split(";\n\n-- ")[0]
        told = re.findall(r"^-- \$(\w+) = (.*)$", shown, flags=re.MULTILINE)
        values = {name: alone.sql(f"SELECT {text}").fetchall()[0][0] for name, text in told}
        rows = alone.sql(shown, params=values).to_arrow_table()
    # whole tables come in no order of their own
    assert sorted(map(repr, _plain(rows))) == sorted(map(repr, _plain(answer.rows)))


def _plain(rows):
    return [{k: round(v, 6) if isinstance(v, float) else v for k, v in row.items()} for row in rows.to_pylist()]


def test_what_made_a_table_says_the_values_it_was_made_with(synthetic_warehouse):
    data = AppData(synthetic_warehouse)
    one = data.snapshot()
    made = {"kpis": {"made_by": "base_kpis", "inputs": ["customer_days", "customer_summary"]}}
    one.manifest = {"tables": made, "parameters": {"as_of": "2017-12-31", "period_days": 30, "audit_days": 91}}
    shown = one.kpis().sql
    assert shown.startswith("SELECT kpi, value")
    assert "-- kpis is made by base_kpis from customer_days, customer_summary." in shown
    assert "-- $as_of = '2017-12-31'\n-- $period_days = 30" in shown
    assert "audit_days" not in shown
    data.close()
