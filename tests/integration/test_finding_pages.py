"""What staff see of findings, and how they resolve them."""

from decimal import Decimal

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sync.domain.remedies import COMES_BACK, FINDINGS, REPORTS
from sync.models import Customer, Finding, UsageReport
from sync.operations.resolve_finding import resolve_finding
from sync.ports import InvalidInput
from sync.queries.finding_stakes import MOST_SHOWN, WAITING, stakes_of
from tests.factories import HOUR, NOW, FindingFactory, PriceFactory, UsageReportFactory, subscribe
from tests.staff import log_in, said, url_of

pytestmark = pytest.mark.django_db
Kind = Finding.Kind


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


def held(units, enrolment=None, status="held"):
    """Return a report that waits, of a customer who pays a dollar a unit."""
    enrolment = enrolment or subscribe(price=PriceFactory(unit_amount_decimal=Decimal(100)))
    return UsageReportFactory(
        enrolment=enrolment,
        units=Decimal(units),
        slice_start=NOW + UsageReport.objects.count() * HOUR,
        status=status,
    )


def about_meter(report, kind=Kind.BRAKE):
    """Return the finding that says that reports of a meter wait."""
    meter = report.enrolment.meter
    return FindingFactory(kind=kind, fingerprint=f"meter:{meter.stripe_id}", meter=meter)


class TestRemedies:
    def test_there_is_a_sentence_for_everything(self):
        assert set(FINDINGS) == set(Kind.values)
        assert set(REPORTS) == set(UsageReport.Status.values)
        assert set(Kind.values) > COMES_BACK


class TestStakes:
    def test_a_meters_finding_is_worth_all_reports_of_that_kind(self):
        first = held(3)
        held(4, first.enrolment)
        held(50, first.enrolment, status="delivered")
        finding = about_meter(first)
        stakes = stakes_of([finding])[finding.pk]
        assert (stakes.reports, [money.text for money in stakes.amounts]) == (2, ["7.00 USD"])

    def test_a_reports_finding_is_worth_that_report(self):
        report = held(3, status="rejected")
        held(4, report.enrolment, status="rejected")
        finding = FindingFactory(kind=Kind.REJECTED, fingerprint=f"report:{report.identifier}")
        assert [money.text for money in stakes_of([finding])[finding.pk].amounts] == ["3.00 USD"]

    def test_what_is_resolved_or_about_something_else_is_worth_nothing(self):
        report = held(3)
        FindingFactory(kind=Kind.BRAKE, fingerprint="meter:x", meter=report.enrolment.meter, resolved_at=NOW)
        FindingFactory(kind=Kind.METER_WITHOUT_SLUG, meter=report.enrolment.meter)
        assert stakes_of(Finding.objects.all()) == {}


class TestFindingPages:
    def test_shows_open_ones_unless_asked_for_others(self, staff):
        is_open, over = FindingFactory(), FindingFactory(resolved_at=NOW, resolution="gone")
        page = staff.get(url_of(Finding, "changelist"))
        assert list(page.context["cl"].result_list) == [is_open]
        page = staff.get(url_of(Finding, "changelist"), {"state": "over"})
        assert list(page.context["cl"].result_list) == [over]

    def test_shows_the_money_with_as_many_queries_for_many_findings_as_for_few(self, staff):
        url = url_of(Finding, "changelist")
        about_meter(held(3))
        assert "3.00 USD" in staff.get(url).content.decode()
        with CaptureQueriesContext(connection) as few:
            staff.get(url)
        for _ in range(5):
            about_meter(held(3))
        with CaptureQueriesContext(connection) as many:
            staff.get(url)
        assert len(many) == len(few)

    def test_says_what_to_do_and_links_to_the_reports(self, staff):
        finding = about_meter(held(3))
        page = staff.get(url_of(Finding, "change", finding.pk)).content.decode()
        assert FINDINGS[Kind.BRAKE] in page
        assert "waits=person&amp;status__exact=held" in page

    @pytest.mark.parametrize("kind", [Kind.LATE, Kind.BRAKE, Kind.REJECTED])
    def test_links_to_the_reports_and_customers_that_a_meters_finding_is_about(self, staff, kind):
        report = held(3, status=WAITING[kind])
        finding, customer = about_meter(report, kind), report.enrolment.customer
        link = url_of(Customer, "change", customer.pk)
        assert link in staff.get(url_of(Finding, "changelist")).content.decode()
        page = staff.get(url_of(Finding, "change", finding.pk)).content.decode()
        for target in (link, url_of(UsageReport, "change", report.pk)):
            assert target in page
        for _ in range(MOST_SHOWN):
            other = subscribe(price=report.enrolment.meter.prices.get())
            held(3, other, status=WAITING[kind])
        page = staff.get(url_of(Finding, "change", finding.pk)).content.decode()
        assert f"All {MOST_SHOWN + 1} reports" in page
        assert f"{MOST_SHOWN + 1} customers</a>" in staff.get(url_of(Finding, "changelist")).content.decode()

    def test_links_to_its_report_after_it_is_resolved_too(self, staff):
        report = held(3, status="delivered")
        finding = FindingFactory(
            kind=Kind.UNKNOWN_OUTCOME, fingerprint=f"report:{report.identifier}", resolved_at=NOW
        )
        page = staff.get(url_of(Finding, "change", finding.pk)).content.decode()
        assert url_of(UsageReport, "change", report.pk) in page
        assert url_of(Customer, "change", report.enrolment.customer_id) in page
        over = FindingFactory(
            kind=Kind.LATE, fingerprint="meter:x", meter=report.enrolment.meter, resolved_at=NOW
        )
        page = staff.get(url_of(Finding, "change", over.pk)).content.decode()
        assert f"{url_of(UsageReport, 'changelist')}?enrolment__meter__id__exact={over.meter_id}" in page


class TestResolveFinding:
    def test_keeps_who_and_why(self, staff):
        finding = FindingFactory(kind=Kind.SUBJECT_NEVER_SEEN)
        page = staff.get(url_of(Finding, "resolve", finding.pk)).content.decode()
        assert "comes back as a new finding" in page
        answer = staff.post(url_of(Finding, "resolve", finding.pk), {"why": "They start in May."})
        finding.refresh_from_db()
        assert finding.resolved_at == NOW + 2 * HOUR
        assert finding.resolution.startswith("Resolved by grace at 2026-03-10 11:00:00 UTC: They start")
        assert said(answer) == ["Resolved 1 finding."]
        assert LogEntry.objects.get().object_id == str(finding.pk)

    def test_one_whose_reports_wait_is_resolved_by_deciding_on_them(self, staff):
        waits, other = about_meter(held(3)), FindingFactory(kind=Kind.BILLED_TWICE)
        answer = staff.post(
            url_of(Finding, "resolve"), {"ids": f"{waits.pk},{other.pk}", "why": "Looked at it."}
        )
        assert said(answer)[0] == "Resolved 1 finding."
        assert "1 report still waits for a decision" in said(answer)[1]
        assert Finding.objects.get(resolved_at=None) == waits

    def test_is_resolved_once(self):
        finding = FindingFactory()
        resolve_finding(finding_id=finding.pk, why="x", who="ada", now=NOW)
        with pytest.raises(InvalidInput, match="resolved already"):
            resolve_finding(finding_id=finding.pk, why="x", who="ada", now=NOW)

    def test_needs_its_permission_and_a_reason(self, client):
        finding = FindingFactory()
        log_in(client, "eve", "sync.view_finding")
        assert client.post(url_of(Finding, "resolve", finding.pk), {"why": "x"}).status_code == 403
        log_in(client, "olga", "sync.view_finding", "sync.resolve_finding")
        assert client.post(url_of(Finding, "resolve", finding.pk), {"why": " "}).status_code == 200
        assert Finding.objects.filter(resolved_at=None).exists()
