"""Cancelling a run: nothing is torn, and whoever cancels may let its scope stand still."""

import pytest

from sync.enqueue import enqueue_run
from sync.models import Pause, ReportRun
from sync.operations.cancel_run import cancel_run
from sync.operations.keep_run import RunIsTaken, begin_run
from sync.operations.report_request import ReportRequest
from sync.operations.report_usage import report_usage
from sync.operations.sync_stripe import sync_stripe
from sync.ports import InvalidInput
from sync.queries.planning import Scope
from sync.tasks import carry_out_run
from sync.wiring import connect
from tests.functional.test_report_usage import at
from tests.office import dialog_url, log_of, text_of

NOW = at("2026-03-10T10:03")
EVENTS = "POST /v1/billing/meter_events"


@pytest.fixture
def people(world):
    """Return customers who used one token in each of five hours."""
    tokens = world.meter()
    found = [world.subscriber(tokens, f"c{number}") for number in range(4)]
    world.sync()
    hours = [at(f"2026-03-10T{hour:02}:30") for hour in range(9, 14)]
    world.use_many([(who.subject, 1, hour) for who in found for hour in hours])
    world.at(at("2026-03-10T14:03"))
    return found


def queued(world, scope=None, **options):
    request = ReportRequest(
        scope=scope or Scope(), sync=False, trigger=ReportRun.Trigger.ADMIN, requested_by="ada"
    )
    run = request.as_run(now=world.now)
    for name, value in options.items():
        setattr(run, name, value)
    return enqueue_run(run)


def carry_out(world, run, progress):
    connections = connect(config=world.config)
    return report_usage(
        run=run,
        request=ReportRequest.of_run(run),
        stripe=connections.stripe,
        openmeter=connections.openmeter,
        rules=world.rules(),
        clock=lambda: world.now,
        progress=progress,
    )


class TestCancelRun:
    def test_ends_a_queued_run_at_once(self, office, world, people):
        run = queued(world)
        cancel_run(run_id=run.pk, why="Wrong day.", who="bob", now=world.now)
        run.refresh_from_db()
        assert (run.status, run.cancel_asked_by, run.cancel_reason) == ("cancelled", "bob", "Wrong day.")
        assert "nothing was planned or sent" in run.notes
        with pytest.raises(RunIsTaken):
            begin_run(run, now=world.now)
        assert world.statuses() == []

    def test_stops_a_running_one_and_says_what_stays(self, world, people, monkeypatch):
        monkeypatch.setattr("sync.operations.keep_run.PROGRESS_SECONDS", 0)
        run = queued(world)
        world.control.fault(EVENTS, delay_ms=50, times=1000)

        def cancel(step, done, _total):
            asked = ReportRun.objects.get(pk=run.pk).cancel_asked_at
            if step == "Reporting to Stripe" and done and not asked:
                cancel_run(run_id=run.pk, why="Wrong price.", who="bob", now=world.now)

        result = carry_out(world, run, cancel)
        run.refresh_from_db()
        assert run.status == result.run.status == "cancelled"
        pending = world.statuses().count("pending")
        assert 0 < pending < 20
        assert set(world.statuses()) == {"delivered", "pending"}
        assert f"{pending} planned reports are still pending" in run.notes
        world.control.clear_faults()
        world.report(sync=False)
        assert [world.billed(who) for who in people] == [5, 5, 5, 5]

    def test_stops_before_anything_is_planned(self, world, people, monkeypatch):
        monkeypatch.setattr("sync.operations.keep_run.PROGRESS_SECONDS", 0)
        run = queued(world, with_sync=True)

        def cancel(step, _done, _total):
            if step.startswith("Reading Stripe"):
                cancel_run(run_id=run.pk, why="Wrong day.", who="bob", now=world.now)

        carry_out(world, run, cancel)
        run.refresh_from_db()
        assert run.status == "cancelled"
        assert world.statuses() == []

    def test_stops_between_meters_and_keeps_nothing_of_a_plan_that_was_to_be_held_against_a_confirmed_one(
        self, world, people, monkeypatch
    ):
        monkeypatch.setattr("sync.operations.keep_run.PROGRESS_SECONDS", 0)
        world.subscribe(people[0].customer, world.meter("calls"), "c0")
        world.sync()
        run, asked = queued(world, as_of=world.now), []

        def cancel(step, done, total):
            asked.append((step, done, total))
            if len(asked) == 1:
                cancel_run(run_id=run.pk, why="Wrong day.", who="bob", now=world.now)

        carry_out(world, run, cancel)
        run.refresh_from_db()
        assert run.status == "cancelled"
        assert set(asked) == {("Asking OpenMeter", 0, 2)}
        assert "stopped while it planned, so nothing of its plan was kept" in run.notes
        assert world.statuses() == []

    def test_stops_a_sync(self, world, people, monkeypatch):
        monkeypatch.setattr("sync.operations.keep_run.PROGRESS_SECONDS", 0)
        run = enqueue_run(ReportRun(kind="sync", trigger="admin", queued_at=world.now))
        connections = connect(config=world.config)
        sync_stripe(
            run=run,
            stripe=connections.stripe,
            openmeter=connections.openmeter,
            invoice_grace=world.config.invoice_grace,
            clock=lambda: world.now,
            progress=lambda _what: (
                ReportRun.objects.get(pk=run.pk).cancel_asked_at
                or cancel_run(run_id=run.pk, why="Slow.", who="bob", now=world.now)
            ),
        )
        run.refresh_from_db()
        assert run.status == "cancelled"
        assert "the next sync completes it" in run.notes

    def test_refuses_what_makes_no_sense(self, world, people):
        run = queued(world)
        cancel = {"run_id": run.pk, "who": "bob", "now": world.now}
        with pytest.raises(InvalidInput, match="say why"):
            cancel_run(**cancel, why=" ")
        begin_run(run, now=world.now)
        cancel_run(**cancel, why="Wrong day.")
        with pytest.raises(InvalidInput, match="asked to stop already, by bob"):
            cancel_run(**cancel, why="Again.")
        ended = world.report(sync=False).run
        with pytest.raises(InvalidInput, match="ended succeeded"):
            cancel_run(**cancel | {"run_id": ended.pk}, why="Late.")

    def test_finds_a_killed_run_over(self, world, people):
        run = queued(world)
        begin_run(run, now=world.now)
        world.later(minutes=3)
        with pytest.raises(InvalidInput, match="ended interrupted"):
            cancel_run(run_id=run.pk, why="Stuck.", who="bob", now=world.now)


class TestCancelDialog:
    def test_cancels_and_lets_the_scope_stand_still(self, office, world, people):
        run = queued(world, Scope(subscriptions=(people[0].subscription, people[1].subscription)))
        browser, url = (
            office.browser("otto", group="Billing operator"),
            dialog_url("reportrun", "cancel", run.pk),
        )
        shown = text_of(office.get(browser, url))
        assert f"Run {run.pk} is queued." in shown
        assert "Also pause reporting of customer c0" in shown
        office.post(browser, url, why="Wrong price.", also_pause="on")
        run.refresh_from_db()
        assert run.status == "cancelled"
        assert {pause.customer.name for pause in Pause.objects.all()} == {"c0", "c1"}
        assert "is cancelled. Reporting of" in log_of(run)[0]
        assert log_of(run)[0].endswith("Wrong price.")
        with office.now():
            assert carry_out_run(run.pk) == "Somebody else carries it out, or did."
        assert world.statuses() == []

    def test_pauses_nothing_unless_asked(self, office, world, people):
        run = queued(world)
        office.post(office.browser(), dialog_url("reportrun", "cancel", run.pk), why="Wrong day.")
        assert not Pause.objects.exists()

    def test_offers_no_pause_to_those_who_may_not(self, office, world, people):
        run = queued(world)
        browser = office.browser("carl", permission="sync.cancel_reportrun")
        url = dialog_url("reportrun", "cancel", run.pk)
        assert "Also pause" not in text_of(office.get(browser, url))
        office.post(browser, url, why="Wrong day.", also_pause="on")
        assert not Pause.objects.exists()
        assert ReportRun.objects.get().status == "cancelled"

    def test_says_that_a_run_is_over(self, office, world, people):
        ended = world.report(sync=False).run
        answer = office.get(office.browser(), dialog_url("reportrun", "cancel", ended.pk))
        assert "it ended succeeded" in text_of(answer)

    def test_needs_its_permission(self, office, world, people):
        run = queued(world)
        viewer, url = (
            office.browser("vera", group="Billing viewer"),
            dialog_url("reportrun", "cancel", run.pk),
        )
        assert office.get(viewer, url).status_code == 403
        assert office.post(viewer, url, why="x").status_code == 403
        assert ReportRun.objects.get().status == "queued"
