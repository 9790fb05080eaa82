"""Real workers: schedules fire, clusters meet, die and end; nothing is billed twice, nothing is lost."""

import os
import signal
import socket
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings

from tests.console import Console
from tests.databases import Databases
from tests.functional.test_crashes import Business
from tests.functional.test_processes import is_gone, wait_until
from tests.world import World

pytestmark = pytest.mark.crash
EVENTS = "POST /v1/billing/meter_events"
REDIS = ("127.0.0.1", 6379)
FIRE = "from django_q.scheduler import scheduler; scheduler()"
"""What every cluster does each half minute: the tasks of schedules that are due go into the queue."""
ENDED = "SELECT 1 FROM sync_reportrun WHERE kind = '{}' AND trigger = 'schedule' AND status = '{}'"


def answers(address: tuple[str, int]) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(address) == 0


OWN_IS_POSTGRESQL = settings.DATABASES["default"]["ENGINE"].endswith("postgresql")


# Each database that the suite runs on has its brokers: Redis stands beside PostgreSQL, as in production.
@pytest.fixture(params=["orm", "redis"] if OWN_IS_POSTGRESQL else ["orm"])
def kind(request, databases) -> tuple[Databases, str]:
    """Return the suite's own kind of database and each broker that is used with it."""
    if request.param == "redis" and not answers(REDIS):
        pytest.skip(f"nothing answers on {REDIS[0]}:{REDIS[1]}, where redis is looked for")
    return databases, request.param


class Office:
    """A business, its console, and as many clusters as a test starts."""

    def __init__(self, console: Console, business: Business, broker: str) -> None:
        self.console, self.business = console, business
        console.env |= {
            "DJANGO_SECRET_KEY": "only-for-this-test-0123456789-abcdefghijklmnopqrstuvwxyz",
            "QUEUE_NAME": f"test-{uuid.uuid4().hex}",
            "REDIS_URL": f"redis://{REDIS[0]}:{REDIS[1]}/0" if broker == "redis" else "",
        }
        self.clusters: list[subprocess.Popen[bytes]] = []

    def start_cluster(self) -> subprocess.Popen[bytes]:
        """Start a cluster in a process group of its own, as a supervisor does."""
        cluster = subprocess.Popen(
            [sys.executable, "manage.py", "qcluster"],
            cwd=Path(__file__).parents[2],
            env=self.console.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.clusters.append(cluster)
        return cluster

    def fire(self) -> None:
        """Every schedule is due, and its task is in the queue."""
        a_moment_ago = datetime.now(UTC) - timedelta(seconds=1)
        self.console.query(f"UPDATE django_q_schedule SET next_run = '{a_moment_ago:%Y-%m-%d %H:%M:%S}'")
        fired = self.console.manage("shell", "--no-imports", "-v0", "-c", FIRE)
        assert fired.returncode == 0, fired.stderr

    def runs(self, kind: str) -> list[str]:
        """Return how the scheduled runs of a kind stand."""
        rows = self.console.query(
            f"SELECT status FROM sync_reportrun WHERE kind = '{kind}' AND trigger = 'schedule' ORDER BY id"
        )
        return [status for (status,) in rows]

    def close(self) -> None:
        """Every process is gone."""
        for cluster in self.clusters:
            cluster.kill()
            cluster.wait()


@contextmanager
def opened(kind, sandbox, sandbox_server, config, **options) -> Iterator[Office]:
    databases, broker = kind
    with databases.fresh() as url, World(sandbox, sandbox_server, config) as world:
        console = Console(
            database_url=url,
            stripe_url=sandbox_server.stripe_url,
            openmeter_url=sandbox_server.openmeter_url,
        )
        office = Office(console, Business(world, console, **options), broker)
        try:
            yield office
        finally:
            office.close()


class TestTwoClusters:
    def test_do_what_the_schedules_say_and_send_nothing_twice(self, kind, sandbox, sandbox_server, config):
        with opened(kind, sandbox, sandbox_server, config, customers=20) as office:
            office.business.world.control.settings(meter_event_latency_ms=50)
            clusters = [office.start_cluster() for _ in range(2)]
            office.fire()
            office.fire()  # comes by while the first ones go on
            office.console.wait_for(ENDED.format("report", "succeeded"))
            for of_kind in ("changes", "sync"):
                office.console.wait_for(ENDED.format(of_kind, "succeeded"))
            office.console.wait_for("SELECT 1 FROM sync_worker")
            for cluster in clusters:
                os.killpg(cluster.pid, signal.SIGTERM)
            assert [cluster.wait(timeout=30) for cluster in clusters] == [0, 0]
            calls = office.business.world.control.requests(EVENTS)
            assert Counter(call["status"] for call in calls) == {200: 20}
            assert office.business.billed() == {office.business.expected}
            # One that was just beginning when its cluster was asked to end has left off in order.
            assert set(office.runs("report")) <= {"succeeded", "partial"}
            assert set(office.console.statuses()) == {"delivered"}


class TestKilledCluster:
    def test_is_noticed_and_the_next_run_completes_its_work(self, kind, sandbox, sandbox_server, config):
        with opened(kind, sandbox, sandbox_server, config, customers=8) as office:
            control = office.business.world.control
            control.fault(EVENTS, times=8, delay_ms=3000, cut="after")
            killed = office.start_cluster()
            office.fire()
            office.console.wait_for("SELECT 1 FROM sync_usagereport WHERE status = 'sending'")
            children = children_of(killed.pid)
            killed.kill()
            wait_until(lambda: all(is_gone(pid) for pid in children))
            control.clear_faults()
            assert office.runs("report") == ["running"]
            office.console.query("UPDATE sync_reportrun SET heartbeat_at = '2020-01-01 00:00:00+00:00'")
            office.start_cluster()
            office.fire()
            office.console.wait_for(ENDED.format("report", "succeeded"))
            assert office.runs("report") == ["interrupted", "succeeded"]
            assert office.business.billed() == {office.business.expected}
            assert set(office.console.statuses()) == {"delivered"}


class TestStoppedCluster:
    def test_ends_in_order_and_leaves_the_rest_to_the_next_one(self, kind, sandbox, sandbox_server, config):
        with opened(kind, sandbox, sandbox_server, config, customers=60) as office:
            office.console.env["STRIPE_RATE_LIMIT"] = "10"
            cluster = office.start_cluster()
            office.fire()
            office.console.wait_for("SELECT 1 FROM sync_usagereport WHERE status = 'delivered'")
            children = children_of(cluster.pid)
            os.killpg(cluster.pid, signal.SIGTERM)
            assert cluster.wait(timeout=30) == 0
            wait_until(lambda: all(is_gone(pid) for pid in children))
            assert office.runs("report") == ["partial"]
            assert "pending" in office.console.statuses()
            assert "sending" not in office.console.statuses()
            office.console.env["STRIPE_RATE_LIMIT"] = "5000"
            assert office.console.manage("report_usage", "--no-sync").returncode == 0
            assert office.business.billed() == {office.business.expected}


def children_of(pid: int) -> list[int]:
    """Return the processes below a process."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(row.split()[0]): int(row.split()[1]) for row in listed.splitlines()}
    found = [one for one, parent in parents.items() if parent == pid]
    return found + [below for one in found for below in children_of(one)]
