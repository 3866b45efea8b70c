"""A made-up shop's order lines in one Parquet file: the same bytes of data for the same size and seed."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

DAYS = 728
SECONDS = 86_400
FOLDER = Path(tempfile.gettempdir()) / "regulars-bench"


@dataclass(frozen=True)
class Shop:
    """What is drawn: how many customers over 104 weeks, from which seed, and with how their ids are stored."""

    customers: int = 5_000_000
    seed: int = 20261121

    @property
    def path(self) -> Path:
        """Where the file stands once it is made; outside the checkout."""
        return FOLDER / f"order_lines_{self.customers}_{self.seed}.parquet"


def order_lines(shop: Shop) -> Path:
    """Write the shop's lines in order of time, unless the file is there, and return its path.

    First orders fall evenly on 104 weeks. A customer then orders at a rate from a gamma distribution (shape 0.8, mean
    0.084 a week) until he leaves, after 83 weeks on average; an order has 1 + Poisson(1.5) lines of 3.00 to 99.99.
    Columns: ``customer_id`` and ``order_id`` VARCHAR of nine characters, ``ordered_at`` TIMESTAMP to the second,
    ``revenue`` DECIMAL(18,2).
    """
    if shop.path.exists():
        return shop.path
    rng = np.random.default_rng(shop.seed)
    customer, second = _orders(rng, shop.customers)
    in_time = np.argsort(second, kind="stable")
    lines = 1 + rng.poisson(1.5, customer.size)
    number = np.repeat(np.arange(customer.size, dtype=np.int32), lines)
    order = in_time[number]
    drawn = pa.table(
        {
            # ids in no order of time, as shops have them
            "customer": rng.permutation(shop.customers).astype(np.int32)[customer[order]],
            "number": number,
            "second": second[order],
            "cents": rng.integers(300, 10_000, order.size, dtype=np.int32),
        }
    )
    FOLDER.mkdir(parents=True, exist_ok=True)
    unfinished = shop.path.with_suffix(".unfinished")
    with duckdb.connect() as connection:
        connection.register("drawn", drawn)
        connection.execute(
            "COPY (SELECT 'C' || lpad(CAST(customer AS VARCHAR), 8, '0') AS customer_id, "
            "'O' || lpad(CAST(number AS VARCHAR), 8, '0') AS order_id, "
            "TIMESTAMP '2024-01-01' + to_seconds(second) AS ordered_at, "
            "CAST(CAST(cents AS DECIMAL(18, 2)) * 0.01 AS DECIMAL(18, 2)) AS revenue "
            f"FROM drawn) TO '{unfinished}' (FORMAT parquet, COMPRESSION zstd)"
        )
    return unfinished.rename(shop.path)


def _orders(rng: np.random.Generator, customers: int) -> tuple[np.ndarray, np.ndarray]:
    """Customer and second of every order, first orders included."""
    end = DAYS * SECONDS
    first = rng.integers(0, end, customers)
    stays = np.minimum(rng.exponential(83 * 7 * SECONDS, customers), end - first)
    rate = rng.gamma(0.8, 0.105, customers) / (7 * SECONDS)
    repeats = rng.poisson(rate * stays)
    later = np.repeat(np.arange(customers), repeats)
    passed = (rng.random(later.size) * stays[later]).astype(np.int64)
    return np.concatenate([np.arange(customers), later]), np.concatenate([first, first[later] + passed])
