"""The benchmarks and studies at sizes that prove nothing, so that they cannot rot; and the pages they write."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

import regulars

BENCH = Path(regulars.__file__).parent / "bench"


def load(name: str) -> ModuleType:
    spec = spec_from_file_location(f"bench_{name}", BENCH / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    # dataclasses look their module up
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def report() -> Iterator[ModuleType]:
    yield load("report")
    del sys.modules["bench_report"]


@pytest.fixture(scope="module")
def chunks() -> Iterator[ModuleType]:
    yield load("chunks")
    del sys.modules["bench_chunks"]


@pytest.fixture(scope="module")
def order_lines() -> Iterator[ModuleType]:
    yield load("order_lines")
    del sys.modules["bench_order_lines"]


def run(script: str, *words: str, folder: Path) -> str:
    """Run a script with its temporary files in ``folder``; return what it printed."""
    environment = {**os.environ, "TMPDIR": str(folder), "XDG_CACHE_HOME": str(folder)}
    command = [sys.executable, str(BENCH / script), *words]
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


ROWS = {
    "summary": ["the baseline", "regulars, no `order_id` mapped", "regulars, orders told apart by `order_id`"],
    "fits": ["BG/NBD", "Pareto/NBD", "Gamma-Gamma"],
    "scores": ["BG/NBD", "Pareto/NBD"],
    "imports": ["`import regulars.sql`", "`regulars --help`"],
    "grid": ["a block anywhere"],
    "api": ["`regulars api`, a build publishing meanwhile", "below `regulars app`"],
    "allocation": ["2,000 customers x 5 offers, one budget", "100 x 5, the same limits, HiGHS's integer programme"],
    "learners": ["regulars, `x`"],
    "uplift-scores": ["effects of 2,000 customers from a frame", "target list of 2,000 customers from their scores"],
    "sql-scores": ["BG/NBD, SQL", "BG/NBD with covariates, SQL", "MBG/NBD on a seasonal clock, SQL"],
    "price-fits": ["least squares, even effects", "Poisson, alternating, entangled effects"],
    "markdown-paths": ["search, prices only fall", "plan_markdowns, five rules, re-checked"],
    "markdown-budgets": ["regulars, 30 items", "HiGHS big-M, 10 items, stopped at 2 s"],
}


STUDIES = (
    "recovery-nbd", "rate-linear", "null-verdict", "switchback", "price-twins", "price-stock-outs", "price-coverage",
    "rule-sets", "markdown-regret", "league-cdnow", "league-seasonal",
)  # fmt: skip
# all in one process: what they import takes longer than they
PROGRAM = """
import churn_studies, clv_seasons, run, study
clv_seasons.main(["even", "coverage", "1", "300"])
run.main([*BENCHMARKS, "--small"])
study.main([*STUDIES, "--small"])
churn_studies.main(["million", "--small"])
"""


@dataclass(frozen=True)
class Printed:
    """What small versions printed: before the sections, and each section by name."""

    folder: Path
    before: str
    sections: dict[str, str]
    pages_left_alone: bool


@pytest.fixture(scope="module")
def printed(tmp_path_factory) -> Printed:
    folder = tmp_path_factory.mktemp("bench")
    pages = [BENCH.parent / "docs" / f"{name}.md" for name in ("benchmarks", "studies")]
    before = [page.read_bytes() for page in pages]
    program = f"BENCHMARKS, STUDIES = {[*ROWS]}, {[*STUDIES]}\n{PROGRAM}"
    environment = {**os.environ, "PYTHONPATH": str(BENCH), "TMPDIR": str(folder), "XDG_CACHE_HOME": str(folder)}
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    first, *parts = ran.stdout.split("<!-- section: ")
    left_alone = [page.read_bytes() for page in pages] == before
    return Printed(folder, first, {part.split()[0]: part for part in parts}, left_alone)


def test_the_benchmarks_run_and_leave_the_page_alone(printed):
    assert list(printed.sections) == [*ROWS, *sorted(STUDIES, key=list(printed.sections).index), "churn-million"]
    for name, rows in ROWS.items():
        part = printed.sections[name]
        assert [row for row in rows if f"| {row}" not in part and f"{row} |" not in part] == []
        assert "answered from" not in part or "and 0 of these answers differed" in part
    assert printed.pages_left_alone


def test_sides_are_timed_in_processes_of_their_own_and_small_ones_here(tmp_path):
    program = (
        "import json, os\n"
        "from functools import partial\n"
        "from timing import Side, in_one_process, in_turns\n"
        "def measured():\n"
        "    found = in_turns({name: Side(partial(partial, os.getpid), runs=2) for name in 'ab'})\n"
        "    return [(m.result, len(m.seconds), m.peak > 0) for m in found.values()]\n"
        "apart = measured()\n"
        "in_one_process()\n"
        "print(json.dumps([os.getpid(), apart, measured()]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(BENCH)}
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    here, apart, together = json.loads(ran.stdout)
    assert len({here, *(pid for pid, *_ in apart)}) == 3
    assert [rest for _, *rest in apart] == [[2, True]] * 2
    assert together == [[here, 2, True]] * 2


def test_a_study_runs(printed):
    assert "| r | 0.385 |" in printed.sections["recovery-nbd"]
    assert "| alpha | 12.07 |" in printed.sections["recovery-nbd"]


def test_the_studies_of_uplift_run_and_go_on_where_they_were(printed):
    assert "| AUTOC | regulars | 2 |" in printed.sections["rate-linear"]
    assert "| AUTOC | causalml | 1 |" in printed.sections["rate-linear"]
    assert "| any false claim |" in printed.sections["null-verdict"]
    assert "| split by customer |" in printed.sections["switchback"]
    kept = {path.parent.name.rpartition("-")[0]: path for path in printed.folder.glob("regulars-studies/*/*.json")}
    assert {"null-verdict", "rate-linear"} <= set(kept)
    # a chunk that is there is not run again: what is in it counts
    chunk = kept["null-verdict"]
    chunk.write_text(chunk.read_text().replace("not enough data", "treat all"))
    again = run("study.py", "null-verdict", "--small", folder=printed.folder)
    assert "| any false claim | 100.0% |" in again


def test_the_studies_of_prices_run(printed):
    names = ("price-twins", "price-stock-outs", "price-coverage", "rule-sets", "markdown-regret")
    said = "".join(printed.sections[name] for name in names)
    rivals = ("default", "IV by item", "PPML", "OLS, two-way", "OLS, pooled", "double machine", "LightGBM", "no change")
    assert [name for name in rivals if f"| {name}" not in said] == []
    assert said.count("| lower bounds |") == 5
    assert [name for name in ("clean", "confounded", "censored", "sparse") if f"| {name} |" not in said] == []
    # of 20 drawn rule sets, as of 10,000
    assert "| ... with a violation found by the independent checker | 0 | 0 |" in said
    assert "| ... that holds after all, or that is not minimal | 0 | 0 |" in said
    plans = ("default: estimated demand", "open loop on estimated", "rule 20/40/60", "no markdown")
    assert [name for name in plans if f"| confounded: {name}" not in said] == []


def test_chunks_are_of_one_state_of_what_they_measure(chunks, tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "FOLDER", tmp_path / "cache")
    monkeypatch.setattr(chunks, "ROOT", tmp_path)
    (tmp_path / "code.py").write_text("one")
    ran = []

    def draws(each: range) -> list[int]:
        ran.append(each)
        return [10 * draw for draw in each]

    def study(key: str = "k") -> list[int]:
        return chunks.in_chunks("s", key, 5, draws, size=2, sources=["code.py"], progress=False)

    assert study() == study() == [0, 10, 20, 30, 40]
    assert ran == [range(2), range(2, 4), range(4, 5)]
    study(key="other")
    (tmp_path / "code.py").write_text("two")
    study()
    assert len(ran) == 9


@pytest.mark.parametrize("script", ["run.py", "study.py"])
def test_an_unknown_name_is_refused_with_those_there_are(script, tmp_path):
    command = [sys.executable, str(BENCH / script), "sumary"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "sumary" in ran.stderr
    assert {"run.py": "summary", "study.py": "recovery-bg_nbd"}[script] in ran.stderr


def test_the_same_shop_is_drawn_again(order_lines, tmp_path, monkeypatch):
    drawn = []
    for name in ("one", "two"):
        monkeypatch.setattr(order_lines, "FOLDER", tmp_path / name)
        drawn.append(order_lines.order_lines(order_lines.Shop(300)).read_bytes())
    assert drawn[0] == drawn[1]
    assert order_lines.order_lines(order_lines.Shop(300, seed=1)).read_bytes() != drawn[0]


def section(report, name: str, cell: str, key: str = ""):
    return report.Section(name, name.title(), "What was done.", ("what", "time"), [("x", cell)], ("A remark.",), key)


def test_a_page_keeps_the_sections_that_are_not_measured_anew_in_its_order(report, tmp_path):
    path = tmp_path / "page.md"
    for name, cell in (("second", "2 s"), ("first", "1 s"), ("second", "3 s")):
        report.Page(path, "# Title\n\nIntroduction.", ["first", "second"]).put(section(report, name, cell))
    text = path.read_text()
    assert text.startswith("# Title\n\nIntroduction.\n\n<!-- section: first  -->\n## First\n\nWhat was done.\n")
    assert text.index("| x | 1 s |") < text.index("| x | 3 s |")
    assert "2 s" not in text
    assert text.count("A remark.") == 2


def test_a_page_knows_with_what_a_section_was_made(report, tmp_path):
    path = tmp_path / "page.md"
    page = report.Page(path, "# Title", ["study"])
    assert not page.has("study", "1000 sets, seed 1")
    page.put(section(report, "study", "95%", "1000 sets, seed 1"))
    again = report.Page(path, "# Title", ["study"])
    assert again.has("study", "1000 sets, seed 1")
    assert not again.has("study", "1000 sets, seed 2")


@pytest.mark.parametrize(("value", "said"), [(0.0184, "18 ms"), (1.0, "1.00 s"), (43.619, "43.62 s"), (170.4, "170 s")])
def test_seconds_are_said_as_people_read_them(report, value, said):
    assert report.seconds(value) == said


def test_the_league_table_is_played(printed):
    said = printed.sections["league-cdnow"] + printed.sections["league-seasonal"]
    everybody = ("NBD", "BG/NBD", "Pareto/NBD", "BG/NBD, seasonal clock", "ZILN, boosted", "same rate as before")
    assert [name for name in everybody if said.count(f"| {name}") < 2] == []
    # of CDNOW, one in ten, to the references' digits: total 1,665.5 of 1,882 purchases, MAE .754523
    assert "| Pareto/NBD | 0.755 | 1.603 | -11.5% |" in said
    # more that is known of customers, or of weeks, where the world has it; where not, why
    assert [name for name in ("Pareto/NBD, covariates", "Pareto/NBD, segment priors") if f"| {name}" not in said] == []
    assert "| Pareto/NBD, December over time |" in said
    assert "Not played here: customers from before: everybody's first order lies in the data" in said


def test_the_studies_of_seasons_run(printed):
    assert "and the US calendar: held-out LL" in printed.before
    assert "purchase.mailing" in printed.before


def test_the_studies_of_churn_run(printed):
    assert "| P(no order) and median of all |" in printed.sections["churn-million"]
    assert "| fit and score |" in printed.sections["churn-million"]
