"""Keep reads below an account's rate limit."""

import threading
import time
from collections import deque
from collections.abc import Callable


class Pacer:
    """Lets at most `calls_per_second` calls start in any one second, in all threads of this process.

    A short conversation is not slowed at all. Each caller books the next free start under a lock and
    sleeps outside it. Other processes are not seen: the pace leaves room for them, and a 429 is retried.
    """

    def __init__(
        self,
        *,
        calls_per_second: int,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Start with a second in which nothing was called."""
        self._starts: deque[float] = deque(maxlen=calls_per_second)
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when the caller may start its call."""
        with self._lock:
            now = self._monotonic()
            full = len(self._starts) == self._starts.maxlen
            start = max(now, self._starts[0] + 1) if full else now
            self._starts.append(start)
        if start > now:
            self._sleep(start - now)
