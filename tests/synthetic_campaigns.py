"""Made-up campaigns: one to choose whom by, with two arms; one that does not know enough; one that is refused."""

import numpy as np

from regulars.sql import contract
from regulars.sql.settings import Settings

MODEL_VERSION = "x:5eedca4d9a19, regulars 0.1.0"
ARMS, COSTS, MARGIN = ("mail", "voucher"), (0.05, 0.6), 0.3
HELD_OUT = 900
CAMPAIGNS = {
    "winback": {
        "learn_from": ["winback_may"],
        "margin": MARGIN,
        "budget": 300.0,
        "require_consent": False,
        "offers": {"mail": {"cost": COSTS[0]}, "voucher": {"cost": COSTS[1], "stock": 900}},
    },
    "newsletter": {"margin": MARGIN, "require_consent": False},
    "spring": {"margin": MARGIN, "require_consent": False},
}


def settings_text(warehouse: str) -> str:
    """A ``regulars.toml`` by which lists of these campaigns are written into a warehouse."""
    return f"""
[orders]
path = "orders.parquet"
[build]
warehouse = "{warehouse}"
[campaigns.winback]
learn_from = ["winback_may"]
margin = {MARGIN}
budget = 300.0
require_consent = false
[campaigns.winback.offers.mail]
cost = {COSTS[0]}
[campaigns.winback.offers.voucher]
cost = {COSTS[1]}
stock = 900
[campaigns.newsletter]
margin = {MARGIN}
require_consent = false
[campaigns.spring]
margin = {MARGIN}
require_consent = false
"""


def campaign_settings() -> dict:
    """What the manifest of a build with these campaigns says of them."""
    return Settings.from_mapping({"orders": {"path": "orders.parquet"}, "campaigns": CAMPAIGNS}).identity()["campaigns"]


def campaign_tables(customer_ids, seed: int = 11) -> dict[str, dict]:
    """Columns of every table of the campaigns, for those customers."""
    rng = np.random.default_rng(seed)
    ids = np.sort(np.array(customer_ids.to_pylist(), dtype=object))
    return {
        "campaign_effects": _rows(_effects(), "campaign_effects"),
        "campaign_curves": _rows(_curves(), "campaign_curves"),
        "campaign_findings": _rows(_findings(), "campaign_findings"),
        "campaign_balance": _rows(_balance(rng), "campaign_balance"),
        "campaign_holdout": _holdout(rng),
        "campaign_values": _rows(_values(), "campaign_values"),
        "uplift_scores": _scores(rng, ids),
    }


def _rows(rows: list[dict], table: str) -> dict:
    names = contract.OUTPUT_TABLES[table].column_names
    return {name: [row.get(name) for row in rows] for name in names}


def _effects() -> list[dict]:
    shared = {"control": "control", "kind": "randomised", "outcome": "revenue", "window_days": 28, "overlap": 1.0}
    ranked = {
        **shared,
        "campaign": "winback",
        "gain_per_1000": 410.0,
        "gain_lower": 120.0,
        "gain_upper": 700.0,
        "decision": "rank",
        "ranking": "x",
        "sentence": "Rank by x: QINI 0.12 (95% interval 0.04 to 0.2) per head, p = 0.004 among 2 rankings. "
        "Treating the first 70% gains most.",
        "refused": False,
        "model_version": MODEL_VERSION,
    }
    unsure = {"decision": "not enough data", "ranking": "", "refused": False, "model_version": MODEL_VERSION}
    refused = {
        "decision": "",
        "ranking": "",
        "sentence": "1 finding stands in the way of a fit: sample_ratio_mismatch (blocking): control 400 of 500 "
        "planned, mail 600 of 500 planned; p = 2e-10.",
        "refused": True,
        "model_version": "",
    }
    return [
        {**ranked, "arm": "mail", "customers": 1200, "treated": 600, "effect": 1.4, "lower": 0.3, "upper": 2.5},
        {**ranked, "arm": "voucher", "customers": 1180, "treated": 580, "effect": 2.9, "lower": -0.2, "upper": 6.0},
        {
            **shared, **unsure, "campaign": "newsletter", "arm": "letter", "customers": 800, "treated": 400,
            "effect": 0.2, "lower": -1.9, "upper": 2.3,
            "sentence": "Not enough data: treating everyone with letter gains 0.06 (95% interval -0.6 to 0.7) a head.",
        },
        {**shared, **refused, "campaign": "spring", "arm": "mail", "customers": 1000, "treated": 600, "overlap": None},
    ]  # fmt: skip


def _curves() -> list[dict]:
    rows = []
    for campaign, top in (("winback", 410.0), ("newsletter", 60.0)):
        for ranking, bend in (("x", 1.4), ("response", 0.5), ("random", 0.0)):
            for share in np.arange(1, 21) / 20:
                gain = top * (0.5 * share + bend * share * (1 - share))
                half = 0.5 * top * np.sqrt(share)
                row = {"campaign": campaign, "ranking": ranking, "share": share, "gain": gain}
                rows.append(row | {"lower": gain - half, "upper": gain + half})
    return rows


def _findings() -> list[dict]:
    shared = {"passed": True, "blocking": False, "overridden": False, "advice": ""}
    ratio = {
        **shared, "code": "sample_ratio_mismatch", "p_value": 0.41,
        "seen": "Customers by arm, seen of planned: control 600 of 593, mail 600 of 593, voucher 580 of 593.",
    }  # fmt: skip
    even = {
        **shared, "code": "unbalanced_feature", "p_value": 0.62,
        "seen": "orders_28 differs most, by 0.06 standard deviations.",
    }  # fmt: skip
    few = {
        **shared, "passed": False, "code": "few_customers", "p_value": None,
        "seen": "arm 'voucher' has 580 of 1780 customers.", "advice": "Intervals will be wide.",
    }  # fmt: skip
    wrong = {
        **shared, "passed": False, "blocking": True, "code": "sample_ratio_mismatch", "p_value": 2e-10,
        "seen": "control 400 of 500 planned, mail 600 of 500 planned; p = 2e-10.",
        "advice": "Find where customers were lost or added.",
    }  # fmt: skip
    by_campaign = {"winback": [few, ratio, even], "newsletter": [ratio, even], "spring": [wrong]}
    return [
        {**row, "campaign": campaign, "place": place}
        for campaign, rows in by_campaign.items()
        for place, row in enumerate(rows, start=1)
    ]


def _balance(rng) -> list[dict]:
    features = ("orders_28", "orders_364", "revenue_364", "days_since_order", "customer age", "returns_364")
    return [
        {
            "campaign": "winback", "arm": arm, "feature": feature, "mean_control": 1.0,
            "mean_arm": 1.0 + gap, "difference": gap, "p_value": 0.3,
        }
        for arm in ARMS
        for feature, gap in zip(features, rng.normal(0, 0.04, len(features)), strict=True)
    ]  # fmt: skip


def _holdout(rng) -> dict:
    made: dict[str, list] = {name: [] for name in contract.OUTPUT_TABLES["campaign_holdout"].column_names}
    for campaign, arms in (("winback", ARMS), ("newsletter", ("letter",))):
        worth = _worth(rng, HELD_OUT, len(arms))
        judged = 0.6 * worth + rng.normal(0, 4, worth.shape)
        k = len(arms)
        made["campaign"] += [campaign] * (HELD_OUT * k)
        made["place"] += np.repeat(np.arange(1, HELD_OUT + 1), k).tolist()
        made["arm"] += list(arms) * HELD_OUT
        made["unit"] += np.repeat(np.arange(1, HELD_OUT + 1), k).tolist()
        made["cost"] += np.tile((COSTS if k > 1 else (0.0,)), HELD_OUT).tolist()
        made["net_effect"] += worth.ravel().tolist()
        made["judged"] += judged.ravel().tolist()
    return made


def _worth(rng, n: int, k: int) -> np.ndarray:
    moved = rng.gamma(1.5, 1.2, (n, 1)) * rng.uniform(0.4, 1.6, (n, k))
    return MARGIN * moved * np.array([1.0, 1.9][:k]) - np.array(COSTS[:k] if k > 1 else [0.4])


def _values() -> list[dict]:
    shared = {"campaign": "winback", "window_days": 28, "horizon_days": 364, "customers": 1500, "reason": ""}
    return [
        {**shared, "arm": "mail", "effect": 1.1, "lower": -0.4, "upper": 2.6, "by_the_models": 0.8, "correction": 0.3},
        {**shared, "arm": "voucher", "effect": 2, "lower": -2, "upper": 6, "by_the_models": 2.4, "correction": -0.4},
        {"campaign": "newsletter", "arm": "", "window_days": 28, "reason": "the history is a horizon too short"},
        {"campaign": "spring", "arm": "", "window_days": 28, "reason": "the campaign is refused"},
    ]


def _scores(rng, ids: np.ndarray) -> dict:
    parts = []
    for campaign, arms in (("winback", ARMS), ("newsletter", ("letter",))):
        n, k = len(ids), len(arms)
        worth = _worth(rng, n, k)
        cost = np.tile(COSTS if k > 1 else (0.0,), (n, 1))
        parts += [
            {
                "campaign": np.full(n, campaign, dtype=object),
                "customer_id": ids,
                "arm": np.full(n, arm, dtype=object),
                "effect": (worth[:, a] + cost[:, a]) / MARGIN,
                "response": 20 + worth[:, a],
                "cost": cost[:, a],
                "net_effect": worth[:, a],
                "model_version": np.full(n, MODEL_VERSION, dtype=object),
            }
            for a, arm in enumerate(arms)
        ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
