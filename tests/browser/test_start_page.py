"""From an empty folder to a snapshot in a browser: a file named or uploaded, mapped, checked, built, cancelled."""

import csv
import random
import tomllib
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import expect

from regulars.app import build_history
from regulars.app import cli as command_line
from regulars.app.server import create_server, served
from regulars.sql.snapshot import Warehouse

MARKUP = "<b>Ann & Bob</b>"


def orders(path: Path, customers: int = 300) -> Path:
    """A German export: semicolons, day first, decimal commas; a customer whose name is markup."""
    rng = random.Random(5)
    rows = []
    for i in range(customers):
        at = datetime(2024, 1, 1) + timedelta(days=rng.uniform(0, 300))  # noqa: DTZ001
        while at.year < 2025:
            who = MARKUP if i == 0 else f"K{i:04}"
            rows.append((at, who, f"B{len(rows)}", f"A{rng.randint(1, 20)}", rng.uniform(3, 60)))
            at += timedelta(days=rng.expovariate(1 / 60))
            if rng.random() < 0.2:
                break
    rows.sort()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["Bestellnummer", "Kunden-Nr.", "Bestelldatum", "Artikel", "Betrag"])
        for at, who, order, sku, money in rows:
            writer.writerow([order, who, f"{at:%d.%m.%Y %H:%M}", sku, f"{money:.2f}".replace(".", ",")])
    return path


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """An app in a folder with one file of orders and nothing else, shared by tests that write nothing."""
    folder = tmp_path_factory.mktemp("empty")
    orders(folder / "orders.csv")
    with served(create_server(folder / "warehouse", threads=2, warm=False)) as address:
        yield address


@pytest.fixture
def shop(tmp_path):
    with served(create_server(tmp_path / "shop" / "warehouse", threads=2, warm=False)) as address:
        yield tmp_path / "shop", address


def choose(seen, path: str) -> None:
    field = seen.page.locator("#start-path")
    field.fill(path)
    field.press("Escape")
    expect(seen.page.locator(".preview-table tbody tr")).to_have_count(8)


def build(seen) -> None:
    seen.page.locator("#start-build").click()
    seen.until("document.querySelector('#build-state .build-ended') !== null", 120)


def test_it_is_whole_and_accessible(looks, empty):
    for seen in looks("/", at=empty):
        page = seen.page
        expect(page.locator("h1")).to_have_text("Set up")
        expect(page.locator("h1")).to_have_count(1)
        choose(seen, "orders.csv")
        expect(page.locator(".preview-table tbody tr")).to_have_count(8)

        assert seen.overflow() <= 0
        assert seen.accessibility_findings() == []


def test_from_a_file_that_is_named_to_the_overview(watch, shop, monkeypatch):
    folder, address = shop
    orders(folder / "data" / "orders.csv")
    seen = watch(at=address).open("/")
    page = seen.page
    expect(page.locator(".state-title").last).to_have_text("No snapshot yet")
    choose(seen, "data/orders.csv")
    expect(page.locator("#start-map-customer_id")).to_have_value("Kunden-Nr.")
    expect(page.locator("#start-map-ordered_at")).to_have_value("try_strptime(\"Bestelldatum\", '%d.%m.%Y %H:%M')")
    expect(page.locator(".preview-table tbody")).not_to_contain_text("none")
    # a wrong mapping is said, and cannot be built; corrected it can
    sku = page.locator("#start-map-sku")
    sku.fill("Artikle")
    sku.press("Escape")
    expect(page.locator("#start-preview .start-mistake")).to_contain_text("did you mean 'Artikel'")
    expect(page.locator("#start-build")).to_be_disabled()
    sku.fill("upper(Artikel)")
    sku.press("Escape")
    expect(page.locator("#start-build")).to_be_disabled()  # the currency is nobody's to guess here
    page.locator("#start-currency").click()
    page.get_by_role("option", name="SEK").click()
    expect(page.locator("#start-build")).to_be_enabled()
    page.locator("#start-check").click()
    expect(page.locator("#start-checks .mark")).to_contain_text("checks", timeout=120_000)
    shown = page.locator("#start-text").text_content()
    build(seen)
    expect(page.locator("#build-state")).to_contain_text("Published run")
    written = folder / "regulars.toml"
    assert written.read_text() == shown
    said = tomllib.loads(shown)
    assert said["orders"]["path"] == "data/orders.csv"
    assert said["orders"]["columns"]["sku"] == "upper(Artikel)"
    assert said["shop"] == {"currency": "SEK", "timezone": "UTC"}
    # the command line reads the same file
    from typer.testing import CliRunner

    monkeypatch.chdir(folder)
    checked = CliRunner().invoke(command_line.cli, ["check", "--json"])
    assert checked.exit_code == 0, checked.output
    run = Warehouse(folder / "warehouse").current().run_id
    page.get_by_role("link", name="See the overview").click()
    seen.settle()
    expect(page.locator("h1")).to_have_text("Overview")
    expect(page.locator(".stamp")).to_contain_text(run[:8])


def test_a_file_is_uploaded_and_its_page_survives_a_reload_while_it_builds(watch, shop, tmp_path):
    folder, address = shop
    mine = orders(tmp_path / "mine" / "<i>my</i> orders.csv".replace("/", "_"), customers=200)
    seen = watch(at=address).open("/start")
    page = seen.page
    with page.expect_file_chooser() as chooser:
        page.locator("#start-upload").click()
    chooser.value.set_files(mine)
    expect(page.locator("#start-upload-said")).to_contain_text("Uploaded as uploads/")
    (stored,) = (folder / "uploads").iterdir()
    assert stored.read_bytes() == mine.read_bytes()
    expect(page.locator("#start-path")).to_have_value(f"uploads/{stored.name}")
    expect(page.locator(".preview-table")).to_contain_text("K0")
    assert page.locator("#page b").count() == 0  # a customer called <b>... is a text
    page.locator("#start-currency").click()
    page.get_by_role("option", name="EUR").click()
    expect(page.locator("#start-build")).to_be_enabled()
    page.locator("#start-build").click()
    expect(page.locator("#start-result")).to_contain_text("is written")
    page.reload()
    seen.until("document.querySelector('#build-state p, #build-state .build-bar') !== null")
    seen.until("document.querySelector('#build-state .build-good') !== null", 120)
    assert Warehouse(folder / "warehouse").current().manifest["settings"]["shop"]["currency"] == "EUR"


def test_an_upload_that_is_no_table_is_said(watch, shop, tmp_path):
    folder, address = shop
    bad = tmp_path / "photo.csv"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))
    seen = watch(at=address).open("/start")
    with seen.page.expect_file_chooser() as chooser:
        seen.page.locator("#start-upload").click()
    chooser.value.set_files(bad)
    expect(seen.page.locator("#start-upload-said")).to_contain_text("cannot be read as CSV")
    assert list((folder / "uploads").iterdir()) == []
    assert any(line.startswith("415:") for line in seen.wrong)
    seen.wrong.clear()  # the browser says of each refused request that it was


def test_a_build_is_cancelled_and_nothing_is_published(watch, shop):
    folder, address = shop
    orders(folder / "orders.csv", customers=3_000)
    seen = watch(at=address).open("/start?path=orders.csv")
    page = seen.page
    expect(page.locator("#start-path")).to_have_value("orders.csv")
    page.locator("#start-currency").click()
    page.get_by_role("option", name="EUR").click()
    page.locator("#start-build").click()
    page.locator("#build-cancel").click()
    seen.until("document.querySelector('#build-state .build-ended') !== null", 120)
    expect(page.locator("#build-state")).to_contain_text("was cancelled")
    expect(page.locator("#build-state")).to_contain_text("The last good snapshot stays")
    assert not [one for one in build_history.ended(folder / "warehouse") if one.outcome != "cancelled"]
    assert not (folder / "warehouse" / "current.json").exists()
    assert (folder / "regulars.toml").exists()
