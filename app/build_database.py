"""A build's tables as the models ask for them: by the name of a query."""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from ..sql.pipeline import Pipeline
    from ..sql.settings import Settings


@dataclass(frozen=True)
class BuildDatabase:
    """As much of `sql.database.Database` as models read, over the pipeline of a build that is under way."""

    settings: "Settings"
    pipeline: "Pipeline"
    as_of: date

    def query(self, name: str, **parameters: Any) -> "pa.Table":
        """Run a named query; parameters that are None are as the settings have them."""
        return self.pipeline.run(name, **{key: value for key, value in parameters.items() if value is not None})
