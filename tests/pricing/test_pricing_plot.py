"""Figures of pricing: what is drawn is what curve, table, plan and model hold, on both grounds, from any frame."""

import json
import subprocess
import sys
from datetime import date, timedelta

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from regulars import pricing
from regulars.pricing.simulate import CONFOUNDING
from regulars.sql.errors import ContractError, ModelError
from regulars.sql.figure_theme import THEMES

WEEKS = [date(2026, 11, 2) + timedelta(7 * k) for k in range(6)]
ITEMS = pd.DataFrame(
    {
        "item": ["tee", "dress"],
        "regular_price": [20.0, 30.0],
        "on_hand": [80, 60],
        "weekly_units": [6.0, 5.0],
        "elasticity": [-2.2, -1.8],
        "product": ["one", "one"],
    }
)
LADDER = (0, 0.1, 0.2, 0.3, 0.4, 0.5)
TABLE = pd.DataFrame(
    {
        "item": ["b", "a", "c", "d"],
        "elasticity": [-1.5, -2.5, 0.4, np.nan],
        "lower": [-2.0, -3.0, -0.3, np.nan],
        "upper": [-1.0, -2.0, 1.1, np.nan],
        "own_data_share": [0.25, 0.75, 0.9, 0.0],
        "category_share": [0.75, 0.25, 0.1, 1.0],
        "accepted": [True, True, False, False],
        "reason": ["", "", "0.40 is above 0", "a single price"],
    }
)


@pytest.fixture(scope="module")
def history() -> pricing.SimulatedPrices:
    return pricing.simulate_prices(items=8, stores=4, weeks=70, confounding=CONFOUNDING, seed=3)


@pytest.fixture(scope="module")
def curve(history) -> pricing.SpecificationCurve:
    return pricing.specification_curve(history.frame(), double_machine_learning=False)


@pytest.fixture(scope="module")
def model(history) -> pricing.DemandModel:
    known = {"item": history.items, "elasticity": history.own, "standard_error": np.full(8, 0.2)}
    return pricing.DemandModel(known).fit(history.frame())


@pytest.fixture(scope="module")
def plan() -> pricing.MarkdownPlan:
    return pricing.plan_markdowns(ITEMS, ladder=LADDER, weeks=WEEKS, rules=[pricing.MaxMarkdowns(2)])


PRICES = np.linspace(2.0, 4.0, 5)


@pytest.fixture(scope="module")
def figures(curve, model, plan):
    return {
        "curve": lambda template: pricing.plot_specification_curve(curve, template=template),
        "elasticities": lambda template: pricing.plot_elasticities(TABLE, template=template),
        "path": lambda template: pricing.plot_price_path(plan, "tee", template=template),
        "demand": lambda template: pricing.plot_demand(model, "item_0001", PRICES, WEEKS[:2], template=template),
    }


NAMES = ["curve", "elasticities", "path", "demand"]


def named(figure) -> dict:
    return {trace.name: trace for trace in figure.data}


@pytest.mark.parametrize("template", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_title_axes_valid_json_and_colours_of_its_ground(name, template, figures):
    drawn = figures[name](template)
    assert drawn.layout.title.text
    assert drawn.layout.title.subtitle.text
    titles = [axis.title.text for axis in (*drawn.select_xaxes(), *drawn.select_yaxes())]
    assert sum(bool(title) for title in titles) >= 2
    assert json.loads(drawn.to_json())["data"]
    theme = THEMES[template]
    assert drawn.layout.font.color == theme.ink
    allowed = {None, theme.ink, theme.muted, *theme.series}
    for trace in drawn.data:
        assert trace.type == "bar" or trace.line.color in allowed
        colours = {trace.marker.color} if isinstance(trace.marker.color, str | None) else set(trace.marker.color)
        assert colours <= allowed


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_template_is_named(name, figures):
    with pytest.raises(ModelError, match="template is 'pink'; it is one of light, dark"):
        figures[name]("pink")


def test_the_curve_draws_every_estimate_once_where_it_stands(curve):
    traces = named(pricing.plot_specification_curve(curve))
    drawn = {}
    for name, trace in traces.items():
        if trace.error_y.array is not None:
            for x, y, up, down, told in zip(
                trace.x, trace.y, trace.error_y.array, trace.error_y.arrayminus, trace.customdata, strict=True
            ):
                drawn[int(x)] = (told[0], y, y - down, y + up, name)
    table = curve.table
    assert sorted(drawn) == np.flatnonzero(table["elasticity"].notna()).tolist()
    for x, (specification, y, low, high, _) in drawn.items():
        row = table.iloc[x]
        assert specification == row["specification"]
        assert (y, low, high) == pytest.approx((row["elasticity"], row["lower"], row["upper"]))
    of = {specification: name for specification, *_, name in drawn.values()}
    assert of[curve.chosen] == f"Chosen: {curve.chosen}"
    assert of["pooled"].startswith("Naive: pooled (dear items")
    assert list(of.values()).count("Specification") == len(of) - 2


def test_the_curve_argues_for_its_choice_and_marks_all_choices(curve):
    figure = pricing.plot_specification_curve(curve)
    said = figure.layout.title.subtitle.text.replace("<br>", " ")
    assert curve.argument in said
    dots = named(figure)["choices"]
    rows = curve.table.to_dict("records")
    expected = set()
    for k, row in enumerate(rows):
        for choice in ("form", "effects", "controls", "rows"):
            for word in row[choice].replace("item^store_id", "item and store").split(", "):
                expected.add((k, f"{choice}: {word}"))
    assert set(zip(dots.x, dots.y, strict=True)) == expected
    empty = named(figure)["not chosen"]
    assert not expected & set(zip(empty.x, empty.y, strict=True))
    assert list(figure.layout.xaxis2.ticktext) == curve.table["specification"].tolist()


def test_a_specification_that_failed_is_hollow_and_says_why():
    row = {
        "form": "log-log", "effects": "none", "controls": "none", "rows": "with units", "standard_error": 0.1,
        "observations": 9, "objection": "o", "chosen": False, "failed": "",
    }  # fmt: skip
    rows = (
        row | {"specification": "by item", "elasticity": -2.0, "lower": -2.2, "upper": -1.8, "chosen": True},
        row | {"specification": "pooled", "elasticity": np.nan, "lower": np.nan, "upper": np.nan, "failed": "no price"},
    )
    traces = named(pricing.plot_specification_curve(pricing.SpecificationCurve(None, "by item", "It is.", rows)))
    assert list(traces) == ["Chosen: by item", "not chosen", "choices"]
    dots = traces["choices"]
    of_pooled = [k for k, x in enumerate(dots.x) if x == 1]
    assert {dots.marker.symbol[k] for k in of_pooled} == {"circle-open"}
    assert {dots.customdata[k][1] for k in of_pooled} == {"no price"}


def test_elasticities_are_sorted_with_refused_ones_hollow():
    figure = pricing.plot_elasticities(TABLE)
    traces = named(figure)
    assert list(traces) == ["Accepted", "Refused", "Own data", "Category"]
    good, refused = traces["Accepted"], traces["Refused"]
    assert (list(good.y), list(good.x)) == (["a", "b"], [-2.5, -1.5])
    assert np.array(good.x) - good.error_x.arrayminus == pytest.approx([-3.0, -2.0])
    assert np.array(good.x) + good.error_x.array == pytest.approx([-2.0, -1.0])
    assert (list(refused.y), refused.marker.symbol) == (["c"], "circle-open")
    assert refused.customdata[0][2] == "0.40 is above 0"
    assert list(figure.layout.yaxis.categoryarray) == ["d", "c", "b", "a"]
    for name, column in (("Own data", "own_data_share"), ("Category", "category_share")):
        assert dict(zip(traces[name].y, traces[name].x, strict=True)) == dict(
            zip(TABLE["item"], TABLE[column], strict=True)
        )
    assert figure.layout.title.subtitle.text.startswith("2 of 4 accepted.")
    assert figure.layout.title.subtitle.text.endswith("1 have no estimate.")


def test_elasticities_of_some_items_and_of_a_table_of_estimates(history):
    found = pricing.estimate_elasticities(history.frame(), held_out=False)
    figure = pricing.plot_elasticities(found, items=["item_0003", "item_0001"])
    drawn = {name: x for trace in figure.data[:-2] for name, x in zip(trace.y, trace.x, strict=True)}
    assert drawn == {name: pytest.approx(found.as_mapping()[name]) for name in ("item_0001", "item_0003")}
    with pytest.raises(ModelError, match="no item 'item_000' in the frame; did you mean 'item_000"):
        pricing.plot_elasticities(found, items=["item_000"])


def test_items_named_by_numbers_stay_names():
    figure = pricing.plot_elasticities(TABLE.assign(item=[5009, 17, 300, 4]), items=[17, 5009])
    assert figure.layout.yaxis.type == "category"
    assert list(figure.layout.yaxis.categoryarray) == ["5009", "17"]


def test_a_path_is_the_plans(plan):
    figure = pricing.plot_price_path(plan, "tee")
    traces = named(figure)
    mine = plan.prices[plan.prices["item"] == "tee"]
    assert list(traces["Price"].y) == [*mine["price"], mine["price"].iloc[-1]]
    assert [day.date() for day in traces["Price"].x] == [*WEEKS, WEEKS[-1] + timedelta(7)]
    assert traces["Price"].line.shape == "hv"
    assert list(traces["Units"].y) == mine["units"].tolist()
    assert list(traces["Regular price"].y) == pytest.approx([20.0, 20.0])
    left = traces["Stock left"].y
    assert left[0] == 80.0
    assert np.diff(left) == pytest.approx(-mine["units"].to_numpy())
    assert left[-1] == pytest.approx(plan.left("tee"))
    with pytest.raises(ModelError, match="the plan has no item 'skirt'"):
        pricing.plot_price_path(plan, "skirt")


def test_a_path_on_shared_stock_shows_what_is_left_of_its_part():
    plan = pricing.plan_markdowns(ITEMS, ladder=LADDER, weeks=4, rules=[pricing.SharedStock("product")])
    assert sum(plan.allocation.values()) <= 140.0
    for item in ("tee", "dress"):
        traces = named(pricing.plot_price_path(plan, item))
        mine = plan.prices.loc[plan.prices["item"] == item, "units"].to_numpy()
        assert np.diff(traces["Stock left"].y) == pytest.approx(-mine, abs=1e-9)
        assert traces["Stock left"].y[0] == plan.allocation[item]
        assert list(traces["Price"].x) == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_demand_is_the_models_what_if(model):
    figure = pricing.plot_demand(model, "item_0001", PRICES[::-1], WEEKS[:2], unit_cost=1.5)
    traces = named(figure)
    assert list(traces) == [f"{m}{end}" for m in ("Units", "Revenue", "Margin") for end in (", interval", "")]
    at = 3
    path = {"item": ["item_0001"] * 2, "week": WEEKS[:2], "price": [PRICES[at]] * 2, "unit_cost": [1.5] * 2}
    answer = model.what_if(path).items.iloc[0]
    for name in ("units", "revenue", "margin"):
        trace, band = traces[name.capitalize()], traces[f"{name.capitalize()}, interval"]
        assert list(trace.x) == PRICES.tolist()
        assert trace.y[at] == pytest.approx(answer[name])
        assert (band.y[at], band.y[::-1][at]) == pytest.approx((answer[f"{name}_upper"], answer[f"{name}_lower"]))
    # the elasticity itself: log units fall by it per log price
    slope = np.diff(np.log(traces["Units"].y)) / np.diff(np.log(PRICES))
    assert slope == pytest.approx(np.full(4, model.elasticity_[1]))
    assert np.array(traces["Margin"].y) == pytest.approx((PRICES - 1.5) * np.array(traces["Units"].y))


def test_demand_says_which_prices_were_seen_and_draws_no_margin_without_a_cost(history):
    panel = history.frame().drop(columns=["unit_cost"])
    bare = pricing.DemandModel(dict(zip(history.items, history.own, strict=True))).fit(panel)
    own = panel.loc[panel["item"] == "item_0001", "price"]
    assert bare.prices_seen("item_0001") == (own.min(), own.max())
    figure = pricing.plot_demand(bare, "item_0001", [own.min() / 2, own.max() * 2], WEEKS[0])
    assert set(named(figure)) == {"Units", "Units, interval", "Revenue", "Revenue, interval"}
    assert f"{own.min():,.2f} to {own.max():,.2f} (dotted)" in figure.layout.title.subtitle.text.replace("<br>", " ")
    assert sorted({shape.x0 for shape in figure.layout.shapes}) == [own.min(), own.max()]
    with pytest.raises(ModelError, match="'item_9'"):
        pricing.plot_demand(bare, "item_9", [1.0], WEEKS[0])


def test_a_missing_column_is_named():
    with pytest.raises(ContractError, match="no column 'reason'"):
        pricing.plot_elasticities(TABLE.drop(columns="reason"))


@pytest.mark.parametrize("kind", [pl.from_pandas, pa.Table.from_pandas, lambda frame: frame.to_dict("list")])
def test_frames_of_any_kind_draw_the_same(kind):
    table = TABLE.iloc[:3]
    assert pricing.plot_elasticities(kind(table)).to_json() == pricing.plot_elasticities(table).to_json()
    planned = [
        pricing.plot_price_path(pricing.plan_markdowns(items, ladder=LADDER, weeks=WEEKS), "tee").to_json()
        for items in (kind(ITEMS), ITEMS)
    ]
    assert planned[0] == planned[1]


def test_plotly_loads_when_a_figure_is_drawn():
    program = "import sys; from regulars.pricing import plot_demand; print('plotly' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
