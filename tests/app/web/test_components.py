"""What pages draw: bins, curves, sentences and sums, against closed forms."""

import json
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regulars.app import formats, theme
from regulars.app.components import concentration, heatmap, kpi, tracking, trust
from regulars.app.components.provenance import Source

SOURCE = Source(date(2017, 12, 31), "5eed", "SELECT 1", model="mbg_nbd 3f9a")


def text(component) -> str:
    return json.dumps(component.to_plotly_json(), default=lambda part: part.to_plotly_json(), ensure_ascii=False)


_pairs = st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 4_000), st.integers(1, 50)), min_size=1, max_size=60)


@given(_pairs)
@settings(max_examples=100, deadline=None)
def test_every_customer_falls_into_one_cell(pairs):
    frequency, days, customers = (np.array(column) for column in zip(*pairs, strict=True))
    bounds = [
        heatmap.edges(frequency, customers, heatmap.FREQUENCY_LADDER),
        heatmap.edges(days, customers, heatmap.DAYS_LADDER),
    ]
    for edge in bounds:
        assert edge[0] == 0
        assert edge == sorted(set(edge))
        assert len(edge) <= 10
    rows = {"frequency": frequency, "days_since_last_order": days, "customers": customers}
    rows |= dict.fromkeys(("probability_alive", "expected_orders", "customer_value", "revenue"), customers * 0.5)
    grid = heatmap.cells(rows, *bounds)
    assert grid.totals["customers"].sum() == customers.sum()
    i, j = len(grid.days) - 1, len(grid.frequency) - 1
    inside = (days >= grid.days[i]) & (frequency >= grid.frequency[j])
    assert grid.totals["customers"][i, j] == customers[inside].sum()


@pytest.mark.parametrize("metric", heatmap.METRICS.values(), ids=lambda metric: metric.label)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_on_a_cell_stands_out_from_it(metric, scheme):
    shades = np.linspace(0, 1, 101)
    rows = {
        "frequency": np.arange(101),
        "days_since_last_order": np.zeros(101, dtype=int),
        "customers": np.ones(101),
        **dict.fromkeys(("probability_alive", "expected_orders", "customer_value", "revenue"), shades),
    }
    grid = heatmap.cells(rows, list(range(101)), [0])
    figure = heatmap.heatmap_figure(grid, metric, "GBP", scheme, ((None, None), (None, None)))
    z = np.array(figure.data[0].z[0], dtype=float)
    low = figure.data[0].zmin if figure.data[0].zmin is not None else np.nanmin(z)
    high = figure.data[0].zmax if figure.data[0].zmax is not None else np.nanmax(z)
    place = (z - low) / ((high - low) or 1)
    for colour, at in zip(figure.data[1].textfont.color, place, strict=True):
        # the text is 11.5 px: WCAG 2.2, 1.4.3 asks for 4.5:1
        assert contrast(colour, viridis(at)) >= 4.5, (colour, at)


def viridis(place: float) -> tuple[float, ...]:
    import plotly.colors

    (colour,) = plotly.colors.sample_colorscale("Viridis", [float(np.clip(place, 0, 1))])
    return tuple(float(part) for part in colour[4:-1].split(","))


def contrast(one: str, other: tuple[float, ...] | str) -> float:
    """Contrast of two colours as WCAG 2.2 defines it."""

    def luminance(colour) -> float:
        if isinstance(colour, str):
            colour = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        parts = [part / 255 for part in colour]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_lines_of_figures_stand_out(scheme):
    colours = theme.PALETTES[scheme]
    for colour in (colours.ink, colours.muted, colours.accent):
        assert contrast(colour, colours.surface) >= 4.5
    for colour in colours.models:
        # WCAG 2.2, 1.4.11: lines need 3:1
        assert contrast(colour, colours.surface) >= 3


def test_a_frame_is_drawn_where_the_filter_is():
    grid = heatmap.HeatmapCells([0, 1, 2, 5], [0, 7, 30], {})
    assert heatmap._frame(grid, ((None, None), (None, None))) is None
    assert heatmap._frame(grid, ((2, 4), (None, 29))) == {"x0": 1.5, "x1": 2.5, "y0": -0.5, "y1": 1.5}
    assert heatmap._frame(grid, ((5, None), (7, 29))) == {"x0": 2.5, "x1": 3.5, "y0": 0.5, "y1": 1.5}


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300))
@settings(max_examples=100, deadline=None)
def test_the_concentration_curve_rises_above_the_diagonal(values):
    ranked = sorted(values, reverse=True)
    rows = [{"measure": "past", "step": i, "customers": 1, "amount": v, "smallest": v} for i, v in enumerate(ranked)]
    x, y = concentration.curve(rows, "past")
    assert x[0] == 0
    assert x[-1] == 1
    assert (np.diff(y) >= -1e-12).all()
    if sum(ranked):
        assert y[-1] == pytest.approx(1)
        assert (y >= x - 1e-9).all()


def test_equal_customers_share_equally():
    rows = [{"measure": "expected", "step": i + 1, "customers": 5, "amount": 10.0, "smallest": 2.0} for i in range(200)]
    assert concentration.held_by_top(rows, "expected") == pytest.approx(0.1)
    assert concentration.smallest_of_top(rows) == 2.0


def _tracked(actual: float, expected: float) -> list[dict]:
    return [
        {
            "model": "bg_nbd", "week": date(2017, 1, 2) + timedelta(days=7 * k), "is_holdout": k >= 2,
            "actual": actual, "expected": expected, "actual_cumulative": actual * (k + 1),
            "expected_cumulative": expected * (k + 1),
        }
        for k in range(4)
    ]  # fmt: skip


def test_the_message_says_how_far_the_model_was_off_and_on_which_side():
    assert "12.5% below" in tracking.tracking_message(_tracked(80, 70), "bg_nbd")
    assert "2 held-out weeks BG/NBD expected 140" in tracking.tracking_message(_tracked(80, 70), "bg_nbd")
    assert "12.5% above" in tracking.tracking_message(_tracked(80, 90), "bg_nbd")
    assert "no held-out weeks" in tracking.tracking_message(_tracked(0, 0), "bg_nbd")


def test_the_figure_marks_where_the_model_stopped_learning():
    figure = tracking.tracking_figure(_tracked(80, 70), ["bg_nbd"], "cumulative", "light")
    assert list(figure.data[0].y) == [80, 160, 240, 320]
    assert figure.layout.shapes[0].x0 == date(2017, 1, 16)
    assert {note.text.strip() for note in figure.layout.annotations} == {"Fitted", "Held out"}


def _money(used: str) -> list[dict]:
    parts = [("in", "", 10, "100.00"), ("used", "", 8, used), ("set_aside", "non_product", 2, "9.99")]
    return [
        {"disposition": d, "reason": r, "lines": n, "revenue_reporting": Decimal(amount)} for d, r, n, amount in parts
    ]


def test_money_is_reconciled_to_the_cent_or_said_to_be_not():
    assert "Reconciled to the cent" in text(trust.money_line(_money("90.01"), "GBP"))
    unbalanced = text(trust.money_line(_money("90.00"), "GBP"))
    assert "£0.01 is unaccounted for" in unbalanced
    assert "non product" in unbalanced


def test_a_figure_that_is_missing_is_not_a_number():
    row = {
        "kpi": "customer_value", "value": None, "low": None, "high": None, "unit": "currency",
        "as_of": date(2017, 12, 31), "meaning": "",
    }  # fmt: skip
    shown = text(kpi.kpi_card(row, SOURCE, "GBP", missing="312 of 500 customers"))
    assert "Not enough data" in shown
    assert "312 of 500 customers" in shown
    assert "nan" not in shown.lower()


@pytest.mark.parametrize(
    ("value", "currency", "said"),
    [(0, "GBP", "£0.00"), (-1234.5, "USD", "−$1,234"), (12.345, "PLN", "PLN 12.35"), (float("nan"), "GBP", "–")],
)
def test_money_is_written_one_way(value, currency, said):
    # -1234.5 rounds half to even, as Python's format does
    assert formats.money(value, currency) == said
