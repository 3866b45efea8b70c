"""Data that do not identify every parameter: reported, answered by the simpler model, never an exception."""

import duckdb
import numpy as np
import pytest

import regulars
from regulars.clv import BetaGeoModel, ModifiedBetaGeoModel, NBDModel, ParetoNBDModel
from regulars.clv.simulate import simulate_bg_nbd, simulate_nbd, simulate_pareto_nbd

DROPOUT_MODELS = [BetaGeoModel, ModifiedBetaGeoModel, ParetoNBDModel]
MODELS = [NBDModel, *DROPOUT_MODELS]
NO_DROPOUT = "dropout not identified, NBD selected"


def ids(models):
    return [model.name for model in models]


@pytest.fixture(scope="module")
def online_retail():
    """Online Retail until 2011-06-30 in weeks; the sample of references/clv.md, trap 2."""
    from pathlib import Path

    path = Path(regulars.__file__).parent.parent / "shared" / "data" / "online_retail" / "online_retail.parquet"
    if not path.exists():
        pytest.skip("../shared/data is absent: Online Retail is not shipped with the project")
    with duckdb.connect() as connection:
        return connection.sql(
            """
            WITH days AS (
                SELECT DISTINCT customer_id, invoice_date::DATE AS day FROM read_parquet($path)
                WHERE customer_id IS NOT NULL AND invoice_no NOT LIKE 'C%' AND quantity > 0 AND unit_price > 0
                  AND invoice_date::DATE <= DATE '2011-06-30'
            )
            SELECT count(*) - 1 AS frequency, (max(day) - min(day)) / 7.0 AS recency,
                   (DATE '2011-06-30' - min(day)) / 7.0 AS "T"
            FROM days GROUP BY customer_id ORDER BY customer_id
            """,
            params={"path": str(path)},
        ).to_arrow_table()


def test_online_retail_is_the_published_sample(online_retail):
    assert online_retail.num_rows == 2960
    assert sum(online_retail["frequency"].to_pylist()) == 5016


@pytest.mark.parametrize("model", MODELS, ids=ids(MODELS))
def test_online_retail_collapses_to_nbd(online_retail, model):
    # references/clv.md, trap 2: r .744209, alpha 9.047415, LL -15325.4553
    fitted = model().fit(online_retail)
    assert fitted.log_likelihood_ == pytest.approx(-15325.4553, abs=1e-3)
    assert fitted.params_["r"] == pytest.approx(0.744209, rel=1e-4)
    assert fitted.params_["alpha"] == pytest.approx(9.047415, rel=1e-4)
    assert fitted.identified_ is (model is NBDModel)
    assert fitted.message_ == ("" if model is NBDModel else NO_DROPOUT)


@pytest.fixture(scope="module")
def no_dropout():
    return simulate_nbd({"r": 0.5, "alpha": 8.0}, 2000, T=52, seed=0, holdout=26)


@pytest.mark.parametrize("model", DROPOUT_MODELS, ids=ids(DROPOUT_MODELS))
def test_without_dropout_everything_is_nbds(no_dropout, model):
    fitted, nbd = model().fit(no_dropout), NBDModel().fit(no_dropout)
    assert not fitted.identified_
    assert fitted.message_ == NO_DROPOUT
    assert fitted.log_likelihood_ == nbd.log_likelihood_
    first, second = model.dropout_parameters
    assert fitted.params_[first] == 0.0
    assert np.isnan(fitted.params_[second])
    errors = fitted.summary_["standard_error"]
    assert errors[["r", "alpha"]].to_numpy() == pytest.approx(nbd.summary_["standard_error"].to_numpy())
    assert errors[[first, second]].isna().all()
    assert fitted.summary_[["lower", "upper"]].loc[[first, second]].isna().all(axis=None)
    for one, other in (
        (fitted.probability_alive(no_dropout), nbd.probability_alive(no_dropout)),
        (fitted.expected_purchases(no_dropout, 26, start=3), nbd.expected_purchases(no_dropout, 26, start=3)),
        (fitted.probability_no_purchase(no_dropout, 26), nbd.probability_no_purchase(no_dropout, 26)),
        (fitted.purchase_probabilities(no_dropout, 26, 5), nbd.purchase_probabilities(no_dropout, 26, 5)),
        (fitted.pmf(np.arange(5), 26), nbd.pmf(np.arange(5), 26)),
        (fitted.expected_purchases_new([1.0, 52.0]), nbd.expected_purchases_new([1.0, 52.0])),
        (
            fitted.discounted_expected_purchases(no_dropout, 26, 0.01),
            nbd.discounted_expected_purchases(no_dropout, 26, 0.01),
        ),
        (fitted.median_time_to_next_purchase(no_dropout), nbd.median_time_to_next_purchase(no_dropout)),
        (fitted.log_likelihood(no_dropout), nbd.log_likelihood(no_dropout)),
    ):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("model", DROPOUT_MODELS, ids=ids(DROPOUT_MODELS))
def test_a_boundary_fit_survives_the_disk(no_dropout, model, tmp_path):
    fitted = model().fit(no_dropout)
    fitted.save(tmp_path / "model.json")
    again = model.load(tmp_path / "model.json")
    assert repr(again) == repr(fitted)
    assert not again.identified_
    assert np.array_equal(again.expected_purchases(no_dropout, 26), fitted.expected_purchases(no_dropout, 26))


def test_dert_without_dropout_is_that_of_a_steady_rate(no_dropout):
    fitted = ParetoNBDModel().fit(no_dropout)
    shape = fitted.params_["r"] + no_dropout["frequency"].to_numpy()
    expected = shape / (fitted.params_["alpha"] + 52) / 0.01
    assert fitted.dert(no_dropout, 0.01) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("model", "data", "open_parameters"),
    [
        # one death rate for all: s and beta grow together
        (ParetoNBDModel, simulate_pareto_nbd({"r": 0.55, "alpha": 10.6, "s": 1e3, "beta": 3e4}, 5000, 52, 1), "s beta"),
        # one chance of leaving for all, fitted by a model that sees it a little otherwise
        (ModifiedBetaGeoModel, simulate_bg_nbd({"r": 300, "alpha": 3e3, "a": 0.8, "b": 2.5}, 5000, 52, 3), "a b"),
        # some leave at the first chance, the others never: a and b fall together
        (BetaGeoModel, simulate_nbd({"r": 0.5, "alpha": 8}, 2000, 52, 2), "a b"),
        # one rate for all: r and alpha grow together
        (NBDModel, {"frequency": [5] * 50, "recency": [9.0] * 50, "T": [10.0] * 50}, "r alpha"),
    ],
    ids=["pareto-one-death-rate", "mbg-one-chance", "bg-all-or-nothing", "nbd-one-rate"],
)
def test_flat_ridges_are_reported(model, data, open_parameters):
    fitted = model().fit(data)
    assert not fitted.identified_
    assert fitted.converged_
    open_ = open_parameters.split()
    for name in open_:
        assert name in fitted.message_
    errors = fitted.summary_["standard_error"]
    assert errors[open_].isna().all()
    assert errors.drop(open_).notna().all()
    # dropout itself is identified, so this is no NBD
    assert NO_DROPOUT not in fitted.message_
    nbd = NBDModel().fit(data)
    assert fitted.log_likelihood_ >= nbd.log_likelihood_ - 1e-9


def test_a_ridge_ends_at_the_limit():
    # Pareto/NBD with one death rate mu for all has a likelihood of its own; the fit must reach it
    data = simulate_pareto_nbd({"r": 0.55, "alpha": 10.6, "s": 1e3, "beta": 3e4}, 5000, 52, 1)
    fitted = ParetoNBDModel().fit(data)
    s, beta = fitted.params_["s"], fitted.params_["beta"]
    further = ParetoNBDModel.from_parameters(**{**fitted.params_, "s": 50 * s, "beta": 50 * beta})
    assert fitted.log_likelihood_ == pytest.approx(further.log_likelihood(data), abs=1e-2)


HARD = {
    "two customers": {"frequency": [1, 0], "recency": [2.0, 0], "T": [10.0, 10]},
    "three alike": {"frequency": [5] * 3, "recency": [9.0] * 3, "T": [10.0] * 3},
    "all left early": {"frequency": [5] * 50, "recency": [0.1] * 50, "T": [100.0] * 50},
    "all bought today": {"frequency": [5] * 50, "recency": [100.0] * 50, "T": [100.0] * 50},
    "one repeat in all": {"frequency": [0] * 50 + [1], "recency": [0.0] * 50 + [3], "T": [100.0] * 51},
    "one with 10,000": {"frequency": [0] * 50 + [10_000], "recency": [0.0] * 50 + [1000], "T": [1040.0] * 51},
    "ages of a minute and 20 years": {
        "frequency": [0, 1, 3, 0] * 20,
        "recency": [0.0, 5e-5, 900.0, 0.0] * 20,
        "T": [1e-4, 1e-4, 1043.0, 0.0] * 20,
    },
    "one of each": {"frequency": list(range(8)), "recency": [0.0, *np.arange(1.0, 8)], "T": [9.0] * 8},
}


@pytest.mark.parametrize("case", HARD)
@pytest.mark.parametrize("model", MODELS, ids=ids(MODELS))
def test_hard_data_get_an_answer(model, case):
    data = HARD[case]
    fitted = model().fit(data)
    assert np.isfinite(fitted.log_likelihood_)
    assert fitted.identified_ == (fitted.message_ == "")
    # whatever is not known has no standard error, and all that has one is known
    assert fitted.identified_ == bool(np.isfinite(fitted.summary_["standard_error"]).all())
    nbd = NBDModel().fit(data)
    assert fitted.log_likelihood_ >= nbd.log_likelihood_ - 1e-6
    for values in (
        fitted.probability_alive(data),
        fitted.expected_purchases(data, 52),
        fitted.probability_no_purchase(data, 52),
        fitted.purchase_probabilities(data, 52, 5),
        fitted.discounted_expected_purchases(data, 52, 0.01),
        fitted.pmf(np.arange(4), 52),
        fitted.expected_purchases_new([52.0]),
    ):
        assert np.isfinite(values).all()
        assert (values >= 0).all()
    assert (fitted.probability_alive(data) <= 1).all()
