"""Situations in which a careless ledger bills twice or forgets; each once did here."""

from datetime import timedelta
from decimal import Decimal

import pytest

from sync.clients.openmeter_transport import OpenMeterTransport
from sync.domain.timeline import Span
from sync.models import Enrolment, Finding, Meter, ReportRun, UsageReport
from sync.operations.plan_meters import Remarks, plan_meters
from sync.operations.plan_reports import plan_meter
from sync.operations.report_request import ReportRequest
from sync.operations.resolve_report import dismiss_report, release_report
from sync.operations.store_plan import store_plan
from sync.wiring import connect
from tests.functional.test_report_usage import at
from tests.integration.test_ledger import EVENTS, compute_plan, new_run

HOUR = timedelta(hours=1)
TEN = at("2026-03-10T10:03")
SUMMARIES = "GET /v1/billing/meters/{id}/event_summaries"
NO_SUCH_CUSTOMER = {"error": {"type": "invalid_request_error", "message": "No such customer: 'cus_x'"}}


class TestTwoPlannersThatCutDifferently:
    def test_around_midnight_one_wins(self, world):
        tokens = world.meter()
        ada = world.subscriber(tokens)
        world.report()
        world.use("ada", 7, at("2026-03-11T14:30"))
        world.at(at("2026-03-12T00:01:59"))
        world.sync()
        by_hours = compute_plan(world)
        world.at(at("2026-03-12T00:02:01"))
        by_day = compute_plan(world)
        run = new_run(world)
        assert store_plan(by_hours, run=run, now=world.now).refused == 0
        assert store_plan(by_day, run=run, now=world.now).refused == 1
        world.report(sync=False)
        assert world.billed(ada) == 7

    @pytest.mark.parametrize("window", ["", "hour"])
    @pytest.mark.parametrize("chosen_first", [True, False])
    def test_of_a_chosen_window_and_everything_one_wins(self, world, window, chosen_first):
        tokens = world.meter(window=window)
        ada = world.subscriber(tokens)
        world.use("ada", 7, at("2026-03-11T14:30"))
        world.at(at("2026-03-12T08:03"))
        world.sync()
        plans = [
            compute_plan(world, Span(at("2026-03-11T12:00"), at("2026-03-11T16:00"))),
            compute_plan(world),
        ]
        run = new_run(world)
        refused = [
            store_plan(plan, run=run, now=world.now).refused
            for plan in (plans if chosen_first else plans[::-1])
        ]
        assert refused == [0, 1]
        world.report(sync=False)
        assert world.billed(ada) == 7


class TestNumbers:
    def test_of_twenty_decimals_stop_nobody(self, world):
        tokens = world.meter()
        ada, bob = world.subscriber(tokens), world.subscriber(tokens, "bob")
        world.use("ada", repr(0.0001 + 0.0002), at("2026-03-10T09:30"))
        world.use("bob", 5, at("2026-03-10T09:30"))
        world.at(TEN)
        world.report()
        assert (world.billed(ada), world.billed(bob)) == (Decimal("0.0003"), 5)

    @pytest.mark.parametrize("absurd", ["1e25", "1e70", "-1e300"])
    def test_that_no_ledger_holds_stop_only_whose_they_are(self, world, absurd):
        tokens = world.meter()
        ada, bob = world.subscriber(tokens), world.subscriber(tokens, "bob")
        world.use("ada", absurd, at("2026-03-10T09:30"))
        world.use("bob", 5, at("2026-03-10T09:30"))
        world.at(TEN)
        result = world.report()
        assert (world.billed(ada), world.billed(bob)) == (0, 5)
        assert result.run.status == ReportRun.Status.PARTIAL
        assert ada.customer in result.errors[0]
        assert Enrolment.objects.get(customer__stripe_id=ada.customer).planned_through is None

    def test_and_faults_of_ours_with_one_meter_do_not_stop_another(self, world, monkeypatch, caplog):
        tokens, calls = world.meter(), world.meter("calls")
        ada, bob = world.subscriber(tokens), world.subscriber(calls, "bob")
        world.use("ada", 3, at("2026-03-10T09:30"))
        world.use("bob", 4, at("2026-03-10T09:30"), "calls")
        world.at(TEN)

        def broken(*, due, **rest):
            if due.meter.event_name == "tokens":
                raise ZeroDivisionError
            return plan_meter(due=due, **rest)

        monkeypatch.setattr("sync.operations.plan_meters.plan_meter", broken)
        result = world.report()
        assert (world.billed(ada), world.billed(bob, "calls")) == (0, 4)
        assert "Meter tokens could not be planned" in result.errors[0]


class TestAnswersThatNobodyShouldBelieve:
    def test_are_no_measurement(self, world):
        tokens = world.meter()
        ada = world.subscriber(tokens)
        world.use("ada", 10, at("2026-03-10T09:30"))
        world.at(TEN)
        world.report()
        world.forget()
        for _ in range(6):
            world.later(hours=1)
            world.report()
        for hour in range(6):
            world.use("ada", 10, at("2026-03-10T09:30") + hour * HOUR)
        world.later(hours=1)
        world.report()
        for report in UsageReport.objects.filter(status="held"):
            dismiss_report(report_id=report.pk, why="OpenMeter was empty", who="eve", now=world.now)
        world.report()
        assert world.billed(ada) == 60

    def test_stay_unbelievable_while_nobody_has_decided(self, world):
        tokens = world.meter()
        people = [world.subscriber(tokens, f"c{number}") for number in range(3)]
        world.use_many([(who.subject, 10, at("2026-03-10T09:30")) for who in people])
        world.at(TEN)
        world.report()
        for who in people[:2]:
            world.forget(subject=who.subject)
        for hour in range(1, 6):
            world.use("c2", 10, at("2026-03-10T09:30") + hour * HOUR)
            world.later(hours=1)
            world.report()
        world.use_many(
            [(who.subject, 10, at("2026-03-10T09:30") + h * HOUR) for who in people[:2] for h in range(6)]
        )
        for report in UsageReport.objects.filter(status="held"):
            dismiss_report(report_id=report.pk, why="half of OpenMeter was away", who="eve", now=world.now)
        world.report()
        assert [world.billed(who) for who in people] == [60, 60, 60]

    def test_stay_unbelievable_however_much_others_use(self, world):
        tokens = world.meter()
        people = [world.subscriber(tokens, f"c{number}") for number in range(3)]
        world.use_many([(who.subject, 10, at("2026-03-10T09:30")) for who in people])
        world.at(TEN)
        world.report()
        for who in people[:2]:
            world.forget(subject=who.subject)
        for hour in range(1, 9):
            world.use("c2", 1000, at("2026-03-10T09:30") + hour * HOUR)
            world.later(hours=1)
            world.report()
        world.use_many(
            [(who.subject, 10, at("2026-03-10T09:30") + h * HOUR) for who in people[:2] for h in range(9)]
        )
        for report in UsageReport.objects.filter(status="held"):
            dismiss_report(report_id=report.pk, why="half of OpenMeter was away", who="eve", now=world.now)
        world.report()
        assert [world.billed(who) for who in people] == [90, 90, 8010]

    def test_are_not_seen_in_a_refused_report_that_was_lowered(self, world):
        tokens = world.meter()
        world.subscriber(tokens)
        bob = world.subscriber(tokens, "bob")
        world.sync()
        world.control.fault(EVENTS, status=400, body=NO_SUCH_CUSTOMER)
        world.use("ada", 10, at("2026-03-10T09:30"))
        world.at(TEN)
        world.report()
        assert world.statuses() == ["rejected"]
        world.forget(subject="ada")
        world.use("bob", 2, at("2026-03-10T10:30"))
        world.later(hours=5)
        world.report()
        assert world.billed(bob) == 2
        marks = set(Enrolment.objects.values_list("planned_through", flat=True))
        assert marks == {at("2026-03-10T15:00")}

    def test_do_not_keep_a_silent_new_meter_from_being_done(self, world):
        world.subscriber(world.meter())
        world.at(TEN)
        world.report()
        assert Enrolment.objects.get().planned_through == at("2026-03-10T10:00")


class TestAPlanMadeBeforeMoreTurnedOutToBeBillable:
    def test_does_not_move_the_mark_past_it(self, world):
        tokens = world.meter()
        ada = world.subscriber(tokens)
        world.use("ada", 3, at("2026-03-10T09:30"))
        world.use("ada", 7, at("2026-03-09T12:30"))
        world.at(at("2026-03-10T20:03"))
        world.sync()
        plan = compute_plan(world)
        backdated = int(at("2026-03-09T00:00").timestamp())
        # Classic billing puts a backdated past on the next invoice; flexible on the first, which is final.
        classic = {"billing_mode": {"type": "classic"}}
        world.subscribe(ada.customer, tokens, "ada", backdate_start_date=backdated, **classic)
        world.later(minutes=1)
        world.sync()
        assert store_plan(plan, run=new_run(world), now=world.now).refused == 1
        world.report()
        assert world.billed(ada) == 10


class TestAResumptionThatIsSeenLate:
    @pytest.mark.parametrize("seen_at", ["12:00", "12:55"])
    def test_loses_nothing_of_the_period_that_began_with_it(self, world, seen_at):
        ada = world.subscriber(world.meter())
        world.at(TEN)
        world.report()
        world.control.patch_stripe(ada.subscription, status="paused")
        world.later(hours=1)
        world.report()
        noon = at("2026-03-10T12:00")
        world.at(noon)
        world.control.patch_stripe(ada.subscription, status="active")
        end = noon + timedelta(days=31)
        world.control.patch_stripe(
            ada.item, current_period_start=int(noon.timestamp()), current_period_end=int(end.timestamp())
        )
        world.use("ada", 5, at("2026-03-10T12:30"))
        world.at(at(f"2026-03-10T{seen_at}"))
        world.sync()
        world.at(at("2026-03-10T14:03"))
        world.report()
        assert world.billed(ada) == 5


class TestAnEndThatWasSetForTheMiddleOfAPeriod:
    def test_closes_it_also_before_anybody_saw_it_come(self, world):
        ada = world.subscriber(world.meter())
        ends = at("2026-03-20T12:17:46")
        world.stripe("POST", f"/subscriptions/{ada.subscription}", cancel_at=int(ends.timestamp()))
        world.report()
        world.use("ada", 100, at("2026-03-20T11:17"))
        world.at(at("2026-03-20T15:17"))
        world.report(sync=False)
        assert world.statuses() == ["late"]

    def test_does_not_close_it_where_it_is_taken_back(self, world):
        ada = world.subscriber(world.meter())
        ends = at("2026-03-20T12:17:46")
        world.stripe("POST", f"/subscriptions/{ada.subscription}", cancel_at=int(ends.timestamp()))
        world.report()
        world.stripe("POST", f"/subscriptions/{ada.subscription}", cancel_at="")
        world.use("ada", 100, at("2026-03-20T12:17:50"))
        world.at(at("2026-03-20T15:17"))
        world.report()
        assert world.billed(ada) == 100


class TestAResumptionThatIsSeenAfterARenewal:
    @pytest.mark.parametrize("window", ["", "hour"])
    def test_loses_nothing_of_what_was_used_before_the_renewal(self, world, window):
        ada = world.subscriber(world.meter(window=window))
        world.at(at("2026-04-05T20:57"))
        world.control.patch_stripe(ada.subscription, status="paused")
        world.later(hours=1)
        world.report()
        world.at(at("2026-04-07T12:00"))
        world.control.patch_stripe(ada.subscription, status="active")
        world.use("ada", 5, at("2026-04-10T08:15"))
        world.at(at("2026-04-10T09:30"))
        world.report()
        assert world.billed(ada) == 5


class TestInstantsInTheMiddleOfASecond:
    """What Stripe does not date is dated by when it was seen; both sides know whole seconds only."""

    def test_when_an_item_was_removed_stop_nobody_elses_usage(self, world):
        tokens, other = world.meter(), world.meter("other")
        ada, bob = world.subscriber(tokens), world.subscriber(tokens, "bob")
        world.stripe("POST", "/subscription_items", subscription=ada.subscription, price=other.price)
        world.report()
        for subject in ("ada", "bob"):
            world.use(subject, 7, at("2026-03-10T10:59:59"))
        world.at(at("2026-03-10T11:00:00") + timedelta(milliseconds=300))
        world.stripe("DELETE", f"/subscription_items/{ada.item}")
        world.sync()
        world.at(at("2026-03-10T12:03"))
        assert world.report().errors == []
        # Stripe bills of an item that is gone what it had by then.
        assert (world.billed(ada), world.billed(bob)) == (0, 7)
        assert sorted(world.statuses()) == ["delivered", "late"]

    @pytest.mark.parametrize("window", ["", "hour"])
    def test_when_a_pause_was_last_seen_lose_nothing(self, world, window):
        ada = world.subscriber(world.meter(window=window))
        world.report()
        world.use("ada", 5, at("2026-03-10T10:59:59"))
        world.use("ada", 7, at("2026-03-10T11:20"))
        world.at(at("2026-03-10T10:20"))
        world.control.patch_stripe(ada.subscription, status="paused")
        world.sync()
        world.at(at("2026-03-10T10:59:59") + timedelta(milliseconds=700))
        world.sync()
        world.at(at("2026-03-10T12:05"))
        world.control.patch_stripe(ada.subscription, status="active")
        world.report()
        assert world.billed(ada) == 12


class TestWhoHasNoSubject:
    def test_was_not_measured(self, world):
        tokens = world.meter()
        world.subscriber(tokens)
        customer = world.stripe("POST", "/customers", name="bob", metadata={"external_key": "ada"})["id"]
        bob = world.subscribe(customer, tokens, "bob")
        world.use("bob", 5, at("2026-03-10T09:30"))
        world.at(at("2026-03-10T20:03"))
        world.report()
        world.stripe("POST", f"/customers/{customer}", metadata={"external_key": "bob"})
        world.later(minutes=5)
        world.report()
        assert world.billed(bob) == 5


class TestUsageThatArrivesWhileASliceWaitsForAPerson:
    @pytest.mark.parametrize("why", ["rejected", "held"])
    @pytest.mark.parametrize("window", ["", "hour"])
    def test_is_reported_with_it(self, world, why, window):
        tokens = world.meter(window=window)
        ada = world.subscriber(tokens)
        world.sync()
        if why == "held":
            Meter.objects.update(max_units_per_slice=9)
        else:
            world.control.fault(EVENTS, status=400, body=NO_SUCH_CUSTOMER)
        world.use("ada", 10, at("2026-03-10T09:30"))
        world.at(TEN)
        world.report()
        assert world.statuses() == [why]
        world.use("ada", 4, at("2026-03-10T09:31"))
        world.later(hours=20)
        world.report()
        Meter.objects.update(max_units_per_slice=None)
        waiting = UsageReport.objects.get(status=why)
        release_report(report_id=waiting.pk, why="it is right", who="eve", run=None, now=world.now)
        world.report()
        assert world.billed(ada) == 14

    @pytest.mark.parametrize("window", ["", "hour"])
    def test_adds_to_what_was_told_before_however_long_it_waited(self, world, window):
        ada = world.subscriber(world.meter(window=window))
        world.use("ada", 10, at("2026-03-10T09:30"))
        world.at(TEN)
        world.report()
        Meter.objects.update(max_units_per_slice=3)
        world.use("ada", 4, at("2026-03-10T09:31"))
        world.report()
        Meter.objects.update(max_units_per_slice=None)
        world.later(hours=20)
        world.report()
        held = UsageReport.objects.get(status="held")
        release_report(report_id=held.pk, why="it is right", who="eve", run=None, now=world.now)
        world.use("ada", 1, at("2026-03-10T09:32"))
        world.report()
        assert world.billed(ada) == 15

    @pytest.mark.parametrize("window", ["", "hour"])
    def test_is_not_forgotten_when_an_unknown_outcome_is_settled_late(self, world, window, monkeypatch):
        monkeypatch.setattr("sync.operations.deliver_reports.TRIES_PER_RUN", 1)
        ada = world.subscriber(world.meter(window=window))
        world.report()
        world.use("ada", 7, at("2026-03-10T10:30"))
        world.at(at("2026-03-10T11:03"))
        world.control.fault(EVENTS, cut="before", times=100)
        world.report()
        world.use("ada", 5, at("2026-03-10T10:40"))
        world.later(hours=2)
        world.report()
        assert world.statuses() == ["unknown"]
        world.control.clear_faults()
        world.later(hours=2)
        world.report()
        assert world.billed(ada) == 12

    def test_is_not_written_off_with_what_waited(self, world):
        ada = world.subscriber(world.meter())
        world.use("ada", 3, at("2026-03-10T09:30"))
        world.control.fault(EVENTS, status=400, body=NO_SUCH_CUSTOMER)
        world.at(TEN)
        world.report()
        world.use("ada", 10, at("2026-03-10T09:31"))
        world.later(hours=5)
        world.report()
        rejected = UsageReport.objects.get(status="rejected")
        dismiss_report(report_id=rejected.pk, why="goodwill", who="eve", now=world.now)
        world.report()
        assert world.billed(ada) == 10

    @pytest.mark.parametrize("window", ["", "hour"])
    def test_adds_to_what_a_person_found_in_stripe(self, world, window, monkeypatch):
        monkeypatch.setattr("sync.operations.deliver_reports.TRIES_PER_RUN", 1)
        ada = world.subscriber(world.meter(window=window))
        world.use("ada", 10, at("2026-03-10T09:30"))
        world.control.fault(EVENTS, cut="after")
        world.at(TEN)
        world.report()
        world.later(hours=24)
        world.control.fault(SUMMARIES, status=401)
        world.report()
        unknown = UsageReport.objects.get(status="unknown")
        dismiss_report(report_id=unknown.pk, why="Stripe's log has it", who="eve", now=world.now)
        world.use("ada", 4, at("2026-03-10T09:31"))
        world.report()
        assert world.billed(ada) == 14

    def test_a_written_off_hour_stays_written_off(self, world):
        tokens = world.meter(window="hour")
        ada = world.subscriber(tokens)
        world.use("ada", 10, at("2026-03-10T09:30"))
        world.at(TEN)
        world.report()
        world.use("ada", 4, at("2026-03-10T09:31"))
        world.control.fault(EVENTS, status=400, body=NO_SUCH_CUSTOMER)
        world.report()
        rejected = UsageReport.objects.get(status="rejected")
        dismiss_report(report_id=rejected.pk, why="goodwill", who="eve", now=world.now)
        world.use("ada", 1, at("2026-03-10T09:32"))
        world.report()
        assert world.billed(ada) == 11


@pytest.mark.usefixtures("world")
class TestOutcomes:
    @pytest.fixture
    def ada(self, world):
        """Return a customer who used 10 tokens in the hour before ten."""
        who = world.subscriber(world.meter())
        world.use("ada", 10, at("2026-03-10T09:30"))
        world.at(TEN)
        return who

    def test_a_refusal_after_a_try_that_may_have_arrived_is_for_people(self, world, ada):
        odd = {"error": {"type": "invalid_request_error", "message": "Something odd"}}
        world.control.fault(EVENTS, status=500, store=True)
        world.control.fault(EVENTS, status=400, body=odd)
        world.report()
        assert world.statuses() == ["unknown"]
        assert Finding.objects.filter(kind=Finding.Kind.UNKNOWN_OUTCOME, resolved_at=None).exists()
        world.report(retry_rejected=True)
        assert world.billed(ada) == 10

    def test_a_name_that_stripe_knows_after_a_mere_429_is_not_ours(self, world, ada):
        world.sync()
        Enrolment.objects.update(checked_at=world.now)
        meter = Meter.objects.get()
        world.stripe(
            "POST",
            "/billing/meter_events",
            event_name="tokens",
            identifier=f"bc1:{meter.stripe_id}:{ada.customer}:{int(at('2026-03-10T09:00').timestamp())}:1",
            payload={"stripe_customer_id": ada.customer, "value": "3"},
            timestamp=int(at("2026-03-10T09:59:59").timestamp()),
        )
        world.control.fault(EVENTS, status=429)
        world.report(sync=False)
        assert world.statuses() == ["unknown"]

    def test_a_waiting_report_learns_that_its_period_was_cut_short(self, world, ada, monkeypatch):
        monkeypatch.setattr("sync.operations.deliver_reports.TRIES_PER_RUN", 1)
        world.control.fault(EVENTS, status=429)
        world.report()
        world.at(at("2026-03-10T10:05"))
        world.stripe("DELETE", f"/subscriptions/{ada.subscription}")
        world.at(at("2026-03-10T15:00"))
        world.report()
        assert world.statuses() == ["late"]
        assert world.billed(ada) == 0


class TestAnswersThatAreTooLarge:
    def test_are_asked_for_in_parts(self, world, monkeypatch):
        tokens = world.meter()
        people = [world.subscriber(tokens, f"c{number}") for number in range(51)]
        strangers = [f"stranger{number}" for number in range(60)]
        names = [*strangers, *(who.subject for who in people)]
        world.use_many([(name, 1, at("2026-03-10T09:30") + h * HOUR) for name in names for h in range(20)])
        world.at(at("2026-03-11T06:03"))
        unpatched = OpenMeterTransport.__init__
        monkeypatch.setattr(
            OpenMeterTransport,
            "__init__",
            lambda self, **options: unpatched(self, **(options | {"max_response_bytes": 60_000})),
        )
        world.report()
        assert {world.billed(who) for who in people} == {20}


class TestLongBacklogs:
    def test_of_usage_that_stripe_takes_no_more_are_shown(self, world):
        ada = world.subscriber(world.meter())
        world.report()
        world.use("ada", 10, at("2026-03-17T01:56"))
        world.at(at("2026-05-21T03:06"))
        world.report()
        assert world.statuses() == ["late"]
        assert world.billed(ada) == 0

    def test_show_a_sign_of_life_between_the_answers_of_one_meter(self, world):
        world.subscriber(world.meter())
        world.sync()
        world.later(hours=3)
        signs = []
        plans = plan_meters(
            request=ReportRequest(),
            source=connect(config=world.config).openmeter,
            rules=world.rules(),
            clock=lambda: world.now,
            remarks=Remarks(),
            progress=lambda done, total: signs.append((done, total)),
        )
        assert len(list(plans)) == 1
        assert signs == [(0, 1), (0, 1), (0, 1), (1, 1)], "before, after two empty answers, and at the end"
