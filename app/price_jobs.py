"""Plans that are made while a page waits: in a thread of their own, looked for by their key, a few kept."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from dataclasses import dataclass, field
from typing import Any

from ..sql.errors import RegularsError


class TooManyPlans(RegularsError):
    """More plans are waiting to be made than one machine should be asked for."""


@dataclass(frozen=True)
class Job:
    """One piece of work under way or done."""

    key: str
    future: "Future[Any]" = field(repr=False)
    began: float = field(default_factory=time.monotonic)

    def within(self, seconds: float) -> bool:
        """Wait so long at most; whether it is done."""
        try:
            self.future.exception(timeout=seconds)
        except StillRunning:
            return False
        return True

    def result(self) -> Any:
        """Return what came of it, or raise what went wrong; it must be done."""
        return self.future.result(timeout=0)

    @property
    def seconds(self) -> float:
        """Since it was asked for."""
        return time.monotonic() - self.began


class Jobs:
    """Work by its key: what was asked for once is not done again while it is kept.

    Parameters
    ----------
    most : int
        How many may wait or run at a time.
    kept : int
        How many results are kept.

    Examples
    --------
    >>> jobs = Jobs()
    >>> job = jobs.start("three", lambda: 1 + 2)
    >>> job.within(5.0), job.result(), jobs.find("three") is job, jobs.find("four")
    (True, 3, True, None)
    """

    def __init__(self, *, most: int = 8, kept: int = 12) -> None:
        self._most, self._kept = most, kept
        self._pool: ThreadPoolExecutor | None = None
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._lock = threading.Lock()

    def start(self, key: str, work: Callable[[], Any]) -> Job:
        """Begin a piece of work, or return the one of that key.

        Raises
        ------
        TooManyPlans
            Too many are waiting.
        """
        with self._lock:
            found = self._jobs.get(key)
            if found is not None:
                self._jobs.move_to_end(key)
                return found
            if sum(not job.future.done() for job in self._jobs.values()) >= self._most:
                raise TooManyPlans("too many plans are being made at once; wait a moment and try again")
            if self._pool is None:
                # two: a long plan of one analyst does not hold up a short one of another
                self._pool = ThreadPoolExecutor(2, thread_name_prefix="regulars-plan")
            job = Job(key, self._pool.submit(work))
            self._jobs[key] = job
            done = [key for key, one in self._jobs.items() if one.future.done()]
            for old in done[: max(len(self._jobs) - self._kept, 0)]:
                del self._jobs[old]
            return job

    def find(self, key: str) -> Job | None:
        """Return the work of that key, None where there is none (any more)."""
        with self._lock:
            return self._jobs.get(key)
