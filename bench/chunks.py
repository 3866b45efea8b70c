"""Long studies in chunks that are kept, so that one which was stopped goes on where it was."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from tqdm import tqdm

import regulars

FOLDER = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "regulars-studies"
ROOT = Path(regulars.__file__).parent


def in_chunks(
    name: str,
    key: str,
    total: int,
    run: Callable[[range], list[Any]],
    *,
    size: int = 25,
    sources: Sequence[str] = (),
    progress: bool = True,
) -> list[Any]:
    """Return the rows of ``run`` over all draws, in order; rows must be plain enough for JSON.

    A chunk is run again where ``key`` or the text of any of the ``sources`` (paths in the checkout) differs: a study is
    of one state of what it measures.
    """
    code = sha256()
    for path in sources:
        code.update((ROOT / path).read_bytes())
    folder = FOLDER / f"{name}-{sha256(f'{key} {code.hexdigest()}'.encode()).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[Any] = []
    starts = range(0, total, size)
    for start in tqdm(starts, desc=name, disable=not (progress and sys.stderr.isatty())):
        draws = range(start, min(start + size, total))
        path = folder / f"{draws.start}-{draws.stop}.json"
        if path.exists():
            made = json.loads(path.read_text(encoding="utf-8"))
        else:
            part = path.with_suffix(".part")
            part.write_text(json.dumps(run(draws)), encoding="utf-8")
            part.replace(path)
            # read back, so that a study that went on and one that did not see the same rows
            made = json.loads(path.read_text(encoding="utf-8"))
        rows += made
    return rows
