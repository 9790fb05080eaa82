"""A key's usage of the open period becomes another customer's: what the invoices bill in the end."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sync.models import Customer, Enrolment, Finding, Meter, ReportRun, Subject, Subscription, UsageReport
from sync.operations import report_job
from sync.operations.link_subject import link_subject
from sync.operations.move_open_period import move_open_period
from sync.operations.move_subject import move_subject
from sync.operations.pause_reporting import pause_reporting
from sync.operations.plan_open_move import plan_open_move
from sync.operations.resolve_report import dismiss_report
from sync.ports import InvalidInput
from sync.wiring import connect
from tests.factories import CustomerFactory, SubjectFactory, SubscriptionPauseFactory, UsageReportFactory
from tests.office import carried_back, dialog_url, log_of, text_of, typed

HOUR = timedelta(hours=1)
DAY = 24 * HOUR
START = datetime(2026, 3, 10, 9, 0, 33, tzinfo=UTC)
"""When ada's period begins."""
LATER = datetime(2026, 3, 11, 14, 20, 33, tzinfo=UTC)
"""When bo's does."""
MOVED = datetime(2026, 3, 11, 15, 0, tzinfo=UTC)
"""The first whole hour in which both are open."""
NOW = datetime(2026, 3, 13, 12, 5, tzinfo=UTC)
WHY = {"why": "It was bo's all along."}


@pytest.fixture(params=["", "hour"], ids=["delta", "set"])
def tokens(request, world):
    """Return a meter that the console knew before anybody subscribed."""
    world.at(START)
    tokens = world.meter(window=request.param)
    world.sync()
    world.later(seconds=1)
    world.at(START)
    return tokens


@pytest.fixture
def delta(world):
    """Return a meter that adds up."""
    world.at(START)
    return world.meter()


def two(world, tokens):
    """Return ada, who has two keys and used both, and bo, who came a day later; all of it is reported."""
    ada = world.subscriber(tokens)
    world.sync()
    link_key(world, "team")
    world.at(LATER)
    bo = world.subscriber(tokens, "bo")
    world.use_many(
        [
            ("team", 1, START + HOUR),
            ("team", 2, MOVED - 10 * timedelta(minutes=1)),
            ("team", 100, MOVED + timedelta(minutes=1)),
            ("team", 200, NOW - 5 * HOUR),
            ("ada", 30, NOW - 5 * HOUR),
            ("ada", 7, MOVED + timedelta(minutes=2)),
            ("bo", 4, NOW - 5 * HOUR),
        ]
    )
    world.at(NOW - DAY)
    world.report()
    world.at(NOW)
    world.report()
    assert (world.billed(ada), world.billed(bo)) == (340, 4)
    return ada, bo


def link_key(world, key, name="ada"):
    customer = Customer.objects.get(name=name)
    return link_subject(key=key, customer=customer, since=None, was_seen=True, why="x", now=world.now)


def plan(world, key="team", to="bo"):
    """Plan the move of whoever holds the key now."""
    connections = connect(config=world.config)
    return plan_open_move(
        subject=Subject.objects.select_related("customer").get(key=key, valid_to=None),
        customer=Customer.objects.get(name=to),
        source=connections.openmeter,
        brake_percent=world.config.brake_percent,
        now=world.now,
    )


def move(world, key="team", to="bo"):
    """Move it."""
    return move_open_period(move=plan(world, key, to), why="x", who="tests", now=world.now)


def invoiced(world, who) -> list[Decimal]:
    """Return the quantities on final invoices, oldest first."""
    found = world.control.invoices(subscription=who.subscription)
    lines = [line for one in found if one["finalized_at"] for line in one["lines"]]
    return [Decimal(line["quantity"]) for line in lines if line["item"] == who.item]


def to_the_end(world):
    """Let both periods end, and their invoices become final."""
    for begin in (START, LATER):
        world.at(begin.replace(month=4) + timedelta(minutes=5))
        world.report()
    world.later(hours=2)
    world.sync()


class TestInvoices:
    def test_bill_from_the_later_start_on_what_was_used_to_the_other(self, world, tokens):
        ada, bo = two(world, tokens)
        subject = move(world)
        assert (subject.customer.name, subject.valid_from, subject.valid_to) == ("bo", MOVED, None)
        assert set(world.statuses()) == {"delivered", "pending"}
        world.report()
        assert set(world.statuses()) == {"delivered"}
        world.use("team", 1000, NOW - timedelta(minutes=1))
        to_the_end(world)
        assert (invoiced(world, ada), invoiced(world, bo)) == ([3 + 37], [304 + 1000])
        assert not Finding.objects.filter(kind__in=("brake", "late"), resolved_at=None)

    def test_are_the_same_where_the_hours_of_it_were_not_reported_yet(self, world, tokens):
        ada, bo = two(world, tokens)
        world.use_many([("team", 50, NOW + 5 * HOUR), ("team", 60, NOW + 6 * HOUR)])
        world.later(hours=9)
        moved = plan(world)
        assert [(one.enrolment.customer.name, one.units) for one in moved.changes] == [
            ("ada", -410),
            ("bo", 410),
        ]
        move_open_period(move=moved, why="x", who="tests", now=world.now)
        to_the_end(world)
        assert (invoiced(world, ada), invoiced(world, bo)) == ([40], [414])

    def test_are_the_same_where_nothing_was_ever_reported(self, world, tokens):
        ada = world.subscriber(tokens)
        bo = world.subscriber(tokens, "bo")
        world.sync()
        world.use_many([("ada", 5, START + 30 * HOUR), ("ada", 6, START + 2 * HOUR)])
        world.at(NOW)
        world.sync()
        move(world, "ada")
        to_the_end(world)
        assert (invoiced(world, ada), invoiced(world, bo)) == ([], [11]) or (
            invoiced(world, ada),
            invoiced(world, bo),
        ) == ([0], [11])

    def test_bill_days_of_a_backlog_that_the_start_cuts(self, world, tokens):
        ada = world.subscriber(tokens)
        world.sync()
        world.at(LATER)
        bo = world.subscriber(tokens, "bo")
        world.use_many([("ada", 2**hour, LATER.replace(hour=0) + hour * HOUR) for hour in range(24)])
        world.at(NOW)
        world.report()
        assert UsageReport.objects.filter(slice_end__gt=MOVED, slice_start__lt=MOVED).exists()
        move(world, "ada")
        to_the_end(world)
        assert (invoiced(world, ada), invoiced(world, bo)) == ([2**15 - 1], [2**24 - 2**15])

    def test_are_as_before_when_it_is_moved_back(self, world, tokens):
        ada, bo = two(world, tokens)
        move(world)
        world.report()
        world.later(hours=2)
        subject = move(world, to="ada")
        assert (subject.valid_from, subject.valid_to) == (None, None)
        assert Subject.objects.get(key="team", customer__name="bo").never_held
        to_the_end(world)
        assert (invoiced(world, ada), invoiced(world, bo)) == ([340], [4])

    def test_take_along_what_an_ordinary_move_left_behind(self, world, tokens):
        """Somebody moved it from the next hour on, and learns that it was the other's all along."""
        ada, bo = two(world, tokens)
        bos = Customer.objects.get(name="bo")
        subject = Subject.objects.get(key="team")
        move_subject(subject_id=subject.pk, customer=bos, why="x", now=world.now)
        world.use("team", 5, NOW + 2 * HOUR)
        world.later(hours=4)
        world.report()
        move(world, to="ada")
        move(world)
        to_the_end(world)
        assert (invoiced(world, ada), invoiced(world, bo)) == ([40], [309])

    def test_of_closed_periods_never_change(self, world, tokens):
        ada, bo = two(world, tokens)
        to_the_end(world)
        world.use("team", 500, world.now - HOUR)
        world.later(hours=3)
        world.report()
        moved = plan(world)
        assert moved.start.at == datetime(2026, 4, 11, 15, tzinfo=UTC)
        move_open_period(move=moved, why="x", who="tests", now=world.now)
        world.report()
        assert (invoiced(world, ada), invoiced(world, bo)) == ([340], [4])
        assert not UsageReport.objects.filter(slice_end__lte=moved.start.at, revision__gt=1).exists()

    def test_take_back_what_is_measured_again_before_it_is_sent(self, world, tokens):
        ada, bo = two(world, tokens)
        world.use("team", 300, NOW + HOUR)
        world.later(hours=2)
        world.report()
        move(world)
        world.use("ada", 1, NOW + HOUR)
        world.report()
        assert (world.billed(ada), world.billed(bo)) == (41, 604)
        assert not Finding.objects.filter(kind="brake")
        world.forget()
        world.later(hours=1)
        world.report()
        assert (world.billed(ada), world.billed(bo)) == (41, 604)
        assert Finding.objects.filter(kind="brake")

    def test_bill_late_usage_of_the_stretch_to_the_new_customer(self, world, tokens):
        ada, bo = two(world, tokens)
        move(world)
        world.report()
        world.use_many([("team", 11, MOVED + HOUR), ("team", 22, MOVED - 3 * HOUR)])
        world.at(NOW + 30 * HOUR)
        world.report(trigger="schedule")
        world.report(trigger="schedule")
        to_the_end(world)
        assert (invoiced(world, ada), invoiced(world, bo)) == ([40 + 22], [304 + 11])


class TestSeveralMeters:
    def test_move_from_where_all_are_open(self, world, delta):
        calls = world.meter("calls", window="hour")
        ada, bo = world.subscriber(delta), world.subscriber(delta, "bo")
        world.sync()
        world.at(LATER)
        adas = world.subscribe(ada.customer, calls, "ada")
        bos = world.subscribe(bo.customer, calls, "bo")
        for slug in ("tokens", "calls"):
            world.use_many([("ada", 1, MOVED - 2 * HOUR), ("ada", 10, MOVED + HOUR)], slug)
        world.at(NOW)
        world.report()
        world.control.clear_requests()
        moved = plan(world, "ada")
        assert len(world.control.requests("GET /api/v1/meters/{meter}/query")) == 2
        assert moved.start.at == MOVED
        assert moved.start.because == "the open billing period of bo on calls began then"
        move_open_period(move=moved, why="x", who="tests", now=world.now)
        to_the_end(world)
        assert (invoiced(world, ada), invoiced(world, bo)) == ([1], [10])
        assert (invoiced(world, adas), invoiced(world, bos)) in (([0], [10]), ([], [10]))

    def test_are_refused_where_the_new_customer_lacks_one_that_was_used(self, world, delta):
        calls = world.meter("calls")
        ada = world.subscriber(delta)
        world.subscribe(ada.customer, calls, "ada")
        world.subscriber(delta, "bo")
        world.use("ada", 1, START + HOUR)
        world.at(NOW)
        world.report()
        assert len(plan(world, "ada").changes) == 2
        world.use("ada", 1, NOW - HOUR, "calls")
        world.later(hours=1)
        with pytest.raises(InvalidInput, match="bo is not billed on calls now"):
            plan(world, "ada")


class TestRefusals:
    def test_without_a_subscription(self, world, delta):
        world.subscriber(delta)
        world.stripe("POST", "/customers", name="bo", metadata={"external_key": "bo"})
        world.at(NOW)
        world.sync()
        with pytest.raises(InvalidInput, match="bo is billed on no meter now"):
            plan(world, "ada")

    def test_in_a_trial(self, world, delta):
        world.subscriber(delta)
        world.subscriber(delta, "bo", trial_end=int((NOW + DAY).timestamp()))
        world.at(NOW)
        world.sync()
        with pytest.raises(InvalidInput, match="bo is billed on no meter now"):
            plan(world, "ada")

    def test_where_no_whole_hour_is_open(self, world, delta):
        world.subscriber(delta)
        world.at(NOW)
        world.subscriber(delta, "bo")
        world.sync()
        with pytest.raises(InvalidInput, match="No whole hour of it is open: the open billing period of bo"):
            plan(world, "ada")

    def test_where_a_period_was_not_read_yet(self, world, delta):
        world.subscriber(delta)
        world.subscriber(delta, "bo")
        world.sync()
        world.at(START.replace(month=4) + HOUR)
        with pytest.raises(InvalidInput, match="was not read from Stripe yet: sync with Stripe"):
            plan(world, "ada")

    def test_of_a_link_that_is_over_has_not_begun_or_is_theirs(self, world, delta):
        two(world, delta)
        with pytest.raises(InvalidInput, match="belongs to ada"):
            plan(world, to="ada")
        Customer.objects.filter(name="bo").update(deleted_at=NOW)
        with pytest.raises(InvalidInput, match="was deleted in Stripe"):
            plan(world)
        Customer.objects.filter(name="bo").update(deleted_at=None)
        Subject.objects.filter(key="team").update(valid_from=NOW + HOUR)
        with pytest.raises(InvalidInput, match="has not begun"):
            plan(world)

    @pytest.mark.parametrize(
        ("status", "sentence"),
        [
            ("sending", "Wait for the next run"),
            ("unknown", "next run"),
            ("held", "Decide on it"),
            ("late", "on it"),
        ],
    )
    def test_while_something_of_it_is_open(self, world, delta, status, sentence):
        two(world, delta)
        enrolment = Enrolment.objects.get(customer__name="ada")
        UsageReportFactory(enrolment=enrolment, status=status, slice_start=NOW.replace(minute=0) - 20 * HOUR)
        with pytest.raises(InvalidInput, match=sentence):
            plan(world)
        UsageReport.objects.filter(status=status).update(
            slice_start=MOVED - 2 * HOUR, slice_end=MOVED - HOUR, event_at=MOVED - 2 * HOUR
        )
        assert plan(world).changes

    def test_while_it_is_paused(self, world, delta):
        two(world, delta)
        customer = Customer.objects.get(name="ada")
        pause_reporting(customer=customer, meter=None, why="Prices change.", who="eve", now=NOW)
        with pytest.raises(InvalidInput, match=r"Prices change\. Resume it first"):
            plan(world)

    def test_where_openmeter_lost_what_was_reported(self, world, delta):
        two(world, delta)
        world.forget(**{"from": "2026-03-11T16:00:00Z", "to": "2026-03-14T00:00:00Z"})
        with pytest.raises(InvalidInput, match=r"This would lower the meter by 234 of .*decide on it first"):
            plan(world)
        world.forget()
        with pytest.raises(InvalidInput, match="no usage at all"):
            plan(world)

    def test_of_what_a_person_gave_up(self, world, delta):
        ada = world.subscriber(delta)
        world.subscriber(delta, "bo")
        world.sync()
        world.use("ada", 5, START + 4 * HOUR)
        world.control.fault("POST /v1/billing/meter_events", status=400, body={"error": {"message": "no"}})
        world.at(START + 6 * HOUR)
        world.report()
        report = UsageReport.objects.get(status="rejected")
        dismiss_report(report_id=report.pk, why="A gift.", who="eve", now=world.now)
        assert world.billed(ada) == 0
        with pytest.raises(InvalidInput, match="5 units of tokens were given up by a decision"):
            plan(world, "ada")

    def test_below_zero(self, world, delta):
        """A correction of an earlier period was taken off what would leave."""
        ada = world.subscriber(delta)
        world.subscriber(delta, "bo")
        world.use("ada", 100, START + HOUR)
        world.at(NOW)
        world.report()
        row = UsageReport.objects.get(enrolment__customer__stripe_id=ada.customer)
        UsageReport.objects.filter(pk=row.pk).update(quantity=40, carried=-60, value=40)
        with pytest.raises(InvalidInput, match="would fall to -60 units, and Stripe bills"):
            plan(world, "ada")


class TestTwoAtOnce:
    def test_is_decided_once(self, world, tokens):
        two(world, tokens)
        first, second = plan(world), plan(world)
        move_open_period(move=first, why="x", who="a", now=world.now)
        rows = UsageReport.objects.count()
        with pytest.raises(InvalidInput, match="over already"):
            move_open_period(move=second, why="x", who="b", now=world.now)
        assert UsageReport.objects.count() == rows

    def test_is_undone_where_a_run_reported_meanwhile(self, world, tokens):
        two(world, tokens)
        world.use("ada", 5, NOW + timedelta(minutes=1))
        world.later(hours=1)
        moved = plan(world)
        world.report()
        with pytest.raises(InvalidInput, match="was reported at this moment"):
            move_open_period(move=moved, why="x", who="a", now=world.now)
        assert Subject.objects.get(key="team").customer.name == "ada"

    def test_refuses_a_plan_that_is_being_made(self, world, tokens, monkeypatch):
        ada, bo = two(world, tokens)
        world.use("team", 5, NOW + timedelta(minutes=1))
        world.later(hours=1)
        store, moves = report_job.store_plan, [plan(world)]

        def move_first(made, **options):
            for one in moves:
                moves.clear()
                move_open_period(move=one, why="x", who="a", now=world.now)
            return store(made, **options)

        monkeypatch.setattr(report_job, "store_plan", move_first)
        world.report()
        monkeypatch.undo()
        to_the_end(world)
        assert (invoiced(world, ada), invoiced(world, bo)) == ([40], [309])


class TestDialog:
    def choose(self, subject="team", to="bo"):
        url = dialog_url("subject", "move_open_period", Subject.objects.get(key=subject).pk)
        return url, {"customer": Customer.objects.get(name=to).pk}

    def test_shows_both_invoices_and_does_what_was_shown(self, world, office, delta, settings):
        ada, bo = two(world, delta)
        settings.CONFIRM_AMOUNT = 6
        browser = office.browser("cy")
        url, chosen = self.choose()
        shown = office.get(browser, url, **chosen)
        page = text_of(shown)
        assert "From 2026-03-11 15:00 UTC on bo pays for usage under team" in page
        assert "the open billing period of bo on tokens began then" in page
        assert "ada (leaves it)" in page
        assert "-300" in page
        assert "-3.00 USD" in page
        assert "bo (enters it)" in page
        assert "The brake does not hold it" in page
        assert typed(shown) == {"typed_usd": "6.00"}
        given = {**chosen, **typed(shown), **carried_back(shown), **WHY}
        world.use("team", 1, MOVED + HOUR)
        assert "not what you were shown before" in text_of(office.post(browser, url, **given))
        assert world.billed(ada) == 340
        answer = office.confirm(browser, url, **chosen, **WHY, typed_usd="6.02")
        assert answer.status_code == 302
        subject = Subject.objects.get(key="team", valid_to=None)
        (said,) = log_of(subject)
        assert said == (
            "Moved team from ada to bo, with all that was used since 2026-03-11 15:00 UTC. "
            "It was bo's all along."
        )
        assert log_of(Customer.objects.get(name="ada")) == [said]
        run = ReportRun.objects.order_by("-pk")[0]
        assert (run.requested_by, run.counters["planned"] > 0) == ("cy", True)
        assert "The key team moved from ada to bo" in text_of(
            office.get(browser, dialog_url("reportrun", "change", run.pk))
        )
        world.report()
        assert (world.billed(ada), world.billed(bo)) == (40, 305)

    def test_says_so_where_nothing_was_used(self, world, office, delta):
        world.subscriber(delta)
        world.subscriber(delta, "bo")
        world.at(NOW)
        world.sync()
        url, chosen = self.choose("ada")
        browser = office.browser()
        assert "Nothing was used under ada since." in text_of(office.get(browser, url, **chosen))
        assert office.confirm(browser, url, **chosen, **WHY).status_code == 302
        assert not UsageReport.objects.exists()

    def test_says_what_nobody_is_billed_for(self, world, office, delta):
        _ada, bo = two(world, delta)
        subscription = Subscription.objects.get(stripe_id=bo.subscription)
        SubscriptionPauseFactory(subscription=subscription, start=NOW - 6 * HOUR, end=NOW - 3 * HOUR)
        url, chosen = self.choose()
        page = text_of(office.get(office.browser(), url, **chosen))
        assert "200 units of tokens will be on no invoice: bo was not billed all of that time" in page

    def test_says_what_would_be_held(self, world, office, delta):
        two(world, delta)
        Meter.objects.update(max_units_per_slice=150)
        url, chosen = self.choose()
        page = text_of(office.get(office.browser(), url, **chosen))
        assert "1 report of bo would be held" in page

    def test_shows_why_it_cannot_be_done(self, world, office, delta):
        world.subscriber(delta)
        world.stripe("POST", "/customers", name="bo", metadata={"external_key": "bo"})
        world.at(NOW)
        world.sync()
        url, chosen = self.choose("ada")
        page = text_of(office.get(office.browser(), url, **chosen))
        assert "bo is billed on no meter now" in page
        assert "<textarea" not in page

    def test_needs_its_permission_and_a_reason(self, world, office, delta):
        two(world, delta)
        url, chosen = self.choose()
        eve = office.browser("eve", permission="sync.move_subject")
        assert office.post(eve, url, **chosen, **WHY).status_code == 403
        assert office.confirm(office.browser(), url, **chosen, why=" ").status_code == 200
        assert Subject.objects.get(key="team").customer.name == "ada"

    def test_asks_the_database_as_often_for_many_hours_as_for_few(self, world, office, delta):
        two(world, delta)
        browser = office.browser()
        url, chosen = self.choose()

        def asked():
            with CaptureQueriesContext(connection) as queries:
                assert "leaves it" in text_of(office.get(browser, url, **chosen))
            return len(queries)

        few = asked()
        world.use_many([("team", 1, NOW + number * HOUR) for number in range(1, 40)])
        world.later(hours=41)
        world.report()
        assert asked() == few

    def test_is_for_links_that_go_on(self, office, db):
        ended = SubjectFactory(valid_to=START.replace(minute=0, second=0), customer=CustomerFactory())
        url = dialog_url("subject", "move_open_period", ended.pk)
        assert "whoever holds the key now can be moved instead" in text_of(office.get(office.browser(), url))
