"""Customers' intervals in a build: as wide as the holdout asks for, unless the settings say otherwise."""

import numpy as np
import pandas as pd
import pytest

from regulars.app.build import run_build
from regulars.app.data import AppData
from regulars.app.listings import CUSTOMERS as LISTED
from regulars.app.scoring import score_anew
from regulars.clv import (
    DispersionCalibration,
    GammaGammaModel,
    ParetoNBDModel,
    customer_intervals,
    holdout_summary,
    portfolio_value,
    rfm_summary,
    simulate_pareto_nbd,
)
from regulars.clv.persistence import load_model
from regulars.sql import connect

CUSTOMERS = 400


@pytest.fixture(scope="module")
def lines():
    """Orders of a year and a half by the day, of customers who come all along."""
    rng = np.random.default_rng(3)
    rate, begun = rng.gamma(0.8, 1 / 30, CUSTOMERS), rng.integers(0, 360, CUSTOMERS)
    rows = []
    for i in range(CUSTOMERS):
        days = np.concatenate([[begun[i]], begun[i] + np.cumsum(rng.exponential(1 / rate[i], 400))])
        for day in days[days < min(540, begun[i] + rng.exponential(600))]:
            placed = pd.Timestamp("2024-01-01") + pd.Timedelta(days=int(day))
            line = {"customer_id": f"c{i:04}", "ordered_at": str(placed), "revenue": f"{rng.gamma(4, 8):.2f}"}
            rows.append(line | {"order_id": f"{i}-{day:.0f}", "sku": "s", "quantity": 1, "original_order_id": ""})
    return rows


@pytest.fixture
def shop(shop_at, tmp_path, lines):
    made = shop_at(tmp_path / "shop")
    made.write_month("all", lines)
    return made


def test_intervals_are_calibrated_on_the_holdout_by_the_model_that_scores(shop):
    settings = shop.settings()
    snapshot = run_build(settings, progress=False).snapshot
    said = snapshot.manifest["model"]
    model = load_model(snapshot.model_path(said["name"]))
    spend = load_model(snapshot.model_path("gamma_gamma"))
    with connect(settings) as database:
        holdout = holdout_summary(database)
    earlier = type(model)().fit(holdout)
    found = DispersionCalibration.fit(
        earlier, holdout, holdout["frequency_holdout"], float(holdout["duration_holdout"].iloc[0])
    )
    assert said["dispersion"] == pytest.approx(found.to_dict(), rel=1e-9)
    summary = snapshot.read("customer_summary")
    wanted = customer_intervals(model, spend, summary, 26, calibration=found).frame()
    stored = snapshot.read("customer_intervals").to_pandas()
    assert stored["customer_id"].tolist() == summary["customer_id"].to_pylist()
    for name in wanted:
        np.testing.assert_allclose(stored[name], wanted[name], rtol=1e-9, atol=1e-9)
    scores = snapshot.read("customer_scores").to_pandas()
    np.testing.assert_array_equal(scores["orders_high"], stored["orders_high_80"])
    # between two builds the stored models say the same, as wide
    anew = score_anew(settings, snapshot).to_pandas()
    np.testing.assert_allclose(anew["value_high"], scores["value_high"], rtol=1e-9)


def test_totals_have_the_interval_of_their_customers_whatever_the_filter(shop):
    settings = shop.settings()
    snapshot = run_build(settings, progress=False).snapshot
    kpis = {row["kpi"]: row for row in snapshot.read("kpis").to_pylist()}
    warehouse = AppData(snapshot.path.parents[1])
    data = warehouse.snapshot()
    row = data.customer_totals(LISTED.everything).records[0]
    # what is summed in the app is held as 32-bit floats: 1e-7 of a loading, less of a sum
    for kpi, kind in (("customer_value", "value"), ("expected_orders", "orders")):
        ends = kpis[kpi]["low"], kpis[kpi]["high"]
        assert (row[f"{kind}_low"], row[f"{kind}_high"]) == pytest.approx(ends, rel=1e-6)
    filters = LISTED.parse("frequency=2..&alive=..0.9")
    row = data.customer_totals(filters).records[0]
    model, spend = (
        load_model(snapshot.model_path(name)) for name in (snapshot.manifest["model"]["name"], "gamma_gamma")
    )
    ids = data.ids(filters).to_pylist()
    assert 10 < len(ids) < CUSTOMERS / 2
    summary = rfm_summary(connect(settings)).set_index("customer_id").loc[ids].reset_index()
    summary.attrs["time_unit"] = settings.value.time_unit
    value = settings.value
    terms = {"horizon": value.horizon, "discount_rate": value.discount_rate, "margin": value.margin}
    wanted = portfolio_value(model, spend, summary, **terms)
    for kind, name in (("value", "customer_value"), ("orders", "expected_orders")):
        found = row[name], row[f"{kind}_low"], row[f"{kind}_high"]
        assert found == pytest.approx([getattr(wanted, kind + end) for end in ("", "_low", "_high")], rel=1e-6)
    segments = {one["segment"]: one for one in data.segments().records}
    for segment, one in segments.items():
        alone = data.customer_totals(LISTED.parse(f"segment={segment}")).records[0]
        assert (one["value_low"], one["value_high"]) == pytest.approx((alone["value_low"], alone["value_high"]))


def test_levels_lie_within_one_another(shop):
    found = run_build(shop.settings(), progress=False).snapshot.read("customer_intervals").to_pandas()
    for what in ("orders", "money"):
        for inner, outer in ((50, 80), (80, 90)):
            assert (found[f"{what}_low_{inner}"] >= found[f"{what}_low_{outer}"]).all()
            assert (found[f"{what}_high_{inner}"] <= found[f"{what}_high_{outer}"]).all()
        assert (found[f"{what}_high_50"] < found[f"{what}_high_90"]).any()


def test_the_settings_may_take_the_models_word(shop):
    settings = shop.settings(value={"calibrate_intervals": False})
    snapshot = run_build(settings, progress=False).snapshot
    assert snapshot.manifest["model"]["dispersion"] is None
    model = load_model(snapshot.model_path(snapshot.manifest["model"]["name"]))
    spend = load_model(snapshot.model_path("gamma_gamma"))
    wanted = customer_intervals(model, spend, snapshot.read("customer_summary"), settings.value.horizon).frame()
    stored = snapshot.read("customer_intervals").to_pandas()
    np.testing.assert_allclose(stored["money_high_90"], wanted["money_high_90"], rtol=1e-9)


def test_a_holdout_that_sets_no_limit_leaves_the_models_word_and_a_note(empty_shop, lines):
    """Nobody comes back in the holdout: no dispersion is the likeliest, and the intervals are the models' own."""
    calibration_end = "2025-01-31"
    rows = [line for line in lines if line["ordered_at"][:10] <= calibration_end]
    assert len({line["customer_id"] for line in rows}) >= 200
    last = rows[0] | {"customer_id": "new", "ordered_at": "2025-06-30 10:00:00", "order_id": "new"}
    empty_shop.write_month("all", [*rows, last])
    settings = empty_shop.settings(value={"calibration_end": calibration_end})
    snapshot = run_build(settings, progress=False).snapshot
    assert snapshot.manifest["model"]["dispersion"] is None
    (note,) = [note for note in snapshot.manifest["notes"] if note.startswith("intervals are not calibrated: ")]
    assert "sets no limit to the dispersion" in note
    model = load_model(snapshot.model_path(snapshot.manifest["model"]["name"]))
    spend = load_model(snapshot.model_path("gamma_gamma"))
    wanted = customer_intervals(model, spend, snapshot.read("customer_summary"), settings.value.horizon).frame()
    stored = snapshot.read("customer_intervals").to_pandas()
    for name in wanted:
        np.testing.assert_allclose(stored[name], wanted[name], rtol=1e-9, atol=1e-9)
    scores = score_anew(settings, snapshot).to_pandas()
    np.testing.assert_array_equal(scores["orders_high"], stored["orders_high_80"])


def test_a_small_base_is_not_calibrated_and_has_intervals(built_shop):
    from regulars.sql.snapshot import Warehouse

    snapshot = Warehouse(built_shop.folder / "warehouse").current()
    assert snapshot.manifest["model"]["dispersion"] is None
    assert snapshot.read("customer_intervals").num_rows == snapshot.read("customer_summary").num_rows


def test_widened_intervals_hold_what_they_say_where_the_model_is_too_sure():
    """Customers whose rates wander are wider than Pareto/NBD; the window before tells by how much."""
    truth = {"r": 0.9, "alpha": 3.0, "s": 0.4, "beta": 20.0}
    base = simulate_pareto_nbd(truth, 4_000, T=52, seed=5, holdout=26)
    wander = np.random.default_rng(6).gamma(1.2, 1 / 1.2, len(base))
    observed = np.random.default_rng(7).poisson(base["frequency_holdout"] * wander)
    model = ParetoNBDModel().fit(base)
    halves = np.arange(len(base)) % 2 == 0
    calibration = DispersionCalibration.fit(model, base[halves], observed[halves], 26)
    spend = GammaGammaModel.from_parameters(p=6.25, q=3.74, v=15.44)
    judged = base[~halves].assign(monetary_value=30.0)

    def share(**terms):
        held = customer_intervals(model, spend, judged, 26, levels=(0.9,), **terms)
        return ((observed[~halves] >= held.orders_low[:, 0]) & (observed[~halves] <= held.orders_high[:, 0])).mean()

    plain, widened = share(), share(calibration=calibration)
    # counts are whole, so an interval may hold more than its level; the standard error of a share of 2,000 is .7%
    assert plain < widened
    assert 0.88 < widened < 0.97
