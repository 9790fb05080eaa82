"""The console as a separate process with a database of its own: what gets killed in crash tests."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

ROOT = Path(__file__).resolve().parent.parent


class Console:
    """`manage.py` against one database and one sandbox."""

    def __init__(self, *, database_url: str, stripe_url: str, openmeter_url: str) -> None:
        self.database_url = database_url
        self.env = os.environ | {
            "IGNORE_DOTENV": "1",
            "DATABASE_URL": database_url,
            "STRIPE_KEY": "sk_test_northwind_1",
            "STRIPE_API_BASE": stripe_url,
            "STRIPE_RATE_LIMIT": "5000",
            "OPENMETER_URL": openmeter_url,
            "PYTHONPATH": str(ROOT),
        }

    def start(self, *args: str, failpoint: str = "") -> subprocess.Popen[str]:
        """Start a command; with a failpoint the process kills itself there."""
        program = ["-m", "tests.failpoints", failpoint] if failpoint else ["manage.py"]
        return subprocess.Popen(
            [sys.executable, *program, *args],
            cwd=ROOT,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def manage(self, *args: str, failpoint: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        with self.start(*args, failpoint=failpoint) as process:
            out, err = process.communicate(timeout=90)
            return subprocess.CompletedProcess(args, process.returncode, out, err)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return what the database holds, or change it behind the console's back."""
        if self.database_url.startswith("sqlite"):
            connection: Any = sqlite3.connect(urlsplit(self.database_url).path[1:], timeout=30)
        else:
            connection = psycopg.connect(self.database_url)
        try:
            cursor = connection.execute(sql)
            rows = cursor.fetchall() if cursor.description else []
            connection.commit()
        finally:
            connection.close()
        return rows

    def statuses(self) -> list[str]:
        """Return the status of every ledger row, in order."""
        return [status for (status,) in self.query("SELECT status FROM sync_usagereport ORDER BY id")]

    def expire_leases(self) -> None:
        """Let as much time pass as a lease lasts."""
        self.query(
            "UPDATE sync_enrolment SET lease_expires_at = '2020-01-01 00:00:00' WHERE lease_owner <> ''"
        )

    def wait_for(self, sql: str, timeout: float = 20) -> None:
        """Return once a query finds something."""
        end = time.monotonic() + timeout
        while not self.query(sql):
            assert time.monotonic() < end, f"nothing for {sql}"
            time.sleep(0.05)


def signal_process(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Send a signal and, for one that ends it, wait."""
    process.send_signal(number)
    if number == signal.SIGKILL:
        process.communicate()
