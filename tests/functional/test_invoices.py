"""Billing periods close when Stripe's invoices say so, and what is reported is what they bill."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from sync.domain.settling import longest_settle
from sync.models import BillingPeriod, Finding, Invoice, InvoiceLine, Meter, ReportRun, UsageReport
from sync.operations.resolve_report import dismiss_report, release_report
from sync.operations.sync_stripe import sync_stripe
from sync.schedules import REPORT_MINUTES
from sync.wiring import connect
from tests.world import Subscriber

HOUR = timedelta(hours=1)
START = datetime(2026, 3, 10, 9, 0, 33, tzinfo=UTC)
END = datetime(2026, 4, 10, 9, 0, 33, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _one_try(monkeypatch):
    """Let what is refused wait for the next run."""
    monkeypatch.setattr("sync.operations.deliver_reports.TRIES_PER_RUN", 1)


@pytest.fixture
def tokens(world):
    """Return a meter that the console knew before anybody subscribed; it is an odd second."""
    world.at(START)
    tokens = world.meter()
    world.sync()
    world.later(seconds=1)
    world.at(START)
    return tokens


def changes(world) -> ReportRun:
    """Read what changed in Stripe, as the schedule does."""
    connections = connect(config=world.config)
    return sync_stripe(
        run=ReportRun(kind=ReportRun.Kind.CHANGES, trigger="schedule", requested_by="schedule"),
        stripe=connections.stripe,
        openmeter=connections.openmeter,
        invoice_grace=world.config.invoice_grace,
        clock=lambda: world.now,
    ).run


def periods(who: Subscriber) -> list[BillingPeriod]:
    return list(BillingPeriod.objects.filter(item__stripe_id=who.item).order_by("start"))


def billed_in_stripe(world, who: Subscriber) -> list[Decimal]:
    """Return the quantity of each line for an item on its final invoices."""
    found = world.control.invoices(subscription=who.subscription)
    return [
        Decimal(line["quantity"])
        for one in found
        for line in one["lines"]
        if line["item"] == who.item and one["finalized_at"]
    ]


def drafted(world, who: Subscriber) -> str:
    (draft,) = world.stripe("GET", f"/invoices?status=draft&subscription={who.subscription}")["data"]
    return draft["id"]


class TestAPeriod:
    @pytest.mark.parametrize("hours", [1, 72])
    def test_closes_when_its_draft_says_and_is_final_when_its_invoice_is(self, world, tokens, hours):
        world.control.settings(invoice_finalization_hours=hours)
        ada = world.subscriber(tokens)
        world.sync()
        world.use("ada", 5, END - 30 * timedelta(minutes=1))
        world.at(END + timedelta(minutes=5))
        changes(world)
        (first, _) = periods(ada)
        assert (first.invoice_id, first.finalized_at) == (drafted(world, ada), None)
        assert first.closes_at == END + hours * HOUR
        world.report(sync=False)
        # What comes in until shortly before it closes is billed, too; the setting alone knows of one hour.
        world.configure(tail=timedelta(hours=80))
        world.use("ada", 2, END - HOUR)
        world.at(END + hours * HOUR - timedelta(minutes=3))
        world.report(sync=False)
        assert set(world.statuses()) == {"delivered"}
        world.use("ada", 4, END - HOUR)
        world.at(END + hours * HOUR + timedelta(minutes=5))
        changes(world)
        (first, _) = periods(ada)
        assert (first.closes_at, first.finalized_at) == (END + hours * HOUR, END + hours * HOUR)
        assert [first.billed_quantity] == billed_in_stripe(world, ada) == [7]
        world.report(sync=False)
        assert UsageReport.objects.get(status="late").value == 4
        assert world.billed(ada) == 7

    def test_that_was_taken_to_be_closed_goes_out_by_itself_once_its_draft_is_seen(self, world, tokens):
        world.control.settings(invoice_finalization_hours=72)
        ada = world.subscriber(tokens)
        world.sync()
        world.use("ada", 5, END - HOUR)
        world.use("ada", 3, END - 2 * HOUR)
        world.at(END + 2 * HOUR)
        world.report(sync=False)
        assert set(world.statuses()) == {"late"}
        assert Finding.objects.get(kind="late").resolved_at is None
        world.use("ada", 1, END - HOUR)
        changes(world)
        run = world.report(sync=False).run
        assert run.status == "succeeded"
        assert Finding.objects.get(kind="late").resolution.startswith("Its billing period turned out")
        # The hour that grew meanwhile is planned as it is now; the other keeps its row.
        assert sorted(world.statuses()) == ["delivered", "delivered", "superseded"]
        world.at(END + 73 * HOUR)
        changes(world)
        assert [periods(ada)[0].billed_quantity] == billed_in_stripe(world, ada) == [9]

    def test_that_somebody_finalizes_by_hand_takes_nothing_more(self, world, tokens):
        ada = world.subscriber(tokens)
        world.sync()
        world.use("ada", 5, END - HOUR)
        world.at(END + timedelta(minutes=4))
        changes(world)
        world.control.fault("POST /v1/billing/meter_events", times=100, status=429)
        world.report(sync=False)
        assert world.statuses() == ["pending"]
        world.control.clear_faults()
        world.stripe("POST", f"/invoices/{drafted(world, ada)}/finalize")
        world.later(minutes=6)
        changes(world)
        first = periods(ada)[0]
        assert first.finalized_at == first.closes_at == world.now - timedelta(minutes=6)
        world.report(sync=False)
        assert world.statuses() == ["late"]
        assert world.billed(ada) == 0

    def test_whose_draft_does_not_advance_stays_open_until_somebody_finalizes_it(self, world, tokens):
        ada = world.subscriber(tokens)
        world.configure(tail=timedelta(hours=12))
        world.sync()
        world.at(END + timedelta(minutes=5))
        world.stripe("POST", f"/invoices/{drafted(world, ada)}", auto_advance=False)
        for _ in range(6):
            changes(world)
            assert periods(ada)[0].closes_at == world.now + HOUR
            world.later(minutes=50)
        world.use("ada", 5, END - HOUR)
        changes(world)
        world.report(sync=False)
        assert world.statuses() == ["delivered"]
        world.stripe("POST", f"/invoices/{drafted(world, ada)}/finalize")
        world.later(minutes=5)
        changes(world)
        assert periods(ada)[0].finalized_at == world.now - timedelta(minutes=5)
        assert [periods(ada)[0].billed_quantity] == billed_in_stripe(world, ada) == [5]

    @pytest.mark.parametrize("hours", [1, 72])
    def test_takes_what_a_person_releases_for_as_long_as_its_invoice_is_open(self, world, tokens, hours):
        world.control.settings(invoice_finalization_hours=hours)
        Meter.objects.filter(stripe_id=tokens.stripe_id).update(max_units_per_slice=3)
        ada = world.subscriber(tokens)
        world.sync()
        world.use("ada", 5, END - 2 * HOUR)
        world.at(END - timedelta(minutes=10))
        world.report(sync=False)
        assert world.statuses() == ["held"]
        world.at(END + timedelta(minutes=5))
        changes(world)
        if hours == 1:
            # Somebody finalizes it before its time: then nothing may be released any more.
            world.stripe("POST", f"/invoices/{drafted(world, ada)}/finalize")
            world.later(minutes=5)
            changes(world)
        else:
            world.at(END + 2 * HOUR)
        world.report(sync=False)
        row = UsageReport.objects.get()
        decide = {"report_id": row.pk, "why": "right", "who": "eve", "run": None, "now": world.now}
        released = release_report(**decide)
        if hours == 1:
            assert released.status == "late"
            assert "closed at 2026-04-10 09:05 UTC" in released.error
        world.report(sync=False)
        assert world.billed(ada) == (0 if hours == 1 else 5)

    def test_that_is_final_never_moves(self, world, tokens):
        ada = world.subscriber(tokens)
        world.sync()
        world.at(END + 2 * HOUR)
        world.sync()
        before = periods(ada)[0]
        assert before.finalized_at
        invoice = before.invoice_id
        moved = int((END + 9 * HOUR).timestamp())
        world.control.patch_stripe(invoice, status="draft", automatically_finalizes_at=moved)
        world.control.patch_stripe(invoice, status_transitions={"finalized_at": None})
        world.later(minutes=5)
        world.sync()
        after = periods(ada)[0]
        assert (after.end, after.closes_at, after.finalized_at) == (
            before.end,
            before.closes_at,
            before.finalized_at,
        )

    def test_is_not_closed_by_what_was_read_before(self, world, tokens):
        ada = world.subscriber(tokens)
        world.sync()
        world.at(END + timedelta(minutes=5))
        changes(world)
        Invoice.objects.update(fetched_at=world.now + HOUR, automatically_finalizes_at=END + 3 * HOUR)
        world.sync()
        assert periods(ada)[0].closes_at == END + 3 * HOUR

    def test_is_not_invented(self, world, tokens):
        ada = world.subscriber(tokens)
        world.at(END + 2 * HOUR)
        world.sync()
        assert [period.start for period in periods(ada)] == [START, END]
        BillingPeriod.objects.filter(start=START).delete()
        world.later(minutes=5)
        world.sync()
        assert [period.start for period in periods(ada)] == [END]


class TestLives:
    """Whatever becomes of a subscription: what invoices billed is what the ledger says that they should."""

    def live(self, world, who, until, *, use=True):
        """Let time pass; something is used every hour, and everything is read and reported."""
        world.configure(tail=timedelta(hours=3))
        while world.now < until:
            if use:
                world.use(who.subject, 1, world.now + timedelta(minutes=7, seconds=11))
            for _ in range(2):
                world.later(minutes=30)
                changes(world)
                world.report(sync=False)

    def agree(self, world, who):
        finals = [p for p in periods(who) if p.finalized_at]
        told = [
            sum(
                (
                    r.value
                    for r in UsageReport.objects.filter(
                        status="delivered", event_at__gte=p.start, event_at__lt=p.end
                    )
                ),
                Decimal(0),
            )
            for p in finals
        ]
        assert [p.billed_quantity for p in finals] == told
        assert sum(billed_in_stripe(world, who)) == sum(told)
        return [int(value) for value in told]

    def test_months_of_28_to_31_days(self, world):
        world.at(datetime(2026, 1, 31, 10, 30, 7, tzinfo=UTC))
        tokens = world.meter()
        world.sync()
        ada = world.subscriber(tokens)
        world.sync()
        bounds = [datetime(2026, *day, 10, 30, 7, tzinfo=UTC) for day in ((2, 28), (3, 31), (4, 30))]
        for bound in bounds:
            for offset in (-40 * 60, -8, -1, 0, 1, 60, 3600):
                world.use("ada", 1, bound + timedelta(seconds=offset))
            world.at(bound + timedelta(minutes=4))
            changes(world)
            world.report(sync=False)
            world.at(bound + timedelta(minutes=62))
            changes(world)
            world.report(sync=False)
        world.later(hours=2)
        changes(world)
        world.report(sync=False)
        assert [p.end for p in periods(ada) if p.finalized_at] == bounds
        # The seconds after the last full minute slip into the next period.
        assert self.agree(world, ada) == [2, 7, 7]
        assert world.billed(ada) == 21

    @pytest.mark.parametrize("invoice_now", [False, True])
    def test_canceled_at_once(self, world, tokens, invoice_now):
        ada = world.subscriber(tokens)
        world.sync()
        self.live(world, ada, START + 2 * HOUR)
        world.stripe("DELETE", f"/subscriptions/{ada.subscription}", invoice_now=invoice_now)
        ended = world.now
        world.later(minutes=4)
        changes(world)
        world.report(sync=False)
        world.later(hours=4)
        changes(world)
        (period,) = periods(ada)
        assert period.end == ended
        findings = list(Finding.objects.filter(kind="not_invoiced").values_list("message", flat=True))
        if invoice_now:
            assert period.finalized_at
            assert not findings
            assert period.billed_quantity == sum(billed_in_stripe(world, ada)) > 0
        else:
            assert (period.finalized_at, period.billed_quantity, period.invoice_id) == (None, None, "")
            assert len(findings) == 1
            assert "2 units of tokens" in findings[0]
            # Nothing can be done about it, so nobody is told again.
            Finding.objects.update(resolved_at=world.now, resolution="known")
            world.sync()
            assert Finding.objects.filter(kind="not_invoiced").count() == 1

    def test_canceled_at_the_periods_end(self, world, tokens):
        ada = world.subscriber(tokens)
        world.sync()
        world.stripe("POST", f"/subscriptions/{ada.subscription}", cancel_at_period_end=True)
        world.at(END - 2 * HOUR)
        self.live(world, ada, END + 2 * HOUR)
        assert self.agree(world, ada) == [2]
        assert not Finding.objects.filter(kind="not_invoiced").exists()

    def test_with_a_new_anchor(self, world, tokens):
        ada = world.subscriber(tokens)
        world.sync()
        self.live(world, ada, START + 2 * HOUR)
        world.stripe("POST", f"/subscriptions/{ada.subscription}", billing_cycle_anchor={"type": "now"})
        self.live(world, ada, START + 4 * HOUR)
        first = periods(ada)[0]
        assert first.end == START + 2 * HOUR
        assert first.finalized_at
        assert first.billed_quantity == sum(billed_in_stripe(world, ada))

    def test_with_a_trial(self, world, tokens):
        ends = START + timedelta(days=3, seconds=5)
        ada = world.subscriber(tokens, trial_end=int(ends.timestamp()))
        world.sync()
        world.at(ends - HOUR)
        self.live(world, ada, ends + HOUR)
        following = periods(ada)[-1].end
        world.at(following - HOUR)
        self.live(world, ada, following + 2 * HOUR)
        told = self.agree(world, ada)
        assert sum(told) == world.billed(ada) - sum(
            r.value for r in UsageReport.objects.filter(event_at__gte=following, status="delivered")
        )

    def test_with_a_backdated_start(self, world, tokens):
        world.at(START + timedelta(days=1))
        began = world.now - timedelta(days=40)
        world.use("ada", 3, world.now - timedelta(days=1))
        ada = world.subscriber(tokens, backdate_start_date=int(began.timestamp()))
        world.sync()
        *past, current = periods(ada)
        # Its past is on the first invoice, which is final at once: what Stripe was not told then is late.
        assert past
        assert all(p.closes_at <= world.now for p in past)
        assert past[0].start == began
        assert current.finalized_at is None
        world.later(minutes=3)
        world.report(sync=False)
        assert world.statuses() == ["late"]

    def test_paused_and_resumed(self, world, tokens):
        ada = world.subscriber(tokens)
        world.sync()
        self.live(world, ada, START + 2 * HOUR)
        world.control.patch_stripe(ada.subscription, status="paused")
        changes(world)
        world.sync()
        self.live(world, ada, START + 3 * HOUR)
        world.control.patch_stripe(ada.subscription, status="active")
        world.sync()
        world.at(END - HOUR)
        self.live(world, ada, END + 2 * HOUR)
        (final,) = [p for p in periods(ada) if p.finalized_at]
        assert final.billed_quantity == sum(billed_in_stripe(world, ada))


class TestSeveralItems:
    @pytest.fixture
    def pair(self, world, tokens):
        """Return two subscriptions of one customer to one meter; the first one's period is final."""
        ada = world.subscriber(tokens)
        world.sync()
        world.at(START + timedelta(days=5))
        bob = world.subscribe(ada.customer, tokens, "ada")
        world.sync()
        world.at(END - HOUR)
        world.report()
        world.at(END + 2 * HOUR)
        changes(world)
        return ada, bob

    def test_that_do_not_all_bill_it_any_more_hold_it_with_what_is_open(self, world, pair):
        ada, bob = pair
        world.use("ada", 6, END - HOUR)
        world.report(sync=False)
        (row,) = UsageReport.objects.exclude(status="delivered")
        assert (row.status, row.half_closed) == ("held", True)
        assert f"the period of {ada.item} closed at 2026-04-10 10:00 UTC" in row.error
        assert f"the period of {bob.item} is open until" in row.error
        assert Finding.objects.get(kind="half_closed").meter
        assert world.billed(ada) == 0

        release_report(report_id=row.pk, why="bill one", who="eve", run=None, now=world.now)
        world.report(sync=False)
        assert world.billed(ada) == 6
        assert Finding.objects.get(kind="half_closed").resolved_at
        assert periods(ada)[0].billed_quantity == 0
        # More of the same hour is held again: it is another decision.
        world.use("ada", 1, END - HOUR)
        world.report(sync=False)
        row = UsageReport.objects.get(status="held")
        dismiss_report(report_id=row.pk, why="not worth it", who="eve", now=world.now)
        world.use("ada", 2, END - HOUR)
        world.report(sync=False)
        assert UsageReport.objects.get(status="held").value == 2

    def test_that_turn_out_to_be_open_let_it_go(self, world, tokens):
        world.control.settings(invoice_finalization_hours=72)
        ada = world.subscriber(tokens)
        world.at(START + timedelta(days=5))
        world.subscribe(ada.customer, tokens, "ada")
        world.sync()
        world.use("ada", 6, END - HOUR)
        world.at(END + 2 * HOUR)
        world.report(sync=False)
        assert world.statuses() == ["held"]
        changes(world)
        world.report(sync=False)
        assert world.statuses() == ["delivered"]
        assert Finding.objects.get(kind="half_closed").resolved_at

    def test_that_close_while_stripe_is_down_hold_what_waits(self, world, tokens):
        ada = world.subscriber(tokens)
        world.at(START + timedelta(days=5))
        world.subscribe(ada.customer, tokens, "ada")
        world.sync()
        world.use("ada", 6, END - HOUR)
        world.at(END + 5 * timedelta(minutes=1))
        world.control.fault("POST /v1/billing/meter_events", times=100, status=429)
        world.report()
        assert world.statuses() == ["pending"]
        world.control.clear_faults()
        world.at(END + 2 * HOUR)
        world.report()
        assert world.statuses() == ["held"]


class TestTroubles:
    def test_a_voided_invoice_bills_nothing_and_has_a_finding(self, world, tokens):
        ada = world.subscriber(tokens)
        world.sync()
        world.use("ada", 6, END - HOUR)
        world.at(END + timedelta(minutes=5))
        world.report()
        world.at(END + 2 * HOUR)
        world.sync()
        (first, _) = periods(ada)
        assert first.billed_quantity == 6
        world.control.patch_stripe(first.invoice_id, status="void")
        Invoice.objects.update(status="open")
        BillingPeriod.objects.filter(pk=first.pk).update(finalized_at=None)  # it is read again
        world.later(minutes=5)
        world.sync()
        (first, _) = periods(ada)
        assert (first.billed_quantity, first.finalized_at is not None) == (0, True)
        finding = Finding.objects.get(kind="invoice_gone")
        assert "6 units of tokens" in finding.message
        assert finding.customer.stripe_id == ada.customer

    def test_a_draft_that_is_gone_leaves_the_setting_and_a_finding(self, world, tokens):
        world.control.settings(invoice_finalization_hours=72)
        ada = world.subscriber(tokens)
        world.sync()
        world.at(END + timedelta(minutes=5))
        changes(world)
        world.control.delete_stripe(drafted(world, ada))
        world.later(minutes=5)
        changes(world)
        (first, _) = periods(ada)
        assert (first.invoice_id, first.closes_at) == ("", END + HOUR)
        assert Finding.objects.filter(kind="invoice_gone").count() == 1

    def test_a_key_that_may_not_read_invoices_leaves_the_setting_and_says_so(self, world, tokens):
        world.subscriber(tokens)
        world.sync()
        world.use("ada", 6, END - HOUR)
        world.at(END + timedelta(minutes=5))
        message = "The provided key does not have the required permissions. Having the 'rak_invoice_read' permission would allow this request to continue."  # noqa: E501 - Stripe's
        error = {"type": "invalid_request_error", "message": message}
        world.control.fault("GET /v1/invoices", times=10, status=403, body={"error": error})
        run = changes(world)
        assert run.status == "succeeded"
        assert "rak_invoice_read" in run.notes
        assert "60 minutes after they end" in run.notes
        report = world.report()
        assert (report.run.status, world.statuses()) == ("succeeded", ["delivered"])
        assert "rak_invoice_read" in report.run.notes

    def test_all_lines_of_an_invoice_are_read(self, world, tokens):
        customer = world.stripe("POST", "/customers", name="ada", metadata={"external_key": "ada"})["id"]
        prices = [
            world.stripe(
                "POST",
                "/prices",
                currency="usd",
                unit_amount=1,
                product_data={"name": f"p{number}"},
                recurring={"interval": "month", "usage_type": "metered", "meter": tokens.stripe_id},
            )["id"]
            for number in range(12)
        ]
        world.stripe("POST", "/subscriptions", customer=customer, items=[{"price": one} for one in prices])
        world.sync()
        world.at(END + 2 * HOUR)
        world.sync()
        assert InvoiceLine.objects.count() == 12
        assert BillingPeriod.objects.filter(finalized_at__isnull=False).count() == 12

    def test_many_invoices_cost_lists_and_no_call_for_each(self, world, tokens):
        people = [world.subscriber(tokens, f"c{number}") for number in range(25)]
        world.sync()
        world.at(END + timedelta(minutes=5))
        world.sync()
        assert Invoice.objects.filter(status="draft").count() == len(people)
        world.at(END + 2 * HOUR)
        world.control.clear_requests()
        changes(world)
        asked = [call["route"] for call in world.control.requests()]
        assert BillingPeriod.objects.filter(finalized_at__isnull=False).count() == len(people)
        assert "GET /v1/invoices/{invoice}" not in asked
        assert asked.count("GET /v1/invoices") == 2
        # Nothing waits any more, so invoices are not asked for.
        world.later(hours=1)
        world.control.clear_requests()
        changes(world)
        assert not [call for call in world.control.requests() if "invoices" in call["route"]]


def test_the_last_of_a_period_is_sent_a_quarter_of_an_hour_before_it_closes(world, tokens):
    """However slowly usage settles, if a run comes at the worst moment, and the next one as scheduled."""
    every = timedelta(minutes=REPORT_MINUTES)
    settle = longest_settle(every=every, grace=HOUR)
    Meter.objects.filter(stripe_id=tokens.stripe_id).update(settle_seconds=settle.total_seconds())
    ada = world.subscriber(tokens)
    world.sync()
    world.at(END - HOUR)
    world.report(sync=False)
    world.use("ada", 5, END - timedelta(seconds=40))
    last_minute = END.replace(second=0)
    for run_at in (last_minute + settle - timedelta(seconds=1), last_minute + settle + every):
        world.at(run_at - timedelta(seconds=1))
        changes(world)
        world.report(sync=False)
    row = UsageReport.objects.get()
    assert (row.status, row.value, row.slice_end) == ("delivered", 5, last_minute)
    assert row.delivered_at <= row.closes_at - timedelta(minutes=15)
    world.at(END + 2 * HOUR)
    changes(world)
    assert periods(ada)[0].billed_quantity == 5


def test_what_closes_soonest_is_measured_and_sent_first(world):
    world.configure(stripe_rate_limit=5)
    slow, fast = world.meter("alpha"), world.meter("zulu")
    world.subscriber(slow, "eve")
    world.later(minutes=30)
    world.subscriber(fast, "ada", billing_cycle_anchor=int((END - timedelta(days=9)).timestamp()))
    world.use("eve", 1, world.now, "alpha")
    world.use("ada", 1, world.now, "zulu")
    world.later(hours=3)
    world.report()
    asked = [call["path"] for call in world.control.requests() if call["path"].endswith("/query")]
    meters = [path.split("/")[-2] for path in asked]
    assert meters.index("zulu") < meters.index("alpha")
    assert [event["event_name"] for event in world.control.meter_events()] == ["zulu", "alpha"]
