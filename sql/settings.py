"""What ``regulars.toml`` may say, with the environment (``REGULARS_BUILD__THREADS``) able to override it."""

import hashlib
import json
import os
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal, Self, get_args, get_origin
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from .app_settings import AppSettings, in_clear
from .campaign_settings import LIST_KEYS, OFFER_LIST_KEYS, CampaignName, CampaignSettings
from .churn_settings import ChurnSettings
from .contract import SECTIONS
from .errors import SettingsError, nearest
from .pricing_settings import MarkdownSettings, PricingSettings, identity_of

TimeUnit = Literal["hour", "day", "week", "month"]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]

# Options of DuckDB's CSV reader that change how a file is read, never how many of its lines.
CSV_OPTIONS = (
    "all_varchar",
    "allow_quoted_nulls",
    "comment",
    "compression",
    "dateformat",
    "decimal_separator",
    "delim",
    "encoding",
    "escape",
    "header",
    "max_line_size",
    "names",
    "new_line",
    "null_padding",
    "nullstr",
    "quote",
    "sep",
    "skip",
    "strict_mode",
    "thousands",
    "timestampformat",
    "types",
)

# Not part of a run's identity: where things lie and what they may use, not what comes out.
_WHEREABOUTS = {"build": {"warehouse", "keep_runs", "threads", "memory_limit"}}
_SURFACES = {"app"}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceSettings(_Section):
    """Where one input table comes from: ``[orders]``, ``[products]``, ...

    ``path`` is a file, glob, folder, remote address or ``package:name/path``, or a list of such; relative ones start
    at the folder of the settings file. ``columns`` maps a contract column to a column of the file or to a SQL
    expression over its columns in DuckDB's dialect.
    """

    path: str | tuple[str, ...]
    format: Literal["parquet", "csv"] | None = None
    csv: dict[str, Any] = Field(default_factory=dict)
    hive_partitioning: bool | None = None
    columns: dict[str, str] = Field(default_factory=dict)

    @property
    def paths(self) -> tuple[str, ...]:
        """The path, or each of them."""
        return (self.path,) if isinstance(self.path, str) else self.path

    @field_validator("path", mode="before")
    @classmethod
    def _not_empty(cls, path: Any) -> str | tuple[str, ...]:
        parts = [
            str(part) for part in (path if isinstance(path, list | tuple) else [path]) if isinstance(part, str | Path)
        ]
        said = len(path) if isinstance(path, list | tuple) else 1
        if not parts or len(parts) < said or not all(part.strip() for part in parts):
            raise ValueError("a file, glob, folder, remote address or 'package:name/path' in quotes, or a list of such")
        return tuple(parts) if isinstance(path, list | tuple) else parts[0]

    @field_validator("csv")
    @classmethod
    def _known_options(cls, options: dict[str, Any]) -> dict[str, Any]:
        for name in options:
            if name not in CSV_OPTIONS:
                raise ValueError(f"{', '.join(CSV_OPTIONS)} (no {name!r}{nearest(name, CSV_OPTIONS)})")
        return options


class ShopSettings(_Section):
    """``[shop]``: the reporting currency, the clock of ordered_at and the first day of a week."""

    currency: str = Field(default="GBP", pattern="^[A-Z]{3}$")
    timezone: str = "UTC"
    week_starts_on: Weekday = "monday"

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            near = nearest(name, sorted(available_timezones()))
            raise ValueError(f"a name of the IANA time zone database, such as 'UTC' or 'Europe/London'{near}") from None
        return name


class PolicySettings(_Section):
    """``[policy]``: what happens to guests, refunds, duplicated and zero lines, and how long a sale can come back."""

    guests: Literal["set_aside", "one_customer_per_order"] = "set_aside"
    refunds: Literal["net", "ignore"] = "net"
    duplicates: Literal["keep", "set_aside"] = "keep"
    zero_revenue: Literal["keep", "set_aside"] = "keep"
    return_window_days: int = Field(default=30, ge=0, le=3650)


_LONGEST_HORIZON = 7305  # days: twenty years


class ValueSettings(_Section):
    """``[value]``: time unit of the models, horizon in that unit, margin, yearly discount rate and the dates.

    ``calibrate_intervals``: customers' intervals are as wide as the holdout asks for, see `clv.DispersionCalibration`.
    """

    time_unit: TimeUnit = "week"
    horizon: int = Field(default=52, ge=1)
    margin: float = Field(default=1.0, gt=0, le=1, allow_inf_nan=False)
    discount_rate: float = Field(default=0.10, ge=0, le=10, allow_inf_nan=False)
    as_of: date | None = None
    calibration_end: date | None = None
    calibrate_intervals: bool = True

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.as_of and self.calibration_end and self.calibration_end >= self.as_of:
            raise ValueError(f"calibration_end = {self.calibration_end} must be earlier than as_of = {self.as_of}")
        from .pipeline import DAYS_PER_UNIT

        if self.horizon * float(DAYS_PER_UNIT[self.time_unit]) > _LONGEST_HORIZON:
            raise ValueError(
                f"horizon = {self.horizon} {self.time_unit}s is beyond {_LONGEST_HORIZON} days (20 years); give "
                f"at most {int(_LONGEST_HORIZON / float(DAYS_PER_UNIT[self.time_unit]))}"
            )
        return self


class BuildSettings(_Section):
    """``[build]``: where snapshots go, how many are kept, and what a build may use.

    ``keep_runs`` counts the runs published last, the new one among them. Beside them stay, until a later build, the
    run that is current, one that a reader holds, and those that were current within the last hour: some builds in a row
    leave more.
    """

    warehouse: str = "warehouse"
    keep_runs: int = Field(default=10, ge=1)
    threads: int | None = Field(default=None, ge=1)
    memory_limit: str | None = Field(default=None, pattern=r"^\d+(\.\d+)? ?([KMGT]i?)?B$")
    seed: int = Field(default=20261121, ge=0)


class Settings(BaseSettings):
    """All that a build needs to know; read-only once made.

    Raises
    ------
    SettingsError
        From :meth:`from_toml` and :meth:`from_mapping`: an unknown key (the text names the nearest), or a value that
        is not allowed (the text names key, value, what is allowed and the next step).

    Examples
    --------
    >>> settings = Settings.from_mapping({"orders": {"path": "orders.parquet"}, "shop": {"currency": "EUR"}})
    >>> settings.shop.currency, settings.policy.guests, settings.value.horizon
    ('EUR', 'set_aside', 52)
    """

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix="REGULARS_", env_nested_delimiter="__", env_ignore_empty=True
    )

    orders: SourceSettings
    customer_links: SourceSettings | None = None
    exchange_rates: SourceSettings | None = None
    customers: SourceSettings | None = None
    products: SourceSettings | None = None
    stock: SourceSettings | None = None
    promotions: SourceSettings | None = None
    sends: SourceSettings | None = None
    shop: ShopSettings = Field(default_factory=ShopSettings)
    policy: PolicySettings = Field(default_factory=PolicySettings)
    value: ValueSettings = Field(default_factory=ValueSettings)
    build: BuildSettings = Field(default_factory=BuildSettings)
    campaigns: dict[CampaignName, CampaignSettings] = Field(default_factory=dict)
    churn: ChurnSettings | None = None
    pricing: PricingSettings | None = None
    app: AppSettings = Field(default_factory=AppSettings)

    _folder: Path = PrivateAttr(default_factory=Path.cwd)
    _origin: str = PrivateAttr(default="the settings")

    @classmethod
    def from_toml(cls, path: str | Path, **sections: Any) -> "Settings":
        """Read a settings file; ``sections`` override it, as the environment does.

        Raises
        ------
        SettingsError
            The file is missing or not TOML, or says something that is not allowed.
        """
        file = Path(path)
        try:
            said = tomllib.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise SettingsError(
                f"no settings file at {file}; write one with at least [orders] path and columns "
                f"(docs/examples holds three), or name another"
            ) from None
        except OSError as error:
            raise SettingsError(f"cannot read the settings file {file}: {error.strerror}; name another") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{file} is not TOML: {error}; mend that place") from None
        return cls.from_mapping(said, folder=file.resolve().parent, origin=file.name, **sections)

    @classmethod
    def from_mapping(
        cls, said: Mapping[str, Any], *, folder: Path | None = None, origin: str = "the settings", **sections: Any
    ) -> "Settings":
        """Make settings of nested mappings in the shape of the file; relative paths start at ``folder``.

        ``origin`` is how error messages call the mapping; ``sections`` override it.

        Raises
        ------
        SettingsError
            Something is not allowed, or not known.

        Examples
        --------
        >>> Settings.from_mapping({"orders": {"path": "orders.parquet"}}, shop={"currency": "EUR"}).shop.currency
        'EUR'
        """
        secret = in_clear(said.get("app"))
        if secret:
            variable = f"REGULARS_APP__{secret.upper().replace('.', '__')}"
            raise SettingsError(
                f"{origin}: [app] {secret} stands in the file, where whoever reads it can sign in as anybody; take it "
                f"out, make a new one, and give it as the environment's {variable}, or in a file: {secret}_file = ..."
            )
        environment = _environment(cls)
        merged = _merge(_merge(dict(said), environment), {k: v for k, v in sections.items() if v is not None})
        try:
            settings = cls(**merged)
        except ValidationError as error:
            raise SettingsError(_report(error, origin, environment)) from None
        settings._folder = folder or Path.cwd()
        settings._origin = origin
        return settings

    def overridden(self, **sections: Any) -> "Settings":
        """Make settings in which what is given here replaces what these say.

        Raises
        ------
        SettingsError
            As :meth:`from_mapping`.

        Examples
        --------
        >>> Settings.from_mapping({"orders": {"path": "o.parquet"}}).overridden(value={"horizon": 26}).value.horizon
        26
        """
        said = self.model_dump(exclude_unset=True)
        return type(self).from_mapping(said, folder=self._folder, origin=self._origin, **sections)

    @property
    def folder(self) -> Path:
        """The folder at which relative paths start."""
        return self._folder

    @property
    def origin(self) -> str:
        """What error messages call these settings: the file's name."""
        return self._origin

    @property
    def warehouse(self) -> Path:
        """The folder of the snapshots, absolute."""
        return self._folder / Path(self.build.warehouse).expanduser()

    def source(self, table: str) -> SourceSettings | None:
        """Return the section that feeds a table of the contract, or None where there is none."""
        found = getattr(self, SECTIONS[table])
        return found if isinstance(found, SourceSettings) else None

    def campaign(self, name: str) -> CampaignSettings:
        """Return ``[campaigns.NAME]``, its ``learn_from``, ``margin`` and ``horizon`` filled in where left out.

        Raises
        ------
        SettingsError
            No such campaign.

        Examples
        --------
        >>> said = {"orders": {"path": "o.parquet"}, "value": {"margin": 0.3}, "campaigns": {"winback": {}}}
        >>> campaign = Settings.from_mapping(said).campaign("winback")
        >>> campaign.learn_from, campaign.margin
        (('winback',), 0.3)
        """
        if name not in self.campaigns:
            known = ", ".join(sorted(self.campaigns)) or "none"
            raise SettingsError(
                f"{self._origin}: no [campaigns.{name}]{nearest(name, sorted(self.campaigns))}; there are: {known}; "
                "write that section or name another"
            )
        found = self.campaigns[name]
        filled = {
            "learn_from": found.learn_from or (name,),
            "margin": found.margin or self.value.margin,
            "horizon": found.horizon or self.value.horizon,
        }
        return found.model_copy(update=filled)

    def markdown(self, name: str) -> MarkdownSettings:
        """Return ``[pricing.markdowns.NAME]``.

        Raises
        ------
        SettingsError
            No such plan.

        Examples
        --------
        >>> said = {"orders": {"path": "o.parquet"}, "pricing": {"markdowns": {"spring": {"weeks": 6}}}}
        >>> Settings.from_mapping(said).markdown("spring").weeks
        6
        """
        plans = self.pricing.markdowns if self.pricing else {}
        if name not in plans:
            known = ", ".join(sorted(plans)) or "none"
            raise SettingsError(
                f"{self._origin}: no [pricing.markdowns.{name}]{nearest(name, sorted(plans))}; there are: {known}; "
                "write that section or name another"
            )
        return plans[name]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values, keys sorted, paths as they were written."""
        said = self.model_dump(mode="json")
        return {key: said[key] for key in sorted(said)}

    def identity(self) -> dict[str, Any]:
        """What of :meth:`to_dict` can change a snapshot: no paths (the files' content counts), no resources.

        Examples
        --------
        >>> Settings.from_mapping({"orders": {"path": "/data/o.parquet"}}).identity()["orders"]
        {'columns': {}, 'csv': {}, 'format': None, 'hive_partitioning': None}
        """
        kept: dict[str, Any] = {}
        for section, values in self.to_dict().items():
            if isinstance(values, dict) and section not in _SURFACES:
                dropped = _WHEREABOUTS.get(section, set()) | ({"path"} if section in SECTIONS.values() else set())
                kept[section] = {key: values[key] for key in sorted(values) if key not in dropped}
        kept["campaigns"] = {name: _learnt(said) for name, said in kept["campaigns"].items()}
        if "pricing" in kept:
            kept["pricing"] = identity_of(kept["pricing"])
        return kept

    @property
    def fingerprint(self) -> str:
        """SHA-256 of :meth:`identity`, in hexadecimal; the same wherever the folder lies."""
        text = json.dumps(self.identity(), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def _learnt(campaign: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: campaign[key] for key in sorted(campaign) if key not in LIST_KEYS}
    kept["offers"] = {
        arm: {key: said[key] for key in sorted(said) if key not in OFFER_LIST_KEYS}
        for arm, said in sorted(campaign["offers"].items())
    }
    return kept


def _merge(low: dict[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(low)
    for key, value in high.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return merged


def _environment(cls: type[Settings]) -> dict[str, Any]:
    for variable in sorted(os.environ):
        section, nested, _ = variable.upper().removeprefix("REGULARS_").partition("__")
        if variable.upper().startswith("REGULARS_") and nested and section.lower() not in cls.model_fields:
            allowed = sorted(cls.model_fields)
            raise SettingsError(
                f"environment variable {variable}: no section [{section.lower()}]{nearest(section.lower(), allowed)}; "
                f"allowed: {', '.join(allowed)}; unset it or correct its name"
            )
    return EnvSettingsSource(cls)()


def _report(error: ValidationError, origin: str, environment: Mapping[str, Any]) -> str:
    return "\n".join(_sentence(details, origin, environment) for details in error.errors(include_url=False))


def _sentence(details: ErrorDetails, origin: str, environment: Mapping[str, Any]) -> str:
    place = [str(part) for part in details["loc"] if part not in ("str", "tuple[str, ...]")]
    depth = _depth_of_section(place)
    section, key = ".".join(place[:depth]), ".".join(place[depth:])
    where = f"{origin}: [{section}] {key}".rstrip()
    inside: Any = environment
    for part in place:
        inside = inside.get(part) if isinstance(inside, Mapping) else None
    if inside is not None and not isinstance(inside, Mapping):
        where = f"environment variable REGULARS_{'__'.join(place).upper()}"
    seen = details["input"]
    context = details.get("ctx") or {}
    if details["type"] == "extra_forbidden":
        allowed = _allowed_keys(place[:-1])
        kind = "key" if key else "section"
        return (
            f"{where}: unknown {kind} {place[-1]!r}{nearest(place[-1], allowed)}; "
            f"allowed: {', '.join(allowed)}; correct or remove it"
        )
    if details["type"] == "missing":
        if section == "orders" and not key:
            return f"{origin}: no [orders] section; write one with path = and columns = {{...}}"
        return f"{where}: missing; write [{section}] {key} = ..."
    if details["type"] in ("value_error", "assertion_error") and not key:
        return f"{where}: {context.get('error', details['msg'])}; change one of them"
    allowed = _allowed_value(details, context)
    return f"{where} = {_short(seen)} is not allowed; allowed: {allowed}; change it{_default(place)}"


def _allowed_value(details: ErrorDetails, context: Mapping[str, Any]) -> str:
    kind = details["type"]
    if details["loc"][-1] == "[key]":
        return "a name of at most 64 letters, digits, '-' and '_' that begins with a letter or digit"
    if kind == "literal_error":
        return str(context["expected"]).replace(" or ", ", ")
    if kind in ("value_error", "assertion_error"):
        return str(context.get("error", details["msg"]))
    if kind == "string_pattern_mismatch":
        return {
            "^[A-Z]{3}$": "an ISO 4217 code of three capitals, such as 'GBP'",
        }.get(str(context.get("pattern")), "a size such as '4GB' or '800MB'")
    if kind.startswith("date"):
        return "a date as YYYY-MM-DD, such as 2011-12-09"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return "a table of keys, such as [orders] with path = and columns = {...}"
    if kind == "string_type":
        return "text in quotes"
    return details["msg"].removeprefix("Input should be ").removeprefix("a valid ")


def _default(place: list[str]) -> str:
    model = _model_at(place[:-1])
    if model is not None and model is not Settings and place[-1] in model.model_fields:
        default = model.model_fields[place[-1]].default
        if isinstance(default, str | int | float):
            return f", or leave it out for {default!r}"
    return ""


def _allowed_keys(place: list[str]) -> list[str]:
    model = _model_at(place)
    return sorted(model.model_fields) if model else []


def _depth_of_section(place: list[str]) -> int:
    """How many parts of a place name the table that a key stands in, as TOML writes it."""
    depths = [depth for depth in range(1, len(place) + 1) if _model_at(place[:depth]) is not None]
    return max(depths, default=min(len(place), 1))


def _model_at(place: list[str]) -> type[BaseModel] | None:
    found: Any = Settings
    for part in place:
        if get_origin(found) is dict:
            found = get_args(found)[1]
        elif _is_model(found) and part in found.model_fields:
            found = _section_type(found.model_fields[part].annotation)
        else:
            return None
    return found if _is_model(found) else None


def _section_type(annotation: Any) -> Any:
    """The section that a field holds, a dict of sections as it is, or None."""
    if get_origin(annotation) is dict:
        return annotation
    return next((one for one in (annotation, *get_args(annotation)) if _is_model(one)), None)


def _is_model(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, BaseModel)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
