"""Scores between two builds: by whose models and how old, and none by models that are not what was published."""

import json
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from regulars.app.build import run_build
from regulars.app.cli import cli
from regulars.app.scoring import churn_anew, score_anew, snapshot_sql
from regulars.clv.persistence import load_model, model_version
from regulars.sql.errors import ModelError, WarehouseError
from regulars.sql.snapshot import Warehouse

SECTION = {"horizon_days": 60, "model": "cox", "explained": 5}


@pytest.fixture
def churning(shop_at, tmp_path, lines_by_month):
    shop = shop_at(tmp_path / "shop")
    for month, rows in lines_by_month.items():
        shop.write_month(month, rows)
    settings = shop.settings(churn=SECTION)
    return shop, settings, run_build(settings, progress=False).snapshot


def _change(path, change):
    document = json.loads(path.read_text())
    change(document["state"])
    path.chmod(0o644)
    path.write_text(json.dumps(document))


def test_a_churn_model_that_is_not_what_was_published_scores_nobody(churning):
    _, settings, snapshot = churning
    path = snapshot.model_path("churn_forecast")
    text = path.read_text()
    path.chmod(0o644)
    path.write_text(text.replace('"horizon": 60', '"horizon": 61'))
    said = r"run \w+: models/churn_forecast.json has other content than was published; 'regulars build --force'"
    with pytest.raises(WarehouseError, match=said):
        churn_anew(settings, snapshot)
    _change(path, lambda state: state["btyd"]["state"]["params"].update(r=1000.0))
    with pytest.raises(WarehouseError, match=r"models/churn_forecast.json has \d+ bytes, not \d+"):
        churn_anew(settings, snapshot)
    path.unlink()
    with pytest.raises(WarehouseError, match=r"models/churn_forecast.json is missing.*regulars runs rollback"):
        churn_anew(settings, snapshot)
    # what is damaged elsewhere is no concern of the model of orders
    assert score_anew(settings, snapshot).num_rows > 50


@pytest.mark.parametrize("name", ["orders", "gamma_gamma"])
def test_a_model_of_orders_or_of_spend_that_was_changed_scores_nobody(shop, name):
    snapshot = Warehouse(shop.folder / "warehouse").current()
    name = snapshot.manifest["model"]["name"] if name == "orders" else name
    _change(snapshot.model_path(name), lambda state: state["params"].update({next(iter(state["params"])): 1000.0}))
    for ask in (lambda: score_anew(shop.settings(), snapshot), lambda: snapshot_sql(snapshot)):
        with pytest.raises(WarehouseError, match=f"models/{name}.json has"):
            ask()


def test_whose_models_and_how_old_they_are(churning, lines_by_month):
    shop, settings, snapshot = churning
    stored = snapshot.read("customer_churn")
    version = snapshot.manifest["models"]["churn_forecast"]["version"]
    assert version == model_version(load_model(snapshot.model_path("churn_forecast")))
    assert stored.column("model_version").unique().to_pylist() == [version]
    said = []
    assert churn_anew(settings, snapshot, said.append).equals(stored)
    run = f"churn models of run {snapshot.run_id}, fitted as of {snapshot.as_of}"
    later = lines_by_month["2025-12"][-1] | {"ordered_at": f"{snapshot.as_of + timedelta(days=61)} 10:00:00"}
    shop.write_month("2026-02", [later])
    anew = churn_anew(shop.settings(churn={"horizon_days": 45}), snapshot, said.append)
    assert anew.column("model_version").unique().to_pylist() == [version]
    churn_anew(shop.settings(), snapshot, said.append)
    old = f"{run}, 61 days before the input's last; older than the 60 days that they speak of: build again; "
    assert said == [
        f"{run}, on the input's last day",
        f"{old}they say 60 days; horizon_days = 45 is for the next build",
        f"{old}the settings have no [churn]",
    ]


def test_input_that_ends_before_the_models_is_refused(churning):
    shop, settings, snapshot = churning
    for month in ("2025-11", "2025-12"):
        (shop.folder / "orders" / f"{month}.parquet").unlink()
    said = []
    with pytest.raises(
        ModelError, match=rf"as of 2025-10-\d+, \d+ days before {snapshot.as_of}, .*have seen what came"
    ):
        churn_anew(settings, snapshot, said.append)
    assert said == []


def test_the_command_line_says_it_beside_the_rows(churning, monkeypatch):
    shop, _, snapshot = churning
    shop.sections["churn"] = {"horizon_days": 60}
    shop.write_settings()
    monkeypatch.chdir(shop.folder)
    done = CliRunner().invoke(cli, ["score", "--churn", "--anew", "-f", "json"])
    assert done.exit_code == 0
    assert len(json.loads(done.stdout)) == snapshot.read("customer_churn").num_rows
    assert f"fitted as of {snapshot.as_of}, on the input's last day" in done.stderr
