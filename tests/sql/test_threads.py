"""Threads: as many as are asked for, and one for linear algebra where the last digits must be the same everywhere."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from regulars.sql import threads as module
from regulars.sql.threads import one_blas_thread, usable_threads
from regulars.uplift.nuisances import cross_fit_outcomes


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_blas_has_one_thread_and_then_what_it_had():
    with one_blas_thread(), threadpool_limits(2, "blas"):
        with one_blas_thread():
            assert blas_threads() == {1}
        assert blas_threads() == {2}
        with pytest.raises(ZeroDivisionError), one_blas_thread():
            raise ZeroDivisionError
        assert blas_threads() == {2}


def test_expected_outcomes_are_the_same_to_the_byte_at_one_blas_thread_and_two():
    rng = np.random.default_rng(3)
    features, arm = rng.normal(size=(6000, 40)), rng.integers(0, 2, 6000)
    outcome = features.sum(axis=1) + rng.normal(size=6000)
    found = []
    for asked in (1, 2):
        with threadpool_limits(asked, "blas"):
            found.append(cross_fit_outcomes(features, arm, outcome, 2, model="linear").tobytes())
    assert found[0] == found[1]


def test_without_threadpoolctl_nothing_is_changed(monkeypatch):
    before = blas_threads()
    module._libraries.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "threadpoolctl", None)
    with one_blas_thread():
        assert blas_threads() == before
    module._libraries.cache_clear()


def test_threads_are_those_asked_for_or_those_of_the_process():
    assert usable_threads(3) == 3
    assert usable_threads(0) == 1
    assert usable_threads(None) >= 1
