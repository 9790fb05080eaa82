"""What staff see of the ledger, and how they decide on reports that wait for them."""

import re
from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from sync.domain.pricing import Money
from sync.models import DeliveryAttempt, Finding, Price, UsageReport
from sync.queries.report_moves import amounts_of_reports
from sync.queries.report_worth import ReportWorth
from sync.queries.reports_of_call import reports_of_call
from tests.factories import (
    HOUR,
    NOW,
    DeliveryAttemptFactory,
    MeterFactory,
    PriceFactory,
    UsageReportFactory,
    subscribe,
)
from tests.office import carried_back, typed
from tests.staff import log_in, said, url_of

pytestmark = pytest.mark.django_db
Status = UsageReport.Status
TIERS = [
    {"up_to": 100, "unit_amount_decimal": "1", "flat_amount_decimal": None},
    {"up_to": None, "unit_amount_decimal": "2", "flat_amount_decimal": None},
]


@pytest.fixture(autouse=True)
def today(settings):
    """It is two hours after everything."""
    settings.SECURE_SSL_REDIRECT = False
    with time_machine.travel(NOW + 2 * HOUR, tick=False):
        yield


@pytest.fixture
def staff(client):
    """Return the browser of somebody who may do everything."""
    return log_in(client)


def waiting(status, **fields):
    """Return a report of a subscribed customer that waits for a person."""
    return UsageReportFactory(enrolment=subscribe(), status=status, **fields)


def decide(staff, verb, *reports, **data):
    """Look at a dialog for chosen rows and submit it, or submit it as it was shown earlier."""
    url, ids = url_of(UsageReport, verb), ",".join(str(report.pk) for report in reports)
    shown = data.pop("shown", None) or staff.get(url, {"ids": ids})
    return staff.post(url, {"ids": ids, "why": "Looked at it.", **carried_back(shown), **data})


class TestReportList:
    def test_narrows_down_to_what_waits_for_a_person(self, staff):
        held, again = waiting("held"), waiting("unknown", next_attempt_at=NOW)
        page = staff.get(url_of(UsageReport, "changelist"), {"waits": "person"})
        assert list(page.context["cl"].result_list) == [held]
        page = staff.get(url_of(UsageReport, "changelist"), {"status__exact": "unknown"})
        assert list(page.context["cl"].result_list) == [again]

    def test_narrows_down_to_days(self, staff):
        waiting("held")
        later = waiting("held", slice_start=NOW + timedelta(days=1))
        asked = {"slice_end_from": "2026-03-11", "slice_end_to": "2026-03-11"}
        assert list(staff.get(url_of(UsageReport, "changelist"), asked).context["cl"].result_list) == [later]
        asked["slice_end_from"] = "no date"
        assert staff.get(url_of(UsageReport, "changelist"), asked).status_code == 200

    @pytest.mark.parametrize("field", ["pk", "identifier", "stripe_request_id", "name", "customer"])
    def test_finds_a_report(self, staff, field):
        waiting("held")
        wanted = waiting("delivered", stripe_request_id="req_1")
        customer = wanted.enrolment.customer
        terms = {"name": customer.name.lower(), "customer": customer.stripe_id}
        term = terms.get(field) or getattr(wanted, field)
        page = staff.get(url_of(UsageReport, "changelist"), {"q": term})
        assert list(page.context["cl"].result_list) == [wanted]

    def test_finds_a_report_by_a_call_that_went_wrong(self, staff):
        attempt = DeliveryAttemptFactory(stripe_request_id="req_2")
        page = staff.get(url_of(UsageReport, "changelist"), {"q": "req_2"})
        assert list(page.context["cl"].result_list) == [attempt.report]

    def test_finds_calls_by_an_index_of_their_own(self, db):
        plan = reports_of_call("req_2").explain()
        if connection.vendor == "sqlite":  # PostgreSQL reads small tables whole, whatever indexes there are
            assert {"report_request", "attempt_request"} <= set(re.findall(r"INDEX (\w+)", plan))

    def test_offers_decisions_only_where_something_may_wait_for_them(self, staff):
        waiting("held"), waiting("delivered"), waiting("late")
        offered = {
            status: re.findall('<option value="(release|retry|carry|dismiss)"', self.listed(staff, status))
            for status in ("", "delivered", "held", "late")
        }
        assert offered == {
            "": ["release", "retry", "carry", "dismiss"],
            "delivered": [],
            "held": ["release", "dismiss"],
            "late": ["carry", "dismiss"],
        }

    def listed(self, staff, status):
        asked = {"status__exact": status} if status else {}
        return staff.get(url_of(UsageReport, "changelist"), asked).content.decode()

    def test_takes_as_many_queries_for_many_attempts_as_for_few_and_never_counts(self, staff):
        price = PriceFactory(billing_scheme="tiered", tiers_mode="graduated", tiers=TIERS)
        for _ in range(2):
            DeliveryAttemptFactory(report__enrolment=subscribe(price=price))
        with CaptureQueriesContext(connection) as few:
            staff.get(url_of(UsageReport, "changelist"))
        for _ in range(20):
            DeliveryAttemptFactory(report__enrolment=subscribe(price=price))
        with CaptureQueriesContext(connection) as many:
            staff.get(url_of(UsageReport, "changelist"))
        assert len(many) == len(few)
        counting = [query["sql"] for query in many if "COUNT(" in query["sql"]]
        assert not [sql for sql in counting if "sync_usagereport" in sql]


class TestReportPage:
    def test_is_called_after_customer_meter_and_stretch(self, staff):
        report = waiting("held")
        page = staff.get(url_of(UsageReport, "change", report.pk)).content.decode()
        name = (
            f"{report.enrolment.customer.label}, {report.enrolment.meter.slug}, 2026-03-10 09:00 to 10:00 UTC"
        )
        assert page.count(name) >= 2
        assert "Carries usage of" not in page

    def test_has_a_history_with_an_end_newest_first(self, staff):
        report = waiting("held")
        decide(staff, "dismiss", report)
        for page in ({}, {"p": 2}):
            history = staff.get(url_of(UsageReport, "history", report.pk), page)
            assert "Dismissed 1 report. Looked at it." in history.content.decode()
            assert not history.context["pagination_required"]

    def test_says_what_the_status_means_and_what_to_do(self, staff):
        report = waiting("rejected", error="Stripe refuses: No such customer")
        page = staff.get(url_of(UsageReport, "change", report.pk)).content.decode()
        assert "Stripe refused it, so it is not billed." in page
        assert "Remove what Stripe names as the reason" in page
        assert "No such customer" in page

    def test_shows_calls_with_stripes_log_and_the_other_revisions(self, staff):
        report = waiting("rejected")
        DeliveryAttemptFactory(report=report, outcome="Rejected", stripe_request_id="req_9")
        other = UsageReportFactory(
            enrolment=report.enrolment, slice_start=report.slice_start, revision=2, status="delivered"
        )
        page = staff.get(url_of(UsageReport, "change", report.pk)).content.decode()
        assert "https://dashboard.stripe.com/test/workbench/logs?object=req_9" in page
        assert url_of(UsageReport, "change", other.pk) in page

    def test_an_attempt_names_the_call(self, staff):
        attempt = DeliveryAttemptFactory(stripe_request_id="req_9")
        page = staff.get(url_of(DeliveryAttempt, "change", attempt.pk)).content.decode()
        assert "workbench/logs?object=req_9" in page
        assert "not now" in page
        found = staff.get(url_of(DeliveryAttempt, "changelist"), {"outcome": "Rejected"})
        assert not found.context["cl"].result_list


class TestWorth:
    def test_is_the_reports_part_of_the_bill_whatever_became_of_it(self):
        """1 cent each for 100 units, 2 for the rest; 250 are with Stripe, or will be."""
        price = PriceFactory(billing_scheme="tiered", tiers_mode="graduated", tiers=TIERS)
        enrolment = subscribe(price=price)
        of = {}
        for hour, (status, units) in enumerate(
            [("delivered", 200), ("pending", 50), ("held", 30), ("dismissed", 7), ("superseded", 9)]
        ):
            start = NOW + hour * HOUR
            of[status] = UsageReportFactory(
                enrolment=enrolment, slice_start=start, units=Decimal(units), status=status
            )
        assert {status: self.cents(report) for status, report in of.items()} == {
            "delivered": [350],  # of 400: the 50 others cost 50 alone
            "pending": [100],
            "held": [60],
            "dismissed": [14],
            "superseded": [],
        }
        assert ReportWorth().of([of["held"]])[0].is_estimate

    def test_of_a_plain_price_is_no_estimate_also_for_corrections(self):
        enrolment = subscribe(price=PriceFactory(unit_amount_decimal=Decimal(3)))
        first = UsageReportFactory(enrolment=enrolment, units=Decimal(100), status="delivered")
        less = UsageReportFactory(enrolment=enrolment, units=Decimal(-30), revision=2, status="delivered")
        assert [self.cents(first), self.cents(less)] == [[300], [-90]]
        assert not ReportWorth().of([first])[0].is_estimate

    def test_is_shown_with_its_currency_and_how_far_it_is_an_estimate(self, staff):
        price = PriceFactory(billing_scheme="tiered", tiers_mode="graduated", tiers=TIERS)
        report = UsageReportFactory(enrolment=subscribe(price=price), units=Decimal(200), status="delivered")
        assert "≈ 3.00 USD" in staff.get(url_of(UsageReport, "changelist")).content.decode()
        page = staff.get(url_of(UsageReport, "change", report.pk)).content.decode()
        assert "≈ 3.00 USD. An estimate: the price has tiers" in page

    def cents(self, report):
        return [money.minor for money in ReportWorth().of([report])[0].money]


class TestAmountsOfReports:
    def test_an_hours_newest_value_is_compared_with_the_one_before(self):
        price = PriceFactory(meter=MeterFactory(event_time_window="hour"), unit_amount_decimal=Decimal(1))
        enrolment = subscribe(price=price)
        UsageReportFactory(enrolment=enrolment, units=Decimal(100), status="delivered")
        held = UsageReportFactory(enrolment=enrolment, units=Decimal(150), revision=2, status="held")
        [[money]] = amounts_of_reports([held])
        assert money.minor == 50


class TestDecisions:
    def test_released_reports_wait_for_the_next_run_and_the_log_says_who_and_why(self, staff):
        report = waiting("held")
        answer = decide(staff, "release", report)
        report.refresh_from_db()
        assert report.status == Status.PENDING
        assert "Released by grace" in report.decision
        assert said(answer)[0] == "Released 1 report."
        entry = LogEntry.objects.get()
        assert (entry.user.username, entry.object_id) == ("grace", str(report.pk))
        assert entry.change_message == "Released 1 report. Looked at it."

    def test_what_was_decided_meanwhile_is_said_and_the_others_are_done(self, staff):
        report, gone = waiting("held"), waiting("pending")
        answer = decide(staff, "release", report, gone)
        report.refresh_from_db()
        assert report.status == Status.PENDING
        sentence = f"Report {gone.pk} is pending: only held reports are released."
        assert said(answer)[:2] == ["Released 1 report.", sentence]

    def test_a_held_report_whose_period_closed_is_late_once_it_is_released(self, staff):
        report = waiting("held", closes_at=NOW + HOUR)
        decide(staff, "release", report)
        report.refresh_from_db()
        assert report.status == Status.LATE
        assert "Stripe would put it on no invoice" in report.error
        assert Finding.objects.get(kind="late", resolved_at=None).meter == report.enrolment.meter

    def test_a_refused_report_is_planned_anew(self, staff):
        report = waiting("rejected")
        decide(staff, "retry", report)
        report.refresh_from_db()
        new = UsageReport.objects.get(revision=2)
        assert (report.status, new.status, new.value) == (Status.REPLACED, Status.PENDING, report.value)
        assert set(LogEntry.objects.values_list("object_id", flat=True)) == {str(report.pk), str(new.pk)}

    def test_what_may_have_arrived_is_retried_only_by_somebody_who_looked(self, staff):
        report = waiting("unknown")
        assert decide(staff, "retry", report).status_code == 200
        assert UsageReport.objects.count() == 1
        assert decide(staff, "retry", report, looked="on").status_code == 302
        assert UsageReport.objects.count() == 2

    def test_what_is_tried_again_by_itself_is_not_decided(self, staff):
        report = waiting("unknown", next_attempt_at=NOW)
        page = staff.get(url_of(UsageReport, "dismiss", report.pk)).content.decode()
        assert "is tried again by itself" in page

    @pytest.mark.parametrize(
        ("status", "written_off"), [("held", False), ("late", True), ("rejected", True), ("unknown", True)]
    )
    def test_dismissed_reports_are_never_sent(self, staff, status, written_off):
        report = waiting(status)
        answer = decide(staff, "dismiss", report)
        report.refresh_from_db()
        assert (report.status, report.written_off) == (Status.DISMISSED, written_off)
        assert said(answer) == ["Dismissed 1 report."]

    def test_shows_the_money_and_wants_much_of_it_typed(self, staff, settings):
        settings.CONFIRM_AMOUNT = 10
        report = UsageReportFactory(
            enrolment=subscribe(price=PriceFactory(unit_amount_decimal=Decimal(100))),
            units=Decimal(12),
            status="held",
        )
        page = staff.get(url_of(UsageReport, "release", report.pk)).content.decode()
        assert "12.00 USD" in page
        assert decide(staff, "release", report).status_code == 200
        assert decide(staff, "release", report, typed_usd="12.00").status_code == 302

    def test_ups_and_downs_are_both_at_stake(self, staff, settings):
        settings.CONFIRM_AMOUNT = 1000
        enrolment = subscribe(price=PriceFactory(unit_amount_decimal=Decimal(100)))
        up, down = (
            UsageReportFactory(
                enrolment=enrolment, units=Decimal(units), slice_start=NOW + hours * HOUR, status="held"
            )
            for units, hours in ((600, 0), (-600, 1))
        )
        answer = decide(staff, "release", up, down)
        assert answer.context["preview"].stake.moved == [Money(Decimal(120000), "usd")]
        page = answer.content.decode()
        assert "600.00 USD more and 600.00 USD less on bills" in page
        assert "type 1,200.00 to confirm" in page
        assert decide(staff, "release", up, down, typed_usd="0.00").status_code == 200
        assert set(UsageReport.objects.values_list("status", flat=True)) == {Status.HELD}
        assert decide(staff, "release", up, down, typed_usd="1,200.00").status_code == 302

    def test_units_without_a_price_are_typed_however_few(self, staff):
        priceless = PriceFactory(unit_amount_decimal=None)
        report = UsageReportFactory(enrolment=subscribe(price=priceless), status="held")
        other = UsageReportFactory(
            enrolment__meter=priceless.meter, units=Decimal("-0.5"), status="held", slice_start=NOW
        )
        answer = decide(staff, "dismiss", report, other)
        assert answer.status_code == 200
        page = answer.content.decode()
        assert "no price is known: type 1,235 to confirm" in page
        assert f"<strong>1,235</strong> units of {priceless.meter.slug} that no price is known for" in page
        assert decide(staff, "dismiss", report, other, **typed(answer)).status_code == 302

    @pytest.mark.parametrize("verb", ["release", "retry", "dismiss"])
    def test_is_held_to_what_was_shown(self, staff, verb):
        status = "rejected" if verb == "retry" else "held"
        report, other = waiting(status), waiting(status)
        ids = f"{report.pk},{other.pk}"
        shown = staff.get(url_of(UsageReport, verb), {"ids": ids})
        UsageReport.objects.filter(pk=other.pk).update(status=Status.DISMISSED, decision="By bo.")
        answer = decide(staff, verb, report, other, shown=shown)
        assert "not what you were shown before, so nothing was done" in answer.content.decode()
        single = staff.get(url_of(UsageReport, verb), {"ids": str(report.pk)})
        Price.objects.update(unit_amount_decimal=Decimal(3))
        answer = decide(staff, verb, report, shown=single)
        assert "not what you were shown before, so nothing was done" in answer.content.decode()
        with time_machine.travel(NOW + 3.5 * HOUR, tick=False):
            answer = decide(staff, verb, report, shown=answer)
        assert "out of date, so nothing was done" in answer.content.decode()
        nobodys = {"ids": str(report.pk), "why": "Unseen."}
        assert staff.post(url_of(UsageReport, verb), nobodys).status_code == 200
        report.refresh_from_db()
        assert report.status == status
        assert not LogEntry.objects.exists()
        colleague = log_in(Client(), "bo")
        assert decide(colleague, verb, report, shown=answer).status_code == 200
        assert decide(staff, verb, report, shown=answer).status_code == 302

    @pytest.mark.parametrize("verb", ["release", "retry", "dismiss"])
    def test_needs_its_permission_and_a_post_with_a_reason(self, client, verb):
        log_in(client, "eve", "sync.view_usagereport")
        report = waiting("rejected" if verb == "retry" else "held")
        assert decide(client, verb, report).status_code == 403
        log_in(client, "grace")
        client.get(url_of(UsageReport, verb, report.pk), {"why": "x"})
        decide(client, verb, report, why=" ")
        before = report.status
        report.refresh_from_db()
        assert report.status == before

    def test_shows_as_many_queries_for_many_reports_as_for_few(self, staff):
        reports = [waiting("held") for _ in range(2)]
        asked = [self.queries(staff, reports), self.queries(staff, [*reports, waiting("held")])]
        assert asked[0] == asked[1]

    def queries(self, staff, reports):
        ids = ",".join(str(report.pk) for report in reports)
        with CaptureQueriesContext(connection) as queries:
            assert staff.get(url_of(UsageReport, "dismiss"), {"ids": ids}).status_code == 200
        return len(queries)
