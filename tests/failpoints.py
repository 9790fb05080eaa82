"""Runs manage.py with a failpoint: `python -m tests.failpoints commit:7 report_usage` dies at the 7th commit.

`commit:N` kills the process with SIGKILL right after its N-th commit, `sent:N` right after the N-th meter
event was answered, before anything of it is stored. The console's own code knows nothing of this.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import django
from django.core.management import execute_from_command_line
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

WRITES = ("INSERT", "UPDATE", "DELETE")


class Failpoint:
    """Counts, and kills at the chosen count."""

    def __init__(self, at: int) -> None:
        self.at, self.count = at, 0
        self._lock = threading.Lock()

    def pass_by(self) -> None:
        """One more; die if it is the one."""
        with self._lock:
            self.count += 1
            if self.count == self.at:
                os.kill(os.getpid(), signal.SIGKILL)


def at_commits(point: Failpoint) -> None:
    """Pass the failpoint after every commit: a transaction's, or that of a single writing statement."""
    commit: Callable[[Any], None] = BaseDatabaseWrapper._commit
    execute: Callable[..., Any] = CursorWrapper._execute

    def counted_commit(self: Any) -> None:
        commit(self)
        point.pass_by()

    def counted_execute(self: Any, sql: Any, params: Any, *ignored: Any) -> Any:
        result = execute(self, sql, params, *ignored)
        if not self.db.in_atomic_block and str(sql).lstrip().upper().startswith(WRITES):
            point.pass_by()
        return result

    BaseDatabaseWrapper._commit = counted_commit  # type: ignore[method-assign]
    CursorWrapper._execute = counted_execute  # type: ignore[method-assign]


def at_sent(point: Failpoint) -> None:
    """Pass the failpoint after every answered meter event."""
    from sync.clients.stripe import StripeGateway

    send = StripeGateway.send_meter_event

    def counted_send(self: Any, event: Any) -> str:
        answer = send(self, event)
        point.pass_by()
        return answer

    StripeGateway.send_meter_event = counted_send  # type: ignore[method-assign]


def arm(name: str) -> None:
    """This process dies where the name says."""
    kind, _, number = name.partition(":")
    {"commit": at_commits, "sent": at_sent}[kind](Failpoint(int(number)))


def main() -> None:
    """Arm the failpoint and run the command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_console.settings")
    django.setup()
    arm(sys.argv[1])
    execute_from_command_line(["manage.py", *sys.argv[2:]])


if __name__ == "__main__":
    main()
