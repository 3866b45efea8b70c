"""The price panel: what a row says, where its price comes from, and that nothing is left out unsaid."""

from datetime import date
from decimal import Decimal

import pandas as pd
import polars as pl
import pytest

from regulars.pricing.panel import price_panel, with_calendar
from regulars.sql.contract import PANEL_REASONS, PRICE_PANEL, STOCK_RULES
from regulars.sql.errors import ContractError, SettingsError

PRODUCTS = """
SELECT * FROM (VALUES
    ('hat-s', 'hat', 'clothes', 'headwear', 1.5, DATE '2024-01-01'),
    ('hat-l', 'hat', 'clothes', 'headwear', 1.5, DATE '2024-01-01'),
    ('cup', NULL, 'kitchen', NULL, NULL, NULL)
) AS v (sku, style_color, category_1, category_2, unit_cost, launched_on)
"""
COLUMNS = "customer_id, ordered_at, revenue, sku, quantity, unit_price, list_price, store_id, currency, is_product"
LINES = """
SELECT * FROM (VALUES
    ('a', TIMESTAMP '2024-01-03 10:00:00', 20.00, 'hat-s', 2, 10.0, 10.0, 'n', NULL, TRUE),
    (NULL, TIMESTAMP '2024-01-07 10:00:00', 7.00, 'hat-l', 1, 7.0, 10.0, 's', NULL, TRUE),
    ('a', TIMESTAMP '2024-01-22 10:00:00', 5.00, 'hat-s', 1, 5.0, 10.0, 'n', NULL, TRUE),
    ('b', TIMESTAMP '2024-01-09 10:00:00', 3.00, 'cup', 1, NULL, NULL, 'n', NULL, TRUE),
    ('b', TIMESTAMP '2024-01-16 10:00:00', 8.00, 'cup', 2, NULL, NULL, 's', NULL, TRUE),
    ('b', TIMESTAMP '2024-01-23 10:00:00', 2.00, 'cup', 1, NULL, NULL, 'n', NULL, TRUE),
    ('b', TIMESTAMP '2024-01-23 10:00:00', -2.00, 'cup', -1, NULL, NULL, 'n', NULL, TRUE),
    ('b', TIMESTAMP '2024-01-23 10:00:00', 0.00, 'cup', 1, 0.0, NULL, 'n', NULL, TRUE),
    ('b', TIMESTAMP '2024-01-23 10:00:00', 4.00, 'cup', NULL, NULL, NULL, 'n', NULL, TRUE),
    ('b', TIMESTAMP '2024-01-23 10:00:00', 4.00, '', 1, NULL, NULL, 'n', NULL, TRUE),
    ('b', TIMESTAMP '2024-01-23 10:00:00', 4.00, 'cup', 1, NULL, NULL, 'n', 'SEK', TRUE),
    ('b', TIMESTAMP '2024-01-23 10:00:00', 4.00, 'cup', 1, NULL, NULL, 'n', NULL, FALSE)
) AS v (customer_id, ordered_at, revenue, sku, quantity, unit_price, list_price, store_id, currency, is_product)
"""


@pytest.fixture
def shop(open_shop, write_parquet):
    """Two items, two stores, three weeks, and every kind of line that does not count."""

    def open_(lines=LINES, **sections):
        write_parquet(PRODUCTS, "products.parquet")
        return open_shop(lines, products={"path": "products.parquet"}, **sections)

    return open_


def test_a_row_says_what_was_sold_and_for_what(shop):
    panel = price_panel(shop())
    assert list(panel.columns) == list(PRICE_PANEL.column_names)
    hat = panel[panel["item"] == "hat"].set_index("week")
    first = hat.loc[pd.Timestamp("2024-01-01")]
    assert (first["units"], first["revenue"], first["price"]) == (3, 27.0, 9.0)
    assert (first["regular_price"], first["regular_rule"], first["price_rule"]) == (10.0, "list", "sold")
    assert first["discount"] == pytest.approx(0.1)
    assert (first["unit_cost"], first["age_weeks"], first["category_2"]) == (1.5, 0, "headwear")
    assert hat.loc[pd.Timestamp("2024-01-22"), "age_weeks"] == 3


@pytest.mark.parametrize(
    ("unsold", "rule", "price"),
    [("carried", "carried", 9.0), ("regular", "regular", 10.0), ("missing", "missing", None), ("left_out", None, None)],
)
def test_a_week_without_a_sale_says_where_its_price_comes_from(shop, unsold, rule, price):
    panel = price_panel(shop(), "clothes", unsold=unsold)
    quiet = panel[panel["units"] == 0]
    if rule is None:
        assert quiet.empty
        return
    assert quiet["week"].dt.date.tolist() == [date(2024, 1, 8), date(2024, 1, 15)]
    assert set(quiet["price_rule"]) == {rule}
    assert quiet["price"].isna().all() if price is None else set(quiet["price"]) == {price}


def test_stores_apart_borrow_the_weeks_price_from_each_other_first(shop):
    panel = price_panel(shop(), "kitchen", stores="apart").set_index(["store_id", "week"])
    quiet = panel.loc[("n", pd.Timestamp("2024-01-15"))]
    assert (quiet["units"], quiet["price"], quiet["price_rule"]) == (0, 4.0, "other_stores")
    # without a list price the regular one is the highest of late
    assert panel.loc[("n", pd.Timestamp("2024-01-22"))][["regular_price", "regular_rule"]].tolist() == [
        4.0,
        "recent_highest",
    ]


def test_everything_that_does_not_count_is_counted_by_reason(shop):
    dropped = price_panel(shop()).attrs["dropped"]
    assert {reason: seen["lines"] for reason, seen in dropped.items()} == {
        "": 6,
        "missing_exchange_rate": 1,
        "missing_item": 1,
        "missing_units": 1,
        "no_positive_price": 1,
        "non_product": 1,
        "return_line": 1,
    }
    assert set(dropped) - {""} <= set(PANEL_REASONS)


def test_foreign_lines_are_converted(shop, write_parquet):
    write_parquet("SELECT 'SEK' AS currency, DATE '2024-01-01' AS day, 0.5 AS rate", "rates.parquet")
    panel = price_panel(shop(exchange_rates={"path": "rates.parquet"}), "kitchen")
    last = panel[panel["week"] == "2024-01-22"]
    # one cup at 2, one at 4 kronor = 2
    assert (last["units"].item(), last["price"].item()) == (2, 2.0)


# what each style's stock rows say of its first week, in which its small size sells 2 in store n, its large 1 in store s
STOCK = {
    "short": ("known", 3.0, True, [("S", None, 1, "1"), ("S", None, 1, "2", "-l")]),
    "ample": ("known", 9.0, False, [("S", None, 1, "7"), ("S", None, 1, "2", "-l")]),
    # one of two sizes is not the whole
    "a size": ("part", None, None, [("S", None, 1, "3")]),
    "a store": ("part", None, None, [("S", "n", 1, "2")]),
    "below": ("negative", None, None, [("S", None, 1, "-1"), ("S", None, 1, "2", "-l")]),
    "no number": ("unreadable", None, None, [("S", None, 1, "nan"), ("S", None, 1, "2", "-l")]),
    "text": ("unreadable", None, None, [("S", None, 1, "many"), ("S", None, 1, "2", "-l")]),
    # the same row twice is one; two that differ are none
    "twice": ("known", 3.0, True, [("S", None, 1, "1"), ("S", None, 1, "1"), ("S", None, 1, "2", "-l")]),
    "two": ("repeated", None, None, [("S", None, 1, "1"), ("S", None, 1, "5"), ("S", None, 1, "2", "-l")]),
    # the week begins with its first row
    "later": ("known", 3.0, True, [("S", None, 1, "1"), ("S", None, 4, "0"), ("S", None, 1, "2", "-l")]),
    "nothing": ("none", None, None, []),
    "stores": ("known", 3.0, True, [("S", "n", 1, "2"), ("S", "s", 1, "1", "-l")]),
}


@pytest.fixture
def stocked(open_shop, write_parquet):
    lines, products, rows = [], [], []
    for style, (*_, stock) in STOCK.items():
        for size, units, store, day in (("-s", 2, "n", 3), ("-l", 1, "s", 7), ("-s", 1, "n", 22)):
            products.append(f"('{style}{size}', '{style}')")
            lines.append(
                f"('a', TIMESTAMP '2024-01-{day:02} 10:00:00', {units}.0, '{style}{size}', {units}, 1.0, '{store}')"
            )
        for _, store, day, on_hand, *size in stock:
            shop = f"'{store}'" if store else "NULL"
            rows.append(f"('{style}{(size or ['-s'])[0]}', {shop}, DATE '2024-01-{day:02}', '{on_hand}')")
    columns = "customer_id, ordered_at, revenue, sku, quantity, unit_price, store_id"
    write_parquet(f"SELECT DISTINCT * FROM (VALUES {', '.join(products)}) AS v (sku, style_color)", "products.parquet")
    write_parquet(f"SELECT * FROM (VALUES {', '.join(rows)}) AS v (sku, store_id, week, on_hand)", "stock.parquet")
    return open_shop(
        f"SELECT * FROM (VALUES {', '.join(lines)}) AS v ({columns})",
        products={"path": "products.parquet"},
        stock={"path": "stock.parquet"},
    )


def test_stock_is_known_where_it_is_the_whole_and_otherwise_the_row_says_why(stocked):
    panel = price_panel(stocked)
    first = panel[panel["week"] == "2024-01-01"].set_index("item")
    for style, (rule, seen, sold_out, _) in STOCK.items():
        row = first.loc[style]
        assert row["stock_rule"] == rule, style
        assert pd.isna(row["on_hand"]) if seen is None else row["on_hand"] == seen, style
        assert pd.isna(row["sold_out"]) if seen is None else row["sold_out"] is sold_out, style
    assert panel.attrs["stock"] == panel["stock_rule"].value_counts().to_dict()
    assert set(panel.attrs["stock"]) <= set(STOCK_RULES)


def test_stock_that_stores_share_is_no_stores_own(stocked):
    panel = price_panel(stocked, stores="apart")
    first = panel[panel["week"] == "2024-01-01"].set_index(["item", "store_id"])
    assert first.loc[("short", "n")]["stock_rule"] == "shared"
    assert pd.isna(first.loc[("short", "n")]["on_hand"])
    assert first.loc[("stores", "n")][["stock_rule", "on_hand", "sold_out"]].tolist() == ["known", 2.0, True]
    assert first.loc[("stores", "s")][["stock_rule", "on_hand", "sold_out"]].tolist() == ["known", 1.0, True]


def test_units_are_weights_where_the_lines_are(shop):
    panel = price_panel(shop(LINES.replace("'hat-s', 2,", "'hat-s', 0.4,")), "clothes", unsold="left_out")
    assert panel["units"].tolist() == [1.4, 1.0]
    assert panel["units"].sum() == panel.attrs["dropped"][""]["units"]


def test_costs_that_cannot_be_are_not_known(shop, write_parquet):
    promoted = "SELECT 'hat-l' AS sku, DATE '2024-01-01' AS week, -3.0 AS promotion_cost"
    write_parquet(promoted, "promotions.parquet")
    panel = price_panel(shop(promotions={"path": "promotions.parquet"}), "clothes")
    assert (panel["promotion_cost"].fillna(0) == 0).all()


def test_promotions_are_shares_of_stores(shop, write_parquet):
    shown = (
        "SELECT 'hat-l' AS sku, store_id, DATE '2024-01-01' AS week, display, '0' AS mailer, 0.4 AS promotion_cost "
        "FROM (VALUES ('n', '9'), ('s', '0')) AS v (store_id, display)"
    )
    write_parquet(shown, "promotions.parquet")
    db = shop(promotions={"path": "promotions.parquet"})
    assert price_panel(db, "clothes").iloc[0][["display", "mailer"]].tolist() == [0.5, 0.0]
    assert price_panel(db, "clothes")["promotion_cost"].tolist() == [0.4, 0.0, 0.0, 0.0]
    apart = price_panel(db, "clothes", stores="apart")
    assert apart.groupby("store_id")["display"].first().to_dict() == {"n": 1.0, "s": 0.0}


def test_days_and_skus(shop):
    panel = price_panel(shop(), "clothes", period="day", item_level="sku", unsold="left_out")
    assert panel["item"].tolist() == ["hat-l", "hat-s", "hat-s"]
    assert panel["week"].dt.date.tolist() == [date(2024, 1, 7), date(2024, 1, 3), date(2024, 1, 22)]


def test_the_calendar():
    frame = pd.DataFrame({"week": pd.to_datetime(["2024-12-23", "2024-07-01"])})
    seen = with_calendar(frame, holidays="GB-ENG")
    assert seen["holiday"].tolist() == ["Christmas Day; Boxing Day", ""]
    # the middle of the last week of the year is where the wave begins again
    assert seen["cos_1"].iloc[0] == pytest.approx(1.0, abs=0.01)
    assert seen["cos_1"].iloc[1] == pytest.approx(-1.0, abs=0.01)
    with pytest.raises(SettingsError, match="ISO 3166"):
        with_calendar(frame, holidays="Atlantis")


@pytest.mark.parametrize("kind", ["polars", "dict", "pandas"])
def test_the_calendar_takes_any_frame(kind):
    weeks = {"week": [date(2024, 12, 23)]}
    frame = pl.DataFrame(weeks) if kind == "polars" else pd.DataFrame(weeks) if kind == "pandas" else weeks
    assert with_calendar(frame, holidays="US")["holiday"].tolist() == ["Christmas Day"]
    assert with_calendar(pd.DataFrame({"week": pd.to_datetime([])}), holidays="US")["holiday"].tolist() == []


@pytest.mark.parametrize(
    ("frame", "options", "error", "said"),
    [
        ({"week": [None, "2024-01-01"]}, {}, ContractError, "week is missing in 1 of 2 rows"),
        ({"week": ["soon"]}, {}, ContractError, "week holds values that are no dates"),
        ({"wek": ["2024-01-01"]}, {}, ContractError, "no column 'week'; did you mean 'wek'"),
        ({"week": ["2024-01-01"]}, {"period": "month"}, SettingsError, "period = 'month'"),
        ({"week": ["2024-01-01"]}, {"holidays": 5}, SettingsError, "holidays = 5"),
    ],
)
def test_a_calendar_that_cannot_be_is_refused(frame, options, error, said):
    with pytest.raises(error, match=said):
        with_calendar(pd.DataFrame(frame), **options)


def test_wrong_choices_are_named(shop):
    with pytest.raises(SettingsError, match=r"unsold = 'caried' .* did you mean 'carried'"):
        price_panel(shop(), unsold="caried")
    db = shop()
    for asked in ([], 5, [None]):
        with pytest.raises(SettingsError, match="categories = "):
            price_panel(db, asked)
    with pytest.raises(SettingsError, match="unsold = None"):
        price_panel(db, unsold=None)
    with pytest.raises(SettingsError, match="connect"):
        price_panel(None)
    with pytest.raises(ContractError, match="no order line of 'shoes' has an item"):
        price_panel(shop(), "shoes")


def test_weeks_begin_on_monday(shop):
    db = shop(shop={"week_starts_on": "sunday"})
    with pytest.raises(SettingsError, match="begin on Monday"):
        price_panel(db)
    assert len(price_panel(db, period="day")) > 0


def test_money_adds_up(shop):
    panel = price_panel(shop())
    dropped = panel.attrs["dropped"]
    assert Decimal(str(panel["revenue"].sum())) == Decimal(str(dropped[""]["revenue"]))
