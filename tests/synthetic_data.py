"""Money by day and rejected lines of the made-up warehouse, adding up to its reconciliation."""

from datetime import date, datetime, time, timedelta

DAYS = 400
GAP = range(40, 45)
WITHOUT_CUSTOMER, WITHOUT_CUSTOMER_MONEY = 900, 1300.00
UNCOVERED, UNCOVERED_MONEY = 100, -65.44
USED = 59_000
MARKUP = '<img src=x onerror="alert(1)">'


def data_tables(as_of: date, used: float) -> dict[str, dict]:
    """Rows of daily_money and rejected_order_lines; ``used`` is all money used."""
    days = [as_of - timedelta(days=back) for back in range(DAYS) if back not in GAP]
    n = len(days)
    lines = [USED // n] * (n - 1) + [USED - USED // n * (n - 1)]
    money = [round(used / n, 2)] * (n - 1)
    money.append(round(used - sum(money), 2))
    parts = [(day, "", count, amount) for day, count, amount in zip(days, lines, money, strict=True)]
    parts.append((as_of, "missing_customer", WITHOUT_CUSTOMER, WITHOUT_CUSTOMER_MONEY))
    daily = {
        "day": [part[0] for part in parts],
        "reason": [part[1] for part in parts],
        "currency": ["USD"] * len(parts),
        "lines": [part[2] for part in parts],
        "refund_lines": [0] * len(parts),
        "zero_lines": [0] * len(parts),
        "revenue": [part[3] for part in parts],
        "revenue_reporting": [part[3] for part in parts],
    }
    return {"daily_money": daily, "rejected_order_lines": _rejected(as_of)}


def _rejected(as_of: date) -> dict[str, list]:
    rows = []
    for i in range(300):
        sku = MARKUP if i == 0 else f"S{i % 40}"
        rows.append(("missing_customer", "", i, None, 4.33, None, f"O{i}", sku, 3))
    rows[-1] = (*rows[-1][:4], round(WITHOUT_CUSTOMER_MONEY - 299 * 4.33, 2), *rows[-1][5:])
    rows += [("return_without_sale", f"C{i:07}", i, None, -0.65, None, f"R{i}", f"S{i}", 1) for i in range(1, 100)]
    rows.append(
        ("return_without_sale", "C0000100", 100, None, round(UNCOVERED_MONEY + 99 * 0.65, 2), None, "R100", "S1", 1)
    )
    rows.append(("unreadable_date", MARKUP, None, "31.02.2017", None, "12,–", "=1+1", "S1", 1))
    noon = datetime.combine(as_of, time(12))
    return {
        "reason": [row[0] for row in rows],
        "customer_id": [row[1] for row in rows],
        "ordered_at": [None if row[2] is None else noon - timedelta(days=row[2] % 90) for row in rows],
        "ordered_at_text": [row[3] for row in rows],
        "revenue": [row[4] for row in rows],
        "revenue_text": [row[5] for row in rows],
        "currency": ["USD"] * len(rows),
        "order_id": [row[6] for row in rows],
        "sku": [row[7] for row in rows],
        "lines": [row[8] for row in rows],
    }
