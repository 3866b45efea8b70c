"""How figures are written: money, counts, shares and days, the same on every page."""

import math
from datetime import date
from typing import TypeGuard

_SYMBOLS = {"GBP": "£", "USD": "$", "EUR": "€", "JPY": "¥", "CNY": "¥", "INR": "₹", "CHF": "CHF ", "SEK": "SEK "}
_STEPS = ((1e9, "bn"), (1e6, "M"), (1e3, "k"))
MISSING = "–"


def symbol(currency: str) -> str:
    """Return what stands before an amount: a sign where everybody knows it, else the ISO code and a space.

    Examples
    --------
    >>> symbol("GBP"), symbol("PLN"), symbol("")
    ('£', 'PLN ', '')
    """
    if not currency:
        return ""
    return _SYMBOLS.get(currency.upper(), f"{currency.upper()} ")


def money(value: float | None, currency: str, *, short: bool = False) -> str:
    """Write an amount: whole above 1,000, to the cent below; ``short`` gives three figures and a magnitude.

    Examples
    --------
    >>> money(1234567.891, "GBP"), money(12.3, "GBP"), money(1234567.891, "GBP", short=True), money(None, "GBP")
    ('£1,234,568', '£12.30', '£1.23M', '–')
    """
    if not _known(value):
        return MISSING
    sign, size = ("−" if value < 0 else ""), abs(value)
    if short and size >= 10_000:
        return f"{sign}{symbol(currency)}{_short(size)}"
    return f"{sign}{symbol(currency)}{size:,.0f}" if size >= 1000 else f"{sign}{symbol(currency)}{size:,.2f}"


def cents(value: object, currency: str) -> str:
    """Write an exact amount to the cent.

    Examples
    --------
    >>> from decimal import Decimal
    >>> cents(Decimal("9747747.93"), "GBP")
    '£9,747,747.93'
    """
    return MISSING if value is None else f"{symbol(currency)}{value:,.2f}"


def count(value: float | None, *, decimals: int = 0, short: bool = False) -> str:
    """Write a count, or an expected count with decimals.

    Examples
    --------
    >>> count(541909), count(3.14159, decimals=1), count(23_456_789, short=True)
    ('541,909', '3.1', '23.5M')
    """
    if not _known(value):
        return MISSING
    if short and abs(value) >= 10_000_000:
        return _short(value)
    return f"{value:,.{decimals}f}"


def share(value: float | None, *, decimals: int = 0) -> str:
    """Write a share or a probability as per cent; what rounds to 0 or 100 without being it keeps its distance.

    Examples
    --------
    >>> share(0.437), share(0.0004), share(0.9999), share(1.0)
    ('44%', '<1%', '>99%', '100%')
    """
    if not _known(value):
        return MISSING
    nearest = 100 * value
    smallest = 10**-decimals
    if 0 < nearest < smallest:
        return f"<{smallest:g}%"
    if 100 - smallest < nearest < 100:
        return f">{100 - smallest:g}%"
    return f"{nearest:.{decimals}f}%".replace("-", "−")


def days(value: float | None) -> str:
    """Write a span of days.

    Examples
    --------
    >>> days(1), days(23.4)
    ('1 day', '23 days')
    """
    if not _known(value):
        return MISSING
    return f"{value:,.0f} day" + ("" if round(value) == 1 else "s")


def day(value: date | None) -> str:
    """Write a date in one order everywhere, the month as a word.

    Examples
    --------
    >>> day(date(2017, 12, 31))
    '31 Dec 2017'
    """
    return MISSING if value is None else f"{value.day} {value:%b %Y}"


def figure(value: float | None, unit: str, currency: str) -> str:
    """Write a figure of the ``kpis`` table by its unit, short enough for a card.

    Examples
    --------
    >>> figure(2469, "customers", "USD"), figure(0.61, "share", "USD"), figure(3_456_000, "currency", "USD")
    ('2,469', '61%', '$3.46M')
    """
    if unit == "currency":
        return money(value, currency, short=True)
    if unit in {"share", "probability"}:
        return share(value)
    if unit == "days":
        return days(value)
    small = value is not None and abs(value) < 100 and value != round(value)
    return count(value, decimals=1 if small else 0, short=True)


def change(now: float | None, before: float | None, unit: str) -> str:
    """Write how a figure moved: shares in percentage points, all else in per cent; "" where it cannot be said.

    Examples
    --------
    >>> change(110, 100, "customers"), change(0.61, 0.64, "share"), change(5, 0, "orders")
    ('+10.0%', '−3.0 pts', '')
    """
    if not _known(now) or not _known(before):
        return ""
    if unit in {"share", "probability"}:
        moved, written = 100 * (now - before), " pts"
    elif before:
        moved, written = 100 * (now / before - 1), "%"
    else:
        return ""
    if abs(moved) < 0.05:
        return "no change"
    return f"{'+' if moved > 0 else '−'}{abs(moved):,.1f}{written}"


def _short(size: float) -> str:
    for step, letter in _STEPS:
        if abs(size) >= step * 0.9995:
            figures = size / step
            return f"{figures:.{2 if abs(figures) < 9.995 else 1 if abs(figures) < 99.95 else 0}f}{letter}"
    return f"{size:,.0f}"


def _known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)
