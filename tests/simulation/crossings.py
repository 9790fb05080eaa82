"""Named points of a run at which a process dies, stands still for a while, or another worker runs.

A death is an exception that passes every handler, because nothing can be written any more: a process that
was killed writes nothing. The console's own code knows nothing of this; `tests/functional/test_crashes.py`
kills real processes.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from unittest import mock

import django.db.backends.utils as cursors

from sync.models import Enrolment

POINTS = {
    "mirrored": ("sync.operations.mirror_for_run", "mirror_whole", "after"),
    "measuring": ("sync.operations.plan_reports", "collect_usage", "before"),
    "measured": ("sync.operations.plan_reports", "collect_usage", "after"),
    "planned": ("sync.operations.report_job", "store_plan", "before"),
    "stored": ("sync.operations.report_job", "store_plan", "after"),
    "checked": ("sync.operations.report_job", "check_first_deliveries", "after"),
    "claimed": ("sync.operations.deliver_reports", "claim_enrolments", "after"),
    "marked": ("sync.operations.deliver_reports", "mark_sending", "after"),
    "sent": ("sync.operations.deliver_reports", "send_report", "after"),
    "answered": ("sync.operations.deliver_reports", "settle_reports", "before"),
    "settled": ("sync.operations.deliver_reports", "settle_reports", "after"),
    "released": ("sync.operations.deliver_reports", "release_enrolments", "after"),
}
"""Name → the module that calls a step, the step, and on which side of it the point lies."""
IN_A_POOL_THREAD = "sent"
"""There only a death can happen: nothing else may touch the database from there."""
UNDOES = ("ROLLBACK", "SAVEPOINT", "RELEASE")


class Killed(BaseException):
    """The process is no more."""


class Crossings:
    """Counts how often the armed point is passed, and acts when it is its turn."""

    def __init__(self) -> None:
        self.dead = False
        self._armed, self._left = "", 0
        self._action: Callable[[], None] = lambda: None
        self._slept = 0.0

    def arm(self, point: str, passes: int, action: Callable[[], None]) -> None:
        """The `passes`-th time that the point is passed, the action happens, once."""
        self._armed, self._left, self._action = point, passes, action

    def disarm(self) -> bool:
        """Nothing is armed; return whether something still was."""
        was, self._armed = bool(self._armed), ""
        return was

    def die(self) -> None:
        """Nothing is written from here on."""
        self.dead = True
        raise Killed

    def fall_asleep(self, seconds: float = 60) -> None:
        """So long nothing of this process moves: its leases run out, and its steady clock shows it."""
        self._slept += seconds
        expire_leases()

    def rise(self) -> None:
        """A new process may write."""
        self.dead = False

    def pass_by(self, point: str) -> None:
        """One of the points was reached."""
        if point != self._armed:
            return
        self._left -= 1
        if self._left <= 0:
            self._armed = ""
            self._action()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """While this lasts, the points are passed and the dead write nothing."""
        with ExitStack() as stack:
            for point, (module, name, side) in POINTS.items():
                step = getattr(import_module(module), name)
                stack.enter_context(mock.patch(f"{module}.{name}", self._around(step, point, side)))
            execute = cursors.CursorWrapper._execute  # type: ignore[attr-defined]
            many = cursors.CursorWrapper._executemany  # type: ignore[attr-defined]
            stack.enter_context(mock.patch.object(cursors.CursorWrapper, "_execute", self._living(execute)))
            stack.enter_context(mock.patch.object(cursors.CursorWrapper, "_executemany", self._living(many)))
            steady = SimpleNamespace(monotonic=lambda: time.monotonic() + self._slept)
            stack.enter_context(mock.patch("sync.operations.claim_enrolments.time", steady))
            yield

    def _around(self, step: Callable[..., Any], point: str, side: str) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            if side == "before":
                self.pass_by(point)
            result = step(*args, **kwargs)
            if side == "after":
                self.pass_by(point)
            return result

        return watched

    def _living(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        def living(cursor: Any, sql: Any, *rest: Any) -> Any:
            if self.dead and not str(sql).startswith(UNDOES):
                raise Killed
            return execute(cursor, sql, *rest)

        return living


def expire_leases() -> None:
    """Every lease has run out, as if time had passed by the database's clock, which no test can set."""
    for enrolment in Enrolment.objects.exclude(lease_expires_at=None):
        assert enrolment.lease_expires_at
        Enrolment.objects.filter(pk=enrolment.pk).update(
            lease_expires_at=enrolment.lease_expires_at - timedelta(seconds=90)
        )


@contextmanager
def no_waiting() -> Iterator[None]:
    """Pauses take no time, and calls are made one after the other, so that a life is the same each time."""
    asleep = SimpleNamespace(sleep=lambda _seconds: None, monotonic=time.monotonic)
    instant = timedelta(microseconds=1)
    changes = {
        "sync.clients.stripe_calls.READS_PER_SECOND": 100_000,
        "sync.clients.stripe_calls.time": asleep,
        "sync.clients.openmeter_transport.time": asleep,
        "sync.domain.retries.FIRST_DELAY": instant,
        "sync.operations.settle_reports.AFTER_429": timedelta(0),
        "sync.operations.settle_reports.random": lambda: 0.5,
        "sync.operations.deliver_reports.random": lambda: 0.5,
        "sync.operations.deliver_reports.IN_FLIGHT": 1,
        "sync.operations.deliver_reports.CLAIM_SECONDS": 0.0,
        "sync.operations.deliver_reports.POLL_SECONDS": 0.05,
        "sync.operations.deliver_reports.PATIENCE_SECONDS": 0.0,
        "sync.operations.collect_usage.PARALLEL_QUERIES": 1,
    }
    with ExitStack() as stack:
        for name, value in changes.items():
            stack.enter_context(mock.patch(name, value))
        yield
