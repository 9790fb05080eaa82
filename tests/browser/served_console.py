"""The console as people get it: a web server and a background worker, in processes of their own."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Self

from tests.console import ROOT
from tests.forking_console import ForkingConsole

HOST = "127.0.0.1"
PASSWORD = "correct horse battery staple"
"""Of everybody who may log in."""
STAFF = {
    "nora": "Billing viewer",
    "vera": "Billing viewer",
    "otto": "Billing operator",
    "ada": "Billing admin",
    "root": "",
}
"""Login → group; who has none is a superuser. Only nora logs in: her password is then hashed again, as
Django does with those that were hashed too quickly, which ends other sessions."""
START_SECONDS = 30
KEPT = ("sync_worker",)
"""Tables that the running worker fills."""

_MAKE_STAFF = """
import json
from importlib import import_module
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import Group, User
store = import_module(settings.SESSION_ENGINE).SessionStore
cookies = {{}}
for login, group in {staff!r}.items():
    user = User(username=login, is_staff=True, is_superuser=not group)
    user.password = PBKDF2PasswordHasher().encode({password!r}, "salt", iterations=1)
    user.save()
    user.groups.set(Group.objects.filter(name=group))
    session = store()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    cookies[login] = session.session_key
print(json.dumps(cookies))
"""


class ServedConsole(ForkingConsole):
    """A console that answers on a port and works in the background until the context is left."""

    def __init__(self, *, log: Path, **urls: str) -> None:
        super().__init__(log.parent, **urls)
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self._port = probe.getsockname()[1]
        self.address = f"http://{HOST}:{self._port}"
        self.env |= {
            "DJANGO_SECRET_KEY": "the-same-for-server-and-worker-0123456789-abcdefghij",
            "DJANGO_TLS": "0",
            "PYTHONUNBUFFERED": "1",
        }
        self._log, self._running = log, []
        self._output: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self._output = self._log.open("wb")
        self._serve("runserver", "--noreload", f"{HOST}:{self._port}")
        self._serve("qcluster")
        self.cookies = json.loads(self.script(_MAKE_STAFF.format(staff=STAFF, password=PASSWORD)))
        self._await_server()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert self._output
        self._output.close()

    def script(self, source: str) -> str:
        """Run Python inside the console; return what it printed."""
        done = self.manage("shell", "--no-imports", "-c", source)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def empty(self) -> None:
        """No business is known, nothing waits in the queue and no schedule fires; staff stay logged in."""
        emptied = [
            "django_admin_log",
            "django_q_ormq",
            "django_q_task",
            *(table for table in self._tables() if table.startswith("sync_") and table not in KEPT),
        ]
        if self.database_url.startswith("sqlite"):
            for table in emptied:
                self.query(f"DELETE FROM {table}")
        else:
            self.query(f"TRUNCATE {', '.join(emptied)} RESTART IDENTITY CASCADE")
        self.query("UPDATE django_q_schedule SET repeats = 0")

    def faults(self) -> str:
        """Return the first fault that server or worker logged, with what came before and after."""
        said = self.said()
        fault = re.search(r"^\S+ \S+ (ERROR|CRITICAL) ", said, re.MULTILINE)
        return said[max(0, fault.start() - 300) : fault.start() + 3000] if fault else ""

    def said(self) -> str:
        """Return what server and worker wrote."""
        return self._log.read_text(errors="replace")

    def _tables(self) -> list[str]:
        if self.database_url.startswith("sqlite"):
            return [name for (name,) in self.query("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [name for (name,) in self.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]

    def _serve(self, *arguments: str) -> None:
        self._running.append(
            subprocess.Popen(
                [sys.executable, "manage.py", *arguments],
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        )

    def _await_server(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert all(process.poll() is None for process in self._running), self.said()
            with contextlib.suppress(OSError), socket.create_connection((HOST, self._port), timeout=1):
                return
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.1)
