"""Speed beside rivals in the same run: ``python bench/run.py [section ...] [--small]`` writes docs/benchmarks.md.

Every section is measured on the machine it names, side by side and in turns; what is not run keeps its last figures.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path

from btyd import fit_section, score_section
from machine import load, machine, today, versions
from report import Page, Section
from summary import summary_section
from surfaces import build_section, import_section
from timing import in_one_process, progress_line

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
INTRODUCTION = (
    "# Benchmarks\n\nWritten by `make bench`: rivals side by side in the same run on the same machine and data. A "
    "target is what we hold ourselves to; a figure that misses it stays on the page."
)
PACKAGES = ("duckdb", "numpy", "numba", "pandas", "lifetimes", "scipy", "lightgbm", "causalml")
# one budget; several limits; beside an integer programme
ALLOCATION = (10_000_000, 1_000_000, 2_000)


def sections(*, small: bool) -> Mapping[str, Callable[[], Section]]:
    """Every section by name, in the page's order; ``small`` sizes run in seconds and prove nothing."""
    customers, rival = (2_000, 500) if small else (1_000_000, 100_000)
    runs, few = (1, 1) if small else (5, 3)
    return {
        "summary": partial(summary_section, 2_000 if small else 5_000_000, runs),
        "fits": partial(fit_section, customers, rival, runs),
        "scores": partial(score_section, customers, runs),
        "imports": partial(import_section, runs),
        "build": build_section,
        "grid": partial(_grid_section, small=small),
        "analysts": partial(_analysts_section, small=small),
        "api": partial(_api_section, small=small),
        "allocation": partial(
            _of, "uplift_speed", "allocation_section", *((2_000, 500, 100) if small else ALLOCATION), few
        ),
        "learners": partial(
            _of, "uplift_speed", "learner_section", *((600, 1, ("x",), (), ()) if small else (64_000, few))
        ),
        "uplift-scores": partial(
            _of, "uplift_speed", "uplift_score_section", *((1_000, 2_000) if small else (64_000, 1_000_000)), few
        ),
        "sql-scores": partial(
            _of, "score_sql", "score_sql_section", *((3_000, 1_000, 1) if small else (10_000_000, 1_000_000, few))
        ),
        "interval-speed": partial(_of, "customer_studies", "speed_section", 3_000 if small else 1_000_000, ""),
        "time-varying": partial(_of, "clv_seasons", "speed_section", 60 if small else 600, ""),
        "churn-million": partial(_of, "churn_studies", "million_section", 3_000 if small else 1_000_000, ""),
        "price-fits": partial(_of, "pricing_fits", "fits_section", 16_000 if small else 1_600_000),
        "markdown-paths": partial(_of, "markdown_plans", "paths_section", *((300, 1) if small else (100_000, few))),
        "markdown-budgets": partial(
            _of, "markdown_plans", "budgets_section", *((30, 10, 2.0) if small else (10_000, 100, 120.0))
        ),
    }


def _grid_section(*, small: bool) -> Section:
    # imported when it is run: the app takes a while
    from grid import section

    return section(small=small)


def _analysts_section(*, small: bool) -> Section:
    from analysts import section

    return section(small=small)


def _api_section(*, small: bool) -> Section:
    from api_load import section

    return section(small=small)


def _of(module: str, section: str, *sizes: object) -> Section:
    # imported when it is run: the model libraries take a while
    return getattr(import_module(module), section)(*sizes)


def main(arguments: list[str] | None = None) -> int:
    """Run the named sections, all by default, and write the page."""
    found = sections(small=False)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="section", help=f"one of {', '.join(found)}; all by default")
    parser.add_argument("--small", action="store_true", help="small sizes; prints, and leaves the page alone")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.sections if name not in found]
    if unknown:
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(found)}")
    if options.small:
        in_one_process()
    page = Page(PAGE, INTRODUCTION, list(found))
    for name, measure in sections(small=options.small).items():
        if options.sections and name not in options.sections:
            continue
        progress_line(f"measuring {name} ...")
        busy = load()
        made_on = f"{today()}; {machine()}; {versions(PACKAGES)}; {busy}."
        section = measure()
        section = replace(section, remarks=(*section.remarks, made_on))
        print(section.markdown(), flush=True)
        if not options.small:
            page.put(section)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
