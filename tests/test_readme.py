"""What the README tells a reader to run is run as it stands."""

import re
from pathlib import Path

import duckdb

import regulars
from regulars.app.build import build
from regulars.sql.settings import Settings

ROOT = Path(regulars.__file__).parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_python_runs_in_ten_lines(monkeypatch, capsys):
    program, _ = _blocks("python")
    assert len([line for line in program.splitlines() if line.strip()]) == 10
    monkeypatch.chdir(ROOT)
    exec(compile(program, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "predicts best" in printed
    assert "1023" in printed  # the household with the most purchase days but one, and the largest value


def test_whom_a_promotion_moves_runs_too(capsys):
    _, program = _blocks("python")
    space = {}
    exec(compile(program, "README.md", "exec"), space)
    assert capsys.readouterr().out.startswith("Rank by x")
    assert 0.0 <= space["plan"].gap < 1e-3


def test_the_settings_and_the_sql_run(tmp_path, monkeypatch):
    orders = tmp_path / "orders"
    orders.mkdir()
    duckdb.sql(
        "SELECT 'c' || (i % 40) AS client, TIMESTAMP '2026-01-01' + to_days(CAST(i * 37 % 300 AS INTEGER)) AS paid_at,"
        " 2 AS quantity, 1.25 + i % 7 AS unit_price FROM range(600) t(i)"
    ).write_parquet(str(orders / "a.parquet"))
    toml = re.search(r"```toml\n(.*?)```", README, flags=re.DOTALL)
    assert toml
    (tmp_path / "regulars.toml").write_text(toml.group(1))
    monkeypatch.chdir(tmp_path)
    snapshot = build(Settings.from_toml(tmp_path / "regulars.toml"), progress=False)
    with duckdb.connect() as connection:
        connection.execute(f"CREATE VIEW customer_scores AS FROM '{snapshot.table_path('customer_scores')}'")
        rows = connection.execute(_blocks("sql")[0]).fetchall()
    assert sum(row[1] for row in rows) == 40


def test_every_link_leads_somewhere():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(targets) > 8
    assert [target for target in targets if "://" not in target and not (ROOT / target).exists()] == []


def test_every_command_exists():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)
