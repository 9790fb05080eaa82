"""The first page: is reporting current, what needs a person, what was used; and how to begin."""

from dataclasses import asdict
from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_q.models import Schedule

from sync.models import BillingPeriod, ReportRun, Worker
from sync.operations.sum_up_days import mark_days, sum_up_days
from sync.queries.day_sums import DayState
from sync.queries.last_runs import last_runs
from sync.queries.meter_days import busiest, meter_days
from sync.queries.planning import Scope
from tests.factories import (
    HOUR,
    NOW,
    FindingFactory,
    MeterFactory,
    PauseFactory,
    PriceFactory,
    ReportRunFactory,
    StripeAccountFactory,
    SubjectFactory,
    UsageDayFactory,
    UsageReportFactory,
    WorkerFactory,
    subscribe,
)
from tests.staff import log_in

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nine_o_clock(settings):
    """Stop the clock, so that a page's "now" is the rows' own."""
    settings.SECURE_SSL_REDIRECT = False
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def staff(client):
    """Return the browser of a superuser."""
    return log_in(client)


def text_of(client) -> str:
    """Return what the page says, on one line."""
    return " ".join(client.get("/").content.decode().split())


def a_customer(**changes):
    """Somebody is billed by use since yesterday, and has been seen."""
    enrolment = subscribe(at=NOW - 24 * HOUR, **changes)
    SubjectFactory(customer=enrolment.customer, seen_at=NOW)
    return enrolment


def report(enrolment, **changes):
    """Store a report of the hour before nine, and what its day comes to."""
    made = UsageReportFactory(enrolment=enrolment, slice_start=NOW - HOUR, **changes)
    mark_days([(enrolment.meter_id, made.slice_start)], now=NOW)
    sum_up_days(now=NOW)
    return made


class TestEmptyStart:
    def test_says_what_to_do_first_and_offers_it(self, staff, settings):
        settings.STRIPE_KEY = ""
        said = text_of(staff)
        for step in ("Connect Stripe and OpenMeter", "Run Stripe set-up", "Sync with Stripe", "Report usage"):
            assert step in said
        assert "overview-step-done" not in said
        assert "What needs a person" not in said

    def test_ticks_off_what_is_done(self, staff, settings):
        settings.STRIPE_KEY = "sk_test_1"
        MeterFactory(openmeter_slug="tokens_total")
        assert text_of(staff).count('class="overview-step-done"') == 2

    def test_is_over_once_something_was_reported(self, staff):
        report(a_customer())
        said = text_of(staff)
        assert "First steps" not in said
        assert "What needs a person" in said


class TestAccess:
    def test_who_may_see_nothing_is_told_whom_to_ask(self, client):
        report(a_customer())
        said = text_of(log_in(client, "eve", "auth.view_user"))
        assert "There is nothing here that you may see yet" in said
        assert "Is reporting current" not in said

    def test_parts_that_somebody_may_not_see_are_left_out(self, client):
        report(a_customer())
        said = text_of(log_in(client, "eve", "sync.view_reportrun"))
        assert "Last runs" in said
        for part in ("What needs a person", "The last 30 days", "Closes within"):
            assert part not in said

    def test_a_viewer_gets_no_buttons(self, client):
        report(a_customer())
        said = text_of(log_in(client, "eve", "sync.view_reportrun", "sync.view_usagereport"))
        assert "Report usage…" not in said


class TestAttention:
    @pytest.mark.parametrize(
        ("status", "title"),
        [("held", "Held"), ("late", "Late"), ("rejected", "Refused"), ("unknown", "Unknown")],
    )
    def test_counts_what_waits_and_says_what_it_is_worth(self, staff, status, title):
        price = PriceFactory(unit_amount_decimal=Decimal(200))
        report(a_customer(price=price), status=status, units=Decimal(21))
        answer = staff.get("/")
        tile = next(tile for tile in answer.context["tiles"] if tile["title"] == title)
        assert (tile["count"], tile["what"]) == (1, "report")
        assert "42.00 USD at stake" in answer.content.decode()
        assert list(staff.get(tile["url"]).context["cl"].result_list.values_list("status", flat=True)) == [
            status
        ]

    def test_what_goes_on_by_itself_needs_nobody(self, staff):
        report(a_customer(), status="unknown", next_attempt_at=NOW)
        assert {tile["count"] for tile in staff.get("/").context["tiles"]} == {0}

    def test_counts_customers_that_openmeter_never_saw(self, staff):
        report(a_customer())
        unseen = subscribe(at=NOW - 24 * HOUR).customer
        SubjectFactory(customer=unseen)
        FindingFactory(kind="subject_never_seen", customer=unseen, resolved_at=NOW)
        tile = staff.get("/").context["tiles"][-1]
        assert (tile["title"], tile["count"]) == ("Not linked", 1)
        assert staff.get(tile["url"]).context["cl"].result_count == 1


class TestWell:
    """What the first card says of how reporting stands."""

    @pytest.fixture
    def running(self, staff):
        """A console that reports by itself; return a function that reads the page."""
        StripeAccountFactory(pinned_at=NOW - HOUR)
        WorkerFactory(seen_at=NOW)
        ReportRunFactory(scope=asdict(Scope()), is_full=True)
        Schedule.objects.update(next_run=NOW)
        report(a_customer(), status="delivered")
        return lambda: text_of(staff)

    def test_is_said_only_while_nothing_is_open(self, running):
        assert "all is well" in running()
        FindingFactory()
        said = running()
        assert "all is well" not in said
        assert "reporting is current" in said
        assert "1 finding is open" in said

    def test_is_not_said_while_the_schedule_rests(self, running):
        Schedule.objects.filter(name="Report usage").update(repeats=0)
        said = running()
        assert "so nothing is reported by itself. Switch it on under" in said
        assert "all is well" not in said
        PauseFactory()
        assert "so nothing is reported by itself" not in running()

    def test_a_worker_that_was_never_seen_is_starting_for_two_minutes(self, running):
        Worker.objects.all().delete()
        assert "it shows itself within a minute" in running()
        Schedule.objects.update(next_run=NOW - timedelta(minutes=3))
        said = running()
        assert "it shows itself" not in said
        assert "none was ever seen" in said
        Schedule.objects.update(next_run=NOW)
        WorkerFactory(seen_at=NOW - HOUR)
        assert "it shows itself" not in running()


class TestGrid:
    def test_has_a_row_for_every_meter_and_a_cell_for_every_day(self, staff):
        enrolment = a_customer()
        report(enrolment, status="delivered")
        MeterFactory()
        MeterFactory(openmeter_slug="")
        rows = staff.get("/").context["grid"]
        assert [len(row["cells"]) for row in rows] == [30, 30]
        today = rows[0]["cells"][-1]
        assert (today["kind"], today["symbol"]) == ("delivered", "✓")
        assert today["label"] == f"{enrolment.meter.slug}, 2026-03-10: 1 delivered"
        assert staff.get(today["url"]).context["cl"].result_list.count() == 1
        assert rows[0]["cells"][-2] | {"day": None} == {
            "day": None,
            "kind": "nothing",
            "symbol": "·",
            "label": f"{enrolment.meter.slug}, 2026-03-09: nothing used",
            "url": "",
        }

    def test_a_days_link_shows_no_other_day_and_no_other_meter(self, staff):
        enrolment = a_customer()
        mine = report(enrolment, status="delivered")
        UsageReportFactory(enrolment=enrolment, slice_start=NOW - 10 * HOUR)  # the evening before
        UsageReportFactory(slice_start=NOW - HOUR)
        url = staff.get("/").context["grid"][0]["cells"][-1]["url"]
        assert list(staff.get(url).context["cl"].result_list) == [mine]


class TestMeterDays:
    @pytest.mark.parametrize(
        ("counts", "state"),
        [
            ({"delivered": 5, "waiting": 1, "failed": 5}, DayState.FAILED),
            ({"delivered": 5, "waiting": 1, "failed": 4}, DayState.SOME_FAILED),
            ({"delivered": 5, "waiting": 1}, DayState.WAITING),
            ({"delivered": 5, "measured_units": Decimal(9)}, DayState.DISMISSED),
            ({"measured_units": Decimal(9)}, DayState.DISMISSED),
            ({"delivered": 5}, DayState.DELIVERED),
            ({}, DayState.NOTHING),
        ],
    )
    def test_the_worst_decides(self, counts, state):
        UsageDayFactory(**counts)
        [row] = meter_days(first=NOW.date(), last=NOW.date())
        assert row.days[0].state is state

    def test_a_meter_that_is_gone_stays_while_its_usage_is_shown(self):
        UsageDayFactory(meter__deleted_at=NOW, delivered=1)
        assert len(meter_days(first=NOW.date(), last=NOW.date())) == 1
        tomorrow = NOW.date() + timedelta(days=1)
        assert meter_days(first=tomorrow, last=tomorrow) == []

    def test_the_busiest_come_first_and_the_idle_not_at_all(self):
        UsageDayFactory(delivered=1)
        busy = UsageDayFactory(delivered=7).meter
        MeterFactory()
        rows = busiest(meter_days(first=NOW.date(), last=NOW.date()))
        assert (len(rows), rows[0].meter) == (2, busy)


class TestCharts:
    def test_show_what_was_measured_and_delivered_and_the_same_as_a_table(self, staff):
        enrolment = a_customer()
        report(enrolment, status="delivered", units=Decimal("1234567.25"))
        said = text_of(staff)
        assert "1234567.25" in said
        assert '<td class="number">1,234,567.25</td>' in said


class TestClosing:
    def close_in(self, hours, enrolment, planned_through=None):
        BillingPeriod.objects.filter(item__subscription__customer=enrolment.customer).update(
            end=NOW + (hours - 1) * HOUR, closes_at=NOW + hours * HOUR
        )
        enrolment.planned_through = planned_through
        enrolment.save()

    def test_says_whose_usage_is_in_and_whose_is_not(self, staff):
        late, counting, through, later = (a_customer() for _ in range(4))
        report(late, status="delivered")
        self.close_in(0.5, late)
        self.close_in(9, counting)
        self.close_in(0.5, through, planned_through=NOW)
        self.close_in(30, later)
        said = text_of(staff)
        assert "3 billing periods." in said
        assert "1 is over and misses usage." in said
        for words in ("not in", "still counting", "all in"):
            assert f"</span>{words}</span>" in said


class TestRuns:
    def test_leaves_out_idle_ones_but_for_the_newest(self):
        for minutes in range(4):
            ReportRunFactory(
                trigger="schedule", counters={"planned": 0}, queued_at=NOW - timedelta(minutes=minutes)
            )
        useful = ReportRunFactory(trigger="schedule", queued_at=NOW - HOUR)
        newest = ReportRun.objects.order_by("-queued_at").first()
        assert last_runs(5) == [newest, useful]


class TestPauses:
    def test_those_in_force_are_a_banner(self, staff):
        PauseFactory(reason="the books are closed")
        PauseFactory(reason="long ago", resumed_at=NOW)
        said = text_of(staff)
        assert "the books are closed" in said
        assert "long ago" not in said


class TestQueries:
    def fill(self, count):
        for _ in range(count):
            enrolment = a_customer(price=PriceFactory(billing_scheme="tiered", tiers=[{"up_to": None}]))
            for status in ("held", "late", "rejected", "unknown", "delivered"):
                report(enrolment, status=status, revision=UsageReportFactory._meta.next_sequence() + 1)
            FindingFactory(kind="subject_never_seen", customer=enrolment.customer)
            PauseFactory(customer=enrolment.customer)
        BillingPeriod.objects.update(closes_at=NOW + 5 * HOUR, end=NOW + 4 * HOUR)

    def test_are_as_many_for_much_as_for_little(self, staff):
        def queries():
            with CaptureQueriesContext(connection) as asked:
                staff.get("/")
            return len(asked)

        StripeAccountFactory()
        self.fill(1)
        queries()  # what is cached once per process
        few = queries()
        self.fill(5)
        assert queries() == few
        assert few < 45
