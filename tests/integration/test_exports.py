"""Downloads of reports, runs and findings: what the page shows, exactly, and no formula in it."""

import csv
import io
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from import_export.admin import ImportMixin
from openpyxl import load_workbook

from sync.admin import exports
from sync.admin.exports import cell
from sync.models import Finding, ReportRun, UsageReport
from tests.factories import NOW, FindingFactory, PriceFactory, ReportRunFactory, UsageReportFactory, subscribe
from tests.staff import log_in, url_of

pytestmark = pytest.mark.django_db
CSV, XLSX = "0", "1"


@pytest.fixture
def staff(client, settings):
    """Return the browser of somebody who may do everything."""
    settings.SECURE_SSL_REDIRECT = False
    return log_in(client)


def download(staff, model, form=CSV, **filters):
    """Return the file as rows by column."""
    page = url_of(model, "export")
    if filters:
        page += "?" + "&".join(f"{name}={value}" for name, value in filters.items())
    answer = staff.post(page, {"format": form, "resource": ""})
    content = b"".join(answer.streaming_content)
    assert answer["Content-Disposition"].startswith("attachment")
    if form == XLSX:
        lines = [list(row) for row in load_workbook(io.BytesIO(content)).active.iter_rows(values_only=True)]
    else:
        lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


class TestExports:
    @pytest.mark.parametrize("form", [CSV, XLSX])
    def test_reports_are_exact_and_in_utc(self, staff, form):
        report = UsageReportFactory(
            units=Decimal("-0.000000000001"), status="delivered", stripe_request_id="req_1"
        )
        [row] = download(staff, UsageReport, form)
        assert row["units"] == row["value_for_stripe"] == "-0.000000000001"
        assert row["slice_start"] == "2026-03-10T09:00:00Z"
        customer = report.enrolment.customer
        assert (row["stripe_customer"], row["customer"]) == (customer.stripe_id, customer.name)
        assert (row["meter"], row["stripe_request"]) == (report.enrolment.meter.slug, "req_1")
        assert str(row["report"]) == str(report.pk)
        assert not row["estimated_amount"]

    @pytest.mark.parametrize("form", [CSV, XLSX])
    def test_reports_have_an_amount_that_can_be_added_up(self, staff, form):
        price = PriceFactory(unit_amount_decimal=Decimal("0.5"))
        UsageReportFactory(enrolment=subscribe(price=price), units=Decimal(-3), status="rejected")
        [row] = download(staff, UsageReport, form)
        assert (row["estimated_amount"], row["currency"]) == ("0", "USD")  # no bill goes below zero
        assert (row["status"], row["amount_depends_on_tiers"]) == ("refused", "no")
        UsageReport.objects.update(value=3)
        assert download(staff, UsageReport, form)[0]["estimated_amount"] == "0.015"

    def test_csv_is_proposed(self, staff):
        assert staff.get(url_of(UsageReport, "export")).context["form"]["format"].value() == CSV

    def test_the_pages_filters_and_search_hold(self, staff):
        held = UsageReportFactory(status="held")
        UsageReportFactory(status="delivered")
        assert [row["report"] for row in download(staff, UsageReport, waits="person")] == [str(held.pk)]
        assert [row["status"] for row in download(staff, UsageReport, status__exact="delivered")] == [
            "delivered"
        ]
        assert len(download(staff, UsageReport, q=held.identifier)) == 1
        assert len(download(staff, UsageReport)) == 2

    def test_runs_and_findings_too(self, staff):
        ReportRunFactory(notes="Paused.")
        FindingFactory(), FindingFactory(resolved_at=NOW)
        [run] = download(staff, ReportRun)
        assert (run["counters"], run["notes"], run["dry_run"]) == ("delivered: 2", "Paused.", "no")
        [finding] = download(staff, Finding, XLSX)
        assert finding["kind"] == "Stripe refused a report"
        assert len(download(staff, Finding, state="all")) == 2

    @pytest.mark.parametrize("name", ['=HYPERLINK("http://x")', "+1", "-1+1", "@SUM(A1)", "\t=1"])
    @pytest.mark.parametrize("form", [CSV, XLSX])
    def test_no_cell_is_a_formula(self, staff, name, form):
        UsageReportFactory(enrolment__customer__name=name)
        [row] = download(staff, UsageReport, form)
        assert row["customer"] == f"'{name}"

    def test_rows_are_read_in_chunks_with_a_few_queries_each(self, staff, monkeypatch):
        UsageReportFactory.create_batch(3)
        assert self.queries(staff, rows=3) == (whole := self.queries(staff, rows=3))
        UsageReportFactory.create_batch(20)
        assert self.queries(staff, rows=23) == whole
        monkeypatch.setattr(exports, "CHUNK", 10)
        assert self.queries(staff, rows=23) == whole + 2 * 4

    def queries(self, staff, rows):
        with CaptureQueriesContext(connection) as queries:
            assert len(download(staff, UsageReport)) == rows
        return len(queries)

    def test_a_sheet_that_cannot_hold_them_is_refused_with_a_sentence(self, staff, monkeypatch):
        monkeypatch.setattr(exports, "MOST_IN_A_SHEET", 1)
        UsageReportFactory.create_batch(2)
        answer = staff.post(url_of(UsageReport, "export"), {"format": XLSX, "resource": ""})
        assert "narrow the list down" in answer.content.decode()

    def test_is_offered_to_whoever_sees_the_rows_and_to_nobody_else(self, client, settings):
        settings.SECURE_SSL_REDIRECT = False
        viewer = log_in(client, "vera", "sync.view_usagereport")
        assert "usagereport/export/" in viewer.get(url_of(UsageReport, "changelist")).content.decode()
        assert viewer.get(url_of(UsageReport, "export")).status_code == 200
        assert viewer.post(url_of(Finding, "export"), {"format": CSV, "resource": ""}).status_code == 403

    def test_nothing_is_imported_anywhere(self):
        assert not [page for page in admin.site._registry.values() if isinstance(page, ImportMixin)]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, ""),
        (True, "yes"),
        (7, 7),
        (Decimal("1E+3"), "1000"),
        (datetime(2026, 3, 10, 10, tzinfo=timezone(timedelta(hours=1))), "2026-03-10T09:00:00Z"),
        ("plain", "plain"),
        ("-x", "'-x"),
    ],
)
def test_cells_are_exact(value, written):
    assert cell(value) == written
