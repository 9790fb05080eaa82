"""Planning, delivering and deciding, where time, order or somebody else interferes."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from sync.models import (
    BillingPeriod,
    CallBudget,
    DeliveryAttempt,
    Enrolment,
    Finding,
    Meter,
    ReportRun,
    UsageReport,
)
from sync.operations.claim_enrolments import LEASE, Lease, claim_enrolments, release_enrolments, renew_lease
from sync.operations.deliver_reports import DeliveryRules, deliver_reports
from sync.operations.identify_worker import free_dead_workers_enrolments, worker_name
from sync.operations.plan_reports import PlanningRules, due_slices, measure_together, plan_meter
from sync.operations.reserve_calls import BUDGET, postpone_calls, reserve_calls
from sync.operations.resolve_report import dismiss_report, release_report
from sync.operations.send_report import send_report
from sync.operations.settle_reports import NotSent, settle_reports
from sync.operations.store_plan import store_plan
from sync.ports import InvalidInput, Misconfigured, TemporaryFailure
from sync.queries.planning import Scope, enrolments_to_plan
from sync.wiring import connect
from tests.functional.test_report_usage import at

EVENTS = "POST /v1/billing/meter_events"
SUMMARIES = "GET /v1/billing/meters/{id}/event_summaries"
TEN = at("2026-03-10T10:03")


@pytest.fixture
def ada(world):
    """Return a customer who used 10 tokens in the hour before ten."""
    who = world.subscriber(world.meter())
    world.use("ada", 10, at("2026-03-10T09:30"))
    world.at(TEN)
    return who


@pytest.fixture
def ada_by_hours(world):
    """Return the same customer on a meter that keeps one value per hour."""
    who = world.subscriber(world.meter(window="hour"))
    world.use("ada", 10, at("2026-03-10T09:30"))
    world.at(TEN)
    return who


@pytest.fixture
def impatient(monkeypatch):
    """Give up after two tries, as a run does after six: the tests need not wait for all of them."""
    monkeypatch.setattr("sync.operations.deliver_reports.TRIES_PER_RUN", 2)


def compute_plan(world, limit=None):
    """Read the ledger, then ask OpenMeter, and return the plan without storing it."""
    meter = Meter.objects.get()
    since = limit.start if limit else world.now - world.config.tail
    enrolments = enrolments_to_plan(meter, scope=Scope(), since=since, now=world.now)
    rules = PlanningRules(tail=world.config.tail, brake_percent=5, limit=limit)
    due = due_slices(meter=meter, enrolments=enrolments, rules=rules, now=world.now)
    collected = measure_together(
        due=[due],
        others=(),
        source=connect(config=world.config).openmeter,
        rules=rules,
        now=world.now,
        on_answer=lambda: None,
    )
    return plan_meter(due=due, collected=collected, rules=rules, now=world.now)


def new_run(world):
    """Return a stored run."""
    return ReportRun.objects.create(
        trigger="command", status="running", queued_at=world.now, started_at=world.now, heartbeat_at=world.now
    )


class TestStorePlan:
    def test_refuses_a_planner_with_older_data(self, world, ada):
        world.sync()
        older = compute_plan(world)
        world.use("ada", 5, at("2026-03-10T09:31"))
        newer = compute_plan(world)
        assert store_plan(newer, run=new_run(world), now=world.now).refused == 0
        assert store_plan(older, run=new_run(world), now=world.now).refused == 1
        world.report(sync=False)
        assert world.billed(ada) == 15

    def test_refuses_to_supersede_what_somebody_claimed_meanwhile(self, world, ada):
        world.sync()
        store_plan(compute_plan(world), run=new_run(world), now=world.now)
        world.use("ada", 5, at("2026-03-10T09:31"))
        plan = compute_plan(world)
        UsageReport.objects.update(status="sending", first_sent_at=world.now, attempts=1)
        assert store_plan(plan, run=new_run(world), now=world.now).refused == 1
        world.report(sync=False)
        assert world.billed(ada) == 15

    def test_supersedes_what_nobody_claimed(self, world, ada):
        world.sync()
        store_plan(compute_plan(world), run=new_run(world), now=world.now)
        world.use("ada", 5, at("2026-03-10T09:31"))
        world.report(sync=False)
        assert world.statuses() == ["superseded", "delivered"]
        assert world.sent() == [("15", int(at("2026-03-10T09:59:59").timestamp()))]

    def test_forgets_nothing_when_usage_returns_to_what_was_superseded(self, world, ada):
        world.report()
        world.use("ada", 2000, at("2026-03-10T09:31"))
        store_plan(compute_plan(world), run=new_run(world), now=world.now)
        world.use("ada", -2000, at("2026-03-10T09:32"))
        store_plan(compute_plan(world), run=new_run(world), now=world.now)
        assert world.statuses() == ["delivered", "superseded"]
        world.use("ada", 2000, at("2026-03-10T09:33"))
        world.report(sync=False)
        assert world.billed(ada) == 2010

    def test_one_enrolment_that_was_planned_elsewhere_does_not_stop_the_others(self, world, ada):
        world.sync()
        price = Meter.objects.get().prices.get().stripe_id
        world.at(at("2026-03-10T09:00"))
        customer = world.stripe("POST", "/customers", name="bob", metadata={"external_key": "bob"})
        world.stripe("POST", "/subscriptions", customer=customer["id"], items=[{"price": price}])
        world.use("bob", 4, at("2026-03-10T09:30"))
        world.at(TEN)
        world.sync()
        stale = compute_plan(world)
        first, _ = stale.enrolments
        store_plan(type(stale)(meter=stale.meter, enrolments=[first]), run=new_run(world), now=world.now)
        stored = store_plan(stale, run=new_run(world), now=world.now)
        assert (stored.refused, stored.reports) == (1, 1)
        assert UsageReport.objects.count() == 2

    def test_says_what_the_database_will_never_take(self, world, ada):
        world.sync()
        plan = compute_plan(world)
        report = next(plan.reports)
        report.piece = replace(report.piece, event_at=report.piece.span.end)
        assert store_plan(plan, run=new_run(world), now=world.now).refused == 1
        assert "contradicting itself" in plan.problems[0]


@pytest.mark.usefixtures("impatient")
class TestUnknownOutcome:
    def test_is_never_sent_again_after_23_hours(self, world, ada):
        world.control.fault(EVENTS, times=50, cut="before")
        world.report()
        assert world.statuses() == ["unknown"]
        world.control.clear_faults()
        world.control.fault(SUMMARIES, status=401)
        world.at(TEN + timedelta(hours=23, minutes=1))
        world.report()
        report = UsageReport.objects.get(slice_start=at("2026-03-10T09:00"))
        assert (report.status, report.next_attempt_at) == ("unknown", None)
        assert "over 23 hours" in report.error
        assert world.billed(ada) == 0
        assert Finding.objects.filter(kind=Finding.Kind.UNKNOWN_OUTCOME, resolved_at=None).count() == 1

    def test_is_sent_again_under_the_same_name_before_that(self, world, ada):
        world.control.fault(EVENTS, times=50, cut="after")
        world.report()
        world.control.clear_faults()
        world.at(TEN + timedelta(hours=22, minutes=59))
        world.report()
        assert world.billed(ada) == 10
        assert world.statuses() == ["delivered"]

    def test_what_surely_never_arrived_is_sent_however_late(self, world, ada):
        world.control.fault(EVENTS, times=50, status=429)
        world.report()
        assert world.statuses() == ["pending"]
        world.control.clear_faults()
        world.at(TEN + timedelta(hours=30))
        world.report()
        assert world.billed(ada) == 10

    def test_a_name_that_stripe_knows_though_we_never_sent_it_is_for_people(self, world, ada):
        world.sync()
        Enrolment.objects.update(checked_at=world.now)
        meter = Meter.objects.get()
        world.stripe(
            "POST",
            "/billing/meter_events",
            event_name="tokens",
            identifier=f"bc1:{meter.stripe_id}:{ada.customer}:{int(at('2026-03-10T09:00').timestamp())}:1",
            payload={"stripe_customer_id": ada.customer, "value": "10"},
            timestamp=int(at("2026-03-10T09:59:59").timestamp()),
        )
        result = world.report(sync=False)
        assert result.run.status == ReportRun.Status.PARTIAL
        assert world.statuses() == ["unknown"]
        assert world.billed(ada) == 10
        assert Finding.objects.filter(kind=Finding.Kind.UNKNOWN_OUTCOME).count() == 1

    def test_blocks_its_slice_but_not_the_next(self, world, ada):
        world.control.fault(EVENTS, times=50, cut="before")
        world.report()
        UsageReport.objects.update(next_attempt_at=None)
        world.control.clear_faults()
        world.control.fault(SUMMARIES, status=401)
        world.use("ada", 3, at("2026-03-10T09:31"))
        world.use("ada", 4, at("2026-03-10T10:31"))
        world.at(at("2026-03-10T11:03"))
        world.report()
        assert world.billed(ada) == 4

    def test_a_pending_report_whose_period_closed_becomes_late(self, world, ada):
        world.control.fault(EVENTS, times=50, status=429)
        world.report()
        world.control.clear_faults()
        BillingPeriod.objects.update(end=world.now - timedelta(minutes=1), closes_at=world.now)
        world.report(sync=False)
        assert world.statuses() == ["late"]
        assert world.billed(ada) == 0


class TestDecisions:
    def test_a_released_report_is_sent(self, world, ada):
        world.report()
        world.forget()
        world.report()
        held = UsageReport.objects.get(status="held")
        release_report(report_id=held.pk, why="usage was fake", who="eve", run=None, now=world.now)
        world.report()
        assert world.billed(ada) == 0
        assert "eve" in UsageReport.objects.get(pk=held.pk).decision
        assert not Finding.objects.filter(kind=Finding.Kind.BRAKE, resolved_at=None).exists()

    @pytest.mark.parametrize("fixture", ["ada", "ada_by_hours"])
    def test_a_dismissed_fall_is_forgotten_and_not_billed_again_when_usage_comes_back(
        self, world, request, fixture
    ):
        who = request.getfixturevalue(fixture)
        world.report()
        world.forget()
        world.report()
        held = UsageReport.objects.get(status="held")
        dismiss_report(report_id=held.pk, why="OpenMeter was restored empty", who="eve", now=world.now)
        world.report()
        assert world.statuses() == ["delivered", "dismissed"]
        world.use("ada", 10, at("2026-03-10T09:30"))
        world.report()
        assert world.billed(who) == 10
        world.use("ada", 1, at("2026-03-10T09:30"))
        world.report()
        assert world.billed(who) == 11

    def test_dismissed_late_usage_counts_as_told(self, world, ada):
        world.report()
        BillingPeriod.objects.update(end=world.now - timedelta(minutes=1), closes_at=world.now)
        world.use("ada", 5, at("2026-03-10T09:31"))
        world.report(sync=False)
        late = UsageReport.objects.get(status="late")
        with pytest.raises(InvalidInput, match="on no invoice"):
            release_report(report_id=late.pk, why="", who="eve", run=None, now=world.now)
        dismiss_report(report_id=late.pk, why="goodwill", who="eve", now=world.now)
        world.use("ada", 2, at("2026-03-10T09:31"))
        world.report(sync=False)
        assert [str(r.value) for r in UsageReport.objects.order_by("pk")] == ["10", "5", "2"]
        assert world.billed(ada) == 10

    @pytest.mark.parametrize("fixture", ["ada", "ada_by_hours"])
    def test_a_refused_report_is_sent_again_under_a_new_name(self, world, request, fixture):
        who = request.getfixturevalue(fixture)
        refusal = {"error": {"type": "invalid_request_error", "message": "No such customer: 'cus_x'"}}
        world.control.fault(EVENTS, status=400, body=refusal)
        world.report()
        world.use("ada", 5, at("2026-03-10T09:31"))
        world.report()
        assert world.statuses() == ["rejected"]
        world.report(retry_rejected=True)
        world.report()
        assert world.billed(who) == 15
        assert world.statuses()[0] == "replaced"
        names = list(UsageReport.objects.values_list("identifier", flat=True))
        assert len(set(names)) == len(names) > 1

    def test_nothing_is_dismissed_without_a_reason_or_decided_twice(self, world, ada):
        world.report()
        world.forget()
        world.report()
        held = UsageReport.objects.get(status="held")
        with pytest.raises(InvalidInput, match="--why"):
            dismiss_report(report_id=held.pk, why=" ", who="eve", now=world.now)
        dismiss_report(report_id=held.pk, why="wrong", who="eve", now=world.now)
        with pytest.raises(InvalidInput, match="does not wait"):
            release_report(report_id=held.pk, why="", who="eve", run=None, now=world.now)
        with pytest.raises(InvalidInput, match="no report 999"):
            release_report(report_id=999, why="", who="eve", run=None, now=world.now)


class TestLease:
    @pytest.fixture
    def planned(self, world, ada):
        """Store a pending report and return the moment by which it is due."""
        world.sync()
        store_plan(compute_plan(world), run=new_run(world), now=world.now)
        return world.now

    def test_belongs_to_one_worker(self, planned):
        one, two = Lease(owner="one"), Lease(owner="two")
        assert len(claim_enrolments(one, scope=Scope(), due_by=planned, limit=9)) == 1
        assert claim_enrolments(two, scope=Scope(), due_by=planned, limit=9) == []
        release_enrolments(one, set(one.enrolments))
        assert len(claim_enrolments(two, scope=Scope(), due_by=planned, limit=9)) == 1

    def test_can_be_taken_once_it_has_run_out_and_the_first_owner_learns_of_it(self, planned):
        one, two = Lease(owner="one"), Lease(owner="two")
        (pk,) = claim_enrolments(one, scope=Scope(), due_by=planned, limit=9)
        Enrolment.objects.update(lease_expires_at=at("2020-01-01T00:00"))
        assert claim_enrolments(two, scope=Scope(), due_by=planned, limit=9) == [pk]
        assert renew_lease(one) == {pk}
        assert renew_lease(two) == set()

    def test_is_measured_on_a_clock_that_a_stopped_process_cannot_stop(self, planned):
        lease = Lease(owner="one")
        claim_enrolments(lease, scope=Scope(), due_by=planned, limit=9)
        assert LEASE.total_seconds() - 1 < lease.seconds_left() <= LEASE.total_seconds()

    def test_forbids_sending_when_less_than_a_call_is_left(self, world, planned, connections):
        lease = Lease(owner="one", expires=time.monotonic() + connections.stripe.call_timeout_seconds - 0.1)
        report = UsageReport.objects.select_related("enrolment__meter", "enrolment__customer").get()
        assert send_report(connections.stripe, lease, report, 0.0) == NotSent()
        assert world.sent() == []

    def test_of_a_dead_process_is_given_up_at_once(self, planned):
        living, dead = worker_name(), worker_name().split("/")
        dead[3] = "1"  # the same process number, started at another time
        Enrolment.objects.update(lease_owner=living, lease_expires_at=at("2100-01-01T00:00"))
        assert free_dead_workers_enrolments() == 0
        Enrolment.objects.update(lease_owner="/".join(dead))
        assert free_dead_workers_enrolments() == 1

    def test_of_another_machine_is_left_alone(self, planned):
        Enrolment.objects.update(
            lease_owner="host/0badb007-1/17/99/abcdef01", lease_expires_at=at("2100-01-01T00:00")
        )
        assert free_dead_workers_enrolments() == 0

    def test_lost_while_a_call_was_under_way_leaves_the_row_to_its_new_owner(
        self, world, planned, connections, monkeypatch
    ):
        Enrolment.objects.update(checked_at=world.now)

        def settle_too_late(*args, **kwargs):
            Enrolment.objects.update(lease_owner="thief", lease_expires_at=at("2100-01-01T00:00"))
            return settle_reports(*args, **kwargs)

        monkeypatch.setattr("sync.operations.deliver_reports.settle_reports", settle_too_late)
        delivered = deliver_reports(
            sender=connections.stripe,
            run=new_run(world),
            scope=Scope(),
            rules=DeliveryRules(calls_per_second=1000, ignore_back_off=True, wait_for_others=False),
            clock=lambda: world.now,
        )
        assert delivered.reports == []
        assert delivered.elsewhere == 1
        assert world.statuses() == ["sending"]
        assert Enrolment.objects.get().lease_owner == "thief"


class TestReserveCalls:
    def test_grants_what_the_limit_allows_and_no_more(self, db):
        with transaction.atomic():
            assert reserve_calls(wanted=5, per_second=10)[0] == 5
            granted, lead = reserve_calls(wanted=10, per_second=10)
            assert granted <= 5
            assert 0.4 <= lead <= 0.5
            assert reserve_calls(wanted=10, per_second=10)[0] == 0

    def test_holds_everybody_back_after_a_429(self, db):
        with transaction.atomic():
            reserve_calls(wanted=1, per_second=100)
            postpone_calls(timedelta(milliseconds=800))
            assert reserve_calls(wanted=1, per_second=100)[1] > 0.5

    def test_survives_a_clock_that_was_set_back(self, db):
        CallBudget.objects.create(name=BUDGET, next_call_at=at("2100-01-01T00:00"))
        with transaction.atomic():
            assert reserve_calls(wanted=1, per_second=10)[0] == 1


class TestConstraints:
    @pytest.mark.parametrize(
        "change",
        [
            {"status": "delivered", "delivered_at": None},
            {"status": "pending", "delivered_at": TEN},
            {"status": "sending", "first_sent_at": None, "delivered_at": None},
            {"status": "superseded", "delivered_at": None},
            {"status": "dismissed", "delivered_at": None, "decision": ""},
            {"written_off": True},
            {"revision": 0},
            {"event_at": TEN},
            {"slice_end": at("2026-03-10T08:00")},
        ],
        ids=str,
    )
    def test_the_database_refuses_a_row_that_contradicts_itself(self, world, ada, change):
        world.report()
        with pytest.raises(IntegrityError), transaction.atomic():
            UsageReport.objects.update(**change)


@pytest.mark.usefixtures("impatient")
class TestStripeIsDown:
    def test_a_run_ends_soon_and_the_next_one_completes_it(self, world):
        tokens = world.meter()
        people = [world.subscriber(tokens, f"c{n}") for n in range(8)]
        world.use_many([(who.subject, 1, at("2026-03-10T09:30")) for who in people])
        world.at(TEN)
        world.sync()
        world.control.fault(EVENTS, times=1000, status=503)
        result = world.report(sync=False)
        assert result.run.status == ReportRun.Status.FAILED
        assert "report usage again later" in result.run.error
        assert DeliveryAttempt.objects.count() >= 8
        world.control.clear_faults()
        world.report(sync=False)
        assert {world.billed(who) for who in people} == {1}

    @pytest.mark.timeout(20)
    def test_a_report_that_failed_often_in_earlier_runs_holds_up_no_later_one(self, world, ada):
        world.sync()
        world.control.fault(EVENTS, times=2, status=503)
        world.report(sync=False)
        UsageReport.objects.update(attempts=12)
        world.control.fault(EVENTS, status=503)
        world.report(sync=False)
        assert world.statuses() == ["delivered"]

    def test_wrong_permissions_stop_the_run_with_a_sentence(self, world, ada):
        refusal = {
            "error": {
                "type": "invalid_request_error",
                "message": "The provided key 'rk_test_*' does not have the required permissions. "
                "Having the 'rak_billing_meter_event_write' permission would allow this request.",
            }
        }
        world.control.fault(EVENTS, status=403, body=refusal, times=5)
        result = world.report()
        assert result.run.status == ReportRun.Status.FAILED
        assert "rak_billing_meter_event_write" in result.run.error
        assert world.statuses() == ["pending"]
        world.control.clear_faults()
        world.report()
        assert world.billed(ada) == 10

    def test_a_run_that_cannot_even_ask_whose_key_it_has_is_recorded(self, world, ada):
        world.report()
        world.control.fault("GET /v1/account", times=10, status=503)
        with pytest.raises(TemporaryFailure):
            world.report()
        assert ReportRun.objects.latest("pk").status == ReportRun.Status.FAILED

    def test_a_key_of_another_account_is_refused_before_anything_is_written(self, world, ada):
        world.report()
        world.configure(stripe_key="sk_test_other_1")
        with pytest.raises(Misconfigured, match="another database"):
            world.report()
        assert ReportRun.objects.count() == 1
