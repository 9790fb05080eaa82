"""`make demo`: the real thing, in a copy of the project, on free ports."""

import contextlib
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("billing_console", "sync", "templates", "manage.py", "Makefile", "requirements.txt")


@pytest.fixture
def home(tmp_path) -> Path:
    """Return a copy of the project: the demo of the person who runs these tests is none of their business.

    What Python compiled is copied too, as nobody's project is new at every start.
    """
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name)
        elif source.exists():
            shutil.copy2(source, tmp_path / name)
    (tmp_path / "var").mkdir()
    (tmp_path / ".env").write_text("STRIPE_KEY=sk_live_must_not_be_read\n")
    return tmp_path


@pytest.fixture
def ports() -> tuple[int, int]:
    """Return two ports that are free now."""
    with socket.socket() as one, socket.socket() as other:
        for probe in (one, other):
            probe.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def command(ports, *options: str) -> list[str]:
    """Return what `make demo` would run."""
    variables = [f"PYTHON={sys.executable}", f"PORT={ports[0]}", f"SANDBOX_PORT={ports[1]}", *options]
    made = subprocess.run(
        ["make", "--dry-run", "--old-file=.venv/requirements.stamp", *variables, "demo"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    return ["sh", "-c", f"{made.stdout.rstrip()} --days 2"]


def run(home, ports, *options: str) -> subprocess.CompletedProcess[str]:
    # The shell's own settings, which must not get through.
    env = os.environ | {"DATABASE_URL": "sqlite:///var/precious.sqlite3", "STRIPE_KEY": "sk_live_mine"}
    return subprocess.run(
        command(ports, *options), cwd=home, env=env, capture_output=True, text=True, timeout=60, check=False
    )


def answers(port) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class TestDemo:
    def test_reports_and_ends_and_starts_clean_again(self, home, ports):
        precious = home / "var" / "precious.sqlite3"
        precious.write_text("not yours")

        first = run(home, ports, "SERVE=0")
        second = run(home, ports, "SERVE=0")

        for demo in (first, second):
            assert demo.returncode == 0, demo.stdout + demo.stderr
            assert "Filled it with 26 customers, 2 meters" in demo.stdout
            assert re.search(
                r"stripe_customer: cus_\w+, stripe_price: price_\w+, meter: tokens_total", demo.stdout
            )
            assert "Run 2: succeeded" in demo.stdout
        assert not answers(ports[1])
        assert precious.read_text() == "not yours"
        assert {path.name for path in (home / "var").iterdir()} <= {
            "precious.sqlite3",
            "demo.lock",
            "demo.log",
            *(
                f"{name}{end}"
                for name in ("demo.sqlite3", "demo-sandbox.sqlite3")
                for end in ("", "-wal", "-shm")
            ),
        }

        self.check_what_is_special(home / "var" / "demo.sqlite3")

    def check_what_is_special(self, database_file):
        with sqlite3.connect(database_file) as database:
            statuses = dict(
                database.execute("SELECT status, count(*) FROM sync_subscription GROUP BY status").fetchall()
            )
            subjects = database.execute(
                "SELECT count(*) FROM sync_subject GROUP BY customer_id HAVING count(*) > 1"
            ).fetchall()
            silent = database.execute(
                "SELECT count(*) FROM sync_finding WHERE kind = 'subject_never_seen'"
            ).fetchall()
            anchors = database.execute(
                "SELECT DISTINCT substr(start_date, 15, 5) FROM sync_subscription"
            ).fetchall()
            undelivered = dict(
                database.execute(
                    "SELECT status, count(*) FROM sync_usagereport"
                    " WHERE status <> 'delivered' GROUP BY status"
                ).fetchall()
            )
            closing = database.execute(
                "SELECT count(DISTINCT item_id) FROM sync_billingperiod"
                " WHERE closes_at BETWEEN datetime('now') AND datetime('now', '1 day')"
            ).fetchone()
        database.close()
        assert statuses == {"active": 22, "trialing": 1, "past_due": 1, "canceled": 2}
        assert subjects == [(2,)]
        assert silent == [(1,)]
        assert len(anchors) == 26
        assert undelivered == {"held": 1, "late": 1, "rejected": 1}
        assert closing == (4,)

    def test_serves_the_console_and_ends_everything_with_ctrl_c(self, home, ports):
        with (home / "out").open("w") as out:
            demo = subprocess.Popen(command(ports), cwd=home, stdout=out, stderr=out, start_new_session=True)
        try:
            wait_for(lambda: "Ctrl-C ends everything" in (home / "out").read_text(), demo)
            said = (home / "out").read_text()
            login, password = re.search(r"login: (\S+)   password: (\S+)", said).groups()
            page = log_in(f"http://127.0.0.1:{ports[0]}", login, password)
            assert "What needs a person" in page
            self.check_that_webhooks_arrive(home, ports, demo)
            children = subprocess.run(
                ["pgrep", "-P", str(demo.pid)], capture_output=True, text=True, check=True
            ).stdout.split()
            assert len(children) == 3
            os.killpg(demo.pid, signal.SIGINT)
            assert demo.wait(timeout=20) == 0
        finally:
            if demo.poll() is None:
                demo.terminate()
                demo.wait()
        assert not answers(ports[0])
        assert not answers(ports[1])
        assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []

    def check_that_webhooks_arrive(self, home, ports, demo):
        made = httpx.post(
            f"http://127.0.0.1:{ports[1]}/stripe/v1/customers",
            data={"name": "Countess"},
            headers={"Authorization": "Bearer sk_test_demo_1"},
        )
        assert made.is_success

        def is_known():
            with contextlib.closing(sqlite3.connect(home / "var" / "demo.sqlite3")) as database:
                names = database.execute("SELECT name FROM sync_customer").fetchall()
            return ("Countess",) in names

        wait_for(is_known, demo)

    @pytest.mark.parametrize(("taken", "variable"), [(0, "PORT"), (1, "SANDBOX_PORT")])
    def test_a_taken_port_is_a_sentence(self, home, ports, taken, variable):
        mine = home / "var" / "demo.sqlite3"
        mine.write_text("an earlier demo")
        with socket.socket() as other:
            other.bind(("127.0.0.1", ports[taken]))
            other.listen()
            demo = run(home, ports, "SERVE=0")
        assert demo.returncode == 2
        assert f"Port {ports[taken]} on 127.0.0.1 is taken" in demo.stderr
        assert f"make demo {variable}=" in demo.stderr
        assert len(demo.stderr.splitlines()) == 1
        assert mine.read_text() == "an earlier demo"

    def test_refuses_any_other_database(self, home):
        demo = subprocess.run(
            [sys.executable, "manage.py", "demo", "--no-serve"],
            cwd=home,
            env={"PATH": os.environ["PATH"], "IGNORE_DOTENV": "1", "STRIPE_KEY": "sk_test_demo_0000"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert demo.returncode == 2
        assert "start it with make demo" in demo.stderr
        assert list((home / "var").iterdir()) == []


def wait_for(ready, process) -> None:
    deadline = time.monotonic() + 45
    while not ready():
        assert process.poll() is None, "the demo ended by itself"
        assert time.monotonic() < deadline, "the demo takes too long"
        time.sleep(0.2)


def log_in(address, login, password) -> str:
    with httpx.Client(base_url=address, follow_redirects=True, trust_env=False) as browser:
        browser.get("/login/")
        form = {
            "username": login,
            "password": password,
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
            "next": "/",
        }
        return browser.post("/login/", data=form).text
