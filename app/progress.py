"""Progress of a long command on stderr: one bar over named steps, silent where nobody watches."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Progress:
    """Counts named steps, and remembers how long each took.

    Parameters
    ----------
    steps : int
        How many there will be.
    shown : bool
        False for silence; where stderr is no terminal there is silence anyway.
    watch : callable, optional
        Told of each step as it begins: its place from 1 on, how many there are, its name.

    Examples
    --------
    >>> with Progress(2, shown=False) as step:
    ...     step("read")
    ...     step("write")
    >>> [name for name, seconds in step.taken]
    ['read', 'write']
    """

    def __init__(self, steps: int, *, shown: bool, watch: Callable[[int, int, str], None] | None = None) -> None:
        from tqdm import tqdm

        self._steps, self._begun, self._watch = steps, 0, watch
        self.taken: list[tuple[str, float]] = []
        self._name = ""
        self._since = time.monotonic()
        self._bar = tqdm(
            total=steps,
            file=sys.stderr,
            disable=None if shown else True,
            leave=False,
            bar_format="{desc:<34} {bar:24} {n_fmt}/{total_fmt}  {elapsed}",
        )

    def __call__(self, name: str) -> None:
        """End the step that runs and begin the one called ``name``."""
        self._end()
        self._name = name
        self._begun += 1
        if self._watch is not None:
            self._watch(self._begun, max(self._steps, self._begun), name)
        self._bar.set_description_str(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()
        self._bar.close()

    def _end(self) -> None:
        now = time.monotonic()
        if self._name:
            self.taken.append((self._name, now - self._since))
            self._bar.update()
        self._name, self._since = "", now
