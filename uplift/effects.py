"""What fitting an experiment leaves: effects of each arm for any customer, what they are worth, and a saved folder.

A saved meta-learner is text (``effects.json`` and trees), and predicts with LightGBM alone. A forest, or an estimator
that was handed in, is saved by pickle. Reading a pickle runs what is in it: load such a folder only where you trust
whoever could write it as you trust your own code. The hash in ``effects.json`` is checked before anything is unpickled;
it tells damage from what was saved, it does not tell friend from foe.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..sql.durability import canonical_json, replace_text, sync_folder
from ..sql.errors import ModelError, nearest
from ..sql.findings import Finding
from ..sql.threads import usable_threads
from .arguments import whole_number
from .boosters import BoostedEffects, Model, from_dict, to_dict
from .design import unit_interval
from .estimators import EstimatorEffects
from .experiment import Experiment, OutcomeKind
from .features import FeatureEncoder
from .scores import net_effects

FORMAT = "regulars effects"
# Raised by one when a field changes its meaning; folders of every earlier version stay readable.
FORMAT_VERSION = 1
DOCUMENT = "effects.json"


@dataclass(frozen=True, eq=False)
class Effects:
    """Fitted effects of each arm against control; made by `learners.fit_effects`.

    Attributes
    ----------
    experiment : Experiment
        What they were learnt from.
    learner : str
        Name of the learner, or class of the estimator that was handed in.
    arm_names : tuple of str
        Control first; k more.
    outcome_kind : str
        Binary, count, revenue or number.
    encoder : FeatureEncoder
        Which columns a frame must have, and how they become numbers.
    cost : ndarray of shape (k,)
        Cost of treating one customer with each arm, in money; may be negative.
    value : float
        Worth of one unit of the outcome, in money.
    findings : tuple of Finding
        What preflight and the fit saw, overridden ones included.
    seed : int
    customers : int
        Customers learnt from.
    model : BoostedEffects or EstimatorEffects
        Predicts effects from encoded features.
    response_model : ConstantModel, BoostedModel or TwoPartModel
        Predicts the outcome of a treated customer from encoded features.
    learnt_from : ndarray of shape (customers,), or None
        Customers learnt from, as sorted places of `design.unit_interval`: an evaluation refuses a holdout with any of
        them. None where the frame had no ids.
    threads : int
        Threads of predictions; they do not change a bit of them, and are not saved.

    Examples
    --------
    >>> import tempfile
    >>> from regulars.uplift.learners import fit_effects
    >>> from regulars.uplift.simulate import simulate
    >>> drawn = simulate("linear", 2000, seed=1).frame()
    >>> exp = Experiment(treatment="arm", outcome="outcome", control="control")
    >>> effects = fit_effects(exp, drawn, "t", cost=0.1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     effects.save(folder)
    ...     again = Effects.load(folder)
    >>> again.model_version == effects.model_version, (again.net(drawn) == effects.net(drawn)).all().item()
    (True, True)
    """

    experiment: Experiment
    learner: str
    arm_names: tuple[str, ...]
    outcome_kind: OutcomeKind
    encoder: FeatureEncoder = field(repr=False)
    cost: np.ndarray
    value: float
    findings: tuple[Finding, ...] = field(repr=False)
    seed: int
    customers: int
    model: BoostedEffects | EstimatorEffects = field(repr=False)
    response_model: Model = field(repr=False)
    learnt_from: np.ndarray | None = field(default=None, repr=False)
    threads: int = field(default=1, repr=False)

    def predict(self, frame: Any) -> np.ndarray:
        """Return the expected effect of each arm on each customer, (n, k), in outcome units.

        A level of a text feature that the fit did not see counts as none of those it saw; a missing number counts as
        the median.

        Raises
        ------
        ContractError
            Where a feature is missing or of another kind than at the fit.
        ModelError
            Where a feature is infinite, or an effect is not a finite number.
        """
        features = self.encoder.encode(frame)
        k = len(self.arm_names) - 1
        effects = self.model.predict(features, self.threads) if len(features) else np.zeros((0, k))
        if effects.shape != (len(features), k) or not np.isfinite(effects).all():
            raise ModelError(
                f"learner {self.learner!r} returned effects of shape {effects.shape}, "
                f"{int((~np.isfinite(effects)).sum())} of them not finite; {len(features)} customers and {k} arms "
                f"need finite ({len(features)}, {k})."
            )
        return effects

    def response(self, frame: Any) -> np.ndarray:
        """Return the expected outcome of each customer if treated, (n,), in outcome units: no effect, a plain response.

        Learnt from treated customers alone, of all arms together. Errors as of `predict`.
        """
        return self.response_model.predict(self.encoder.encode(frame), self.threads)

    def net(self, frame: Any) -> np.ndarray:
        """Return ``value * effect - cost``, (n, k), in money: what treating each customer with each arm is worth.

        Errors as of `predict`.
        """
        return net_effects(self.predict(frame), value=self.value, cost=self.cost)

    def seen(self, units: np.ndarray) -> np.ndarray:
        """Return whether the effects were learnt from each unit, (n,); none where the fit knew no ids."""
        if self.learnt_from is None:
            return np.zeros(len(units), dtype=np.bool_)
        return np.isin(places_of(units), self.learnt_from)

    def with_economics(
        self, *, cost: float | Mapping[str, float] | None = None, value: float | None = None
    ) -> "Effects":
        """Return the same effects at another cost or value; nothing is fitted.

        Raises
        ------
        ModelError
            As of `learners.fit_effects`.
        """
        return replace(
            self,
            cost=self.cost if cost is None else costs_of(cost, self.arm_names),
            value=self.value if value is None else checked_value(value),
        )

    @cached_property
    def model_version(self) -> str:
        """Learner, fingerprint and package version, as ``uplift_scores`` carries them."""
        document, _ = self._document()
        return f"{self.learner}:{_digest(canonical_json(document))[:12]}, regulars {__version__}"

    def save(self, folder: str | Path) -> None:
        """Write the effects into a folder; a reader sees the old ones or the new ones, never a part.

        Raises
        ------
        ModelError
            Where the folder cannot be written, or an estimator that was handed in cannot be pickled.
        """
        document, files = self._document()
        document["sha256"] = _digest(canonical_json(document))
        target = Path(folder)
        try:
            target.mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                (target / name).write_bytes(content)
            sync_folder(target)
            # names carry their content's hash, so the old document's files stand until the new one does
            replace_text(target / DOCUMENT, canonical_json(document))
            for stale in (*target.glob("trees-*.txt"), *target.glob("estimator-*.pickle"), *target.glob("units-*.f8")):
                if stale.name not in files:
                    stale.unlink()
        except OSError as error:
            raise ModelError(
                f"cannot write the effects to {target}: {error.strerror or error}; name a folder you can write"
            ) from error

    @classmethod
    def load(cls, folder: str | Path, *, threads: int | None = None) -> "Effects":
        """Read what `save` wrote; meta-learners need neither causalml nor econml.

        Forests and estimators that were handed in are unpickled, after their hash was checked: load them only from
        folders that nobody could write whose code you would not run.

        Raises
        ------
        ModelError
            Where ``threads`` is below 1, the folder holds no effects, a part is missing or damaged, it was written by a
            newer format, or an estimator was saved by another version of its library.
        MissingExtraError
            Where the library of an estimator is not installed.
        """
        workers = usable_threads(None if threads is None else whole_number("threads", threads, 1))
        source = Path(folder)
        document = _read_document(source)
        names: Mapping[str, str] = document["files"]

        def content(name: str) -> bytes:
            return _checked_content(source, name, names)

        def text(name: str) -> str:
            return content(name).decode()

        try:
            return cls(
                experiment=Experiment(**document["experiment"]),
                learner=document["learner"],
                arm_names=tuple(document["arm_names"]),
                outcome_kind=document["outcome_kind"],
                encoder=FeatureEncoder.from_dict(document["encoder"]),
                cost=np.array(document["cost"], dtype=np.float64),
                value=float(document["value"]),
                findings=tuple(Finding(**row) for row in document["findings"]),
                seed=int(document["seed"]),
                customers=int(document["customers"]),
                model=_model_from(document["model"], content, text),
                response_model=from_dict(document["response_model"], text),
                learnt_from=np.frombuffer(content(units), "<f8") if (units := document.get("learnt_from")) else None,
                threads=workers,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"{source / DOCUMENT} is incomplete ({type(error).__name__}: {error}); fit the effects again"
            ) from error

    def _document(self) -> tuple[dict[str, Any], dict[str, bytes]]:
        files: dict[str, bytes] = {}

        def keep(content: bytes, kind: str, ending: str) -> str:
            name = f"{kind}-{hashlib.sha256(content).hexdigest()[:16]}.{ending}"
            files[name] = content
            return name

        def keep_text(text: str) -> str:
            return keep(text.encode(), "trees", "txt")

        if isinstance(self.model, BoostedEffects):
            arms = [[to_dict(model, keep_text) for model in models] for models in self.model.arms]
            model: dict[str, Any] = {"form": self.model.form, "arms": arms}
        else:
            content, described = self.model.to_saved()
            model = {"estimator": keep(content, "estimator", "pickle"), **described}
        document = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "regulars_version": __version__,
            "experiment": _plain(asdict(self.experiment)),
            "learner": self.learner,
            "arm_names": list(self.arm_names),
            "outcome_kind": self.outcome_kind,
            "encoder": self.encoder.to_dict(),
            "cost": self.cost.tolist(),
            "value": self.value,
            "findings": [asdict(finding) for finding in self.findings],
            "seed": self.seed,
            "customers": self.customers,
            "model": model,
            "response_model": to_dict(self.response_model, keep_text),
        }
        if self.learnt_from is not None:
            document["learnt_from"] = keep(self.learnt_from.astype("<f8").tobytes(), "units", "f8")
        document["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
        return document, files


def places_of(units: np.ndarray) -> np.ndarray:
    """Return what `Effects.learnt_from` keeps of each unit, (n,): its place on the unit interval, not its id."""
    return unit_interval(units.tolist(), "learnt from")


def costs_of(cost: float | Mapping[str, float], arm_names: tuple[str, ...]) -> np.ndarray:
    """Return the cost of each arm beside control, (k,).

    Raises
    ------
    ModelError
        Where a mapping lacks an arm or names an unknown one, or a cost is not a finite number.

    Examples
    --------
    >>> costs_of({"mail": 0.5, "voucher": -1.0}, ("no", "mail", "voucher")).tolist()
    [0.5, -1.0]
    """
    arms = arm_names[1:]
    if isinstance(cost, Mapping):
        given = {str(arm): price for arm, price in cost.items()}
        unknown = [arm for arm in given if arm not in arms]
        if unknown:
            raise ModelError(
                f"cost names {unknown[0]!r}{nearest(unknown[0], list(arms))}; the arms beside control are {list(arms)}."
            )
        absent = [arm for arm in arms if arm not in given]
        if absent:
            raise ModelError(f"cost lacks {absent}; give the cost of every arm beside control, 0 where it has none.")
        prices = [given[arm] for arm in arms]
    else:
        prices = [cost] * len(arms)
    for arm, price in zip(arms, prices, strict=True):
        if not _is_finite(price):
            raise ModelError(f"cost of {arm!r} is {price!r}; it must be a finite number, money per customer treated.")
    return np.array(prices, dtype=np.float64)


def checked_value(value: float) -> float:
    """Return the worth of a unit of outcome, or raise a ModelError where it is no finite number."""
    if not _is_finite(value):
        raise ModelError(f"value is {value!r}; it must be a finite number: money per unit of outcome.")
    return float(value)


def _is_finite(number: object) -> bool:
    try:
        return math.isfinite(number)  # pyright: ignore[reportArgumentType]
    except TypeError:
        return False


def _model_from(
    saved: Mapping[str, Any], content: Callable[[str], bytes], text: Callable[[str], str]
) -> BoostedEffects | EstimatorEffects:
    if "estimator" in saved:
        return EstimatorEffects.from_saved(saved, lambda: content(saved["estimator"]))
    return BoostedEffects(
        saved["form"], tuple(tuple(from_dict(model, text) for model in models) for models in saved["arms"])
    )


def _read_document(source: Path) -> dict[str, Any]:
    path = source / DOCUMENT
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"cannot read the effects {path}: {error.strerror or error}; fit them and save them with save(folder)"
        ) from error
    except ValueError as error:
        raise ModelError(f"{path} is no JSON file ({error}); fit the effects again and save them") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ModelError(f"{path} is JSON but no saved effects: its 'format' must be {FORMAT!r}")
    version = document.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ModelError(f"{path}: format_version is {version!r}; it must be a whole number from 1")
    if version > FORMAT_VERSION:
        raise ModelError(
            f"{path} has format {version} (by {document.get('regulars_version')}); this regulars {__version__} reads "
            f"formats up to {FORMAT_VERSION}: upgrade regulars, or fit the effects again here"
        )
    claimed = document.pop("sha256", None)
    if claimed != _digest(canonical_json(document)):
        raise ModelError(f"{path} is not as it was saved: its sha256 does not fit; fit the effects again")
    return document


def _checked_content(source: Path, name: str, files: Mapping[str, str]) -> bytes:
    if name not in files or Path(name).name != name:
        raise ModelError(f"{source / DOCUMENT} names the part {name!r} but not its sha256; fit the effects again")
    try:
        content = (source / name).read_bytes()
    except OSError as error:
        raise ModelError(
            f"cannot read {source / name}: {error.strerror or error}; restore the folder or fit the effects again"
        ) from error
    if hashlib.sha256(content).hexdigest() != files[name]:
        raise ModelError(f"{source / name} is not as it was saved: its sha256 does not fit; fit the effects again")
    return content


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
