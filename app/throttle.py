"""Wrong passwords: so many from one address, of one name, and then a wait."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from contextlib import suppress

WINDOW_SECONDS = 300.0
_MOST_KEYS = 10_000


class Throttle:
    """Counts attempts by key in a moving window.

    Parameters
    ----------
    clock : callable, optional
        Seconds, for tests.

    Examples
    --------
    >>> throttle = Throttle(clock=lambda: 0.0)
    >>> [throttle.attempt({"ann": 2}) for _ in range(3)]
    [0.0, 0.0, 300.0]
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._attempts: OrderedDict[Hashable, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def attempt(self, allowed: "dict[Hashable, int]") -> float:
        """Count one attempt under every key, if each has fewer than it is allowed in the window.

        Returns
        -------
        float
            0.0, or the seconds until another attempt may be made; it is not counted then.
        """
        now = self._clock()
        with self._lock:
            waits = [self._wait(key, most, now) for key, most in allowed.items()]
            if any(waits):
                return max(waits)
            for key in allowed:
                self._attempts.setdefault(key, deque()).append(now)
                self._attempts.move_to_end(key)
            while len(self._attempts) > _MOST_KEYS:
                self._attempts.popitem(last=False)
        return 0.0

    def forgive(self, *keys: Hashable) -> None:
        """Take back the latest attempt under each key: it was no wrong one."""
        with self._lock:
            for key in keys:
                with suppress(KeyError, IndexError):
                    self._attempts[key].pop()

    def _wait(self, key: Hashable, most: int, now: float) -> float:
        made = self._attempts.get(key, deque())
        while made and made[0] <= now - WINDOW_SECONDS:
            made.popleft()
        return made[0] + WINDOW_SECONDS - now if len(made) >= most else 0.0
