"""A console whose commands are forked from a process that has imported everything: quick to kill many times.

Run as a module it is that process: it reads a command a line from stdin, as JSON, forks, and answers with the
child's exit code, negative for the signal that killed it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.console import ROOT, Console


class ForkingConsole(Console):
    """As `Console`, but `manage` forks; every command is a process of its own all the same.

    The process that forks lasts until `close`; from one command to the next only `database_url` may change.
    """

    def __init__(self, folder: Path, **addresses: str) -> None:
        super().__init__(**addresses)
        self._folder = folder
        self._parent: subprocess.Popen[str] | None = None
        """Begins with the first command, so that `env` may be changed until then."""

    def move_to(self, database_url: str) -> None:
        """From the next command on this is the database."""
        self.database_url = self.env["DATABASE_URL"] = database_url

    def manage(self, *args: str, failpoint: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        out, err = self._folder / "out", self._folder / "err"
        command = {
            "args": args,
            "failpoint": failpoint,
            "database": urlsplit(self.database_url).path[1:],
            "out": str(out),
            "err": str(err),
        }
        parent = self._parent = self._parent or self._begin()
        parent.stdin.write(json.dumps(command) + "\n")
        parent.stdin.flush()
        code = int(parent.stdout.readline())
        return subprocess.CompletedProcess(args, code, out.read_text(), err.read_text())

    def close(self) -> None:
        """The process that forks is gone."""
        if self._parent:
            self._parent.communicate(timeout=30)

    def _begin(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.forking_console"],
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


def _fork(command: dict[str, Any]) -> int:
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)
    for number, path in ((0, os.devnull), (1, command["out"]), (2, command["err"])):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(path, flags, 0o600), number)
    code = 1
    try:
        code = _run(command["args"], command["failpoint"], command["database"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(args: list[str], failpoint: str, database: str) -> int:
    from django.core.management import execute_from_command_line
    from django.db import connection

    from tests.failpoints import arm

    connection.settings_dict["NAME"] = database
    if failpoint:
        arm(failpoint)
    try:
        execute_from_command_line(["manage.py", *args])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def main() -> None:
    """Import once, then fork for every line."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_console.settings")
    django.setup()
    for name in ("report_usage", "sync_stripe"):
        __import__(f"sync.management.commands.{name}")
    for line in sys.stdin:
        code = _fork(json.loads(line))
        sys.stdout.write(f"{code}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
