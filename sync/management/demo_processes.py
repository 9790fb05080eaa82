"""The processes that the demo starts, and how every one of them ends with it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO, Self

from sync.management.parent_death import die_with_parent
from sync.ports import SyncError

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_SECONDS = 8
"""How long a process may take to end in order before it is killed; a worker finishes what it does."""
POLL_SECONDS = 0.2


class ProcessEnded(SyncError):
    """A process that the demo needs is gone."""


class Processes:
    """Commands of manage.py, each in a process group of its own; leaving the context ends all of them."""

    def __init__(self, *, home: Path, log: Path, env: Mapping[str, str]) -> None:
        """Run them in `home`, with their output in the file `log` and `env` on top of the environment."""
        self._home, self._log = home, log
        self._env = {**os.environ, **env, "PYTHONUNBUFFERED": "1"}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._output: IO[bytes] | None = None

    def __enter__(self) -> Self:
        """Begin an empty log."""
        self._output = self._log.open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        """Every process is gone; a second Ctrl-C does not break that off."""
        with signals_to(signal.SIG_IGN):
            for process in reversed(self._running.values()):
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
            deadline = time.monotonic() + GRACE_SECONDS
            for process in self._running.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=max(0.0, deadline - time.monotonic()))
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)  # it, if it still runs, and whatever it left
                process.wait()
        if self._output:
            self._output.close()

    def start(self, name: str, *arguments: str) -> None:
        """A manage.py command runs from now on."""
        self._running[name] = subprocess.Popen(  # noqa: S603 - our own command line, no shell
            [sys.executable, "manage.py", *arguments],
            cwd=self._home,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # A demo that is killed cannot end them any more.
            preexec_fn=partial(die_with_parent, signal.SIGTERM, parent=os.getpid()),
        )

    def check(self) -> None:
        """Raise `ProcessEnded` unless every process still runs."""
        for name, process in self._running.items():
            if process.poll() is not None:
                message = f"The {name} stopped by itself (exit code {process.returncode}): see {self._log}."
                raise ProcessEnded(message)

    def watch(self) -> None:
        """Wait for a signal; raise `ProcessEnded` if a process ends before one comes."""
        while True:
            self.check()
            time.sleep(POLL_SECONDS)


@contextlib.contextmanager
def signals_to(handler: signal.Handlers | None = None) -> Iterator[None]:
    """Every signal that asks for an end goes to `handler`, by default as a `KeyboardInterrupt`.

    A process that a shell starts in the background ignores Ctrl-C, hence SIGINT too.
    """
    before = {number: signal.signal(number, handler or _interrupt) for number in ENDING}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
