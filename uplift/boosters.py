"""Fitted boosted trees as text, and the effects they add up to: what is kept of a meta-learner once it is fitted.

Nothing here imports causalml, econml or scikit-learn; LightGBM is imported where trees first predict.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from ..sql.errors import MissingExtraError, ModelError

Form = Literal["s", "t", "x", "mean"]
# fewer rows are predicted faster by one thread than by several that wait for one another
FEW_ROWS = 100_000


@dataclass(frozen=True)
class ConstantModel:
    """The same ``value`` for everyone."""

    value: float

    def predict(self, features: np.ndarray, threads: int = 1) -> np.ndarray:
        """Return it for each row, (n,)."""
        del threads
        return np.full(len(features), self.value)


@dataclass(frozen=True)
class BoostedModel:
    """Boosted trees by their LightGBM ``text``."""

    text: str = field(repr=False)

    @cached_property
    def _booster(self) -> Any:
        try:
            from lightgbm import Booster
        except ImportError as missing:
            raise MissingExtraError(
                "lightgbm is not installed and the model is boosted trees: pip install 'regulars[uplift]'."
            ) from missing
        return Booster(model_str=self.text)

    def predict(self, features: np.ndarray, threads: int = 1) -> np.ndarray:
        """Return the trees' prediction of each row, (n,)."""
        if not len(features):
            return np.zeros(0)
        if len(features) < FEW_ROWS:
            threads = 1
        return np.asarray(self._booster.predict(features, num_threads=threads), dtype=np.float64)


@dataclass(frozen=True)
class TwoPartModel:
    """Expected revenue: the ``probability`` of a purchase times the expected ``amount`` of one."""

    probability: "Model"
    amount: "Model"

    def predict(self, features: np.ndarray, threads: int = 1) -> np.ndarray:
        """Return the product for each row, (n,)."""
        return self.probability.predict(features, threads) * self.amount.predict(features, threads)


Model = ConstantModel | BoostedModel | TwoPartModel


@dataclass(frozen=True)
class BoostedEffects:
    """Effects of each arm as a sum of fitted models.

    Attributes
    ----------
    form : {"s", "t", "x", "mean"}
        What an arm's models are, and its effect: ``s`` (f,): ``f(1, x) - f(0, x)``; ``t`` (treated, control): their
        difference; ``x`` (from control, from treated, weight e): ``e * first + (1 - e) * second``; ``mean``: the mean
        of them all (R- and DR-learners).
    arms : tuple of tuple of Model
        Of each arm beside control.
    """

    form: Form
    arms: tuple[tuple[Model, ...], ...]

    def predict(self, features: np.ndarray, threads: int = 1) -> np.ndarray:
        """Return the effects, (n, k), in outcome units."""
        seen: dict[int, np.ndarray] = {}

        def once(model: Model) -> np.ndarray:
            # arms share the control's model
            if id(model) not in seen:
                seen[id(model)] = model.predict(features, threads)
            return seen[id(model)]

        return np.column_stack([self._effect(models, features, once, threads) for models in self.arms])

    def _effect(
        self, models: tuple[Model, ...], features: np.ndarray, once: Callable[[Model], np.ndarray], threads: int
    ) -> np.ndarray:
        if self.form == "s":
            with_it, without = (
                models[0].predict(np.column_stack([np.full(len(features), given), features]), threads)
                for given in (1.0, 0.0)
            )
            return with_it - without
        if self.form == "t":
            return once(models[0]) - once(models[1])
        if self.form == "x":
            weight = np.clip(once(models[2]), 0.0, 1.0)
            return weight * once(models[0]) + (1.0 - weight) * once(models[1])
        return np.mean([once(model) for model in models], axis=0)


def extract(estimator: Any) -> Model:
    """Return what a fitted LightGBM or `TwoPartRegressor` estimator predicts with, and nothing else of it."""
    if hasattr(estimator, "probability_"):
        amount = estimator.amount_
        return TwoPartModel(
            extract(estimator.probability_), ConstantModel(amount) if isinstance(amount, float) else extract(amount)
        )
    text = estimator.booster_.model_to_string()
    # trees are the same at any number of threads, so their text must not name it
    return BoostedModel("\n".join(line for line in text.split("\n") if not line.startswith("[num_threads:")))


def to_dict(model: Model, keep: Callable[[str], str]) -> dict[str, Any]:
    """Return a model as plain values; ``keep`` takes a text and returns the name that stands for it."""
    if isinstance(model, ConstantModel):
        return {"constant": model.value}
    if isinstance(model, BoostedModel):
        return {"trees": keep(model.text)}
    return {"probability": to_dict(model.probability, keep), "amount": to_dict(model.amount, keep)}


def from_dict(saved: Mapping[str, Any], read: Callable[[str], str]) -> Model:
    """Return the model that `to_dict` wrote; ``read`` takes a name and returns its text.

    Raises
    ------
    ModelError
        Where it is none.
    """
    if "constant" in saved:
        return ConstantModel(float(saved["constant"]))
    if "trees" in saved:
        return BoostedModel(read(saved["trees"]))
    if "probability" in saved:
        return TwoPartModel(from_dict(saved["probability"], read), from_dict(saved["amount"], read))
    raise ModelError(f"a saved model has {sorted(saved)}; it must have 'constant', 'trees' or 'probability'.")
