"""Who will not order in the next month: every churn model on two shops, and the hazard on a million customers.

``python bench/churn_studies.py [shops] [million]`` prints; a study takes its sections from here.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from report import Section
from timing import peak_memory

import regulars
from regulars.clv import ChurnModel, evaluate_churn, forecast_churn, order_gaps
from regulars.clv.churn_evaluate import TITLES
from regulars.sql import connect

ROOT = Path(regulars.__file__).parent
HORIZON = 30
WINDOWS = 3
# The first nine months of the history; the last three are judged.
SHOPS = {"complete_journey": date(2017, 9, 30), "online_retail": date(2011, 9, 9)}
NAMES = {"complete_journey": "The Complete Journey", "online_retail": "Online Retail"}
MODELS = ("kaplan_meier", "cox", "coxnet", "gradient_boosting", "random_survival_forest", "hazard")
QUICK = ("kaplan_meier", "hazard")
_MONEY_A_DAY = 40.0
_MANY = 100_000


def shop_rows(shop: str, *, small: bool = False, seed: int = 0) -> tuple[list[dict[str, object]], str]:
    """Every model judged on three windows of 30 days, and which of three the window before would have chosen."""
    with connect(ROOT / "docs" / "examples" / shop / "regulars.toml") as database:
        models = QUICK if small else MODELS
        report = evaluate_churn(database, SHOPS[shop], HORIZON, models=models, windows=WINDOWS, seed=seed)
        chosen = forecast_churn(database, SHOPS[shop], HORIZON, seed=seed).chosen
    return report.reports.to_dict("records"), chosen


def shop_section(shop: str, small: bool, key: str) -> Section:
    """One shop."""
    found, chosen = shop_rows(shop, small=small)
    rows = [
        (
            _title(str(row["model"])) + (" (chosen before)" if row["model"] == chosen else ""),
            f"{row['brier']:.4f}",
            f"{row['slope']:.3f}",
            f"{row['intercept']:+.3f}",
            f"{row['predicted']:.3f}",
            f"{row['uno_c']:.3f}",
            f"{row['integrated_brier']:.4f}",
            f"{row['mean_auc']:.3f}",
            f"{row['d_calibration']:.2g}",
        )
        for row in found
    ]
    return Section(
        name=f"churn-{shop.replace('_', '-')}",
        title=f"Who will not order in 30 days: {NAMES[shop]}",
        text=(
            f"Fitted as of {SHOPS[shop]}, each half of the customers on the other; judged on the three windows of 30 days "
            f"after it, {int(found[0]['judgements']):,} judgements of which {found[0]['observed']:.1%} brought no order. "
            "Brier, slope and intercept are of P(no order in 30 days); Uno's C, the integrated Brier score, the mean AUC and "
            "D-calibration (p) of the time to the next order in the rest of the history. The one marked had the least "
            "Brier score on the 30 days before the calibration's end, models fitted as of their begin. Asked: a Brier "
            "score below Kaplan-Meier's and below every BTYD model's, and a slope in .9-1.1."
        ),
        head=("model", "Brier", "slope", "intercept", "mean", "Uno's C", "IBS", "AUC", "D-calibration"),
        rows=rows,
        key=key,
    )


def _title(name: str) -> str:
    return " + ".join(TITLES[part] for part in name.split(" + "))


def million_orders(path: Path, customers: int, seed: int = 1) -> int:
    """Write two years of orders of a base whose rates and dropouts are BG/NBD's; return the purchases."""
    rng = np.random.default_rng(seed)
    rate, leaves = rng.gamma(0.8, 1 / 60, customers), rng.beta(0.8, 4, customers)
    at = rng.integers(0, 540, customers).astype(float)
    who, days, alive = [], [], np.arange(customers)
    while len(alive):
        who.append(alive)
        days.append(np.floor(at[alive]))
        alive = alive[rng.random(len(alive)) > leaves[alive]]
        at[alive] += rng.exponential(1 / rate[alive])
        alive = alive[at[alive] < 720]
    ids, day = np.concatenate(who), np.concatenate(days).astype(np.int32)
    table = pa.table(
        {
            "customer_id": pa.array(ids).cast(pa.string()),
            "ordered_at": pa.array(day + 19_000, pa.int32()).cast(pa.date32()).cast(pa.timestamp("us")),
            "revenue": rng.gamma(2, _MONEY_A_DAY / 2, len(ids)).round(2),
        }
    )
    pq.write_table(table, path)
    return len(ids)


def million_rows(customers: int = 1_000_000, threads: int = 2) -> Iterator[tuple[str, float, float]]:
    """Seconds on the clock and of the processor by step."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "orders.parquet"
        million_orders(path, customers)
        columns = {name: name for name in ("customer_id", "ordered_at", "revenue")}
        with connect(orders=path, columns=columns) as database:
            database.query("purchase_span")  # the days are there in a build
            share = min(1.0, 100_000 / customers)
            model = ChurnModel("hazard", threads=threads)
            clock, processor = time.perf_counter(), time.process_time()
            steps = {
                f"intervals of {share:.0%} of the customers": lambda: order_gaps(database, share=share),
                "fit": lambda gaps: model.fit(gaps),
                "intervals of all, the open ones": lambda _: order_gaps(database, open_only=True),
                "P(no order) and median of all": lambda gaps: model.answers(gaps, HORIZON),
            }
            made: tuple = ()
            for name, step in steps.items():
                begun, used = time.perf_counter(), time.process_time()
                made = (step(*made),)
                yield name, time.perf_counter() - begun, time.process_time() - used
            yield "fit and score", time.perf_counter() - clock, time.process_time() - processor


def million_section(customers: int, key: str) -> Section:
    """Time and memory of the hazard."""
    # threads that wait for one another take long where the machine is busy, as in tests
    threads = 2 if customers >= _MANY else 1
    rows = [(name, f"{clock:.1f}", f"{processor:.1f}") for name, clock, processor in million_rows(customers, threads)]
    return Section(
        name="churn-million",
        title=f"The boosted hazard on {customers:,} customers",
        text=(
            f"Two years of simulated orders, threads: {threads}; at most 60 s and 6 GB are asked for a million. Peak memory of "
            f"the process: {peak_memory() / 1e9:.1f} GB."
        ),
        head=("step", "seconds", "processor seconds"),
        rows=rows,
        key=key,
    )


def main(arguments: list[str]) -> None:
    """Print the sections asked for, all without a name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", nargs="*", choices=("shops", "million", []), default=[])
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args(arguments)
    if not options.which or "shops" in options.which:
        for shop in SHOPS:
            print(shop_section(shop, options.small, "printed").markdown(), flush=True)
    if not options.which or "million" in options.which:
        print(million_section(3_000 if options.small else 1_000_000, "printed").markdown(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
