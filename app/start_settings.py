"""The settings that the app's start page writes: where they lie, what they would say, and the writing itself."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..sql.errors import SettingsError
from ..sql.settings import AppSettings, Settings
from . import settings_file
from .data_preview import DataFolders

if TYPE_CHECKING:
    from .access import Person
    from .data import AppData

_PACKAGE_ROOT = Path(__file__).resolve().parents[1]
_COMMENTS = {
    "": "Written by the app's start page; 'regulars build' reads the same file.",
    "orders": "Where the order lines lie, and which of their columns is what.",
    "build": "Snapshots go here.",
}


@dataclass(frozen=True)
class SettingsTarget:
    """The file that is read and written: ``text`` is what it holds, None where there is none yet."""

    path: Path
    text: str | None
    said: Mapping[str, Any]
    app: AppSettings

    @property
    def folder(self) -> Path:
        """Where relative paths start."""
        return self.path.parent

    @property
    def folders(self) -> DataFolders:
        """Where files may be named."""
        return DataFolders.of(self.folder, self.app.data_folders)

    @property
    def max_upload_bytes(self) -> int:
        """How large an upload may be."""
        return self.app.max_upload_mb << 20

    def must_be_writable(self) -> None:
        """Refuse to write over what belongs to the program itself.

        Raises
        ------
        SettingsError
            These are the settings of an example, or lie where nothing can be written.
        """
        if self.folder.resolve().is_relative_to(_PACKAGE_ROOT / "docs"):
            raise SettingsError(
                "this app shows an example, whose settings are not to be changed; start one of your own: make a "
                "folder, and run 'regulars app' in it"
            )
        there = next((folder for folder in (self.folder, *self.folder.parents) if folder.exists()), self.folder)
        if not os.access(there, os.W_OK):
            raise SettingsError(f"{self.folder} cannot be written: start the app in a folder of yours")


@dataclass(frozen=True)
class StartForm:
    """What somebody chose on the start page. ``columns`` is the mapping, ``csv`` the options of the reader."""

    path: str
    columns: Mapping[str, str]
    csv: Mapping[str, Any]
    currency: str
    timezone: str


def settings_target(data: "AppData") -> SettingsTarget:
    """Return the settings of an app: those it was started with, else those that will lie beside its warehouse.

    Raises
    ------
    SettingsError
        The file cannot be read.
    """
    path = data.settings_path or data.path.parent / "regulars.toml"
    text = settings_file.read(path)
    try:
        said: dict[str, Any] = tomllib.loads(text) if text is not None else {}
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path.name} is not TOML: {error}; mend that place by hand") from None
    try:
        app = Settings.from_toml(path).app if text is not None else AppSettings()
    except SettingsError:
        # what else is wrong in it is said where it is to be mended; the folders are then the default ones
        app = AppSettings()
    return SettingsTarget(path, text, said, app)


def with_form(target: SettingsTarget, form: StartForm, warehouse: Path) -> dict[str, Any]:
    """Return all that the file is to say: what it says now, with the orders, currency and time zone of the form.

    Raises
    ------
    SourceError
        The path is not one that may be named.
    """
    said = {section: dict(values) if isinstance(values, Mapping) else values for section, values in target.said.items()}
    before = said.get("orders", {})
    path = form.path if before.get("path") == form.path else target.folders.checked(form.path)
    kept = {key: value for key, value in before.items() if key not in {"path", "columns", "csv"}}
    if before.get("path") != path:
        kept.pop("format", None)
        kept.pop("hive_partitioning", None)
    orders: dict[str, Any] = {"path": path, **kept}
    if form.csv:
        orders["csv"] = dict(form.csv)
    if form.columns:
        orders["columns"] = dict(form.columns)
    said["orders"] = orders
    shop = dict(said.get("shop", {}))
    for key, value in (("currency", form.currency), ("timezone", form.timezone)):
        if value:
            shop[key] = value
    if shop:
        said["shop"] = shop
    if target.text is None:
        inside = warehouse.is_relative_to(target.folder)
        where = warehouse.relative_to(target.folder).as_posix() if inside else str(warehouse)
        said["build"] = {"warehouse": where}
    return said


def settings_of(target: SettingsTarget, said: Mapping[str, Any]) -> Settings:
    """Return the settings that a mapping makes.

    Raises
    ------
    SettingsError
        Something in it is not allowed.
    """
    return Settings.from_mapping(said, folder=target.folder, origin=target.path.name)


def text_of(target: SettingsTarget, said: Mapping[str, Any]) -> str:
    """Return the file as it will be.

    Raises
    ------
    SettingsError
        It cannot be written as TOML.
    """
    if target.text is None:
        return settings_file.new_text(said, _COMMENTS)
    return settings_file.changed_text(target.text, said)


def write_settings(data: "AppData", target: SettingsTarget, text: str, person: "Person") -> Path | None:
    """Write the file, audited first; from then on the app uses it. Returns where the one before is kept.

    Raises
    ------
    SettingsError, WarehouseError
        It was changed by somebody else since, or it cannot be written.
    """
    target.must_be_writable()
    settings_of(target, tomllib.loads(text))
    data.state.audit(person.name, "write settings", target.path.name, before=target.text is not None)
    kept = settings_file.write(target.path, text, target.text)
    data.settings_path = target.path
    return kept
