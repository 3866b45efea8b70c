"""The closed forms of the models of orders as SQL text: P(alive), orders and silence of a customer alive at T.

A parameter is a number, written into the text, or the name of an argument where it is a customer's own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .quadrature import legendre

if TYPE_CHECKING:
    from .btyd import BTYDModel

# One rule for every customer: 24 nodes a panel, panels no longer than this (see `pareto_nbd_kernels`).
_NODES = 24
_PANEL = 4.0
_NEGLIGIBLE = 38.0
# Nearer to s = 1 than this the integral of a lifetime is taken as a series.
_NEAR_ONE = 1e-4


@dataclass(frozen=True)
class ScoreForm:
    """What the scores of a kind of model are written from.

    Attributes
    ----------
    kind
        nbd, bg_nbd, mbg_nbd or pareto_nbd.
    parameters
        By name a number, or the name of the macros' argument that holds each customer's own.
    horizon
        On the clock that the model counts by.
    discounted
        Length that stands for the horizon where orders are discounted and come at a steady rate.
    reach
        Pareto/NBD: the longest T over the shortest of anybody's alpha and beta.

    Examples
    --------
    >>> form = ScoreForm("nbd", {"r": 0.4, "alpha": "alpha"}, 39.0, 38.0)
    >>> form.own, sorted(form.closed)
    (('alpha',), ['discounted_orders_if_alive', 'no_order_if_alive', 'orders_if_alive'])
    """

    kind: str
    parameters: Mapping[str, float | str]
    horizon: float
    discounted: float
    reach: float = 0.0

    @property
    def own(self) -> tuple[str, ...]:
        """Parameters that are arguments of the macros."""
        return tuple(name for name, value in self.parameters.items() if isinstance(value, str))

    @property
    def steps(self) -> dict[str, str]:
        """What P(alive) is reckoned from, by frequency, recency and age: each is taken once for all its uses."""
        return _pareto_steps(self) if self.kind == "pareto_nbd" else {}

    @property
    def alive(self) -> str:
        """P(alive at T) by frequency, recency, age and the `steps`."""
        if self.kind == "nbd":
            return "1.0::DOUBLE"
        return _pareto_alive(self) if self.kind == "pareto_nbd" else _beta_geometric_alive(self)

    @property
    def closed(self) -> dict[str, str]:
        """What of a customer alive at T has a closed form, by frequency and age."""
        rate = f"({self.text('r')} + frequency) / {_guarded(self.text('alpha') + ' + age')}"
        if self.kind == "pareto_nbd":
            return {"orders_if_alive": f"{rate} * {_lifetime(self)}"}
        silence = (
            f"exp(-({self.text('r')} + frequency) * "
            f"ln(1.0::DOUBLE + {number(self.horizon)} / {_guarded(self.text('alpha') + ' + age')}))"
        )
        if self.kind != "nbd":
            return {"no_order_if_alive": silence}
        return {
            "orders_if_alive": f"{rate} * {number(self.horizon)}",
            "no_order_if_alive": silence,
            "discounted_orders_if_alive": f"{rate} * {number(self.discounted)}",
        }

    def text(self, name: str) -> str:
        """A parameter as SQL."""
        value = self.parameters[name]
        return value if isinstance(value, str) else number(value)


def form_of(model: "BTYDModel", horizon: float, rate: float, oldest: float) -> ScoreForm:
    """A plain model's form, its numbers written in; the horizon on the model's clock, the rate continuous."""
    discounted = horizon if rate == 0 else -math.expm1(-rate * horizon) / rate
    params = model.params_
    nearer = min(params["alpha"], params.get("beta", math.inf))
    return ScoreForm(model.name, dict(params), horizon, discounted, oldest / nearer)


def macro(name: str, arguments: Sequence[str], formula: str) -> str:
    r"""A statement that makes a scalar macro.

    Examples
    --------
    >>> macro("twice", ("x",), "2 * x")
    'CREATE OR REPLACE MACRO twice(x) AS\n  2 * x;'
    """
    return f"CREATE OR REPLACE MACRO {name}({', '.join(arguments)}) AS\n  {formula};"


def number(value: float) -> str:
    """A number as SQL: the very double.

    Examples
    --------
    >>> number(0.1), number(-2)
    ('0.1::DOUBLE', '(-2.0::DOUBLE)')
    """
    if not math.isfinite(value):
        return f"'{float(value)!r}'::DOUBLE"
    return f"{float(value)!r}::DOUBLE" if value >= 0 else f"({float(value)!r}::DOUBLE)"


def text(value: str) -> str:
    """A text as a literal of SQL, quotes doubled.

    Examples
    --------
    >>> print(text("men's"))
    'men''s'
    """
    # a statement ends at a NUL
    quoted = "'" + value.replace("'", "''") + "'"
    return "(" + quoted.replace("\0", "' || chr(0) || '") + ")" if "\0" in value else quoted


def identifier(name: str) -> str:
    r"""A name of a column or macro as SQL, quotes doubled.

    Examples
    --------
    >>> print(identifier('the "club" card'))
    "the ""club"" card"
    """
    return '"' + name.replace('"', '""') + '"'


def comment(words: str) -> str:
    r"""A line of a script that says something; what breaks lines would end it.

    Examples
    --------
    >>> comment("level a\nDROP TABLE orders")
    '-- level a DROP TABLE orders'
    """
    return "-- " + " ".join(words.replace("\0", " ").split())


def _guarded(divisor: str) -> str:
    return f"nullif({divisor}, 0)"


def _beta_geometric_alive(form: ScoreForm) -> str:
    r, alpha, a, b = (form.text(name) for name in ("r", "alpha", "a", "b"))
    value = form.parameters["b"]
    chances = 1.0 if form.kind == "mbg_nbd" else 0.0
    before_last = f"({b} + {number(chances - 1.0)})" if isinstance(value, str) else number(value + chances - 1.0)
    grown = f"ln(({alpha} + age) / {_guarded(f'{alpha} + recency')})"
    left = f"{a} / {_guarded(f'{before_last} + frequency')} * exp(({r} + frequency) * {grown})"
    alive = f"1.0::DOUBLE / (1.0::DOUBLE + {left})"
    return alive if chances else f"CASE WHEN frequency = 0 THEN 1.0::DOUBLE ELSE {alive} END"


def _lifetime(form: ScoreForm) -> str:
    """Expected time alive within the horizon: `pareto_nbd.expected_lifetime`."""
    age, s = f"({form.text('beta')} + age)", form.parameters["s"]
    grown = f"ln(1.0::DOUBLE + {number(form.horizon)} / {_guarded(age[1:-1])})"
    left = f"(1.0::DOUBLE - {s})" if isinstance(s, str) else number(1.0 - s)
    y = f"({left} * {grown})"
    whole = f"{age} * (exp({y}) - 1.0::DOUBLE) / {_guarded(left)}"
    series = f"{age} * {grown} * (1.0::DOUBLE + {y} / 2.0::DOUBLE + {y} * {y} / 6.0::DOUBLE)"
    if isinstance(s, str):
        return f"(CASE WHEN abs({left}) >= {number(_NEAR_ONE)} THEN {whole} ELSE {series} END)"
    return whole if abs(1.0 - s) >= _NEAR_ONE else series


def _panels(form: ScoreForm) -> int:
    """Panels enough for the longest path of anybody."""
    return max(1, math.ceil(math.log1p(form.reach) / _PANEL))


def _pareto_steps(form: ScoreForm) -> dict[str, str]:
    """A panel's width, and by the shorter and the longer of alpha and beta (with recency) what the integrand needs."""
    r, alpha, s, beta = (form.text(name) for name in ("r", "alpha", "s", "beta"))
    falls = (f"({r} + frequency)", f"({s} + 1.0::DOUBLE)")
    at = (f"({alpha} + recency)", f"({beta} + recency)")
    near, far, near_fall, far_fall = _by_nearness(form, at, falls)
    # where the integrand has fallen by e^-38 the rest is nothing
    cuts = [
        f"{time} * (exp(least({number(_NEGLIGIBLE)} / {_guarded(fall)}, 650.0::DOUBLE)) - 1.0::DOUBLE)"
        for time, fall in zip(at, falls, strict=True)
    ]
    length = f"ln(1.0::DOUBLE + least(age - recency, {', '.join(cuts)}) / {_guarded(near)})"
    return {
        "leaving_width": f"{length} / {number(_panels(form))}",
        "leaving_share": f"{near} / {_guarded(far)}",
        "leaving_near": near_fall,
        "leaving_far": far_fall,
    }


def _pareto_alive(form: ScoreForm) -> str:
    """The odds of having left, integrated over when: the integral of `pareto_nbd_kernels.leaving_integral`."""
    r, alpha, s, beta = (form.text(name) for name in ("r", "alpha", "s", "beta"))
    nodes, weights = legendre(_NODES)
    terms = []
    for panel in range(_panels(form)):
        for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True):
            v = f"({number(panel + node)} * leaving_width)"
            rise = f"ln(exp({v}) * leaving_share + (1.0::DOUBLE - leaving_share))"
            terms.append(f"{number(weight)} * exp((1.0::DOUBLE - leaving_near) * {v} - leaving_far * {rise})")
    total = "\n    + ".join(terms)
    at_a, at_b, gone = f"({alpha} + recency)", f"({beta} + recency)", "(age - recency)"
    rate = f"({r} + frequency) * ln(1.0::DOUBLE + {gone} / {_guarded(at_a)})"
    grown = f"exp({rate} + {s} * ln(1.0::DOUBLE + {gone} / {_guarded(at_b)}))"
    # beyond so many panels the sum is no integral: no score
    within = f"CASE WHEN leaving_width <= {number(_PANEL + 1e-9)} THEN 1.0::DOUBLE END"
    scale = f"least({at_a}, {at_b}) / {_guarded(at_b)}"
    return f"{within} / (1.0::DOUBLE + {s} * {grown} * leaving_width * {scale} * (\n    {total}))"


def _by_nearness(form: ScoreForm, at: tuple[str, str], falls: tuple[str, str]) -> tuple[str, str, str, str]:
    """The shorter and the longer of alpha and beta (with recency), and the exponents that go with them."""
    alpha, beta = form.parameters["alpha"], form.parameters["beta"]
    if not isinstance(alpha, str) and not isinstance(beta, str):
        pairs = list(zip(at, falls, strict=True))
        (near, on_near), (far, on_far) = pairs if alpha <= beta else pairs[::-1]
        return near, far, on_near, on_far
    # arithmetic and no CASE, which DuckDB would reckon anew at every node
    turned = f"CAST({form.text('alpha')} > {form.text('beta')} AS DOUBLE)"
    on_near, on_far = (
        f"({first} * (1.0::DOUBLE - {turned}) + {second} * {turned})" for first, second in (falls, falls[::-1])
    )
    return f"least({at[0]}, {at[1]})", f"greatest({at[0]}, {at[1]})", on_near, on_far
