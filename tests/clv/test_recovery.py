"""A small version of the recovery study of ``bench/recovery.py``; the whole one runs as ``make study``."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from scipy import stats

import regulars

N_SETS, N_CUSTOMERS = 40, 2000


@pytest.fixture(scope="module")
def recovery():
    path = Path(regulars.__file__).parent / "bench" / "recovery.py"
    spec = spec_from_file_location("recovery", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["recovery"] = module
    yield spec.loader.exec_module(module) or module
    del sys.modules["recovery"]


@pytest.mark.parametrize("model", ["nbd", "bg_nbd", "mbg_nbd", "pareto_nbd", "gamma_gamma"])
def test_intervals_cover_the_truth(recovery, model):
    table = recovery.recovery_study(model, N_SETS, N_CUSTOMERS, seed=5, processes=1, progress=False)
    assert table["parameter"].tolist() == list(recovery.TRUTHS[model].params)
    # with 2,000 customers of CDNOW's kind dropout is seen in all data sets but few
    assert (table["boundary_fits"] <= 2).all()
    # a coverage this low has a chance below 1e-5 where intervals hold 95%
    fewest = stats.binom.ppf(1e-5, N_SETS - 2, 0.95) / N_SETS
    assert (table["coverage"] >= fewest).all()
    # and an interval far too wide would show here: the errors told beside those seen (40 sets know these to 11%)
    assert (table["mean_standard_error"] / table["spread"]).between(0.6, 1.7).all()
    assert table["relative_bias"].abs().max() < 0.2


def test_the_study_repeats(recovery):
    one, two = (recovery.recovery_study("nbd", 5, 300, seed=1, processes=1, progress=False) for _ in range(2))
    assert one.equals(two)


def test_an_unknown_model_is_named(recovery):
    with pytest.raises(ValueError, match="'bgnbd' is not one of nbd, bg_nbd"):
        recovery.recovery_study("bgnbd")
