"""Cohorts: numbers beside pandas on the same snapshot, and a test that calls no noise a trend."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from regulars.app.components import cohort_figures
from regulars.app.components.cohort_audit import LENSES
from regulars.app.components.cohort_trend import LEVEL, cohort_trend, equal_age_trends
from regulars.app.data import AppData
from regulars.app.pages import cohorts

WITHIN = 91


@pytest.fixture(scope="module")
def days(snapshot) -> pd.DataFrame:
    """Purchase days with the customer's first one."""
    rows = snapshot.snapshot.read("customer_days").to_pandas()
    first = snapshot.snapshot.read("customer_summary").to_pandas().set_index("customer_id")["first_order_on"]
    rows["first"] = pd.to_datetime(rows["customer_id"].map(first))
    rows["day"] = pd.to_datetime(rows["day"])
    rows["net"] = rows["revenue"].astype(float) - rows["returned_revenue"].astype(float)
    return rows


def text_of(part) -> str:
    """All text of a component."""
    if part is None or isinstance(part, (str, int, float)):
        return "" if part is None else str(part)
    if isinstance(part, (list, tuple)):
        return " ".join(map(text_of, part))
    return text_of(getattr(part, "children", None))


# ---- the test of newer against older


def test_the_line_equals_the_published_meta_regression():
    # Berkey et al. (1995), BCG vaccine by latitude, DerSimonian and Laird: metafor's documentation of rma(), method
    # "DL": tau^2 = .0633, slope -.0292 (se .0067), intercept .2595
    table = np.array(
        [
            [4, 119, 11, 128, 44], [6, 300, 29, 274, 55], [3, 228, 11, 209, 42], [62, 13536, 248, 12619, 52],
            [33, 5036, 47, 5761, 13], [180, 1361, 372, 1079, 44], [8, 2537, 10, 619, 19],
            [505, 87886, 499, 87892, 13], [29, 7470, 45, 7232, 27], [17, 1699, 65, 1600, 42],
            [186, 50448, 141, 27197, 18], [5, 2493, 3, 2338, 33], [27, 16886, 29, 17825, 33],
        ],
        dtype=float,
    )  # fmt: skip
    table = table[np.argsort(table[:, 4], kind="stable")]
    sick, well, sick_control, well_control, latitude = table.T
    n, m = sick + well, sick_control + well_control
    figure = np.log((sick / n) / (sick_control / m))
    found = cohort_trend(latitude, figure, 1 / sick - 1 / n + 1 / sick_control - 1 / m)
    assert found.heterogeneity**2 == pytest.approx(0.0633, abs=5e-5)
    assert found.change / (55 - 13) == pytest.approx(-0.0292, abs=5e-5)
    assert found.first - 13 * found.change / 42 == pytest.approx(0.2595, abs=5e-5)
    assert found.direction == -1


def made_up(rng, *, trend: float, between: float, cohorts: int = 12, size: int = 300) -> list[dict]:
    rows = []
    for k in range(cohorts):
        again = np.clip(0.45 + trend * k / (cohorts - 1) + rng.normal(0, between), 0.02, 0.98)
        spend = np.exp(rng.normal(3, 0.8, size) + rng.normal(0, between))
        rows.append(
            {
                "cohort": date(2016 + k // 12, k % 12 + 1, 1),
                "customers": size,
                "came_again": int(rng.binomial(size, again)),
                "revenue": float(spend.sum()),
                "revenue_squared": float((spend**2).sum()),
            }
        )
    return rows


@pytest.mark.parametrize("between", [0.0, 0.06])
def test_cohorts_that_differ_by_chance_are_no_trend(between):
    rng = np.random.default_rng(20261121)
    shown = 0
    for _ in range(400):
        trends = equal_age_trends(made_up(rng, trend=0.0, between=between))
        shown += any(trend.direction for trend in trends.values())
    # at most 1 in 20 by construction; 400 draws have a standard error of .011
    assert shown / 400 < 0.05 + 3 * 0.011


def test_a_true_fall_is_found():
    rng = np.random.default_rng(7)
    found = [equal_age_trends(made_up(rng, trend=-0.25, between=0.02))["came_again"] for _ in range(50)]
    assert sum(trend.direction == -1 for trend in found) >= 48
    # the interval holds the truth as often as it says, here within three standard errors of 50 draws
    assert sum(trend.low <= -0.25 <= trend.high for trend in found) / 50 >= LEVEL - 3 * 0.022


def test_small_cohorts_and_few_of_them_say_nothing():
    rng = np.random.default_rng(1)
    assert equal_age_trends(made_up(rng, trend=-0.4, between=0.0, cohorts=3)) == {}
    assert equal_age_trends(made_up(rng, trend=-0.4, between=0.0, size=19)) == {}


@pytest.mark.parametrize("period", ["month", "quarter"])
def test_figures_at_equal_age_equal_pandas(snapshot, days, period):
    found = snapshot.ask("cohort_equal_age", {"as_of": snapshot.as_of, "within": WITHIN, "period": period}).rows
    old = days[pd.Timestamp(snapshot.as_of) - days["first"] >= pd.Timedelta(days=WITHIN)]
    old = old[old["day"] - old["first"] <= pd.Timedelta(days=WITHIN)]
    each = old.groupby(["customer_id", "first"], as_index=False).agg(n=("day", "size"), net=("net", "sum"))
    each["cohort"] = each["first"].dt.to_period(period[0].upper()).dt.start_time
    expected = each.groupby("cohort").agg(
        customers=("n", "size"), came_again=("n", lambda n: (n > 1).sum()), revenue=("net", "sum")
    )
    rows = found.to_pandas().set_index("cohort")
    assert rows.index.tolist() == [one.date() for one in expected.index]
    assert rows["customers"].tolist() == expected["customers"].tolist()
    assert rows["came_again"].astype(int).tolist() == expected["came_again"].tolist()
    np.testing.assert_allclose(rows["revenue"].astype(float), expected["revenue"], rtol=1e-9)
    squared = each.assign(squared=each["net"] ** 2).groupby("cohort")["squared"].sum()
    np.testing.assert_allclose(rows["revenue_squared"].astype(float), squared, rtol=1e-9)


# ---- triangle and curves


def test_quarters_are_followed_as_pandas_follows_them(snapshot, days):
    rows = snapshot.ask("cohort_quarters", {"as_of": snapshot.as_of}).rows.to_pandas()
    quarter = days["day"].dt.to_period("Q")
    cohort = days["first"].dt.to_period("Q")
    age = (quarter.dt.year - cohort.dt.year) * 4 + quarter.dt.quarter - cohort.dt.quarter
    expected = days.groupby([cohort.dt.start_time.dt.date, age])["customer_id"].nunique()
    found = rows.set_index(["cohort", "age"])["active_customers"]
    assert found.to_dict() == expected.to_dict()
    first = found[found.index.get_level_values("age") == 0].droplevel("age")
    assert rows.groupby("cohort")["customers"].first().to_dict() == first.to_dict()
    assert rows["is_complete"].all()  # the synthetic as-of date ends a quarter


def test_value_by_age_equals_pandas(snapshot, days):
    rows = snapshot.ask("cohort_value").rows.to_pandas()
    month, cohort = days["day"].dt.to_period("M"), days["first"].dt.to_period("M")
    age = (month.dt.year - cohort.dt.year) * 12 + month.dt.month - cohort.dt.month
    aged = days.assign(cohort=cohort.dt.start_time.dt.date, age=age)
    spent = aged.pivot_table(index="cohort", columns="age", values="net", aggfunc="sum", fill_value=0).cumsum(axis=1)
    size = days.groupby(cohort.dt.start_time.dt.date)["customer_id"].nunique()
    for row in rows.itertuples():
        expected = spent.loc[row.cohort, row.age] / size[row.cohort]
        assert float(row.revenue_per_customer) == pytest.approx(expected, abs=0.01)


def test_a_cell_whose_month_is_not_over_is_marked_and_not_coloured(synthetic, tmp_path):
    synthetic.write_snapshot(tmp_path, customers=700, as_of=date(2017, 12, 14))
    data = AppData(tmp_path)
    rows = [{**row, "age": row["age_months"]} for row in data.snapshot().table("cohorts", "cohort, age_months").records]
    drawn, ages = cohort_figures.triangle_figure(rows, "month", "share", "light")
    cut = [row for row in rows if not row["is_complete"] and row["age"] > 0]
    assert cut
    assert len(drawn.layout.shapes) == len(cut)
    heat, texts = drawn.data
    coloured = sum(value is not None for line in heat.z for value in line)
    assert coloured == sum(row["is_complete"] and row["age"] > 0 for row in rows)
    assert sum(text.endswith("*") for text in texts.text) == len(cut)
    assert ages == max(row["age"] for row in rows)
    assert "* The month is not over" in cohort_figures.triangle_message(rows, "month")
    data.close()


# ---- what the page says


def test_the_answer_stands_first_with_its_numbers(snapshot, app, call):
    shown = call(app, "cohorts-answer", snapshot.run_id, "month", "91", "light")["cohorts-answer"]["children"]
    assert shown[0]["props"]["children"] == "Nothing shows that newer cohorts are worse."
    assert "97.5% interval" in shown[1]["props"]["children"]


def test_whoever_only_looks_new_is_left_out(synthetic, tmp_path, monkeypatch):
    synthetic.write_snapshot(tmp_path, customers=1_500)
    data = AppData(tmp_path)
    found = data.snapshot()
    first = found.customer_totals(cohorts.CUSTOMERS.everything).records[0]["first_order_on"]
    assert cohorts._first_seen(found) is None
    failed = {"check_name": "left_censored", "passed": False}
    monkeypatch.setattr(found, "check_results", lambda: type("Answer", (), {"records": [failed]})())
    assert cohorts._first_seen(found) == first + timedelta(days=91)
    parts = cohorts._answer(found, "month", 91, "light")
    assert "look new only because the data begin" in text_of(parts)
    data.close()


@pytest.mark.parametrize("name", list(LENSES))
def test_every_lens_has_a_figure_a_sentence_and_its_numbers(snapshot, name):
    lens = LENSES[name]
    rows = snapshot.table(lens.table, lens.order).records
    assert lens.say(rows, "USD").endswith(".")
    assert len(lens.draw(rows, "USD", "dark").data) >= 1
    heads, lines = lens.listed(rows, "USD")
    assert lines
    assert {len(line) for line in lines} == {len(heads)}


def test_lens_two_reconciles_with_the_days(snapshot, days):
    periods = snapshot.table("audit_periods", "period").records
    rows = snapshot.table("audit_two_periods", LENSES["two_periods"].order).records
    _, lines = LENSES["two_periods"].listed(rows, "USD")
    for column, period in ((2, 0), (1, 1)):
        one = periods[period]
        inside = days[(days["day"] >= pd.Timestamp(one["starts_on"])) & (days["day"] <= pd.Timestamp(one["ends_on"]))]
        assert lines[0][column] == f"{inside['customer_id'].nunique():,}"
        assert lines[3][column] == f"${inside['net'].sum():,.0f}"


def test_the_report_holds_all_lenses(snapshot):
    parts = cohorts.report(snapshot, "?by=quarter&show=count&within=30")
    assert [title for title, _ in parts][:3] == ["Are newer cohorts worse?", "Who comes back", "Value by age"]
    assert len(parts) == 3 + len(LENSES)


def test_a_snapshot_without_the_table_says_what_makes_it(synthetic, tmp_path):
    synthetic.write_snapshot(tmp_path, customers=50, without=("cohorts", "customer_days", "audit_health"))
    data = AppData(tmp_path)
    with pytest.raises(Exception, match="regulars build --force"):
        cohorts.layout(data.snapshot(), "")
    data.close()


@pytest.mark.parametrize("bad", ["week", None, 7, ["month"], {"a": 1}, "<script>"])
def test_forged_choices_fall_back(snapshot, app, call, bad):
    for output, values in (
        ("cohorts-answer", (bad, bad, bad)),
        ("cohorts-triangle", (bad, bad, bad)),
        ("cohorts-curves", (bad, bad)),
        ("cohorts-audit", (bad, bad)),
    ):
        assert call(app, output, snapshot.run_id, *values)[output]["children"]
