"""The page Models: its tables are the snapshot's, its runs the warehouse's; going back is an admin's, and audited."""

import shutil
from datetime import date

import pytest

from regulars.app import access
from regulars.app.data import AppData
from regulars.app.pages import models
from regulars.app.server import create_server
from regulars.clv.persistence import load_model
from regulars.sql.errors import WarehouseError


def text_of(component) -> str:
    if isinstance(component, (list, tuple)):
        return " ".join(map(text_of, component))
    if hasattr(component, "to_plotly_json"):
        return text_of(getattr(component, "children", None))
    return "" if component is None else str(component)


@pytest.fixture
def house(synthetic_warehouse, tmp_path):
    shutil.copytree(synthetic_warehouse, tmp_path / "warehouse")
    return tmp_path / "warehouse"


def test_the_league_is_that_of_the_table(snapshot):
    said = text_of(models._league(snapshot))
    for row in snapshot.model_reports().records:
        assert f"{row['rmse']:,.3f}" in said
    assert "MBG/NBD predicts best" in said
    assert "naive baseline" in said


def test_parameters_are_those_of_the_stored_models(snapshot):
    said = text_of(models._fitted(snapshot))
    for name in snapshot.snapshot.models():
        fitted = load_model(snapshot.snapshot.model_path(name))
        for estimate in fitted.params_.values():
            assert f"{estimate:,.4g}" in said


def test_every_table_says_its_hash_and_lineage(snapshot):
    for name, facts in snapshot.manifest["tables"].items():
        said = text_of(models._lineage(snapshot, name))
        assert facts["sha256"] in said
        assert f"{facts['rows']:,}" in said
    # what the browser makes up is the first table
    for made_up in ("../../etc/passwd", None, 7, ["kpis"], "x" * 10_000):
        assert snapshot.manifest["tables"]["customer_scores"]["sha256"] in text_of(models._lineage(snapshot, made_up))


def test_two_runs_are_compared(snapshot):
    said = text_of(models._differences(snapshot, "5eed000000000000", "5eed000000000001"))
    assert "as_of" in said
    assert "2017-11-30" in said
    assert "rows of customer_summary" in said
    same = models._differences(snapshot, "5eed000000000001", "5eed000000000001")
    assert "Choose two different runs" in text_of(same)


def test_what_came_of_earlier_predictions(snapshot, house):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from regulars.sql.contract import CHURN_TRACKING, PREDICTION_TRACKING
    from regulars.sql.frames import contract_table

    assert "has to be a week old" in text_of(models.past_predictions(snapshot))
    columns = {name: pa.nulls(1) for name in PREDICTION_TRACKING.column_names} | {
        "run_id": ["5eed000000000000"], "decile": [0], "as_of": [date(2017, 11, 30)], "until": [date(2017, 12, 31)],
        "customers": [2_800], "predicted_orders": [1234.0], "actual_orders": [1500.0], "orders_low": [1100.0],
        "orders_high": [1300.0], "predicted_money": [9000.0], "actual_money": [9100.0], "money_low": [8000.0],
        "money_high": [9900.0], "drift": ["orders"],
    }  # fmt: skip
    told = contract_table(PREDICTION_TRACKING, columns).to_pylist()[0]
    pq.write_table(contract_table(PREDICTION_TRACKING, columns), house / "prediction_tracking.parquet")
    said = text_of(models.past_predictions(AppData(house, threads=1).snapshot()))
    assert "1,234" in said
    assert "1,500" in said
    assert "drift: orders" in said
    assert "The only earlier snapshot lies outside its interval and is off by more than 10%." in said
    assert "P(no order)" not in said
    tenth = {"run_id": "5eed000000000000", "as_of": date(2017, 11, 30), "until": date(2017, 12, 30), "horizon_days": 30}
    shares = [(0, 2_800, 0.25, 0.317, 0.23, 0.27, "no order"), (1, 280, 0.01, 0.02, None, None, "")]
    shares.append((10, 280, 0.93, 0.95, None, None, ""))
    names = ("decile", "customers", "predicted_share", "actual_share", "share_low", "share_high", "drift")
    rows = [tenth | {"chosen": "hazard"} | dict(zip(names, row, strict=True)) for row in shares]
    columns = {name: [row[name] for row in rows] for name in CHURN_TRACKING.column_names}
    pq.write_table(contract_table(CHURN_TRACKING, columns), house / "churn_tracking.parquet")
    said = text_of(models.past_predictions(AppData(house, threads=1).snapshot()))
    assert "P(no order) of the only earlier snapshot lies outside its interval and is off by more than 10%." in said
    for figure in ("25%", "32%", "93%, came 95%", "drift: no order"):
        assert figure in said
    (house / "prediction_tracking.parquet").unlink()
    said = text_of(models.past_predictions(AppData(house, threads=1).snapshot()))
    assert "has to be a week old" in said
    assert "93%, came 95%" in said
    for drifts, verdict in (
        ([""], "The only earlier snapshot came true within its interval or 10%."),
        (["", ""], "All 2 earlier snapshots came true within their intervals or 10%."),
        (["", "money"], "1 of 2 earlier snapshots lies outside its interval and is off by more than 10%."),
        (["orders", "money"], "2 of 2 earlier snapshots lie outside their intervals and are off by more than 10%."),
    ):
        many = [told | {"run_id": f"5eed00000000000{i}", "drift": drift} for i, drift in enumerate(drifts)]
        columns = {name: [row[name] for row in many] for name in PREDICTION_TRACKING.column_names}
        pq.write_table(contract_table(PREDICTION_TRACKING, columns), house / "prediction_tracking.parquet")
        assert verdict in text_of(models.past_predictions(AppData(house, threads=1).snapshot()))
    (house / "prediction_tracking.parquet").write_bytes(b"PAR1 half a file")
    with pytest.raises(WarehouseError, match="regulars build") as raised:
        models.past_predictions(AppData(house, threads=1).snapshot())
    assert str(house) not in str(raised.value)


def test_predictions_that_an_earlier_version_or_damage_left_are_named_and_leave_the_others_standing(house):
    import pyarrow.parquet as pq

    from regulars.sql.contract import CHURN_TRACKING, PREDICTION_TRACKING
    from regulars.sql.frames import contract_table

    told = dict.fromkeys(PREDICTION_TRACKING.column_names, 1)
    told |= {"run_id": "5eed000000000000", "decile": 0, "drift": ""}
    told |= {"as_of": date(2017, 11, 30), "until": date(2017, 12, 31)}
    rows = contract_table(PREDICTION_TRACKING, {name: [value] for name, value in told.items()})
    pq.write_table(rows, house / "prediction_tracking.parquet")
    churn = contract_table(CHURN_TRACKING, {name: [] for name in CHURN_TRACKING.column_names})
    older = house / "churn_tracking.parquet"
    for write, why in (
        (lambda: pq.write_table(churn.drop_columns(["horizon_days"]), older), "has no horizon_days"),
        (lambda: older.write_bytes(b"PAR1 half a file"), "cannot be read"),
    ):
        write()
        said = text_of(models.past_predictions(AppData(house, threads=1).snapshot()))
        assert "The only earlier snapshot came true" in said
        assert f"churn_tracking.parquet, beside the runs, {why}" in said
        assert "regulars build" in said
        assert str(house) not in said
    pq.write_table(rows.drop_columns(["money_low"]), house / "prediction_tracking.parquet")
    with pytest.raises(WarehouseError, match=r"prediction_tracking.parquet, beside the runs, has no money_low"):
        models.past_predictions(AppData(house, threads=1).snapshot())


def test_going_back_points_everybody_to_the_run_and_is_audited(house):
    data = AppData(house, threads=1)
    assert data.current_run() == "5eed000000000001"
    assert "Tick the box" in text_of(models._go_back(data, "5eed000000000000", sure=False))
    assert data.current_run() == "5eed000000000001"
    said = text_of(models._go_back(data, "5eed000000000000", sure=True))
    assert "5eed000000000000" in said
    assert data.current_run() == "5eed000000000000"
    line = data.state.audit_lines()[0]
    assert (line.person, line.action, line.subject) == ("local", "roll back", "5eed000000000000")
    assert line.details == {"before": "5eed000000000001"}


def test_a_damaged_run_is_not_gone_back_to(house):
    data = AppData(house, threads=1)
    (house / "runs" / "5eed000000000000" / "kpis.parquet").write_bytes(b"other bytes")
    with pytest.raises(WarehouseError, match="damaged"):
        models._go_back(data, "5eed000000000000", sure=True)
    assert data.current_run() == "5eed000000000001"


def test_only_an_admin_goes_back(house, monkeypatch):
    data = AppData(house, threads=1)
    monkeypatch.setattr(access, "current_person", lambda: access.Person("ann", "analyst"))
    with pytest.raises(access.NotAllowed, match="needs the role admin"):
        models._go_back(data, "5eed000000000000", sure=True)
    assert data.current_run() == "5eed000000000001"


def test_a_forged_request_without_a_click_goes_nowhere(house, call):
    app = create_server(house, threads=1, warm=False)
    for clicks in (None, 0, -1, "1", True, 10**9, 1):  # even a count: what the request is about is no button
        answer = call(app, "rollback-said", clicks, state=("5eed000000000000", True))
        assert answer["rollback-said"]["children"] is None
    assert AppData(house, threads=1).current_run() == "5eed000000000001"
