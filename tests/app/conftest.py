"""A small shop in monthly files, with everything that makes orders awkward, the same on every machine."""

import csv
import random
import shutil
from datetime import date, datetime, timedelta
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


PRICING = {
    "categories": ["drinks", "snacks"],
    "markdowns": {
        "clearance": {
            "weeks": 4,
            "ladder": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5],
            "start_price": "regular",
            "salvage": 0.2,
            "rules": [
                {"rule": "MaxMarkdowns", "count": 2},
                {"rule": "MinWeeksBetween", "weeks": 2},
                {"rule": "MaximumStep", "share": 0.3},
            ],
            "max_snapshot_age_days": 30,
        }
    },
}


class PricedShop:
    """Order lines of simulated prices, with products and stock; items that cannot be planned are among them."""

    as_of = date(2024, 6, 30)
    history_items, weeks = 8, 78

    def __init__(self, folder: Path) -> None:
        from regulars.pricing import simulate_prices

        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        history = simulate_prices(items=8, stores=3, weeks=self.weeks, brands=4, mean_units=12.0, seed=5)
        self.own = dict(zip(history.items, history.own.tolist(), strict=True))
        frame = history.frame()
        frame = frame[frame["units"] > 0].reset_index(drop=True)
        lines = pa.table(
            {
                "customer_id": [f"c{i % 67:02}" for i in range(len(frame))],
                "ordered_at": pa.array((frame["week"] + timedelta(days=2, hours=12)).to_list(), pa.timestamp("us")),
                "revenue": pa.array([Decimal(f"{v:.2f}") for v in frame["revenue"]], pa.decimal128(18, 2)),
                "sku": frame["item"].to_list(),
                "quantity": pa.array(frame["units"].to_list(), pa.int64()),
                "unit_price": frame["price"].to_list(),
                "list_price": frame["regular_price"].to_list(),
                "unit_cost": frame["unit_cost"].to_list(),
                "store_id": frame["store_id"].to_list(),
            }
        )
        # sold once, long ago; a single price ever
        gone = {"sku": "gone", "unit_price": 3.0, "list_price": 3.0}
        ages = [gone | {"ordered_at": datetime(2023, 2, 1, 12), "customer_id": "c01"}]  # noqa: DTZ001
        flat = {"sku": "flat", "unit_price": 4.0, "list_price": 4.0, "customer_id": "c02"}
        ages += [flat | {"ordered_at": datetime(2024, 1, 3, 12) + timedelta(weeks=w)} for w in range(25)]  # noqa: DTZ001
        rest = {"quantity": 2, "unit_cost": 1.0, "store_id": "store_000"}
        more = [row | rest | {"revenue": Decimal(f"{2 * row['unit_price']:.2f}")} for row in ages]
        pq.write_table(pa.concat_tables([lines, pa.Table.from_pylist(more, lines.schema)]), folder / "orders.parquet")
        names = [*history.items, "gone", "flat"]
        leaving = {"item_0001": date(2024, 6, 15), "item_0002": date(2024, 7, 14)}
        products = {
            "sku": names,
            "category_1": ["drinks" if i % 2 == 0 else "snacks" for i in range(len(names))],
            "brand": [f"brand_{i % 4}" for i in range(len(names))],
            "exit_on": pa.array([leaving.get(name) for name in names], pa.date32()),
        }
        pq.write_table(pa.table(products), folder / "products.parquet")
        on_hand = {"item_0000": 90, "item_0002": 60, "item_0003": -4, "item_0004": 200, "item_0005": 0, "flat": 30}
        stock = [
            {"sku": sku, "store_id": f"store_{s:03}", "week": date(2024, 6, 24), "on_hand": count}
            for sku, count in on_hand.items()
            for s in range(3)
        ]
        pq.write_table(pa.Table.from_pylist(stock), folder / "stock.parquet")

    def settings(self, warehouse="warehouse", *, threads=1, pricing=PRICING, plan=None, **sections):
        from regulars.sql.settings import Settings

        if plan is not None:
            pricing = {**pricing, "markdowns": {"clearance": {**PRICING["markdowns"]["clearance"], **plan}}}
        said = {
            "orders": {"path": "orders.parquet"},
            "products": {"path": "products.parquet"},
            "stock": {"path": "stock.parquet"},
            "value": {"as_of": self.as_of},
            "pricing": pricing,
            "build": {"warehouse": warehouse, "threads": threads},
        }
        return Settings.from_mapping(said | sections, folder=self.folder, origin="regulars.toml")

    def prices(self, **changes):
        """The prices' part of a build alone."""
        from regulars.app.prices import learn_prices
        from regulars.sql.database import connect

        with connect(self.settings(**changes)) as database:
            return learn_prices(database.pipeline, database.settings, database.as_of)


@pytest.fixture(scope="session")
def priced_shop(tmp_path_factory):
    """A shop with prices to plan; its files are not to be changed."""
    return PricedShop(tmp_path_factory.mktemp("priced"))


@pytest.fixture(scope="session")
def priced_snapshot(priced_shop):
    """Its published snapshot; not to be changed."""
    from regulars.app.build import run_build

    return run_build(priced_shop.settings(), progress=False)


@pytest.fixture(scope="session")
def planned_shop(priced_shop, priced_snapshot):
    """The priced shop, built."""
    assert priced_snapshot.snapshot.manifest["markdowns"]
    return priced_shop


@pytest.fixture
def own_warehouse(planned_shop, tmp_path):
    """Settings of the priced shop whose warehouse is a copy, for what writes records."""
    shutil.copytree(planned_shop.settings().warehouse, tmp_path / "warehouse")
    return planned_shop.settings(str(tmp_path / "warehouse"))
