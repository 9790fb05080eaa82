"""What Stripe took and refused later returns to the ledger as refused, and is billed once it is retried."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest

from sync.clients.stripe_notices import parse_error_report
from sync.domain.notices import ErrorCount, ErrorReport, Refused
from sync.models import (
    DeliveryAttempt,
    Enrolment,
    Finding,
    Meter,
    Pause,
    StripeNotice,
    UsageDay,
    UsageReport,
)
from sync.operations.resolve_report import release_report
from sync.operations.sum_up_days import sum_up_days
from sync.operations.take_back import take_back
from sync.ports import InvalidInput
from sync.queries.refused_stretches import notices_to_compare
from sync.tasks import handle_notices_of_stripe
from tests.office import Office
from tests.webhooks import THIN_ADDRESS, THIN_SECRET, Post, sign
from tests.world import HOUR, START

Status = UsageReport.Status
ROUTE = "POST /v1/billing/meter_events"


@pytest.fixture
def office(world, settings, django_capture_on_commit_callbacks):
    return Office(world, settings, django_capture_on_commit_callbacks)


@pytest.fixture
def post(office, settings):
    return Post(office, settings)


@pytest.fixture
def who(world):
    """Return a mirrored subscriber who used 5 units in each of two hours."""
    made = world.subscriber(world.meter())
    use(world, "ada", 5, 5)
    return made


def use(world, subject, *amounts):
    for number, amount in enumerate(amounts):
        world.use(subject, amount, START + number * HOUR + timedelta(minutes=20))
    world.later(hours=len(amounts), minutes=3)


def release(world, report):
    return release_report(report_id=report.pk, why="mended", who="ada", run=None, now=world.now)


def told(world, event, type_):
    """Return the notice of an event, as it comes in."""
    now = {name: world.now for name in ("created_at", "received_at", "next_attempt_at")}
    return StripeNotice.objects.create(event_id=event, type=type_, livemode=False, **now)


def invoiced(world):
    """Return what the final invoices bill, a month later."""
    world.later(days=32)
    return sum(Decimal(line["quantity"]) for one in world.control.invoices() for line in one["lines"])


def refused():
    return UsageReport.objects.filter(status=Status.REJECTED)


class TestWhatStripeRefusedLater:
    @pytest.mark.parametrize("naming", ["identifier", "idempotency_key", "request"])
    def test_is_refused_in_the_ledger_and_billed_once_retried(self, world, post, who, naming):
        world.control.refuse_later(naming=naming, code="meter_event_invalid_value")
        world.report()
        assert world.statuses() == ["delivered", "delivered"]
        assert world.billed(who) == 5
        assert post.arrive() == ["6 handled, 0 left"]
        report = refused().get()
        assert (report.delivered_at, report.maybe_arrived, report.next_attempt_at) == (None, False, None)
        assert "meter_event_invalid_value" in report.error
        finding = Finding.objects.get(kind="rejected", resolved_at=None)
        assert "meter_event_invalid_value" in finding.message
        attempt = DeliveryAttempt.objects.get()
        assert (attempt.outcome, attempt.code) == ("RefusedLater", "meter_event_invalid_value")
        assert UsageDay.objects.get().stale
        sum_up_days(now=world.now)
        day = UsageDay.objects.get()
        assert (day.measured_units, day.delivered_units, day.failed) == (10, 5, 1)
        notice = StripeNotice.objects.get(type__startswith="v1.", handled_at=world.now)
        assert (notice.needs_comparison, notice.meter, notice.report["count"]) == (
            False,
            Meter.objects.get(),
            1,
        )
        world.report()
        assert world.billed(who) == 5
        sent = release(world, report)
        assert sent.identifier != report.identifier
        world.report()
        assert not Finding.objects.filter(kind="rejected", resolved_at=None).exists()
        assert invoiced(world) == 10

    def test_is_taken_back_once_however_often_it_is_told(self, world, post, who):
        world.control.refuse_later(times=2)
        world.report()
        world.later(minutes=1)
        post.bring(times=3)
        post.office.work()
        before = list(UsageReport.objects.values())
        post.arrive(replay=True, times=2)
        assert list(UsageReport.objects.values()) == before
        assert DeliveryAttempt.objects.count() == refused().count() == 2
        for report in refused():
            release(world, report)
        world.report()
        # An operator's decision is not undone by another report of the same refusal.
        notice = StripeNotice.objects.filter(type__startswith="v1.").get()
        kept = notice.report["samples"]
        again = told(world, "evt_again", notice.type)
        assert take_back(again, report_of(*[one["names"][0] for one in kept]), now=world.now) == ""
        assert world.statuses().count("replaced") == 2
        assert invoiced(world) == 10

    def test_waits_for_the_report_s_own_answer(self, world, post, who):
        world.control.refuse_later()
        world.report()
        row = UsageReport.objects.order_by("pk").first()
        UsageReport.objects.filter(pk=row.pk).update(status=Status.SENDING, delivered_at=None)
        assert post.arrive() == ["5 handled, 1 left"]
        assert "is being sent" in StripeNotice.objects.get(type__startswith="v1.").error
        row.refresh_from_db()
        assert row.status == Status.SENDING
        world.later(minutes=2)
        # The next run sends it again under its name, which Stripe knows.
        world.report(sync=False)
        row.refresh_from_db()
        assert row.status == Status.DELIVERED
        with post.office.now():
            assert handle_notices_of_stripe() == "1 handled, 0 left"
        assert refused().get() == row

    def test_is_known_where_nobody_knew(self, world, post, who, monkeypatch):
        monkeypatch.setattr("sync.operations.deliver_reports.TRIES_PER_RUN", 1)
        world.control.refuse_later()
        world.control.fault(ROUTE, cut="after", times=1)
        world.control.fault(ROUTE, cut="before", times=40)
        world.report()
        assert "unknown" in world.statuses()
        post.arrive()
        world.control.clear_faults()
        report = refused().get()
        assert not report.maybe_arrived
        world.report()
        assert release(world, report).revision == 2
        world.report()
        assert invoiced(world) == 10

    def test_leaves_what_a_person_decided(self, world, post, who):
        world.control.refuse_later(times=2)
        world.report()
        first = UsageReport.objects.order_by("pk").first()
        UsageReport.objects.filter(pk=first.pk).update(
            status=Status.DISMISSED, delivered_at=None, written_off=True, decision="given away"
        )
        post.arrive()
        first.refresh_from_db()
        assert (first.status, refused().count()) == (Status.DISMISSED, 1)

    def test_shows_what_the_report_does_not_name(self, world, post, who):
        world.control.refuse_later(times=2, samples=1)
        world.report()
        post.arrive()
        assert refused().count() == 1
        notice = StripeNotice.objects.get(type__startswith="v1.")
        assert (notice.needs_comparison, notice.compared_at) == (True, None)
        assert notice.validation_start <= world.now < notice.validation_end
        finding = Finding.objects.get(kind="refused_unnamed")
        assert finding.meter == Meter.objects.get()
        assert "1 of them is not known to this ledger by name" in finding.message

    @pytest.mark.parametrize("window", ["", "hour"])
    def test_finds_the_rest_by_stripe_s_totals(self, world, post, window):
        who = world.subscriber(world.meter(window=window))
        use(world, "ada", 5, 7)
        world.control.refuse_later(times=2, samples=1)
        world.report()
        post.arrive()
        world.report()
        assert sorted(world.statuses()) == ["delivered", "rejected"]  # it need not show yet
        world.later(minutes=20)
        world.report()
        assert world.statuses() == ["rejected", "rejected"]
        assert refused().count() == 2
        finding = Finding.objects.get(kind="refused_unnamed")
        assert (finding.resolved_at, StripeNotice.objects.get(needs_comparison=True).compared_at) == (
            world.now,
        ) * 2
        for report in refused():
            release(world, report)
        world.report()
        assert world.billed(who) == 12

    def test_says_what_is_missing_where_totals_do_not_tell_which(self, world, post, who):
        world.control.refuse_later(times=2, samples=1)
        world.report()
        post.arrive()
        # Somebody else's event lies in the same hour.
        (left,) = UsageReport.objects.filter(status="delivered")
        world.stripe(
            "POST",
            "/billing/meter_events",
            event_name="tokens",
            payload={"stripe_customer_id": who.customer, "value": 1},
            timestamp=int(left.event_at.timestamp()),
        )
        world.later(minutes=20)
        world.report()
        assert sorted(world.statuses()) == ["delivered", "rejected"]
        finding = Finding.objects.get(kind="refused_unnamed", resolved_at=None)
        assert "Stripe holds 1 units of a customer and was told" in finding.message
        assert not notices_to_compare(now=world.now)

    def test_may_be_somebody_else_s(self, world, post, who):
        world.report()
        world.control.refuse_later()
        world.stripe(
            "POST",
            "/billing/meter_events",
            event_name="tokens",
            identifier="theirs",
            payload={"stripe_customer_id": who.customer, "value": 3},
        )
        post.arrive()
        assert world.statuses() == ["delivered", "delivered"]
        assert Finding.objects.filter(kind="refused_unnamed").exists()

    def test_cannot_be_retried_once_its_invoice_is_final(self, world, post, who):
        world.control.refuse_later()
        world.report()
        world.later(days=32)
        world.sync()
        world.report()
        post.arrive()
        with pytest.raises(InvalidInput, match="would put it on no invoice"):
            release(world, refused().get())


class TestRevisions:
    def correct(self, world, amount):
        """Usage changes in the first hour, and the next run reports it."""
        world.use("ada", amount, START + timedelta(minutes=30))
        world.later(minutes=10)
        world.report(sync=False)

    @pytest.mark.parametrize("refused_first", [True, False])
    def test_of_an_adding_meter_are_missing_each_for_itself(self, world, post, refused_first):
        world.subscriber(world.meter())
        use(world, "ada", 5)
        if not refused_first:
            world.report()
        world.control.refuse_later()
        if refused_first:
            world.report()
        self.correct(world, 2)
        post.arrive()
        release(world, refused().get())
        world.report()
        assert invoiced(world) == 7

    def test_of_an_hour_that_was_revised_since_lack_nothing(self, world, post):
        who = world.subscriber(world.meter(window="hour"))
        use(world, "ada", 5)
        world.control.refuse_later()
        world.report()
        self.correct(world, 2)
        post.arrive()
        assert world.statuses() == ["replaced", "delivered"]
        assert "Revision 2" in UsageReport.objects.first().decision
        assert not Finding.objects.filter(kind="rejected").exists()
        assert world.billed(who) == 7

    def test_of_an_hour_are_refused_where_the_newer_one_may_be_dismissed(self, world, post):
        world.subscriber(world.meter(window="hour"))
        use(world, "ada", 5)
        world.control.refuse_later()
        world.report()
        Meter.objects.update(max_units_per_slice=6)
        self.correct(world, 2)
        post.arrive()
        assert world.statuses() == ["rejected", "held"]

    def test_of_an_hour_are_sent_anew_if_the_newest_is_refused(self, world, post):
        world.subscriber(world.meter(window="hour"))
        use(world, "ada", 5)
        world.report()
        world.control.refuse_later()
        self.correct(world, 2)
        post.arrive()
        assert world.statuses() == ["delivered", "rejected"]
        release(world, refused().get())
        world.report()
        assert invoiced(world) == 7


class TestMeters:
    def test_that_stripe_does_not_find_stand_still(self, world, post, who):
        world.control.refuse_later(code="no_meter")
        world.report()
        world.later(minutes=1)
        meter = Meter.objects.get()
        world.stripe("POST", f"/billing/meters/{meter.stripe_id}/deactivate")
        post.arrive()
        notice = StripeNotice.objects.get(type="v1.billing.meter.no_meter_found")
        assert (notice.object_id, notice.meter) == ("", meter)
        assert refused().count() == 1
        assert Pause.objects.get(resumed_at=None).meter == meter
        assert Finding.objects.filter(kind="meter_refused", resolved_at=None).exists()
        world.later(minutes=1)
        world.stripe("POST", f"/billing/meters/{meter.stripe_id}/reactivate")
        post.arrive()
        assert not Pause.objects.filter(resumed_at=None).exists()
        release(world, refused().get())
        world.report()
        assert invoiced(world) == 10

    def test_that_were_archived_and_are_active_again_go_on(self, world, post, who):
        world.control.refuse_later(code="archived_meter")
        world.report()
        world.later(minutes=1)
        post.arrive()
        assert refused().count() == 1
        assert not Pause.objects.exists()


def report_of(*names, count=None):
    samples = [Refused(code="x", message="no", names=(name,)) for name in names]
    return ErrorReport(
        type="v1.billing.meter.error_report_triggered",
        meter_id="",
        summary="",
        validation_start=None,
        validation_end=None,
        count=count or len(samples),
        counts=[ErrorCount(code="x", count=len(samples))],
        samples=samples,
    )


class TestTheEventItself:
    def test_is_asked_for_and_the_notice_not_believed(self, world, post, who):
        world.report()
        names = list(UsageReport.objects.values_list("identifier", flat=True))
        forged = [{"code": "x", "error_count": 2, "sample_errors": [{"request": {"identifier": names[0]}}]}]
        world.control.refuse_later()
        world.stripe(
            "POST",
            "/billing/meter_events",
            event_name="tokens",
            payload={"stripe_customer_id": who.customer, "value": 3},
        )
        (request,) = [one for one in post.waiting() if one["style"] == "thin"]
        body = json.dumps(json.loads(request["body"]) | {"data": {"reason": {"error_types": forged}}})
        assert (
            post.send(body, sign(body, THIN_SECRET, at=world.now.timestamp()), THIN_ADDRESS).status_code
            == 200
        )
        post.office.work()
        assert world.statuses() == ["delivered", "delivered"]

    def test_may_be_gone(self, world, post, who):
        world.report()
        world.control.refuse_later()
        world.stripe(
            "POST",
            "/billing/meter_events",
            event_name="tokens",
            payload={"stripe_customer_id": who.customer, "value": 3},
        )
        requests = post.waiting()
        world.later(days=31)
        world.control.settings()
        with post.office.now():
            StripeNotice.objects.all().delete()
        thin = json.loads(next(one["body"] for one in requests if one["style"] == "thin"))
        told(world, thin["id"], thin["type"])
        with post.office.now():
            assert handle_notices_of_stripe() == "1 handled, 0 left"
        assert "keeps this event no more" in StripeNotice.objects.get().outcome
        assert Finding.objects.filter(kind="refused_unnamed").exists()

    def test_is_looked_for_though_no_webhook_told_of_it(self, world, who):
        world.control.refuse_later(times=2)
        world.report()
        world.later(minutes=1)
        world.report()
        assert world.statuses() == ["rejected", "rejected"]
        world.later(hours=5)
        before = list(StripeNotice.objects.values())
        world.report()
        assert list(StripeNotice.objects.values()) == before

    def test_may_not_be_readable_for_the_key(self, world, post, who):
        world.control.refuse_later()
        world.report()
        post.bring()
        world.control.fault("GET /v2/core/events/{id}", status=403, times=3)
        world.control.fault("GET /v2/core/events", status=403, times=1)
        for minutes in (0, 2, 4):
            world.later(minutes=minutes)
            with post.office.now():
                handle_notices_of_stripe()
        (finding,) = Finding.objects.filter(kind="refused_unnamed")
        assert "cannot be read" in finding.message
        said = world.report()
        assert any("cannot be read" in note for note in said.notes)
        world.later(minutes=10)
        with post.office.now():
            handle_notices_of_stripe()
        finding.refresh_from_db()
        assert (refused().count(), finding.resolution) == (1, "Stripe said which they were.")

    def test_is_read_as_it_may_come(self):
        bare = parse_error_report({"type": "v1.billing.meter.no_meter_found"})
        assert (bare.meter_id, bare.count, bare.samples, bare.concerns_meter) == ("", 0, [], True)

    def test_enrolments_stay_what_they_are(self, world, post, who):
        world.report()
        before = list(Enrolment.objects.values())
        world.control.refuse_later()
        post.arrive()
        assert list(Enrolment.objects.values()) == before
