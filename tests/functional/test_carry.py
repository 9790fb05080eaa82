"""Late usage is carried into an open period, billed there once, and never below zero."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine
from django.core.management import call_command
from django.core.management.base import CommandError

from sync.domain.timeline import Span
from sync.models import BillingPeriod, Finding, Price, UsageReport
from sync.operations import report_job
from sync.operations.carry_report import carry_report
from sync.operations.check_first_deliveries import compare_late
from sync.operations.plan_carry import plan_carry
from sync.operations.resolve_report import dismiss_report, release_report
from sync.ports import InvalidInput
from sync.queries.day_sums import days_of_enrolment
from sync.wiring import connect
from tests.office import dialog_url, text_of
from tests.staff import url_of

HOUR = timedelta(hours=1)
START = datetime(2026, 3, 10, 9, 0, 33, tzinfo=UTC)
END = datetime(2026, 4, 10, 9, 0, 33, tzinfo=UTC)
NEXT = datetime(2026, 5, 10, 9, 0, 33, tzinfo=UTC)
OPEN_HOUR = END + timedelta(minutes=20)
LATE_HOUR = END - 24 * HOUR


@pytest.fixture(autouse=True)
def _one_try(monkeypatch):
    monkeypatch.setattr("sync.operations.deliver_reports.TRIES_PER_RUN", 1)


@pytest.fixture(params=["", "hour"], ids=["delta", "set"])
def window(request):
    """Return how Stripe's meter counts."""
    return request.param


def begin(world, window):
    """Return a meter that the console knew before anybody subscribed."""
    world.at(START)
    tokens = world.meter(window=window)
    world.sync()
    world.later(seconds=1)
    world.at(START)
    return tokens


def use_in_march_and_april(world, tokens):
    """Return somebody who used 10 and 5 in March, 4 in April; March is final, and it is April 11."""
    ada = world.subscriber(tokens)
    world.sync()
    world.use_many([("ada", 10, LATE_HOUR), ("ada", 5, END - 48 * HOUR)])
    world.at(END + timedelta(minutes=5))
    world.report()
    world.at(END + 2 * HOUR)
    world.sync()
    world.use("ada", 4, OPEN_HOUR)
    world.at(OPEN_HOUR + 2 * HOUR)
    world.report()
    assert invoiced(world, ada) == [15]
    return ada


@pytest.fixture
def ada(world, window, stage):
    """Return who used something in March and April."""
    name = f"March and April, window {window!r}"
    return stage.play(name, lambda: use_in_march_and_april(world, begin(world, window)))


def invoiced(world, who) -> list[Decimal]:
    """Return the quantities on final invoices, oldest first."""
    found = world.control.invoices(subscription=who.subscription)
    lines = [
        line for one in found if one["finalized_at"] for line in one["lines"] if line["item"] == who.item
    ]
    return [Decimal(line["quantity"]) for line in lines]


def look_back(world):
    """Measure the last weeks again."""
    day = timedelta(days=1)
    start = (world.now - 20 * day).replace(minute=0, second=0, microsecond=0)
    window = Span(start, world.now.replace(minute=0, second=0, microsecond=0))
    return world.report(sync=False, window=window)


def late_report(world, units) -> UsageReport:
    """Usage of a final period comes, or goes, and is found."""
    if units > 0:
        world.use("ada", units, LATE_HOUR + timedelta(minutes=1))
    else:
        world.forget(subject="ada")
        world.use_many([("ada", 15 + units, LATE_HOUR), ("ada", 4, OPEN_HOUR)])
    look_back(world)
    for held in UsageReport.objects.filter(status="held"):
        release_report(report_id=held.pk, why="it is right", who="ada", run=None, now=world.now)
    world.report(sync=False)  # whether Stripe holds it already is found out first
    return UsageReport.objects.filter(status="late").order_by("slice_start").last()


def dismiss_reading_of_nothing(world) -> None:
    """OpenMeter says, once, that nothing was used in the open period, and a person does not believe it."""
    world.forget(subject="ada")
    world.use_many([("ada", 17, LATE_HOUR), ("ada", 5, END - 48 * HOUR)])
    look_back(world)
    held = UsageReport.objects.get(status="held")
    dismiss_report(report_id=held.pk, why="it is wrong", who="ada", now=world.now)
    world.report(sync=False)


def carry(world, report, **changes) -> UsageReport:
    asked = {"why": "late batch", "who": "ada", "run": None, "now": world.now} | changes
    compare_late([report.pk], source=connect(config=world.config).stripe, clock=lambda: world.now)
    return carry_report(report_id=report.pk, **asked)


def bills_of(world, who) -> list[Decimal]:
    """Let the open period end and return what both invoices bill."""
    world.at(NEXT + timedelta(minutes=5))
    world.report()
    world.at(NEXT + 2 * HOUR)
    world.sync()
    return invoiced(world, who)


class TestCarriedUsage:
    def test_is_billed_once_in_the_open_period(self, world, ada):
        made = carry(world, late_report(world, 7))
        assert (made.carried, made.measured, made.quantity, made.corrects.status) == (7, 4, 11, "carried")
        world.report()
        look_back(world)
        assert not UsageReport.objects.filter(status__in=UsageReport.UNSETTLED).exists()
        assert not Finding.objects.filter(kind="late", resolved_at=None).exists()
        assert bills_of(world, ada) == [15, 11]

    def test_stays_with_its_slice_when_that_is_measured_again(self, world, ada):
        late = late_report(world, 7)
        world.use("ada", 2, OPEN_HOUR + timedelta(minutes=1))
        carry(world, late)
        look_back(world)
        world.use("ada", 1, LATE_HOUR + timedelta(minutes=2))
        look_back(world)
        assert carry(world, UsageReport.objects.get(status="late")).carried == 8
        look_back(world)
        assert bills_of(world, ada) == [15, 14]

    def test_stays_though_the_slice_falls_by_as_much(self, world, ada):
        late = late_report(world, 3)
        carry(world, late)
        world.forget(subject="ada")
        usage = [("ada", 13, LATE_HOUR), ("ada", 5, END - 48 * HOUR), ("ada", 1, OPEN_HOUR)]
        world.use_many(usage)
        look_back(world)
        for held in UsageReport.objects.filter(status="held"):
            release_report(report_id=held.pk, why="it is right", who="ada", run=None, now=world.now)
        world.report(sync=False)  # whether Stripe holds it already is found out first
        look_back(world)
        look_back(world)
        assert bills_of(world, ada) == [15, 4]

    def test_is_not_forgotten_with_a_reading_that_was_wrong(self, world, ada):
        carry(world, late_report(world, 7))
        dismiss_reading_of_nothing(world)
        assert bills_of(world, ada) == [15, 11]

    def test_is_added_to_what_stripe_was_told_and_not_to_a_reading_that_was_wrong(self, world, ada):
        late = late_report(world, 7)
        dismiss_reading_of_nothing(world)
        assert carry(world, late).quantity == 11
        assert bills_of(world, ada) == [15, 11]

    def test_is_carried_on_where_it_was_not_sent_in_time_itself(self, world, ada):
        world.use("ada", 3, END - 48 * HOUR)
        late_report(world, 7)
        for late in UsageReport.objects.filter(status="late"):
            carry(world, late)
        world.use("ada", 1, NEXT + timedelta(minutes=10))
        world.at(NEXT + 2 * HOUR)
        world.report()
        again = list(UsageReport.objects.filter(status="late"))
        assert len(again) == 2
        for late in again:
            carry(world, late)
        world.report()
        assert not UsageReport.objects.filter(status__in=UsageReport.UNSETTLED).exists()
        enrolment = UsageReport.objects.first().enrolment
        days = days_of_enrolment(enrolment.pk, Span(START, world.now), sets_hours=enrolment.meter.sets_hours)
        assert [day.measured_units for day in days if day.measured_units] == [5, 10, 4, 11]
        last = NEXT + timedelta(days=31)
        world.at(last + timedelta(minutes=5))
        world.report()
        world.at(last + 2 * HOUR)
        assert invoiced(world, ada) == [15, 4, 11]

    def test_goes_into_an_hour_in_which_nothing_was_used(self, world, window):
        tokens = begin(world, window)
        ada = world.subscriber(tokens)
        world.sync()
        world.use_many([("ada", 10, LATE_HOUR), ("ada", 5, END - 48 * HOUR)])
        world.at(END + timedelta(minutes=5))
        world.report()
        # Somebody else uses something, so that hours without usage count as measured.
        world.subscriber(tokens, "bob")
        world.sync()
        world.use("bob", 1, END + 25 * HOUR)
        world.at(END + 27 * HOUR)
        world.report()
        world.use("ada", 7, LATE_HOUR)
        look_back(world)
        made = carry(world, UsageReport.objects.get(status="late"))
        assert (made.measured, made.carried, made.revision) == (0, 7, 1)
        world.report()
        assert bills_of(world, ada) == [15, 7]

    def test_shows_on_the_day_that_took_it_along(self, world, ada):
        carry(world, late_report(world, 7))
        world.report()
        enrolment = UsageReport.objects.first().enrolment
        sets_hours = enrolment.meter.sets_hours
        days = days_of_enrolment(enrolment.pk, Span(START, NEXT), sets_hours=sets_hours)
        assert {day.day: day.measured_units for day in days if day.measured_units} == {
            (END - 48 * HOUR).date(): 5,
            LATE_HOUR.date(): 10,
            OPEN_HOUR.date(): 11,
        }
        assert all(not day.missing_units for day in days)


class TestLateUsage:
    def test_that_nobody_decided_on_is_what_was_measured_last(self, world, ada):
        late_report(world, 7)
        late = late_report(world, 2)
        assert (late.quantity, UsageReport.objects.filter(status="late").count()) == (19, 1)
        world.forget(subject="ada")
        world.use_many([("ada", 10, LATE_HOUR), ("ada", 5, END - 48 * HOUR), ("ada", 4, OPEN_HOUR)])
        look_back(world)
        assert not UsageReport.objects.filter(status__in=UsageReport.UNSETTLED).exists()
        assert not Finding.objects.filter(kind="late", resolved_at=None).exists()

    def test_is_held_where_nobody_should_believe_the_answer(self, world, ada):
        world.control.fault("GET /api/v1/meters/{meter}/query", status=200, body={"data": []})
        look_back(world)
        assert set(world.statuses()) == {"delivered", "held"}


class TestBelowZero:
    def test_what_was_billed_too_much_is_taken_off_the_open_period(self, world, ada):
        late_report(world, -3)
        for report in UsageReport.objects.filter(status="late").order_by("value"):
            if plan_carry(report, now=world.now).carried > 0:
                carry(world, report)
        world.report()
        for report in UsageReport.objects.filter(status="late"):
            carry(world, report)
        look_back(world)
        assert bills_of(world, ada) == [15, 1]

    def test_what_the_open_period_does_not_hold_stays_late(self, world, ada):
        world.forget(subject="ada")
        world.use_many([("ada", 4, LATE_HOUR), ("ada", 5, END - 48 * HOUR), ("ada", 4, OPEN_HOUR)])
        look_back(world)
        for held in UsageReport.objects.filter(status="held"):
            release_report(report_id=held.pk, why="it is right", who="ada", run=None, now=world.now)
        world.report(sync=False)  # whether Stripe holds it already is found out first
        late = UsageReport.objects.get(status="late")
        plan = plan_carry(late, now=world.now)
        assert (plan.carried, plan.rest, plan.amounts_agree) == (-4, -2, False)
        assert carry(world, late).quantity == 0
        rest = UsageReport.objects.get(status="late")
        assert "2 units could not be taken off" in rest.error
        assert Finding.objects.filter(kind="late", resolved_at=None).exists()
        with pytest.raises(InvalidInput, match="Carry it forward, or dismiss it"):
            release_report(report_id=rest.pk, why="", who="ada", run=None, now=world.now)
        look_back(world)
        with pytest.raises(InvalidInput, match="holds nothing that they could be taken off"):
            carry(world, rest)
        dismiss_report(report_id=rest.pk, why="credit note", who="ada", now=world.now)
        look_back(world)
        assert not UsageReport.objects.filter(status__in=UsageReport.UNSETTLED).exists()
        assert bills_of(world, ada) == [15, 0]


class TestRefusals:
    def test_come_with_a_sentence(self, world, ada):
        late = late_report(world, 7)
        with pytest.raises(InvalidInput, match="for a reason"):
            carry(world, late, why=" ")
        with pytest.raises(InvalidInput, match="There is no report"):
            carry_report(report_id=0, why="x", who="ada", run=None, now=world.now)
        with pytest.raises(InvalidInput, match="no measured hour of"):
            carry(world, late, now=NEXT + 2 * HOUR)
        carry(world, late)
        with pytest.raises(InvalidInput, match="only late reports"):
            carry(world, late)

    def test_wait_for_an_hour_that_is_being_sent(self, world, ada):
        late = late_report(world, 7)
        blocked = UsageReport.objects.filter(slice_end__gt=END).update(status="unknown", delivered_at=None)
        assert blocked == 1
        # The hour after it takes the usage along.
        assert carry(world, late).slice_start > OPEN_HOUR


class TestTwoAtOnce:
    def test_a_plan_that_is_being_made_is_refused(self, world, ada, monkeypatch):
        late = late_report(world, 7)
        world.use("ada", 2, OPEN_HOUR + timedelta(minutes=1))
        store_plan = report_job.store_plan

        def carry_first(plan, **options):
            if not late.corrections.exists():
                carry(world, late)
            return store_plan(plan, **options)

        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(report_job, "store_plan", carry_first)
            assert look_back(world).run.counters["planned_elsewhere"] == 1
        look_back(world)
        assert bills_of(world, ada) == [15, 13]


class TestWithoutAsking:
    def test_goes_where_both_amounts_are_the_same(self, world, ada):
        world.configure(late_usage="carry_forward")
        late_report(world, 7)
        assert UsageReport.objects.get(carried=7).decision.startswith("Carried forward by the console")
        world.report()
        assert bills_of(world, ada) == [15, 11]

    def test_waits_for_a_person_where_the_price_is_another(self, world, ada):
        world.configure(late_usage="carry_forward")
        Price.objects.update(
            billing_scheme="tiered",
            tiers_mode="graduated",
            tiers=[{"up_to": 15, "unit_amount_decimal": "10"}, {"up_to": None, "unit_amount_decimal": "1"}],
        )
        late = late_report(world, 7)
        plan = plan_carry(late, now=world.now)
        assert (plan.amounts_then[0].text, plan.amounts_now[0].text) == ("0.07 USD", "0.70 USD")
        assert late.status == "late"


class TestPeople:
    def test_carry_it_in_a_dialog_that_shows_both_amounts(self, office, world, ada):
        late = late_report(world, 7)
        browser, url = (
            office.browser("otto", group="Billing operator"),
            dialog_url("usagereport", "carry", late.pk),
        )
        shown = text_of(office.get(browser, url))
        assert "goes into" in shown.lower()
        assert UsageReport.objects.get(pk=late.pk).status == "late"
        office.confirm(browser, url, why="late batch")
        assert UsageReport.objects.get(pk=late.pk).status == "carried"
        assert "otto" in UsageReport.objects.get(pk=late.pk).decision

    def test_see_on_every_page_what_was_carried(self, office, world, ada):
        late = late_report(world, 7)
        made = carry(world, late)
        world.report()
        browser, enrolment = office.browser("otto", group="Billing operator"), late.enrolment
        period = BillingPeriod.objects.get(start__lte=made.event_at, end__gt=made.event_at)

        def page(row):
            return text_of(office.get(browser, url_of(type(row), "change", row.pk)))

        assert "7 carried forward" in page(enrolment.customer)
        said = page(period)
        assert "7 of them were carried forward from a period that had closed" in said
        assert "7 carried along" in said
        assert made.page_name in page(late)
        assert late.page_name in page(made)

    def test_learn_why_it_cannot_be_carried_while_stripe_is_away(self, world, ada, office):
        late = late_report(world, 7)
        route = "GET /v1/billing/meters/{id}/event_summaries"
        world.control.fault(route, status=401, times=50)
        with (
            time_machine.travel(world.now, tick=False),
            pytest.raises(CommandError, match="check STRIPE_KEY"),
        ):
            call_command("held_reports", "--carry", str(late.pk), "--why", "late batch")
        assert UsageReport.objects.get(pk=late.pk).status == "late"

    def test_carry_it_by_a_command(self, world, ada, capsys, office):
        late = late_report(world, 7)
        with time_machine.travel(world.now, tick=False):
            with pytest.raises(CommandError, match="for a reason"):
                call_command("held_reports", "--carry", str(late.pk))
            call_command("held_reports", "--carry", "all", "--why", "late batch")
        assert "carried forward: " in capsys.readouterr().out
        assert UsageReport.objects.get(pk=late.pk).status == "carried"
