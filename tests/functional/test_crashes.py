"""Processes that really die, stop or meet: nothing is lost and nothing is billed twice."""

import signal
from collections import Counter
from datetime import UTC, datetime

import pytest

from sync.domain.timeline import DAY, HOUR, floor_to
from tests.business import USED, Business
from tests.console import signal_process
from tests.forking_console import ForkingConsole
from tests.world import World

pytestmark = pytest.mark.crash
EVENTS = "POST /v1/billing/meter_events"


@pytest.fixture(scope="session")
def forking(sandbox_server, tmp_path_factory):
    """Yield a console in processes of its own, which has no database yet."""
    console = ForkingConsole(
        tmp_path_factory.mktemp("forking"),
        database_url="",
        stripe_url=sandbox_server.stripe_url,
        openmeter_url=sandbox_server.openmeter_url,
    )
    yield console
    console.close()


@pytest.fixture
def console(databases, sandbox, forking):
    """Yield the console with a database of its own."""
    with databases.fresh() as url:
        forking.move_to(url)
        yield forking


@pytest.fixture
def start_business(sandbox, sandbox_server, config, console):
    """Return a function that sets a business up."""
    with World(sandbox, sandbox_server, config) as world:
        yield lambda **options: Business(world, console, **options)


class TestKilledProcess:
    @pytest.mark.parametrize("window", ["", "hour"])
    def test_is_completed_wherever_it_died_between_two_commits(self, start_business, console, window):
        business = start_business(customers=2, window=window)
        point, killed = 1, True
        while killed:
            run = console.manage("report_usage", "--no-sync", failpoint=f"commit:{point}")
            killed = run.returncode == -signal.SIGKILL
            assert killed or run.returncode == 0, run.stderr
            after = console.manage("report_usage", "--no-sync")
            assert after.returncode == 0, after.stderr
            assert business.billed() == {business.expected}, f"killed after commit {point}"
            assert set(console.statuses()) <= {"delivered"}
            business.use()
            point += 1
        assert point > 8

    @pytest.mark.parametrize("point", [1, 2])
    def test_is_completed_where_it_died_between_the_answer_and_the_ledger(
        self, start_business, console, point
    ):
        business = start_business(customers=3)
        assert (
            console.manage("report_usage", "--no-sync", failpoint=f"sent:{point}").returncode
            == -signal.SIGKILL
        )
        assert "sending" in console.statuses()
        assert console.manage("report_usage", "--no-sync").returncode == 0
        assert business.billed() == {business.expected}
        assert console.statuses() == ["delivered"] * 3

    @pytest.mark.parametrize("cut", ["before", "after"])
    def test_is_completed_where_it_died_in_the_middle_of_a_call(self, start_business, console, cut):
        business = start_business(customers=3)
        business.world.control.fault(EVENTS, times=3, delay_ms=1500, cut=cut)
        run = console.start("report_usage", "--no-sync")
        console.wait_for("SELECT 1 FROM sync_usagereport WHERE status = 'sending'")
        signal_process(run, signal.SIGKILL)
        assert console.manage("report_usage", "--no-sync").returncode == 0
        assert business.billed() == {business.expected}

    def test_is_marked_as_interrupted_once_its_heart_has_lapsed(self, start_business, console):
        start_business(customers=1)
        console.manage("report_usage", "--no-sync", failpoint="commit:3")
        console.query("UPDATE sync_reportrun SET heartbeat_at = '2020-01-01 00:00:00+00:00'")
        console.manage("report_usage", "--no-sync")
        runs = console.query("SELECT status FROM sync_reportrun WHERE kind = 'report' ORDER BY id")
        statuses = [status for (status,) in runs]
        assert statuses == ["interrupted", "succeeded"]


class TestStoppedProcess:
    @pytest.mark.parametrize("window", ["", "hour"])
    def test_cannot_bring_back_an_old_total(self, start_business, console, window):
        business = start_business(customers=2, window=window)
        business.world.control.fault(EVENTS, times=2, delay_ms=1500, cut="before")
        stopped = console.start("report_usage", "--no-sync")
        console.wait_for("SELECT 1 FROM sync_usagereport WHERE status = 'sending'")
        signal_process(stopped, signal.SIGSTOP)
        console.expire_leases()
        business.use()
        assert console.manage("report_usage", "--no-sync").returncode == 0
        assert business.billed() == {business.expected}
        signal_process(stopped, signal.SIGCONT)
        stopped.communicate(timeout=60)
        assert business.billed() == {business.expected}
        assert set(console.statuses()) == {"delivered"}

    def test_leaves_the_ledger_sound_when_asked_to_stop(self, start_business, console):
        business = start_business(customers=3)
        business.world.control.fault(EVENTS, times=3, delay_ms=1000)
        run = console.start("report_usage", "--no-sync")
        console.wait_for("SELECT 1 FROM sync_usagereport WHERE status = 'sending'")
        signal_process(run, signal.SIGINT)
        _, err = run.communicate(timeout=30)
        assert run.returncode == 130
        assert "run report_usage again to go on" in err
        assert "Traceback" not in err
        assert not console.query("SELECT 1 FROM sync_enrolment WHERE lease_owner <> ''")
        assert console.manage("report_usage", "--no-sync").returncode == 0
        assert business.billed() == {business.expected}


class TestTwoProcesses:
    def test_send_nothing_twice(self, start_business, console):
        business = start_business(customers=40)
        business.world.control.settings(meter_event_latency_ms=30)
        runs = [console.start("report_usage", "--no-sync") for _ in range(2)]
        for run in runs:
            _, err = run.communicate(timeout=80)
            assert run.returncode == 0, err
        assert business.billed() == {business.expected}
        assert console.statuses() == ["delivered"] * 40
        calls = business.world.control.requests(EVENTS)
        assert Counter(call["status"] for call in calls) == {200: 40}

    def test_plan_nothing_twice_while_usage_changes(self, start_business, console):
        business = start_business(customers=10)
        for _ in range(3):
            runs = [console.start("report_usage", "--no-sync") for _ in range(2)]
            business.use()
            for run in runs:
                run.communicate(timeout=80)
        assert console.manage("report_usage", "--no-sync").returncode == 0
        assert business.billed() == {business.expected}

    def test_bill_once_what_one_plans_by_the_day_and_the_other_by_the_hour(
        self, sandbox, sandbox_server, config, console
    ):
        with World(sandbox, sandbox_server, config) as world:
            day = floor_to(datetime.now(UTC), DAY) - 2 * DAY
            world.at(day - DAY)
            tokens = world.meter()
            people = [world.subscriber(tokens, f"c{number}") for number in range(5)]
            world.use_many([(who.subject, USED, day + 14.5 * HOUR) for who in people])
            world.control.set_clock(None)
            assert console.manage("sync_stripe").returncode == 0
            world.control.settings(openmeter_latency_ms=1000)
            window = [f"{day + hours * HOUR:%Y-%m-%dT%H:%M:%SZ}" for hours in (12, 16)]
            runs = [
                console.start("report_usage", "--no-sync"),
                console.start("report_usage", "--no-sync", "--from", window[0], "--to", window[1]),
            ]
            for run in runs:
                run.communicate(timeout=60)
            assert {world.billed(who) for who in people} == {USED}
