"""The data page: its numbers against pandas and the reconciliation, its verdict against faults put in."""

import json
import shutil
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from regulars.app import build_history
from regulars.app.build_history import BuildRecord
from regulars.app.components import data_parts
from regulars.app.listing import FilterError
from regulars.app.rejected_listing import REJECTED
from regulars.app.server import create_server

RUN = "5eed000000000001"
CARDS = ("verdict", "money", "checks", "days", "files", "builds")


def texts(value) -> str:
    return json.dumps(value, ensure_ascii=False)


def ask(call, app, card: str):
    further = {"days": ("light",), "builds": (True, None)}.get(card, ())
    return texts(call(app, f"data-{card}.children", RUN, *further))


@pytest.fixture
def make_app(synthetic, tmp_path):
    def make(**options):
        house = tmp_path / "warehouse"
        synthetic.write_snapshot(house, RUN, customers=600, **options)
        return create_server(house, warm=False), house

    return make


# ---------------------------------------------------------------- numbers


def test_orders_by_day_and_their_band_equal_pandas(snapshot):
    rows = snapshot.ask("data_days", {"as_of": snapshot.as_of, "shown_days": 180}).rows.to_pandas()
    days = snapshot.snapshot.read("customer_days").to_pandas()
    counted = days.groupby("day")["orders"].sum()
    index = [snapshot.as_of - timedelta(days=back) for back in range(179 + 84, -1, -1)]
    orders = counted.reindex(index, fill_value=0)
    assert rows["day"].tolist() == index[84:]
    assert rows["orders"].tolist() == orders.iloc[84:].tolist()
    for place in (0, 60, 179):
        row = rows.iloc[place]
        before = orders.loc[[row["day"] - timedelta(weeks=k) for k in range(1, 13)]]
        assert row["usual_low"] == pytest.approx(before.quantile(0.1))
        assert row["usual_high"] == pytest.approx(before.quantile(0.9))
        assert row["usual"] == pytest.approx(before.median())


def test_freshness_equals_pandas(snapshot):
    (row,) = snapshot.ask("data_freshness", {"as_of": snapshot.as_of}).records
    money = snapshot.snapshot.read("daily_money").to_pandas()
    within = sorted(set(money["day"].dropna()))
    span = (within[-1] - within[0]).days + 1
    assert (row["first_day"], row["last_day"]) == (within[0], within[-1])
    assert row["days_without_lines"] == span - len(within) == 5
    assert row["longest_gap"] == 5
    assert row["lines"] == money["lines"].sum()


def test_rejected_lines_are_all_there_in_the_order_of_their_sums(snapshot, client):
    rejected = snapshot.snapshot.read("rejected_order_lines").to_pandas()
    rows, total = snapshot.page(REJECTED.everything, 0, 200)
    assert total == len(rejected)
    assert [row["line"] for row in rows] == list(range(1, 201))
    sums = [abs(float(row["revenue"] or 0)) for row in rows]
    assert sums == sorted(sums, reverse=True)
    one = client.get("/rows/rejected_lines?reason=return_without_sale").get_json()
    assert one["total"] == (rejected["reason"] == "return_without_sale").sum()
    assert {row["reason_said"] for row in one["rows"]} == {"return without sale"}
    assert client.get("/rows/rejected_lines?reason=nonsense").status_code == 400
    with pytest.raises(FilterError, match="no reason"):
        REJECTED.parse("reason=nonsense")


def test_rejected_lines_are_exported_so_that_a_spreadsheet_runs_nothing(client):
    text = client.get("/export/rejected_lines.csv?reason=unreadable_date").get_data(as_text=True)
    assert "'=1+1" in text
    assert "31.02.2017" in text


def test_money_is_shown_to_the_cent_by_reason(app, call, snapshot):
    text = ask(call, app, "money")
    for row in snapshot.money_reconciliation().records:
        assert f"${row['revenue']:,.2f}" in text
    assert "/data?reason=missing_customer#rejected" in text
    assert "Reconciled to the cent" in text


def _money(*rows) -> list[dict]:
    return [
        {
            "disposition": d,
            "reason": r,
            "currency": c,
            "lines": n,
            "revenue": Decimal(m),
            "revenue_reporting": Decimal(m),
        }
        for d, r, c, n, m in rows
    ]


def test_money_that_does_not_add_up_is_said_by_currency():
    rows = _money(
        ("in", "", "GBP", 10, "10.00"), ("used", "", "GBP", 9, "9.99"), ("in", "", "EUR", 1, "5.00"),
        ("set_aside", "missing_exchange_rate", "EUR", 1, "5.00"),
    )  # fmt: skip
    assert data_parts.unaccounted(rows) == {"GBP": Decimal("0.01")}
    shown = str(data_parts.money_table(rows, "GBP"))
    assert "£0.01" in shown
    assert "money-wrong" in shown


# ---------------------------------------------------------------- the verdict


TODAY = date(2024, 3, 5)
GOOD_MONEY = _money(("in", "", "GBP", 10, "10.00"), ("used", "", "GBP", 10, "10.00"))
FRESH = {"last_day": date(2024, 3, 4)}


def _check(severity: str) -> dict:
    return {"check_name": "x", "severity": severity, "passed": False, "found": 1, "example": "", "message": ""}


def _ended(outcome: str) -> BuildRecord:
    return BuildRecord(id="x", pid=1, started_at=datetime.now(UTC), ended_at=datetime.now(UTC), outcome=outcome)


@pytest.mark.parametrize(
    ("checks", "money", "fresh", "build", "level", "said"),
    [
        ([], GOOD_MONEY, FRESH, None, "good", "adds up to the cent"),
        ([_check("info")], GOOD_MONEY, FRESH, _ended("published"), "good", "adds up"),
        ([_check("warning")], GOOD_MONEY, FRESH, None, "care", "1 check warns"),
        ([_check("blocking")], GOOD_MONEY, FRESH, None, "bad", "would stop a build"),
        ([], GOOD_MONEY, {"last_day": date(2024, 2, 1)}, None, "care", "33 days old"),
        ([], GOOD_MONEY, {"last_day": None}, None, "good", "adds up"),
        ([], GOOD_MONEY, FRESH, _ended("failed"), "care", "the last build failed"),
        ([], GOOD_MONEY, FRESH, _ended("cancelled"), "good", "adds up"),
        ([], _money(("in", "", "GBP", 9, "9.00"), ("used", "", "GBP", 9, "8.00")), FRESH, None, "bad", "do not add up"),
        (
            [],
            _money(("in", "", "GBP", 9, "9.00"), ("used", "", "GBP", 6, "6.00"), ("set_aside", "x", "GBP", 3, "3.00")),
            FRESH, None, "care", "33% of all lines are set aside",
        ),
    ],
)  # fmt: skip
def test_the_verdict_says_what_is_the_matter(checks, money, fresh, build, level, said):
    found = data_parts.verdict(checks, money, fresh, TODAY, build)
    assert found.level == level
    assert said in "; ".join(found.reasons)


def _days(*orders: int) -> list[dict]:
    band = {"usual_low": 90.0, "usual": 100.0, "usual_high": 110.0, "lines": 1, "revenue": Decimal(1)}
    return [{"day": date(2024, 1, 1) + timedelta(days=i), "orders": n, **band} for i, n in enumerate(orders)]


def test_days_that_stand_out_are_named_and_chance_is_not():
    assert "within what is usual" in data_parts.days_message(_days(100, 85, 115))
    said = data_parts.days_message(_days(100, 0, 100, 250))
    assert "1 had fewer orders than usual" in said
    assert "2 Jan 2024 (0 against 100)" in said
    assert "1 had more, the last one 4 Jan 2024 (250)" in said
    assert data_parts.days_message([]) == "There are no days to show."
    unjudged = [{**row, "usual_low": None} for row in _days(0, 500)]
    assert data_parts.outside_band(unjudged) == ([], [])


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("card", CARDS)
def test_every_card_shows_numbers(app, call, card):
    text = ask(call, app, card)
    assert "state-title" not in text or card == "files"
    if card in {"money", "checks", "days"}:
        assert "SELECT" in text
        assert "31 Dec 2017" in text


def test_each_check_has_its_sql_and_its_advice(make_app, call):
    app, _ = make_app()
    text = ask(call, app, "checks")
    assert "900 found" in text
    assert "such as line 17" in text
    assert "Lines without a customer are set aside" in text


@pytest.mark.parametrize(
    ("without", "broken"),
    [
        ("daily_money", {"verdict", "days"}),
        ("customer_days", {"days"}),
        ("check_results", {"verdict", "checks"}),
        ("money_reconciliation", {"verdict", "money"}),
    ],
)
def test_a_table_that_is_missing_takes_only_its_own_cards_away(make_app, call, without, broken):
    app, _ = make_app(without=(without,))
    for card in ("verdict", "money", "checks", "days", "builds"):
        text = ask(call, app, card)
        assert (f"has no table {without}" in text) == (card in broken), card
        if card in broken:
            assert "regulars build --force" in text


def test_without_the_rejected_lines_the_page_stands_and_says_so(make_app, call):
    app, _ = make_app(without=("rejected_order_lines",))
    text = texts(call(app, "..page.children", "/data", None, state=("",)))
    assert "The lines set aside are not in this snapshot" in text
    assert "data-money" in text
    assert app.server.test_client().get("/rows/rejected_lines").status_code == 404


def test_a_build_that_failed_is_named_with_run_and_reason_and_the_snapshot_stays(make_app, call):
    app, house = make_app()
    with pytest.raises(ValueError, match="markup"), build_history.recording(house) as record:  # noqa: PT012
        record.run_id = "deadbeef00000000"
        record.step(3, 8, "gather customers")
        raise ValueError("<b>markup</b> in a reason")
    for card in ("verdict", "builds"):
        text = ask(call, app, card)
        assert "deadbeef00000000" in text
        assert "<b>markup</b>" in text  # a text node, not markup
        assert "dangerously" not in text.lower()
    assert "The last good snapshot stays" in ask(call, app, "verdict")
    assert "gather customers" in ask(call, app, "verdict")
    panel = texts(call(app, "..build-state.children", 1, state=(True,)))
    assert "deadbeef00000000" in panel
    assert call(app, "..page.children", "/data", None, state=("",))["run"]["data"] == RUN


def test_a_run_whose_log_and_files_are_gone_is_said(make_app, call):
    app, house = make_app()
    assert call(app, "..page.children", "/data", None, state=("",))["run"]["data"] == RUN
    shutil.rmtree(house)
    for card in CARDS:
        text = ask(call, app, card)
        assert "no run called" in text or "gone" in text, card
    client = app.server.test_client()
    for path in ("/rows/rejected_lines", "/export/rejected_lines.csv", "/healthz", f"/rows/customers?run={RUN}"):
        assert client.get(path).status_code in {404, 503}, path
    for page in ("/", "/data", "/customers", "/churn", "/start"):
        shown = texts(call(app, "..page.children", page, None, state=("",)))
        assert "No snapshot yet" in shown, page
    assert "No build is on record" in texts(call(app, "..build-state.children", 1, state=(True,)))


def test_build_now_without_settings_leads_to_where_they_are_made(make_app):
    app, house = make_app()
    app.server.test_client().get("/_dash-layout")
    (name,) = [n for n in app.callback_map if n.startswith("..build-message.children...")]
    spec = app.callback_map[name]
    outputs = [part.rpartition(".") for part in name.strip(".").split("...")]
    body = {
        "output": name,
        "outputs": [{"id": o[0], "property": o[2].partition("@")[0]} for o in outputs],
        "inputs": [{**one, "value": 1} for one in spec["inputs"]],
        "state": [],
        "changedPropIds": ["build-now.n_clicks"],
    }
    answer = app.server.test_client().post("/_dash-update-component", json=body)
    assert "/start" in texts(answer.get_json())
    assert not (house / "state.sqlite").exists()


def test_the_report_has_every_part(snapshot):
    from regulars.app.pages import data_page

    parts = data_page.report(snapshot, "?reason=missing_customer")
    assert [title for title, _ in parts][:2] == ["Can today's data be trusted?", "Where the money went"]
    shown = str(parts[-1][1])
    assert "missing customer" in shown
    assert "return without sale" not in shown
