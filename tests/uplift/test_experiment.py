"""Declarations of experiments: what they cannot say is refused in words, and what they say is kept as it was said."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from regulars.sql.errors import ContractError, ModelError
from regulars.uplift.experiment import Experiment
from regulars.uplift.features import fit_encoder
from regulars.uplift.preflight import preflight

EXP = Experiment("arm", "outcome", "none")


def frame(**changed):
    rows = {
        "customer_id": [f"c{i}" for i in range(8)],
        "arm": ["none", "mail"] * 4,
        "outcome": [0.0, 1.0, 0.0, 0.0, 2.0, 1.0, 0.0, 3.0],
        "age": [30.0, 40.0, 50.0, 60.0, 35.0, 45.0, 55.0, 65.0],
    }
    return pd.DataFrame(rows | changed)


# ---- propensities ---------------------------------------------------------------------------------------------------

SEVERAL = frame(arm=["none", "voucher", "mail", "none"] * 2)
SHARES = {"none": 0.5, "voucher": 0.25, "mail": 0.25}


@pytest.mark.parametrize("given", [SHARES, {"voucher": 0.25, "mail": 0.25}, {"none": 0.5, "voucher": 0.25}])
def test_among_the_arms_looked_at_propensities_sum_to_one_again(given):
    data = Experiment("arm", "outcome", "none", arms=["voucher"], propensity=given).read(SEVERAL)
    assert data.arm_names == ("none", "voucher")
    np.testing.assert_allclose(data.propensity, [[2 / 3, 1 / 3]] * 6, rtol=1e-12)


def test_what_is_left_to_two_arms_is_not_known():
    with pytest.raises(ModelError, match=r"propensity lacks \['none', 'mail'\]"):
        Experiment("arm", "outcome", "none", arms=["voucher"], propensity={"voucher": 0.25}).read(SEVERAL)


def test_a_column_of_probabilities_is_looked_up_among_the_arms_looked_at():
    rows = SEVERAL.assign(p=0.5, q=np.linspace(0.1, 0.4, 8))
    given = {"none": "p", "voucher": "q", "mail": 0.1}
    data = Experiment("arm", "outcome", "none", arms=["voucher"], propensity=given).read(rows)
    q = rows["q"].to_numpy()[data.rows]
    np.testing.assert_allclose(data.propensity[:, 1], q / (0.5 + q), rtol=1e-12)


@pytest.mark.parametrize(
    "given", [[0.5, 0.5], np.array([0.5, 0.5]), (0.5,), True, np.nan, {"mail": [0.5]}, {"mail": None}]
)
def test_a_propensity_of_another_kind_is_refused(given):
    with pytest.raises(ModelError, match=r"propensity is .*; it is a mapping from arm to its share"):
        Experiment("arm", "outcome", "none", propensity=given)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (-0.1, "'mail' is -0.1 in 8 rows; .*Give probabilities"),
        (25.0, "'mail' is 25 in 8 rows; .*Give probabilities"),
        (1.0, "Leave out customers whose arm was certain"),
    ],
)
def test_a_probability_that_is_none_is_not_called_certain(given, says):
    with pytest.raises(ModelError, match=says):
        Experiment("arm", "outcome", "none", propensity=given).read(frame())


def test_a_missing_probability_is_not_spoken_of_as_an_outcome():
    rows = frame(p=[0.5, np.nan] + [0.5] * 6)
    with pytest.raises(ModelError, match="'p' is missing or infinite in 1 of 8 rows; a probability is known") as said:
        Experiment("arm", "outcome", "none", propensity="p").read(rows)
    assert "order" not in str(said.value)


# ---- customers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gaps", [1, 6])
@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_missing_ids_are_an_error_with_their_count(gaps, missing):
    ids = [missing] * gaps + [f"c{i}" for i in range(gaps, 8)]
    rows = frame(customer_id=pd.Series(ids, dtype=object))
    for read in (EXP.read, lambda f: preflight(EXP, f)):
        with pytest.raises(ModelError, match=f"'customer_id' is missing in {gaps} of 8 rows"):
            read(rows)


def test_ids_that_a_join_made_floats_are_the_same_customers():
    assert EXP.read(frame(customer_id=np.arange(8.0))).unit.tolist() == [str(i) for i in range(8)]
    assert EXP.read(frame(customer_id=np.arange(8))).unit.tolist() == [str(i) for i in range(8)]


# ---- frames ---------------------------------------------------------------------------------------------------------


def test_columns_of_other_lengths_are_an_error_that_names_both():
    rows = {"arm": ["none", "mail"], "outcome": [1.0], "age": [1.0, 2.0]}
    with pytest.raises(ContractError, match="2 rows in column 'arm' and 1 in column 'outcome'"):
        EXP.read(rows)
    encoder = fit_encoder({"age": [1.0, 2.0], "size": [3.0, 4.0]}, ["age", "size"])
    with pytest.raises(ContractError, match="2 rows in column 'age' and 1 in column 'size'"):
        encoder.encode({"age": [1.0, 2.0], "size": [3.0]})


def test_two_columns_of_a_name_are_an_error_that_names_it():
    twice = pd.concat([frame(), frame()[["age"]]], axis=1)
    table = pa.table([pa.array([1.0]), pa.array([2.0])], names=["age", "age"])
    for given in (twice, table):
        with pytest.raises(ContractError, match="several columns named 'age'"):
            EXP.read(given)


def test_any_kind_of_frame_is_read():
    read = EXP.read(frame())
    for kind in (pl.from_pandas, lambda f: pl.from_pandas(f).lazy(), pa.Table.from_pandas, dict):
        assert EXP.read(kind(frame())).outcome.tolist() == read.outcome.tolist()


# ---- equality -------------------------------------------------------------------------------------------------------


def test_lists_and_tuples_declare_the_same():
    as_lists = Experiment("arm", "outcome", "none", features=["age"], exclude=["x"], arms=["mail"], dose={"mail": 1.0})
    as_tuples = Experiment("arm", "outcome", "none", features=("age",), exclude=("x",), arms=("mail",),
                           dose={"mail": 1.0})  # fmt: skip
    assert as_lists == as_tuples
    assert Experiment("arm", "outcome", "0", propensity={1: 0.5}) == Experiment("arm", "outcome", "0",
                                                                                propensity={"1": 0.5})  # fmt: skip
