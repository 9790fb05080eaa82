"""The sandbox's own time: real, frozen at an instant, or running on from one."""

import datetime as dt
import time


class Clock:
    """Answers what time it is in the sandbox.

    It starts in real time. `set` freezes it, or lets it run on from another instant at the pace of a
    monotonic clock, so that a correction of the machine's wall clock cannot make sandbox time jump.
    """

    def __init__(self) -> None:
        self._at: dt.datetime | None = None
        self._running_since: float | None = None

    @property
    def mode(self) -> str:
        """One of "real", "frozen", "running"."""
        if self._at is None:
            return "real"
        return "frozen" if self._running_since is None else "running"

    def now(self) -> dt.datetime:
        """The sandbox's time, aware, in UTC."""
        if self._at is None:
            return dt.datetime.now(dt.UTC)
        if self._running_since is None:
            return self._at
        return self._at + dt.timedelta(seconds=time.monotonic() - self._running_since)

    def set(self, at: dt.datetime, *, running: bool) -> None:
        """Make `at` the present: fixed there, or running on from it."""
        if at.tzinfo is None:
            message = "the sandbox clock takes aware times only"
            raise ValueError(message)
        self._at = at.astimezone(dt.UTC)
        self._running_since = time.monotonic() if running else None

    def real(self) -> None:
        """Go back to the machine's time."""
        self._at = None
        self._running_since = None
