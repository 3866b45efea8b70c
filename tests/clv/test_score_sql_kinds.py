"""Scores as SQL equal Python's where customers differ by more than their history: covariates, segments, clocks."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import simpson

from regulars.clv import (
    CovariateModel,
    FittedClock,
    GammaGammaModel,
    LeftCensoredModel,
    ParetoNBDModel,
    SeasonalBetaGeoModel,
    SeasonalClock,
    SeasonalModifiedBetaGeoModel,
    SegmentPriorModel,
    SpendCovariateModel,
    customer_lifetime_value,
    score_sql,
    score_terms,
)
from regulars.clv.design_matrix import Covariate, Design
from regulars.clv.segment_priors import _spelt
from regulars.clv.simulate import simulate_left_censored
from regulars.clv.sql_covariates import _known_value, _shift
from regulars.clv.sql_forms import ScoreForm, comment, identifier, macro, text
from regulars.clv.sql_segments import _spelt as spelt_in_sql
from regulars.sql.errors import ContractError, ModelError

SPEND = GammaGammaModel.from_parameters(p=6.25, q=3.74, v=15.44)
# Levels that a careless script would end at, or take for one another.
CHANNELS = ["web", "men's", 'say "hi"', "ünï\ncode; --", "1", "1.0", "True", ""]
CLUB = 'the club\'s "card"'
AS_OF = date(2020, 1, 1)


def _base(n: int = 2_000, seed: int = 4) -> pd.DataFrame:
    """Customers in whole days who buy and leave as their covariates have it."""
    rng = np.random.default_rng(seed)
    channel = rng.choice(CHANNELS, n, p=[0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05])
    club, size = rng.uniform(size=n) < 0.4, rng.normal(40, 12, n).round(1)
    pace = np.exp(0.3 * (channel == "web") - 0.2 * (channel == "1") + 0.4 * club + 0.01 * (size - 40))
    days = rng.integers(30, 700, n)
    stay = np.minimum(rng.exponential((1.0 + club) / rng.gamma(0.7, 1 / 120, n)), days)
    frequency = rng.poisson(rng.gamma(0.8, 1.2, n) * pace * stay / 60)
    recency = np.where(frequency > 0, np.maximum(np.floor(stay * np.sqrt(rng.uniform(size=n))), 1), 0).astype(int)
    return pd.DataFrame(
        {
            "customer_id": [f"c{i:05d}" for i in range(n)],
            "frequency": frequency,
            "recency": recency / 7,
            "T": days / 7,
            "recency_days": recency,
            "T_days": days,
            "monetary_value": np.where(frequency > 0, rng.gamma(2.0, 20.0, n), 0.0),
            "first_order_on": np.datetime64(AS_OF) - days,
            "last_order_on": np.datetime64(AS_OF) - days + recency,
            "channel": channel,
            CLUB: club,
            "size": size,
            "country": rng.choice(["DE", "o'FR", "CH"], n),
        }
    )


@pytest.fixture(scope="module")
def base() -> pd.DataFrame:
    return _base()


def _session(**tables: object) -> duckdb.DuckDBPyConnection:
    session = duckdb.connect()
    for name, table in tables.items():
        session.register(name, table)
    return session


def _run(script: str, **tables: object) -> pd.DataFrame:
    session, found = _session(**tables), None
    for statement in duckdb.extract_statements(script):
        found = session.execute(statement)
    assert found is not None
    return found.df()


def _agree(model: Any, spend: Any, base: Any, *, rate: float = 0.1, given: Any = None) -> None:
    """Hold every figure of the script against the model's own methods; ``given`` is the same base as SQL sees it."""
    given = base if given is None else given
    script = score_sql(model, spend, horizon=39, discount_rate=rate, margin=0.3)
    found = _run(script, customer_summary=given, score_terms=score_terms(model, base, horizon=39, discount_rate=rate))
    expected = {
        "probability_alive": model.probability_alive(base),
        "expected_orders": model.expected_purchases(base, 39),
        "probability_no_order": model.probability_no_purchase(base, 39),
        "customer_value": customer_lifetime_value(model, spend, base, 39, rate, 0.3),
        "expected_order_value": spend.conditional_expected_value(base),
    }
    assert found["customer_id"].tolist() == sorted(base["customer_id"])
    for name, values in expected.items():
        # 1e-9 is what the script promises; chances are compared as they stand, money and counts by their size
        np.testing.assert_allclose(found[name], values, rtol=1e-9, atol=1e-12, err_msg=name)
    assert script == score_sql(model, spend, horizon=39, discount_rate=rate, margin=0.3)


# ---------------------------------------------------------------- covariates


@pytest.mark.parametrize("kind", ["nbd", "bg_nbd", "mbg_nbd", "pareto_nbd"])
def test_covariates_on_rate_on_dropout_and_on_spend(kind: str, base: pd.DataFrame) -> None:
    dropout = [] if kind == "nbd" else [CLUB, "size"]
    model = CovariateModel(kind, purchase=["channel", CLUB, "size"], dropout=dropout, ridge=1.0).fit(base)
    assert kind == "nbd" or model.params_[model.dropout_parameters[0]] > 0
    _agree(model, SpendCovariateModel(["channel", "size"], ridge=1.0).fit(base), base)


def test_coefficients_on_a_alone_and_equal_ones(base: pd.DataFrame) -> None:
    _agree(CovariateModel("bg_nbd", purchase=["size"], dropout={"a": ["channel"]}, ridge=1.0).fit(base), SPEND, base)
    model = CovariateModel("pareto_nbd", purchase=[CLUB], dropout=[CLUB], equal=[CLUB], base={CLUB: True}).fit(base)
    _agree(model, SPEND, base, rate=0.0)


def test_missing_values_that_are_a_level_of_their_own(base: pd.DataFrame) -> None:
    rng = np.random.default_rng(3)
    gone = rng.uniform(size=(3, len(base))) < 0.2
    given = base.assign(
        channel=base["channel"].astype(object).mask(gone[0], None),
        size=base["size"].mask(gone[1]),
        **{CLUB: base[CLUB].astype(object).mask(gone[2], None)},
    )
    names = {"purchase": ["channel", "size"], "dropout": [CLUB], "missing": "own_level", "ridge": 1.0}
    model = CovariateModel("mbg_nbd", **names).fit(given)
    spend = SpendCovariateModel([CLUB, "size"], missing="own_level", ridge=1.0).fit(given)
    _agree(model, spend, given)
    # NULL and NaN are both no value; a column of truths, of decimals
    decimals = pa.array(
        [None if gone[1, i] else Decimal(str(v)) for i, v in enumerate(base["size"])], pa.decimal128(9, 1)
    )
    typed = pa.Table.from_pandas(given.drop(columns=["size", CLUB])).append_column("size", decimals)
    truths = pa.array([None if gone[2, i] else bool(v) for i, v in enumerate(base[CLUB])])
    _agree(model, spend, given, given=typed.append_column(CLUB, truths))


def test_dropout_that_is_not_identified_leaves_own_rates() -> None:
    rng = np.random.default_rng(0)
    club = rng.uniform(size=2_000) < 0.5
    frequency = rng.poisson(rng.gamma(5.0, 1.0 + club))
    base = pd.DataFrame(
        {"frequency": frequency, "recency": np.where(frequency > 0, 52.0, 0.0), "T": 52.0, "club": club}
    )
    base = base.assign(customer_id=[f"{i:04d}" for i in range(2_000)], monetary_value=9.5, T_days=364)
    model = CovariateModel("bg_nbd", purchase=["club"], dropout=["club"]).fit(base)
    assert model.message_.startswith("dropout not identified")
    _agree(model, SPEND, base)


def test_terms_do_not_depend_on_the_order_of_customers_or_the_kind_of_frame(base: pd.DataFrame) -> None:
    model = CovariateModel("bg_nbd", purchase=["channel", "size"], ridge=1.0).fit(base)
    found = score_terms(model, base, horizon=39)
    assert found.equals(score_terms(model, base.sample(frac=1.0, random_state=1), horizon=39))
    assert found.equals(score_terms(model, pl.from_pandas(base), horizon=39))
    assert found.column_names[:4] == ["frequency", "T_days", "channel", "size"]
    assert found.group_by(["frequency", "T_days", "channel", "size"]).aggregate([]).num_rows == found.num_rows


REFUSED = {
    "a level not seen": (
        "channel",
        "'telex'",
        "covariate 'channel' has the level 'telex'; the fit has seen , 1, 1.0",
    ),
    "no level": ("channel", "NULL::VARCHAR", "covariate 'channel' is missing for a customer"),
    "a date": ("channel", "DATE '2017-01-01'", "covariate 'channel' has the level '2017-01-01'"),
    "no number": ("size", "NULL::DOUBLE", "covariate 'size' is missing for a customer"),
    "not a number": ("size", "'nan'::DOUBLE", "covariate 'size' is missing for a customer"),
    "infinite": ("size", "'-inf'::DOUBLE", "covariate 'size' is infinite"),
    "a text for a number": ("size", "'12'", "covariate 'size' was a number in the fit and is VARCHAR here"),
    "a truth for a number": ("size", "true", "covariate 'size' was a number in the fit and is BOOLEAN here"),
    "a date for a number": ("size", "DATE '2017-01-01'", "covariate 'size' was a number in the fit and is DATE here"),
}


@pytest.fixture(scope="module")
def refusing(base: pd.DataFrame) -> Iterator[Any]:
    model = CovariateModel("bg_nbd", purchase=["channel", "size"], ridge=1.0).fit(base)
    spend = SpendCovariateModel(["channel", "size"], ridge=1.0).fit(base)
    session = _session(base=base, score_terms=score_terms(model, base, horizon=39))
    session.execute(score_sql(model, spend, horizon=39).rpartition("FROM scored")[0])
    yield session
    session.close()


@pytest.mark.parametrize("case", REFUSED)
def test_what_python_refuses_ends_the_statement(case: str, refusing: Any) -> None:
    column, value, message = REFUSED[case]
    # one customer of all; where the type is another, the column
    same = f"CASE WHEN customer_id = 'c00007' THEN {value} ELSE {column} END"
    changed = same if value == "'telex'" or "NULL" in value or "DOUBLE" in value else value
    refusing.execute(f"CREATE OR REPLACE VIEW odd AS SELECT * REPLACE ({changed} AS {column}) FROM base")
    for read in ("expected_orders", "expected_order_value"):
        with pytest.raises(duckdb.InvalidInputException) as told:
            refusing.execute(f"SELECT sum({read}) FROM scored('odd')").fetchall()
        assert message in str(told.value)


def test_a_covariate_that_the_table_lacks_is_named(refusing: Any) -> None:
    refusing.execute("CREATE OR REPLACE VIEW odd AS SELECT * EXCLUDE (channel) FROM base")
    with pytest.raises(duckdb.BinderException, match="channel"):
        refusing.execute("SELECT sum(expected_orders) FROM scored('odd')")


def test_own_parameters_of_a_level_not_seen_are_unknown(refusing: Any) -> None:
    found = refusing.execute("SELECT own_alpha('telex', 40), spend_level('telex', 40), own_alpha('web', 40)").fetchone()
    assert found is not None
    assert found[:2] == (None, None)
    assert found[2] > 0


def test_the_table_that_is_scored_has_any_name(base: pd.DataFrame) -> None:
    name, model = 'the base\'s "view"', CovariateModel("nbd", purchase=["size"]).fit(base)
    script = score_sql(model, None, horizon=39, customers=identifier(name))
    named = duckdb.connect()
    named.register("given", base)
    named.execute(f"CREATE VIEW {identifier(name)} AS FROM given")
    statements = duckdb.extract_statements(script)
    for statement in statements[:-1]:
        named.execute(statement)
    assert len(named.execute(statements[-1]).df()) == len(base)


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (["Frequency"], "'Frequency' has the name of a column of score_terms"),
        (["Size", "size"], "'Size' and 'size' are one name to SQL"),
        ([""], "'' is no name of a column"),
    ],
)
def test_names_that_sql_cannot_tell_apart_are_refused(names: list[str], word: str, base: pd.DataFrame) -> None:
    rng = np.random.default_rng(1)
    odd = base.drop(columns=["size"]).assign(**{name: rng.normal(size=len(base)) for name in names})
    for model in (CovariateModel("nbd", purchase=names).fit(odd), CovariateModel("bg_nbd", purchase=names).fit(odd)):
        with pytest.raises(ModelError, match=word):
            score_sql(model, None, horizon=39)
        with pytest.raises(ModelError, match=word):
            score_terms(model, odd, horizon=39)


def test_a_column_that_sql_takes_for_the_covariate_is_refused(base: pd.DataFrame) -> None:
    for model in (CovariateModel("nbd", purchase=["size"]), SegmentPriorModel("nbd", ["country"])):
        fitted = model.fit(base)
        twin = base.assign(SIZE=1.0, Country="DE")
        with pytest.raises(ModelError, match=r"and the summary's column '(SIZE|Country)' are one name to SQL"):
            score_terms(fitted, twin, horizon=39)


def test_an_as_of_is_for_seasonal_clocks_alone(base: pd.DataFrame) -> None:
    with pytest.raises(ModelError, match="only a model on a seasonal clock"):
        score_sql(CovariateModel("nbd", purchase=["size"]).fit(base), None, horizon=39, as_of=AS_OF)


# ---------------------------------------------------------------- segments


@pytest.mark.parametrize("kind", ["nbd", "bg_nbd", "pareto_nbd"])
def test_segments_and_those_not_seen(kind: str, base: pd.DataFrame) -> None:
    model = SegmentPriorModel(kind, ["country", "channel"]).fit(base)
    odd = np.random.default_rng(2).uniform(size=(2, len(base))) < 0.1
    asked = base.assign(
        country=np.where(odd[0], "by owl", base["country"]), channel=np.where(odd[1], "new", base["channel"])
    )
    _agree(model, SpendCovariateModel(["size"]).fit(base), asked)


@pytest.mark.parametrize("level", ["customers", "Customers", "r", "own_level_1"])
def test_a_level_has_any_name_and_so_have_other_columns(level: str, base: pd.DataFrame) -> None:
    # "customers" is the argument of scored(), own_level_1 a name that the script gives
    named = base.assign(**{"own_level_1": "CH", level: base["country"]})
    _agree(SegmentPriorModel("bg_nbd", [level]).fit(named), SPEND, named)


def test_a_segments_number_is_the_same_as_a_float(base: pd.DataFrame) -> None:
    rng = np.random.default_rng(2)
    store = rng.integers(1, 4, len(base))
    model = SegmentPriorModel("bg_nbd", ["store"]).fit(base.assign(store=store))
    _agree(model, SPEND, base.assign(store=store + 0.5 * (rng.uniform(size=len(base)) < 0.1)))
    odd = base.assign(store=np.where(np.arange(len(base)) == 3, np.nan, store))
    terms = score_terms(model, base.assign(store=store), horizon=39)
    with pytest.raises(duckdb.InvalidInputException, match="level 'store' is missing for a customer"):
        _run(score_sql(model, None, horizon=39), customer_summary=odd, score_terms=terms)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.one_of(st.floats(allow_nan=False), st.integers(-(2**53), 2**53).map(float)), min_size=1))
def test_levels_that_are_numbers_are_spelt_as_python_spells_them(values: list[float]) -> None:
    with _session(given=pa.table({"value": pa.array(values, pa.float64())})) as session:
        session.execute(macro("spelt", ("given",), spelt_in_sql("store")))
        found = session.execute("SELECT spelt(value) FROM given").fetchall()
    assert [row[0] for row in found] == [_spelt(value) for value in values]


def test_levels_of_other_kinds_are_spelt_as_python_spells_them() -> None:
    session = _session()
    session.execute(macro("spelt", ("given",), spelt_in_sql("store")))
    kinds = [
        "2",
        "2.50::DECIMAL(5,2)",
        "3.00::DECIMAL(5,2)",
        "true",
        "'nan'",
        "'ü'",
        "9007199254740993",
        "DATE '2017-01-01'",
    ]
    found = session.execute(f"SELECT {', '.join(f'spelt({kind})' for kind in kinds)}").fetchone()
    python = [2, Decimal("2.50"), Decimal("3.00"), True, "nan", "ü", 9007199254740993, date(2017, 1, 1)]
    assert list(found or ()) == [_spelt(value) for value in python]


# ---------------------------------------------------------------- seasonal clocks


def _repeats(base: pd.DataFrame) -> pd.DataFrame:
    """Days of repeat purchases: between first and last, evenly."""
    rows = base[base["frequency"] > 0]
    days: list[Any] = []
    for first, gap, count in zip(rows["first_order_on"], rows["recency_days"], rows["frequency"], strict=True):
        days += [first + pd.Timedelta(days=max(1, round(gap * k / count))) for k in range(1, count + 1)]
    counted = pd.Series(days).value_counts().sort_index()
    return pd.DataFrame({"day": counted.index, "purchase_days": counted.to_numpy()})


@pytest.fixture(scope="module")
def seasonal(base: pd.DataFrame) -> SeasonalModifiedBetaGeoModel:
    return SeasonalModifiedBetaGeoModel(SeasonalClock(harmonics=2)).fit(base, _repeats(base))


@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_a_seasonal_clock(rate: float, base: pd.DataFrame, seasonal: SeasonalModifiedBetaGeoModel) -> None:
    assert seasonal.clock_.rate(["2019-06-03", "2019-12-03"]).std() > 0
    _agree(seasonal, SPEND, base, rate=rate)
    # customers of the calendar's time, and days that are timestamps
    seen = pa.Table.from_pandas(base.astype({"first_order_on": "datetime64[us]", "last_order_on": "datetime64[us]"}))
    _agree(seasonal, SPEND, base, rate=rate, given=seen)


def test_a_clock_with_closed_days_on_which_nobody_is_known_to_leave(base: pd.DataFrame) -> None:
    first = date(2018, 1, 31)
    clock = FittedClock(SeasonalClock(harmonics=0, closed=("sunday",)), first, AS_OF, 0, ("sunday",), log_level=-0.15)
    model = SeasonalBetaGeoModel.from_parameters(clock=clock, r=0.243, alpha=4.414, a=0.793, b=2.426)
    _agree(model, SPEND, base)
    model.params_ |= {"a": 0.0, "b": float("nan")}
    _agree(model, SPEND, base)


def test_another_as_of_date_is_asked_for_and_never_mixed_up(
    base: pd.DataFrame, seasonal: SeasonalModifiedBetaGeoModel
) -> None:
    later = base.assign(T=base["T"] + 2, T_days=base["T_days"] + 14)
    script = score_sql(seasonal, SPEND, horizon=39, as_of="2020-01-15")
    terms = score_terms(seasonal, later, horizon=39)
    found = _run(script, customer_summary=later, score_terms=terms)
    np.testing.assert_allclose(found["expected_orders"], seasonal.expected_purchases(later, 39), rtol=1e-9)
    # terms of one day with a script and customers of another have no answer
    mixed = _run(score_sql(seasonal, SPEND, horizon=39), customer_summary=base, score_terms=terms)
    assert mixed["expected_orders"].isna().all()
    with pytest.raises(duckdb.InvalidInputException, match="this script is of the as-of date 2020-01-15"):
        _run(script, customer_summary=base, score_terms=terms)
    early = base.assign(first_order_on=pd.Timestamp("2010-01-01"))
    with pytest.raises(duckdb.InvalidInputException, match="first_order_on and last_order_on are 2010-01-01"):
        _run(script, customer_summary=early, score_terms=terms)
    with pytest.raises(ModelError, match="as_of is 2010-01-01, before the first day"):
        score_sql(seasonal, SPEND, horizon=39, as_of=date(2010, 1, 1))
    with pytest.raises(ModelError, match="as_of"):
        score_sql(seasonal, SPEND, horizon=39, as_of="soon")


def test_a_horizon_beyond_the_clocks_events_is_refused() -> None:
    declared = SeasonalClock(harmonics=0, weekday=False, events={"event": ["sale"], "day": ["2019-07-01"]})
    clock = FittedClock(declared, date(2019, 1, 1), date(2019, 6, 1))
    model = SeasonalBetaGeoModel.from_parameters(clock=clock, r=0.243, alpha=4.414, a=0.793, b=2.426)
    with pytest.raises(ModelError, match="the clock's events end on 2019-07-01"):
        score_sql(model, SPEND, horizon=39)


# ---------------------------------------------------------------- customers from before the data


@pytest.mark.parametrize("kind", ["bg_nbd", "pareto_nbd"])
def test_customers_from_before_the_data(kind: str) -> None:
    leaving = {"a": 0.8, "b": 2.4} if kind == "bg_nbd" else {"s": 0.6, "beta": 12.0}
    seen = simulate_left_censored(kind, {"r": 0.55, "alpha": 6.0, **leaving}, 400, window=52, history=52, seed=1)
    recency, age = np.round(seen["recency"] * 7), np.round(seen["T"] * 7)
    recency = np.where(seen["frequency"] > 0, np.maximum(recency, 1.0), 0.0)
    age = np.maximum(age, recency)
    seen = seen.drop(columns=["tenure"]).assign(recency=recency / 7, T=age / 7, T_days=age.astype(int))
    seen = seen.assign(customer_id=[f"{i:05d}" for i in range(len(seen))], monetary_value=20.0)
    model = LeftCensoredModel(kind, window=52, history=52).fit(seen)
    _agree(model, SPEND, seen)
    told = np.where(seen["is_old"], 70.0, seen["T"])
    told = np.where(np.arange(len(seen)) % 3 == 0, np.nan, np.where(np.arange(len(seen)) % 7 == 0, np.inf, told))
    _agree(model, SPEND, seen.assign(tenure=told))


def test_discounting_of_customers_from_before_the_data_is_the_integral() -> None:
    seen = simulate_left_censored("bg_nbd", {"r": 0.55, "alpha": 6.0, "a": 0.8, "b": 2.4}, 60, 52, 52, seed=1)
    model = LeftCensoredModel("bg_nbd", window=52, history=52).fit(seen)
    rate, steps = 0.02, np.linspace(0.0, 39.0, 79)
    orders = np.array([model.expected_purchases(seen, h) for h in steps])
    kept = np.exp(-rate * steps)[:, None] * orders
    by_parts = kept[-1] + rate * simpson(kept, x=steps, axis=0)
    # Simpson's rule at half weeks errs by some 1e-8
    np.testing.assert_allclose(model.discounted_expected_purchases(seen, 39, rate), by_parts, rtol=1e-7)
    np.testing.assert_array_equal(
        model.discounted_expected_purchases(seen, 39, 0.0), model.expected_purchases(seen, 39)
    )
    with pytest.raises(ModelError, match="discount_rate"):
        model.discounted_expected_purchases(seen, 39, -1.0)


# ---------------------------------------------------------------- the forms


@settings(deadline=None, max_examples=30)
@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_any_text_is_itself_in_sql_and_no_comment_breaks(value: str) -> None:
    assert len(comment(value).splitlines()) == 1
    with _session() as session:
        assert session.execute(f"SELECT {text(value)}").fetchone() == (value,)
        if "\0" not in value:
            assert session.execute(f"SELECT 1 AS {identifier(value)}").df().columns.tolist() == [value]


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(NAMES, min_size=2, max_size=2, unique_by=str.lower),
    st.lists(st.text(st.characters(codec="utf-8"), max_size=6), min_size=2, max_size=5, unique=True),
    st.lists(st.tuples(st.integers(0, 99), st.floats(-1e6, 1e6)), min_size=1, max_size=6),
    st.floats(-3.0, 3.0),
)
def test_any_names_levels_and_numbers_are_coded_as_the_design_matrix_codes_them(
    names: list[str], levels: list[str], rows: list[tuple[int, float]], centre: float
) -> None:
    text_of, number_of = names
    level = Covariate(text_of, tuple(levels[1:]), levels[0], 0.0, False)
    count = Covariate(number_of, (), None, centre, False)
    values = {
        text_of: np.array([levels[i % len(levels)] for i, _ in rows], dtype=object),
        number_of: np.array([v for _, v in rows]),
    }
    weights = [0.25 * (k + 1) for k in range(len(levels) - 1)], [1e-6]
    coded = Design((level, count)).rows(values)
    expected = coded.matrix[coded.pattern] @ np.concatenate(weights)
    made = [_known_value("covariate", one) for one in (level, count)]
    shift = macro("shift", [identifier(one) for one in names], _shift([(level, weights[0]), (count, weights[1])]))
    with _session(given=pa.table({name: pa.array(column) for name, column in values.items()})) as session:
        for statement in (*made, shift):
            session.execute(statement)
        known = ", ".join(f"{identifier(f'covariate {one}')}({identifier(one)})" for one in names)
        found = [row[0] for row in session.execute(f"SELECT shift({known}) FROM given").fetchall()]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_pareto_nbd_of_each_customers_own_parameters() -> None:
    """Parameters of all sizes, the shorter of alpha and beta either, s near 1, one to a customer."""
    rng = np.random.default_rng(7)
    n = 40
    own = {
        "r": rng.uniform(0.1, 4.0, n),
        "alpha": np.exp(rng.uniform(-2.0, 5.0, n)),
        "s": np.append(rng.uniform(0.05, 4.0, n - 3), [1.0, 1.00001, 0.9999]),
        "beta": np.exp(rng.uniform(-2.0, 5.0, n)),
    }
    histories = pd.DataFrame(
        [(500, 300.0, 364.0), (221, 103.4, 103.6), (30, 3.0, 300.0), (0, 0.0, 364.0), (2, 30.43, 38.86), (0, 0.0, 0.0)],
        columns=["frequency", "recency", "T"],
    )
    form = ScoreForm("pareto_nbd", {name: name for name in own}, 39.0, 39.0, reach=364.0 / np.exp(-2.0))
    session = _session(own=pd.DataFrame(own).assign(row=range(n)), histories=histories)
    arguments = "frequency, recency, T, r, alpha, s, beta"
    for name, formula in form.steps.items():
        session.execute(macro(name, ("frequency", "recency", "age", *own), formula))
    session.execute(macro("alive", ("frequency", "recency", "age", *own, *form.steps), form.alive))
    session.execute(macro("orders", ("frequency", "age", *own), form.closed["orders_if_alive"]))
    steps = ", ".join(f"{name}({arguments}) AS {name}" for name in form.steps)
    found = session.execute(
        f"SELECT alive({arguments}, {', '.join(form.steps)}) AS alive, orders(frequency, T, r, alpha, s, beta) AS o "
        f"FROM (SELECT *, {steps} FROM own CROSS JOIN histories) ORDER BY row, frequency, T"
    ).df()
    in_order = histories.sort_values(["frequency", "T"], ignore_index=True)
    models = [ParetoNBDModel.from_parameters(**{name: float(own[name][i]) for name in own}) for i in range(n)]
    alive = np.concatenate([model.probability_alive(in_order) for model in models])
    orders = np.concatenate([model.expected_purchases(in_order, 39) for model in models])
    np.testing.assert_allclose(found["alive"], alive, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found["alive"] * found["o"], orders, rtol=1e-9, atol=1e-12)


def test_a_time_that_is_no_whole_day_names_its_row(base: pd.DataFrame) -> None:
    model = CovariateModel("nbd", purchase=["size"]).fit(base)
    odd = base.assign(T=base["T"] + 0.01 * (np.arange(len(base)) == 5))
    with pytest.raises(ContractError, match="in row 5 is no whole day"):
        score_terms(model, odd, horizon=39)
