"""Figures: what is drawn is what the frames hold, with titles, units and colours that can be told apart."""

import json
import subprocess
import sys
from datetime import date
from itertools import combinations

import numpy as np
import pandas as pd
import polars as pl
import pytest

from regulars import clv
from regulars.sql.errors import ContractError, ModelError
from regulars.sql.figure_theme import THEMES

MODEL = clv.ModifiedBetaGeoModel.from_parameters(r=0.525, alpha=6.183, a=0.891, b=1.614)
DAYS = [date(1997, 1, 1), date(1997, 1, 20), date(1997, 3, 3)]

TRACKING = pd.DataFrame(
    {
        "model": ["nbd"] * 3 + ["mbg_nbd"] * 3,
        "week": pd.to_datetime(["1997-01-06", "1997-01-13", "1997-01-20"] * 2),
        "is_holdout": [False, False, True] * 2,
        "actual": [3.0, 8.0, 5.0] * 2,
        "expected": [5.0, 6.0, 7.0, 4.0, 5.0, 4.5],
        "actual_cumulative": [3.0, 11.0, 16.0] * 2,
        "expected_cumulative": [5.0, 11.0, 18.0, 4.0, 9.0, 13.5],
    }
)
CALIBRATION = pd.DataFrame(
    {
        "model": ["nbd"] * 2 + ["same_rate"] * 2,
        "decile": [1, 2] * 2,
        "customers": [5, 5] * 2,
        "predicted": [0.1, 1.0, 0.0, 2.0],
        "actual": [0.0, 1.1, 0.0, 1.1],
    }
)
PATH = clv.probability_alive_path(MODEL, DAYS, date(1997, 6, 1))
SURFACE = clv.recency_frequency_surface(MODEL, T=39, max_frequency=10)
FIGURES = {
    "tracking": lambda template: clv.plot_tracking(TRACKING, template=template),
    "cumulative": lambda template: clv.plot_tracking(TRACKING, cumulative=True, template=template),
    "calibration": lambda template: clv.plot_calibration(CALIBRATION, template=template),
    "heatmap": lambda template: clv.plot_recency_frequency(SURFACE, template=template),
    "path": lambda template: clv.plot_alive_path(PATH, template=template),
}


@pytest.mark.parametrize("template", ["light", "dark"])
@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
def test_every_figure_has_title_axes_and_valid_json(figure, template):
    drawn = figure(template)
    assert drawn.layout.title.text
    assert drawn.layout.xaxis.title.text
    assert drawn.layout.yaxis.title.text
    assert json.loads(drawn.to_json())["data"]


@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
def test_an_unknown_template_is_named(figure):
    with pytest.raises(ModelError, match="template is 'pink'; it is one of light, dark"):
        figure("pink")


def test_tracking_draws_actual_once_and_each_model():
    traces = clv.plot_tracking(TRACKING).data
    assert [trace.name for trace in traces] == ["Actual", "NBD", "MBG/NBD"]
    assert list(traces[0].y) == [3.0, 8.0, 5.0]
    assert list(traces[2].y) == [4.0, 5.0, 4.5]
    assert list(clv.plot_tracking(TRACKING, cumulative=True).data[1].y) == [5.0, 11.0, 18.0]
    # models differ in dash as well as in colour
    assert len({trace.line.dash for trace in traces[1:]}) == 2


def test_tracking_marks_where_the_holdout_begins():
    (line,) = clv.plot_tracking(TRACKING).layout.shapes
    assert str(line.x0).startswith("1997-01-20")
    assert not clv.plot_tracking(TRACKING.assign(is_holdout=False)).layout.shapes


def test_calibration_draws_the_chosen_models():
    traces = clv.plot_calibration(CALIBRATION, models=["same_rate"]).data
    assert [trace.name for trace in traces] == ["Right on average", "Same rate as before"]
    assert list(traces[1].x) == [0.0, 2.0]
    assert traces[0].x == traces[0].y
    with pytest.raises(ModelError, match=r"no model 'same_rat' in the frame; did you mean 'same_rate'\?"):
        clv.plot_calibration(CALIBRATION, models=["same_rat"])


def test_the_heatmap_is_the_mean_by_cell():
    rows = {
        "frequency": [0, 1, 1, 2],
        "recency": [0.0, 2.4, 2.6, 3.0],
        "customer_value": [1.0, 10.0, 30.0, np.nan],
        "weight": [5, 1, 3, 1],
    }
    (cells,) = clv.plot_recency_frequency(rows, "customer_value").data
    z, customers = np.array(cells.z), np.array(cells.customdata)
    assert z.shape == (3, 4)
    assert z[0, 0] == 1.0
    assert z[1, 2] == pytest.approx((10 + 3 * 30) / 4)
    assert np.isnan(z[2, 3])
    assert customers[1, 2] == 4
    assert np.isnan(z).sum() == z.size - 2


def test_a_large_base_is_drawn_in_few_cells():
    rng = np.random.default_rng(1)
    rows = {"frequency": rng.integers(0, 900, 5000), "recency": rng.uniform(0, 520, 5000), "v": rng.random(5000)}
    (cells,) = clv.plot_recency_frequency(rows, "v", bins=25).data
    assert max(np.array(cells.z).shape) <= 25


def test_the_alive_path_is_the_models(tmp_path):
    assert PATH["day"].iloc[0] == pd.Timestamp(DAYS[0])
    assert len(PATH) == (date(1997, 6, 1) - DAYS[0]).days + 1
    for day, x, last in ((date(1997, 1, 10), 0, 0), (date(1997, 2, 1), 1, 19), (date(1997, 6, 1), 2, 61)):
        at = {"frequency": [x], "recency": [last / 7], "T": [(day - DAYS[0]).days / 7]}
        found = PATH.loc[PATH["day"] == pd.Timestamp(day), "probability_alive"].item()
        assert found == MODEL.probability_alive(at)[0]
    line, marks = clv.plot_alive_path(PATH).data
    assert list(marks.x) == [np.datetime64(day) for day in DAYS]
    assert len(line.x) == len(PATH)


def test_a_path_forgets_what_comes_after():
    shorter = clv.probability_alive_path(MODEL, DAYS, date(1997, 2, 15))
    pd.testing.assert_frame_equal(shorter, PATH.head(len(shorter)))
    with pytest.raises(ModelError, match="no purchase on or before 1996-12-31"):
        clv.probability_alive_path(MODEL, DAYS, date(1996, 12, 31))


def test_the_surface_is_the_models():
    row = SURFACE[(SURFACE["frequency"] == 4) & (SURFACE["recency"] == 20)]
    at = {"frequency": [4], "recency": [20.0], "T": [39.0]}
    assert row["probability_alive"].item() == MODEL.probability_alive(at)[0]
    assert row["expected_purchases"].item() == MODEL.expected_purchases(at, 52)[0]
    with pytest.raises(ModelError, match=r"T is 0.5; it must be at least 1 week"):
        clv.recency_frequency_surface(MODEL, T=0.5, max_frequency=3)


def test_frames_of_every_kind_draw_the_same():
    polars = pl.from_pandas(TRACKING)
    expected = clv.plot_tracking(TRACKING).data
    for frame in (polars, polars.to_arrow()):
        found = clv.plot_tracking(frame).data
        assert [list(trace.y) for trace in found] == [list(trace.y) for trace in expected]


def test_a_missing_column_is_named():
    with pytest.raises(ContractError, match="no column 'expected'"):
        clv.plot_tracking(TRACKING.drop(columns="expected"))
    with pytest.raises(ContractError, match="no column 'day'"):
        clv.plot_alive_path(PATH.drop(columns="day"))
    with pytest.raises(ContractError, match="no column 'value'"):
        clv.plot_recency_frequency(SURFACE, "value")


def _linear(colour):
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _contrast(one, two):
    lighter, darker = sorted((float(_linear(c) @ [0.2126, 0.7152, 0.0722]) + 0.05 for c in (one, two)), reverse=True)
    return lighter / darker


@pytest.mark.parametrize(("template", "ground"), [("light", "#ffffff"), ("dark", "#111111")])
def test_colours_stand_out_and_apart(template, ground):
    # WCAG 2.2: 3:1 for graphics, 4.5:1 for text
    theme = THEMES[template]
    assert _contrast(theme.ink, ground) >= 4.5
    assert _contrast(theme.muted, ground) >= 4.5
    assert all(_contrast(colour, ground) >= 3 for colour in theme.series)
    # deuteranopia after Vienot, Brettel & Mollon (1999): no two of the first four fall together
    loss = np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]])
    seen = [np.clip(loss @ _linear(colour), 0, 1) ** (1 / 2.2) for colour in theme.series[:4]]
    assert min(np.abs(a - b).max() for a, b in combinations(seen, 2)) > 0.1


def test_plotly_loads_only_when_a_figure_is_drawn():
    program = "import sys; import regulars.clv.plot; assert 'plotly' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
