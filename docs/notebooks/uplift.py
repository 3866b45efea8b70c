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
# # From the design of a test to a list one can defend
#
# A shop wants to mail a voucher. Mailing costs .30 a head, the margin is 30%, and the budget pays for a quarter of the
# base. Whom should it mail, and how sure is that? The customers here are drawn from a known design, so that at the end
# the answer can be held against the truth; put your own frame in their place.
#
# Open it as a notebook with `jupytext --to ipynb docs/notebooks/uplift.py`.

# %%
from datetime import date

import numpy as np
import pandas as pd

from regulars import uplift

MARGIN, COST = 0.3, 0.30

# %% [markdown]
# ## 1. How many customers does it take?
#
# Two questions, two sizes. The average effect is found with few; that customers *differ* needs many more. Spend has a
# standard deviation of about 20, the voucher is hoped to bring 1.50 on average, and to differ by 3 between customers.

# %%
print(f"average effect: {uplift.sample_size(1.5, 20.0):,} customers")
for n in (10_000, 20_000, 40_000):
    power = uplift.power_targeting(n, 3.0, 20.0, correlation=0.5).power
    print(f"targeting, holdout of {n:,}: power {power:.0%}")

# %% [markdown]
# ## 2. Assign
#
# By a hash of customer and salt: the same on every machine, and no table of assignments to lose. The holdout is one
# draw for all campaigns and is never mailed.

# %%
drawn = uplift.simulate("zero_inflated", 40_000, seed=11)
customers = drawn.frame().drop(columns=["arm", "outcome"])
held_out = uplift.persistent_holdout(customers["customer_id"], 0.1)
arm = uplift.assign(customers["customer_id"], "voucher-test-1", {"control": 0.5, "voucher": 0.5})
print(f"{held_out.mean():.1%} never mailed; {np.mean(arm == 'voucher'):.1%} would get the voucher")

# %% [markdown]
# In the drawn data the arms are those of the simulation. With your own test the outcome comes from the order history:
# name the campaign in `regulars.toml` and the build reads features before the send and revenue after it.

# %%
frame = drawn.frame().replace({"arm": {"arm_1": "voucher"}}).rename(columns={"outcome": "spend"})
test = uplift.Experiment(treatment="arm", outcome="spend", control="control")
frame.groupby("arm")["spend"].agg(["size", "mean", "std"])

# %% [markdown]
# ## 3. Preflight
#
# Before any model: are the shares what was planned, is anybody there twice, was any feature measured after the send? A
# frame with such a feature is refused, and the finding says what to do.

# %%
for finding in uplift.preflight(test, frame):
    print(finding)
leaking = frame.assign(opened_shop=(frame["spend"] > 0).astype(int))
try:
    uplift.fit_effects(test, leaking)
except uplift.PreflightError as refused:
    print(refused)

# %% [markdown]
# ## 4. Fit on one half, judge on the other

# %%
half = np.random.default_rng(0).uniform(size=len(frame)) < 0.5
effects = uplift.fit_effects(test, frame[half], learner="x", value=MARGIN, cost=COST)
report = uplift.evaluate(effects, frame[~half])
print(report)

# %%
uplift.plot_gain(report.gain)

# %%
uplift.plot_effect_calibration(report.calibration)

# %% [markdown]
# The simulation knows each customer's true effect, so the report can be checked: the true QINI of this very ranking
# lies in the interval.

# %%
ranking = uplift.rank_by(effects.predict(frame[~half])[:, 0])
scores = drawn.expected[~half]
truth = MARGIN * uplift.qini(scores[:, 1] - scores[:, 0], ranking.priority)
found = report.verdict.table.qini["x"]
print(f"true QINI {truth:.4f}, estimated {found}")

# %% [markdown]
# ## 5. What a budget buys
#
# One price on money decides who is worth mailing; the plan shows how far from the best possible it can be, and what
# one more unit of budget would earn.

# %%
new = uplift.simulate("zero_inflated", 20_000, seed=12)
base = new.frame().drop(columns=["arm", "outcome"])
net = effects.net(base)
plan = uplift.allocate(net, np.full(net.shape, COST), budget=0.25 * COST * len(base))
print(f"mailed {(plan.choice >= 0).sum():,}, spend {plan.spend:,.2f}, expected profit {plan.value:,.2f}")
print(f"gap to the best possible {plan.gap:.1e}; one more unit of budget earns {plan.shadow_price:.2f}")

# %% [markdown]
# ## 6. The list
#
# Suppression, the holdout and an exploration slice come in here; every customer who was considered is in the log with
# the probability that his arm had.

# %%
predicted = effects.predict(base)[:, 0]
rows = pd.DataFrame(
    {
        "customer_id": base["customer_id"],
        "arm": "voucher",
        "effect": predicted,
        "net_effect": net[:, 0],
        "cost": COST,
    }
)
made = uplift.TargetList.build(
    rows,
    "voucher-autumn",
    on=date(2026, 9, 1),
    budget=0.25 * COST * len(base),
    suppression={"unsubscribed": base["customer_id"].head(500)},
    holdout=0.1,
    exploration=0.05,
)
made.table.head()

# %%
print(made.summary)
print(made.explain("c0"))
print(made.explain(made.table["customer_id"].iloc[0]))

# %% [markdown]
# ## 7. Read it out
#
# A month later: what did it bring, against what was planned? The customers behave as their true effects say.

# %%
log = made.log
mailed = np.array([given == "voucher" for given in log["arm"].to_pylist()])
at = np.array([int(customer[1:]) for customer in log["customer_id"].to_pylist()])
rng = np.random.default_rng(1)
expected = np.where(mailed, new.expected[at, 1], new.expected[at, 0])
spent = pd.DataFrame({"customer_id": log["customer_id"].to_pylist(), "spend": rng.gamma(0.5, expected / 0.5)})
read = uplift.read_out(log, spent, outcome="spend", margin=MARGIN)
print(read.sentence())
true_profit = MARGIN * (new.expected[at, 1] - new.expected[at, 0])[mailed].sum() - COST * mailed.sum()
print(f"the truth: {true_profit:,.2f}")
