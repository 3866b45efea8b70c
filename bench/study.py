"""Long statistical studies with fixed seeds: ``python bench/study.py [study ...] [--small]`` writes docs/studies.md.

A study whose section stands on the page with the same sizes and seed is not run again; ``--again`` runs it.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path

from machine import machine, today, versions
from recovery import TRUTHS, recovery_study
from report import Page, Section
from timing import progress_line

PAGE = Path(__file__).parent.parent / "docs" / "studies.md"
INTRODUCTION = (
    "# Studies\n\nWritten by `make study`: simulations with known truth and fixed seeds, too long for `make test`, "
    "which runs a small version of each."
)
SEED = 20261121
# of the league table (`league.WORLDS`); those that are drawn have a size
WORLDS = ("cdnow", "online-retail", "complete-journey", "steady", "seasonal")
SIMULATED = ("steady", "seasonal")
DESIGNS = ("null", "linear", "sparse", "zero_inflated", "confounded", "several_arms")
Study = Callable[[], Section]


def recovery_section(model: str, n_sets: int, n_customers: int, key: str) -> Section:
    """One model's parameter recovery."""
    table = recovery_study(model, n_sets, n_customers, SEED)
    rows = [
        (
            row.parameter,
            f"{row.truth:g}",
            f"{row.median_estimate:.4g}",
            f"{row.relative_bias:+.1%}",
            f"{row.coverage:.1%}",
            f"{row.boundary_fits} of {row.data_sets}",
        )
        for row in table.itertuples()
    ]
    return Section(
        name=f"recovery-{model}",
        title=f"Parameter recovery: {model}",
        text=(
            f"{n_sets:,} simulated data sets of {n_customers:,} customers, 104 weeks, acquired over the first half. "
            "Coverage is the share of data sets, boundary fits left out, whose 95% interval holds the truth; it "
            "should lie in 92-98%."
        ),
        head=("parameter", "truth", "median estimate", "bias", "coverage", "boundary fits"),
        rows=rows,
        key=key,
    )


def kill_section(key: str) -> Section:
    """Builds of The Complete Journey that are killed on their way."""
    # in a process of its own: it forks, and this one may hold threads
    command = [sys.executable, str(Path(__file__).with_name("kills.py"))]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    return Section(
        name="kills",
        title="kill -9 in the middle of a build",
        text=(
            "Builds of The Complete Journey (1,469,307 order lines), each with other settings, killed at seeded moments "
            "spread evenly over a build: every other at a moment in time, every other at a call that reaches the disk. "
            "After each kill no half-made run is visible, the last good one is whole and readable, and the next build "
            "succeeds; anything else ends the study. Some kills come after the new run was published, or too late."
        ),
        head=("kills", "builds that published before the kill", "that had ended", "next builds that succeeded"),
        rows=[tuple(str(told[name]) for name in ("kills", "published", "completed", "rebuilt"))],
        key=key,
    )


def _of(module: str, section: str, *arguments: object) -> Section:
    # imported when it is run: the model libraries take a while
    return getattr(import_module(module), section)(*arguments)


def studies(*, small: bool) -> Mapping[str, tuple[str, Study]]:
    """Every study by name: what it is made with, and how to run it."""
    n_sets, n_customers = (4, 500) if small else (1000, 5000)
    key = f"{n_sets} x {n_customers}, seed {SEED}"
    found: dict[str, tuple[str, Study]] = {
        f"recovery-{model}": (key, partial(recovery_section, model, n_sets, n_customers, key)) for model in TRUTHS
    }
    draws, n, rivals, halves = (2, 1000, 1, 1) if small else (1000, 10_000, 100, 100)
    for design in DESIGNS:
        key = f"{draws} x {n}, rivals {rivals}"
        found[f"rate-{design}"] = (
            key,
            partial(_of, "uplift_studies", "coverage_section", design, draws, n, rivals, key),
        )
    key = f"{draws} x {n}"
    found["null-verdict"] = (key, partial(_of, "uplift_studies", "null_verdict_section", draws, n, key))
    found["hillstrom"] = (
        f"{halves} halves",
        partial(_of, "uplift_studies", "hillstrom_section", halves, f"{halves} halves"),
    )
    found["preflight"] = ("40 faults", partial(_of, "uplift_studies", "preflight_section", "40 faults"))
    blocks = 5 if small else 1000
    found["switchback"] = (
        f"{blocks} draws",
        partial(_of, "uplift_studies", "switchback_section", blocks, f"{blocks} draws"),
    )
    items, seasons = (24, 5) if small else (300, 200)
    key = f"{items} items x {seasons} seasons, seed {SEED}"
    found["markdown-regret"] = (key, partial(_of, "markdown_regret", "regret_section", items, seasons, key))
    sets = 20 if small else 10_000
    found["rule-sets"] = (f"{sets} sets", partial(_of, "rule_sets", "rule_sets_section", sets, f"{sets} sets"))
    seeds, at_least = (1, 8) if small else (20, 1000)
    for name, size, of in (("twins", seeds, "seeds"), ("censored", at_least, "items"), ("coverage", at_least, "items")):
        key = f"{size}{' small' if small else ''} {of}"
        called = {"twins": "price-twins", "censored": "price-stock-outs", "coverage": "price-coverage"}[name]
        found[called] = (key, partial(_of, "pricing_studies", f"{name}_section", size, small, key))
    customers = 1_500 if small else 20_000
    for world in WORLDS:
        key = f"{customers} customers" if world in SIMULATED else "all customers"
        found[f"league-{world}"] = (key, partial(_of, "league", "league_section", world, customers, key))
    n = 600 if small else 10_000
    key = f"{n} customers"
    found["clv-intervals"] = (key, partial(_of, "customer_studies", "interval_section", n, key))
    sets, n = (2, 500) if small else (11, 20_000)
    key = f"{sets} x {n}"
    found["clv-left-censoring"] = (key, partial(_of, "customer_studies", "left_censoring_section", sets, n, key))
    sets, n = (2, 500) if small else (200, 3_000)
    key = f"{sets} x {n}"
    found["clv-covariates"] = (key, partial(_of, "customer_studies", "covariate_section", sets, n, key))
    draws = 1 if small else 20
    for shape in ("december", "advent", "even"):
        key = f"{draws} draws"
        found[f"clv-season-{shape}"] = (
            key,
            partial(_of, "clv_seasons", "seasonal_section", shape, draws, small, key),
        )
    draws = 2 if small else 200
    key = f"{draws} draws"
    found["clv-time-varying-coverage"] = (key, partial(_of, "clv_seasons", "coverage_section", draws, small, key))
    found["clv-season-shops"] = ("two shops", partial(_of, "clv_seasons", "shops_section", "two shops"))
    for shop in ("complete_journey", "online_retail"):
        key = "three windows of 30 days"
        found[f"churn-{shop.replace('_', '-')}"] = (
            key,
            partial(_of, "churn_studies", "shop_section", shop, small, key),
        )
    if not small:  # tests/app/test_kill.py has a small shop for it
        found["kills"] = ("50 kills", partial(kill_section, "50 kills"))
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run the named studies, all by default, and write the page."""
    found = studies(small=False)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", nargs="*", metavar="study", help=f"one of {', '.join(found)}; all by default")
    parser.add_argument("--small", action="store_true", help="small sizes; prints, and leaves the page alone")
    parser.add_argument("--again", action="store_true", help="run what the page already holds")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.studies if name not in found]
    if unknown:
        parser.error(f"no study {', '.join(unknown)}; there are {', '.join(found)}")
    page = Page(PAGE, INTRODUCTION, list(found))
    for name, (key, study) in studies(small=options.small).items():
        if options.studies and name not in options.studies:
            continue
        if not options.small and not options.again and page.has(name, key):
            progress_line(f"{name} stands on the page")
            continue
        progress_line(f"running {name} ...")
        section = study()
        made_on = f"{today()}; {machine()}; {versions(('numpy', 'numba', 'scipy', 'lightgbm'))}."
        section = replace(section, remarks=(*section.remarks, made_on))
        print(section.markdown(), flush=True)
        if not options.small:
            page.put(section)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
