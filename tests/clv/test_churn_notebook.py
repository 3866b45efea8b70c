"""The notebook runs from the first cell to the last; its answers hold against the truth, and against what came."""

from pathlib import Path

import jupytext
import numpy as np
import pytest

import regulars
from regulars import clv

NOTEBOOK = Path(regulars.__file__).parent / "docs" / "notebooks" / "churn_and_value.py"


@pytest.fixture(scope="module")
def ran():
    notebook = jupytext.read(NOTEBOOK)
    space = {"__name__": "__main__"}
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            exec(compile(cell.source, f"{NOTEBOOK.name}, cell {number}", "exec"), space)
    return space


def test_the_notebook_is_one_for_jupyter_too():
    import nbformat

    notebook = jupytext.read(NOTEBOOK)
    nbformat.validate(nbformat.from_dict(notebook))
    assert sum(cell.cell_type == "code" for cell in notebook.cells) > 15


def test_covariates_are_found_and_members_foreseen(ran):
    estimates, error = ran["estimates"], ran["model"].summary_["standard_error"]
    # six intervals of 95%: all within 3 standard errors in 98% of draws
    assert (np.abs(estimates["estimate"] - estimates["truth"]) < 3 * error).all()
    assert ran["difference"].p_value < 1e-6
    members = ran["members"]
    # their total has a standard deviation of 4% by chance alone
    assert members["with the club"] == pytest.approx(members["came"], rel=0.1)
    assert abs(members["with the club"] - members["came"]) < abs(members["plain"] - members["came"])


def test_intervals_hold_what_they_say(ran):
    # 8,000 customers: the share has a standard error of .4%
    assert ran["held"] == pytest.approx(0.9, abs=0.015)
    assert 0.75 < ran["inside"] < 0.86  # of the first day's value; intervals from 0 step over some of it


def test_december_is_foreseen_by_the_clock_alone(ran):
    assert abs(ran["with_clock"]) < 0.05
    assert ran["without"] < -0.15
    assert np.abs(ran["learnt_pace"] / ran["pace"](ran["year"]) * ran["pace"](ran["year"]).mean() - 1).mean() < 0.1


def test_the_first_day_tells_who_will_be_worth_most(ran):
    truth = {
        channel: clv.ParetoNBDModel.from_parameters(r=0.8, alpha=alpha, s=0.6, beta=12.0).expected_purchases_new(52)
        for channel, alpha in {"app": 4.0, "web": 8.0}.items()
    }
    found = ran["each"]["expected"].mean()
    for channel, expected in truth.items():
        # fitted to 2,000 customers of each channel, whose mean number of orders has a standard error of 3%
        assert found[channel] == pytest.approx(float(np.squeeze(expected)), rel=0.12)
    assert ran["best"] > 1.8
    assert ran["scores"]["customer_value"].sum() == pytest.approx(ran["spent"].sum(), rel=0.1)


def test_those_who_were_there_before_the_data_are_told_from_new_ones(ran):
    conditioned, ignoring, truth = ran["conditioned"], ran["ignoring"].params_, ran["old_shop"]
    errors = conditioned.summary_["standard_error"]
    for name, value in truth.items():
        assert abs(conditioned.params_[name] - value) < 3 * errors[name]
    assert abs(conditioned.params_["a"] - truth["a"]) < abs(ignoring["a"] - truth["a"]) / 2
    assert ran["was_there"].mean() == pytest.approx(ran["seen"]["is_old"].mean(), abs=0.03)


def test_churn_beats_kaplan_meier_and_btyd_on_the_next_month(ran):
    reports = ran["report"].reports.set_index("model")
    pool = reports.loc["hazard + pareto_nbd"]
    assert pool["brier"] < min(reports.loc["kaplan_meier", "brier"], reports.loc["pareto_nbd", "brier"])
    assert 0.9 <= pool["slope"] <= 1.1
    brier = ran["brier"]
    assert brier["probability_no_order"] < brier["probability_no_order_btyd"]
    assert ran["churn"]["probability_no_order"].mean() == pytest.approx(ran["stayed_away"].mean(), abs=0.02)


def test_the_likeliest_to_stay_away_have_reasons_and_do(ran):
    likeliest = ran["likeliest"]
    assert len(likeliest) == 20
    assert (likeliest[["reason_1", "reason_2"]] != "").all(axis=None)
    assert ran["stayed_away"][likeliest.index].mean() > 0.75


def test_an_earlier_window_makes_intervals_of_real_customers_hold(ran):
    assert 0.87 <= ran["calibrated"] <= 0.93
    assert ran["as_they_are"] < 0.85


def test_the_league_is_whole_and_money_is_where_it_says(ran):
    league = ran["league"]
    assert league.shape == (5, 5)
    assert np.isfinite(league).all(axis=None)
    best_model = league.loc[["BG/NBD", "Pareto/NBD"], "MAE of visits"].min()
    assert best_model < league.loc["same rate as before", "MAE of visits"]
    assert (league["best tenth's share"] > 0.3).all()
    assert ran["judged"].winner in ran["judged"].fitted


def test_sql_scores_equal_those_of_python(ran):
    assert len(ran["by_sql"]) == len(ran["by_python"]) > 2400
    assert ran["by_sql"]["customer_id"].tolist() == ran["by_python"]["customer_id"].tolist()
    assert ran["apart"] < 1e-9


def test_drift_is_said_where_the_world_has_changed(ran):
    assert ran["alarms"] == {"as it was": "", "a rival": "orders"}
