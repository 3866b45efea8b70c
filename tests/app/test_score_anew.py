"""Scores between two builds: stored models that are not what was published score nobody."""

import json

import pytest

from regulars.app.build import run_build
from regulars.app.scoring import churn_anew, score_anew, snapshot_sql
from regulars.sql.errors import WarehouseError
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
