"""Figures of uplift: what is drawn is what the frames hold, on both grounds, from any kind of frame."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from regulars import uplift
from regulars.sql.errors import ContractError, ModelError
from regulars.sql.figure_theme import THEMES


@pytest.fixture(scope="module")
def report() -> uplift.EvaluationReport:
    rng = np.random.default_rng(0)
    x, arm = rng.normal(size=3000), np.tile(["no", "mail", "call"], 1000)
    effect = np.select([arm == "mail", arm == "call"], [x, 0.5], 0.0)
    holdout = pd.DataFrame({"arm": arm, "x": x, "spend": effect + rng.normal(size=3000)})
    predicted = uplift.PredictedEffects(
        uplift.Experiment("arm", "spend", "no"),
        {"mail": x, "call": np.full(3000, 0.5)},
        plain_response=-x,
        cost={"mail": 0.1, "call": 0.3},
        arm_names=("no", "mail", "call"),
    )
    return uplift.evaluate(predicted, holdout, placebo=False, draws=100)


PATH = uplift.budget_path(np.array([[3.0, 5.0], [2.0, 2.5], [1.0, 0.1]]), np.array([[1.0, 2.0]] * 3), 6)
FIGURES = {
    "toc": lambda report, template: uplift.plot_toc(report.toc, template=template),
    "qini": lambda report, template: uplift.plot_qini(report.toc, template=template),
    "gain": lambda report, template: uplift.plot_gain(report.gain, template=template),
    "outcome": lambda report, template: uplift.plot_gain(report.gain, unit="outcome", template=template),
    "calibration": lambda report, template: uplift.plot_effect_calibration(report.calibration, template=template),
    "budget": lambda report, template: uplift.plot_budget(PATH, template=template),
}


@pytest.mark.parametrize("template", ["light", "dark"])
@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
def test_every_figure_has_title_axes_valid_json_and_colours_of_its_ground(figure, template, report):
    drawn = figure(report, template)
    assert drawn.layout.title.text
    assert drawn.layout.xaxis.title.text
    assert drawn.layout.yaxis.title.text
    assert json.loads(drawn.to_json())["data"]
    theme = THEMES[template]
    allowed = {None, theme.ink, theme.muted, *theme.series}
    assert {trace.line.color for trace in drawn.data} <= allowed


@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
def test_an_unknown_template_is_named(figure, report):
    with pytest.raises(ModelError, match="template is 'pink'; it is one of light, dark"):
        figure(report, "pink")


def named(figure) -> dict:
    return {trace.name: trace for trace in figure.data}


def test_toc_draws_each_ranking_with_its_band(report):
    toc = report.toc
    traces = named(uplift.plot_toc(toc))
    assert list(traces) == ["Random order", "predicted, interval", "predicted", "response, interval", "response"]
    own = toc[toc["ranking"] == "predicted"]
    assert list(traces["predicted"].y) == own["toc"].tolist()
    band = np.array(traces["predicted, interval"].y)
    assert band.tolist() == own["upper"].tolist() + own["lower"].tolist()[::-1]
    assert list(named(uplift.plot_toc(toc, rankings=["response"]))) == [
        "Random order",
        "response, interval",
        "response",
    ]
    # told apart without colour
    assert traces["predicted"].line.dash != traces["response"].line.dash


def test_the_area_under_the_qini_curve_is_the_qini(report):
    curve = named(uplift.plot_qini(report.toc))["predicted"]
    assert (curve.x[0], curve.y[0]) == (0.0, 0.0)
    area = np.trapezoid(np.array(curve.y), np.array(curve.x)) / 1000.0
    assert area == pytest.approx(report.verdict.table.qini["predicted"].value, rel=0.02)  # 20 steps of the integral


def test_gain_draws_the_baselines_beside_the_rankings(report):
    traces = named(uplift.plot_gain(report.gain))
    assert {"Treat none", "Treat all", "Random customers", "predicted", "response"} <= set(traces)
    gain = report.gain
    of_random = gain[(gain["ranking"] == "random") & (gain["unit"] == "value")]
    assert traces["Random customers"].y[-1] == of_random["gain_per_1000"].iloc[-1]
    assert set(traces["Treat all"].y) == {of_random["gain_per_1000"].iloc[-1]}
    with pytest.raises(ModelError, match="no unit 'valu' in the frame; did you mean 'value'"):
        uplift.plot_gain(gain, unit="valu")
    with pytest.raises(ModelError, match="no 'respons' in the frame; did you mean 'response'"):
        uplift.plot_gain(gain, rankings=["respons"])


def test_calibration_draws_the_intervals_of_each_arm(report):
    traces = named(uplift.plot_effect_calibration(report.calibration))
    assert list(traces) == ["Right on average", "mail", "call"]
    own = report.calibration[report.calibration["arm"] == "mail"]
    assert np.allclose(np.array(traces["mail"].y) + traces["mail"].error_y.array, own["upper"])
    assert len(traces["call"].x) == 1  # one prediction for all is one bin


def test_a_bin_of_one_customer_is_drawn_without_interval():
    row = {"arm": ["a"], "customers": [1], "predicted": [0.1], "value": [0.2], "lower": [-np.inf], "upper": [np.inf]}
    (mark,) = uplift.plot_effect_calibration(row).data[1:]
    assert list(mark.error_y.array) == [0.0]


def test_the_budget_path_is_the_allocations():
    assert PATH["budget"].tolist() == np.linspace(0.0, 5.0, 6).tolist()
    assert PATH["value"].iloc[[0, -1]].tolist() == [0.0, 8.5]
    assert PATH["value"].is_monotonic_increasing
    assert (PATH["bound"] >= PATH["value"] - 1e-12).all()
    assert (PATH["spend"] <= PATH["budget"] + 1e-12).all()
    profit, price = uplift.plot_budget(PATH).data
    assert list(profit.y) == PATH["value"].tolist()
    assert list(price.y) == PATH["shadow_price"].tolist()
    assert price.yaxis == "y2"


def test_stock_holds_along_the_budget_path():
    stocked = uplift.budget_path(np.full((5, 1), 2.0), np.ones((5, 1)), [1.0, 9.0], stock=[3])
    assert stocked["contacts"].tolist() == [1, 3]


def test_a_missing_column_is_named():
    with pytest.raises(ContractError, match="no column 'budget'"):
        uplift.plot_budget({"budgets": [1.0]})


@pytest.mark.parametrize("kind", [pl.from_pandas, pa.Table.from_pandas, lambda frame: frame.to_dict("list")])
def test_frames_of_any_kind_draw_the_same(kind, report):
    assert uplift.plot_gain(kind(report.gain)).to_json() == uplift.plot_gain(report.gain).to_json()


def test_plotly_loads_when_a_figure_is_drawn():
    program = "import sys; from regulars.uplift import plot_gain; print('plotly' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
