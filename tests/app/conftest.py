"""A small shop in monthly files, with everything that makes orders awkward, the same on every machine."""

import csv
import random
import shutil
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

FIRST_DAY = datetime(2024, 1, 1)  # noqa: DTZ001 - the shop's own clock
MONTHS = [f"{year}-{month:02}" for year in (2024, 2025) for month in range(1, 13)]
SCHEMA = pa.schema(
    {
        "customer_id": pa.string(),
        "ordered_at": pa.timestamp("us"),
        "revenue": pa.decimal128(18, 2),
        "order_id": pa.string(),
        "sku": pa.string(),
        "quantity": pa.int64(),
        "original_order_id": pa.string(),
    }
)
COLUMNS = tuple(SCHEMA.names)
KINDS = dict.fromkeys(COLUMNS, str) | {"ordered_at": datetime.fromisoformat, "revenue": Decimal, "quantity": int}


class Shop:
    """Order lines in ``orders/<month>.csv`` beside a ``regulars.toml``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "orders").mkdir(parents=True, exist_ok=True)
        self.settings_path = folder / "regulars.toml"
        self.sections: dict[str, dict] = {
            "orders": {"path": "orders"},
            "shop": {"currency": "EUR"},
            "value": {"horizon": 26},
            "build": {"warehouse": "warehouse"},
        }

    def write_month(self, month: str, rows: list[dict]) -> Path:
        columns = {name: [KINDS[name](row[name]) if row[name] != "" else None for row in rows] for name in COLUMNS}
        path = self.folder / "orders" / f"{month}.parquet"
        pq.write_table(pa.table(columns, SCHEMA), path)
        return path

    def write_month_as_csv(self, month: str, rows: list[dict]) -> Path:
        path = self.folder / "orders" / f"{month}.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        return path

    def settings(self, **sections):
        from regulars.sql.settings import Settings

        merged = {name: {**self.sections.get(name, {}), **sections.get(name, {})} for name in self.sections | sections}
        return Settings.from_mapping(merged, folder=self.folder, origin="regulars.toml")

    def write_settings(self) -> Path:
        lines = []
        for section, values in self.sections.items():
            lines += [f"[{section}]", *(f"{key} = {_toml(value)}" for key, value in values.items()), ""]
        self.settings_path.write_text("\n".join(lines))
        return self.settings_path


def _toml(value) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def order_lines(customers: int = 90, seed: int = 1) -> dict[str, list[dict]]:
    """Lines by month: repeat buyers who drop out, guests, refunds, zero lines, equal lines."""
    rng = random.Random(seed)
    by_month: dict[str, list[dict]] = {month: [] for month in MONTHS}
    number = 0
    for i in range(customers):
        customer = f"c{i:04}"
        rate, at = rng.gammavariate(1.2, 1 / 40), rng.uniform(0, 600)
        while at < 730:
            number += 1
            placed = FIRST_DAY + timedelta(days=at)
            order = f"o{number}"
            for _ in range(rng.randint(1, 3)):
                line = {
                    "customer_id": "" if rng.random() < 0.02 else customer,
                    "ordered_at": placed.isoformat(sep=" ", timespec="seconds"),
                    "revenue": f"{rng.gammavariate(3, 12):.2f}" if rng.random() > 0.02 else "0.00",
                    "order_id": order,
                    "sku": f"s{rng.randint(1, 40)}",
                    "quantity": rng.randint(1, 3),
                    "original_order_id": "",
                }
                by_month[placed.strftime("%Y-%m")].append(line)
                if rng.random() < 0.03:
                    by_month[placed.strftime("%Y-%m")].append(dict(line))
                back = placed + timedelta(days=rng.uniform(1, 60))
                if rng.random() < 0.15 and back.year < 2026:
                    refund = line | {
                        "ordered_at": back.isoformat(sep=" ", timespec="seconds"),
                        "revenue": f"-{float(line['revenue']) * rng.choice((1, 0.5, 1.1)):.2f}",
                        "order_id": f"r{number}",
                        "original_order_id": order if rng.random() < 0.5 else "",
                    }
                    by_month[back.strftime("%Y-%m")].append(refund)
            if rng.random() < 0.12:
                break
            at += rng.expovariate(rate)
    for rows in by_month.values():
        rows.sort(key=lambda row: (row["ordered_at"], row["order_id"], row["sku"], row["revenue"]))
    return by_month


@pytest.fixture(scope="session")
def lines_by_month():
    return order_lines()


@pytest.fixture
def empty_shop(tmp_path):
    return Shop(tmp_path / "shop")


@pytest.fixture(scope="session")
def shop_at():
    """Opens the small shop of a folder, or makes one there."""
    return Shop


@pytest.fixture(scope="session")
def built_shop(tmp_path_factory, lines_by_month):
    """A shop whose warehouse has one published run; not to be changed."""
    from regulars.app.build import build

    made = Shop(tmp_path_factory.mktemp("built") / "shop")
    for month, rows in lines_by_month.items():
        made.write_month(month, rows)
    made.write_settings()
    build(made.settings(), progress=False)
    return made


@pytest.fixture
def shop(built_shop, tmp_path):
    """A copy of the built shop, to do with as a test likes."""
    shutil.copytree(built_shop.folder, tmp_path / "copy")
    return Shop(tmp_path / "copy")
