"""One person taken out of saved campaign effects: of whom these were learnt from they keep a number made of each id.

A number that anybody can make of an id names whoever it stands for to all who know the id: it goes with the person.
"""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..sql.durability import canonical_json
from ..sql.errors import WarehouseError

if TYPE_CHECKING:
    import numpy as np

    from ..sql.run_writer import RunWriter
    from .redaction import Redactor

DOCUMENT = "effects.json"
UNITS = "units-*.f8"


def learnt_from(units: Path, person: "Redactor") -> "np.ndarray":
    """Return which numbers of a file of units are made of a person's ids, (n,) bool.

    Raises
    ------
    WarehouseError
        The file cannot be read.
    """
    import numpy as np

    from ..uplift.effects import places_of

    try:
        kept = np.frombuffer(units.read_bytes(), "<f8")
    except (OSError, ValueError) as error:
        raise WarehouseError(
            f"{units}: cannot be read ({error}); 'regulars build --force' makes the run anew"
        ) from error
    return np.isin(kept, places_of(np.array(sorted(person.ids), dtype=np.str_)))


def units_files(run: Path, person: "Redactor") -> list[str]:
    """Return the files of a run's models that hold a number made of a person's ids, by their path in the run."""
    found = [path for path in sorted(run.glob(f"models/*/{UNITS}")) if learnt_from(path, person).any()]
    return [path.relative_to(run).as_posix() for path in found]


def forget(run: Path, name: str, person: "Redactor", writer: "RunWriter") -> None:
    """Write a file of units without a person, and the document that names it with their new hashes.

    Parameters
    ----------
    run : Path
        The run as it was.
    name : str
        One of `units_files`.
    person : Redactor
    writer : RunWriter
        The run that is written; the document is taken from there where it has been written already.
    """
    import numpy as np

    units = run / name
    content = np.frombuffer(units.read_bytes(), "<f8")[~learnt_from(units, person)].tobytes()
    digest = hashlib.sha256(content).hexdigest()
    folder, _, old = name.rpartition("/")
    new = f"units-{digest[:16]}.f8"
    (writer.path / folder / new).write_bytes(content)
    place = f"{folder}/{DOCUMENT}"
    there = writer.path / place
    said: dict[str, Any] = json.loads((there if there.exists() else run / place).read_text(encoding="utf-8"))
    said.pop("sha256", None)
    said["files"] = dict(sorted({**{k: v for k, v in said["files"].items() if k != old}, new: digest}.items()))
    if said.get("learnt_from") == old:
        said["learnt_from"] = new
    said["sha256"] = hashlib.sha256(canonical_json(said).encode()).hexdigest()
    writer.write_text(place, canonical_json(said))
