"""Estimators of causalml and econml behind one method: forests, and whatever was handed in."""

import logging
import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module, metadata
from typing import Any

import numpy as np

from ..sql.errors import MissingExtraError, ModelError
from .experiment import OutcomeKind

LIBRARIES = ("causalml", "econml")
TREES_OF_A_FOREST = 100
# what estimators say when they were given something that they cannot take
_REFUSALS = (ValueError, TypeError, AttributeError, KeyError, IndexError, AssertionError, NotImplementedError)


@dataclass(frozen=True)
class Sample:
    """Whom effects are learnt from: ``features`` (n, p), ``arm`` (n,), ``outcome`` (n,), ``propensity`` (n, k + 1)."""

    features: np.ndarray
    arm: np.ndarray
    outcome: np.ndarray
    propensity: np.ndarray

    @property
    def n_arms(self) -> int:
        """Arms with control."""
        return self.propensity.shape[1]

    @property
    def same_chances(self) -> bool:
        """Whether everyone had the same chance of each arm."""
        return bool(np.ptp(self.propensity, axis=0).max() < 1e-9)

    def against_control(self) -> dict[int, np.ndarray]:
        """Return, by arm, each customer's probability of it among those who got it or nothing, (n,)."""
        control = self.propensity[:, 0]
        return {a: self.propensity[:, a] / (control + self.propensity[:, a]) for a in range(1, self.n_arms)}


@dataclass(frozen=True)
class EstimatorEffects:
    """Effects by a fitted estimator of causalml or econml.

    Attributes
    ----------
    estimator : object
        The estimator.
    arm_names : tuple of str
        Control first.
    shares : tuple of float
        Of each arm beside control among those who got it or nothing: what an X-learner weighs new customers with.
    libraries : mapping of str to str
        Versions of what a saved estimator needs.
    """

    estimator: Any = field(repr=False)
    arm_names: tuple[str, ...]
    shares: tuple[float, ...]
    libraries: Mapping[str, str]
    content: bytes | None = field(default=None, repr=False, compare=False)

    def predict(self, features: np.ndarray, threads: int = 1) -> np.ndarray:
        """Return the effects, (n, k), in outcome units.

        Raises
        ------
        ModelError
            Where the estimator refuses the features, or its arms are not those of the experiment.
        """
        del threads  # an estimator keeps its own
        try:
            with third_party_noise():
                effects = self._predict(features)
        except _REFUSALS as error:
            raise ModelError(
                f"{type(self.estimator).__name__} cannot predict {features.shape[1]} features of {len(features)} "
                f"customers: {error}. A fitted estimator must have been fitted on exp.read(frame).features."
            ) from error
        in_order = np.empty_like(effects)
        in_order[:, [self._column(label) for label in self._labels(effects.shape[1])]] = effects
        return in_order

    def _predict(self, features: np.ndarray) -> np.ndarray:
        if library_of(self.estimator) == "econml":
            if hasattr(self.estimator, "const_marginal_effect"):
                found = self.estimator.const_marginal_effect(X=features)
            else:
                found = np.column_stack(
                    [np.ravel(self.estimator.effect(X=features, T0=0, T1=a)) for a in range(1, len(self.arm_names))]
                )
            return np.asarray(found, dtype=np.float64).reshape(len(features), -1)
        if hasattr(self.estimator, "t_groups"):
            chances = {
                group: np.full(len(features), self.shares[self._column(group)]) for group in self.estimator.t_groups
            }
            found = self.estimator.predict(X=features, p=chances)
        else:
            found = self.estimator.predict(X=features)
        found = np.asarray(found, dtype=np.float64).reshape(len(features), -1)
        # an uplift tree gives the probability under each arm, control first
        return found[:, 1:] - found[:, :1] if found.shape[1] == len(self.arm_names) else found

    def _labels(self, columns: int) -> Sequence[Any]:
        """Return what the estimator calls the arm of each column."""
        if hasattr(self.estimator, "t_groups"):
            return list(self.estimator.t_groups)
        if library_of(self.estimator) == "causalml" and hasattr(self.estimator, "classes_"):
            return list(self.estimator.classes_)[1:]
        transformer: Any = getattr(self.estimator, "transformer", None)
        if getattr(transformer, "categories_", None) is not None:
            control, *others = transformer.categories_[0]
            if self._arm(control) != 0:
                raise ModelError(
                    f"{type(self.estimator).__name__} compares with {control!r}, the control is {self.arm_names[0]!r}; "
                    "fit it with arms as 0 (control), 1, ..."
                )
            return others
        return range(1, columns + 1)

    def _arm(self, label: Any) -> int:
        if str(label) in self.arm_names:
            return self.arm_names.index(str(label))
        try:
            code = int(label)
        except (TypeError, ValueError):
            code = -1
        if 0 <= code < len(self.arm_names):
            return code
        raise ModelError(
            f"{type(self.estimator).__name__} has the arm {label!r}; the experiment's are {list(self.arm_names)}, "
            f"or 0 to {len(self.arm_names) - 1} in that order."
        )

    def _column(self, label: Any) -> int:
        return self._arm(label) - 1

    @cached_property
    def _pickled(self) -> bytes:
        try:
            return self.content or pickle.dumps(self.estimator, protocol=5)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise ModelError(
                f"{type(self.estimator).__name__} cannot be saved: {error}. Give it parts that pickle, no lambdas."
            ) from error

    def to_saved(self) -> tuple[bytes, dict[str, Any]]:
        """Return the pickle, and what else `from_saved` reads."""
        return self._pickled, {
            "arm_names": list(self.arm_names),
            "shares": list(self.shares),
            "libraries": dict(sorted(self.libraries.items())),
        }

    @classmethod
    def from_saved(cls, saved: Mapping[str, Any], read: Callable[[], bytes]) -> "EstimatorEffects":
        """Return the effects that were saved; ``read`` returns a pickle whose hash it has checked.

        Raises
        ------
        MissingExtraError
            Where a library is not installed.
        ModelError
            Where it is there in another version, for which a pickle is not made, or the pickle cannot be read.
        """
        _require_versions(saved["libraries"])
        content = read()
        try:
            with third_party_noise():
                # the caller has checked its hash; `Effects.load` says whose folders to trust
                estimator = pickle.loads(content)  # noqa: S301
        except (pickle.UnpicklingError, ImportError, *_REFUSALS) as error:
            raise ModelError(f"the saved estimator cannot be read ({error}); fit the effects again") from error
        return cls(estimator, tuple(saved["arm_names"]), tuple(saved["shares"]), dict(saved["libraries"]), content)


# ---- fits -----------------------------------------------------------------------------------------------------------


def fit_estimator(estimator: Any, sample: Sample, arm_names: tuple[str, ...]) -> EstimatorEffects:
    """Return effects by an estimator of causalml or econml; one that is not fitted is copied and fitted first.

    Raises
    ------
    ModelError
        Where it needs an instrument, does not take several arms, or refuses the data.
    """
    if ".iv" in type(estimator).__module__ or hasattr(estimator, "model_z_xw"):
        raise ModelError(
            f"{type(estimator).__name__} needs an instrument; experiments have none. Take another learner."
        )
    if not (hasattr(estimator, "predict") or hasattr(estimator, "effect")):
        raise ModelError(
            f"{type(estimator).__name__} predicts no effect of a customer (it has neither predict nor effect); take "
            "another learner."
        )
    if not is_fitted(estimator):
        estimator = _fit_copy(estimator, sample, arm_names)
    return _wrapped(estimator, sample, arm_names)


def fit_forest(
    learner: str, sample: Sample, bases: Any, arm_names: tuple[str, ...], outcome_kind: OutcomeKind, seed: int
) -> EstimatorEffects:
    """Return effects by a causal forest (econml) or an uplift forest (causalml), on one thread.

    Raises
    ------
    ModelError
        Where an uplift forest is asked for an outcome that is not 0/1.
    MissingExtraError
        Where the library is not installed.
    """
    if learner == "causal_forest":
        return _wrapped(_causal_forest(sample, bases, seed), sample, arm_names)
    if outcome_kind != "binary":
        raise ModelError(
            f"the outcome is of kind {outcome_kind!r}; an uplift forest learns 0/1 only. Take causal_forest, or make "
            "the outcome 'ordered or not'."
        )
    return _wrapped(_uplift_forest(sample, seed), sample, arm_names)


def _causal_forest(sample: Sample, bases: Any, seed: int) -> Any:
    from sklearn.dummy import DummyClassifier

    from .outcomes import boosted_classifier, fresh

    forest = library("econml.dml").CausalForestDML(
        model_y=fresh(bases.outcome),
        # a known chance that is the same for all is not to be learnt from features
        model_t=DummyClassifier(strategy="prior") if sample.same_chances else boosted_classifier(bases.effect),
        discrete_treatment=True,
        n_estimators=TREES_OF_A_FOREST,
        min_samples_leaf=max(5, min(50, len(sample.arm) // 200)),
        # neither its intervals nor its average effect are asked for
        inference=False,
        drate=False,
        n_jobs=1,
        random_state=seed,
    )
    with third_party_noise():
        return forest.fit(Y=sample.outcome, T=sample.arm, X=sample.features, W=None)


def _uplift_forest(sample: Sample, seed: int) -> Any:
    smallest = int(np.bincount(sample.arm).min())
    forest = library("causalml.inference.tree").UpliftRandomForestClassifier(
        control_name=0,
        n_estimators=TREES_OF_A_FOREST,
        max_depth=5,
        min_samples_leaf=max(10, min(200, smallest // 10)),
        min_samples_treatment=max(5, min(50, smallest // 40)),
        random_state=seed,
        n_jobs=1,
    )
    # where chances differ, each customer stands for those of his arm who were not given it
    own = sample.propensity[np.arange(len(sample.arm)), sample.arm]
    weight = None if sample.same_chances else 1.0 / own
    with third_party_noise():
        return forest.fit(
            X=sample.features, treatment=sample.arm, y=sample.outcome.astype(np.int64), sample_weight=weight
        )


def _fit_copy(estimator: Any, sample: Sample, arm_names: tuple[str, ...]) -> Any:
    copied = deepcopy(estimator)
    name = type(estimator).__name__
    if library_of(estimator) == "econml":
        if sample.n_arms > 2 and not getattr(estimator, "discrete_treatment", True):
            raise ModelError(f"{name} takes arms as amounts; make it with discrete_treatment=True for several arms.")
        given: dict[str, Any] = {"Y": sample.outcome, "T": sample.arm, "X": sample.features}
    else:
        given = {"X": sample.features, "treatment": _labels_for(copied, sample.arm, arm_names), "y": sample.outcome}
        if hasattr(copied, "cv_n_jobs"):
            copied.cv_n_jobs = 1  # its default starts a process per core for seconds of work
        if "p" in _arguments(copied.fit):
            labels = sorted(set(given["treatment"].tolist()) - {given["treatment"][sample.arm == 0][0].item()})
            chances = sample.against_control()
            position = {label: int(sample.arm[given["treatment"] == label][0]) for label in labels}
            given["p"] = {label: chances[position[label]] for label in labels}
    try:
        with third_party_noise():
            copied.fit(**given)
    except _REFUSALS as error:
        raise ModelError(f"{name} cannot be fitted to this experiment: {error}") from error
    return copied


def _labels_for(estimator: Any, arm: np.ndarray, arm_names: tuple[str, ...]) -> np.ndarray:
    control = getattr(estimator, "control_name", 0)
    if isinstance(control, str):
        if control != arm_names[0]:
            raise ModelError(
                f"{type(estimator).__name__} has control_name {control!r}; the experiment's control is "
                f"{arm_names[0]!r}. Give it that name, or 0."
            )
        return np.array(arm_names)[arm]
    if control != 0:
        raise ModelError(f"{type(estimator).__name__} has control_name {control!r}; it must be 0 or {arm_names[0]!r}.")
    return arm


def _wrapped(estimator: Any, sample: Sample, arm_names: tuple[str, ...]) -> EstimatorEffects:
    shares = tuple(float(chance.mean()) for chance in sample.against_control().values())
    needed = (library_of(estimator), "scikit-learn", "numpy")
    return EstimatorEffects(estimator, arm_names, shares, {name: metadata.version(name) for name in needed})


def _arguments(method: Callable[..., Any]) -> set[str]:
    from inspect import signature

    return set(signature(method).parameters)


# ---- libraries ------------------------------------------------------------------------------------------------------


def is_estimator(value: Any) -> bool:
    """Return whether a value is an estimator of causalml or econml, or of a class made from one."""
    return library_of(value) in LIBRARIES


def library_of(value: Any) -> str:
    """Return the library that an estimator's class, or the nearest it is made from, comes from; '' for none of ours."""
    roots = (parent.__module__.split(".")[0] for parent in type(value).__mro__)
    return next((root for root in roots if root in LIBRARIES), "")


def is_fitted(estimator: Any) -> bool:
    """Return whether an estimator has been fitted."""
    learnt = ("t_groups", "tree_", "estimators_", "_d_t", "_cached_values_")
    return any(name in vars(estimator) for name in learnt)


def library(module: str) -> Any:
    """Import a module of causalml or econml, its noise left out.

    Raises
    ------
    MissingExtraError
        Where it is not installed.
    """
    # forestci, which causalml imports, logs as an error that an optional package of its own is missing
    citations = logging.getLogger("duecredit")
    was_disabled, citations.disabled = citations.disabled, True
    try:
        with third_party_noise():
            return import_module(module)
    except ImportError as missing:
        raise MissingExtraError(
            f"{module.split('.')[0]} is not installed; it comes with the uplift extra: pip install 'regulars[uplift]'."
        ) from missing
    finally:
        citations.disabled = was_disabled


@contextmanager
def third_party_noise() -> Iterator[None]:
    """Leave out warnings that libraries cause in one another, and that nobody here can act on."""
    with warnings.catch_warnings():
        # shap, which causalml and econml import, uses what matplotlib is about to drop
        warnings.filterwarnings("ignore", r"The set_(bad|over|under) function", PendingDeprecationWarning)
        yield


def _require_versions(libraries: Mapping[str, str]) -> None:
    for name, version in libraries.items():
        try:
            here = metadata.version(name)
        except metadata.PackageNotFoundError as missing:
            raise MissingExtraError(
                f"these effects need {name} {version}, which is not installed: pip install 'regulars[uplift]'."
            ) from missing
        if here != version:
            raise ModelError(
                f"these effects were saved with {name} {version} and {name} {here} is installed; a pickled estimator "
                f"is read by the same version only. Install {name}=={version}, or fit the effects again."
            )
