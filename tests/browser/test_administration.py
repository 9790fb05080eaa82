"""What administrators do now and then, in a real browser: schedules, meters, files."""

import csv

from playwright.sync_api import expect

from tests.browser.test_reporting import fill_in, open_row

TWO_REPORTS = """
from tests.factories import UsageReportFactory
UsageReportFactory(status="held", error="It is more than usual.")
UsageReportFactory(status="delivered")
"""
FAR_OFF = "UPDATE django_q_schedule SET repeats = -1, next_run = '2099-01-01 00:00:00+00:00'"
"""No worker comes by meanwhile."""


class TestSchedule:
    def test_is_switched_off_and_on_again(self, visit, console):
        console.query(f"{FAR_OFF} WHERE name = 'Report usage'")
        ada = visit("ada")
        open_row(ada, "/django_q/schedule/", "Report usage")
        ada.button("Switch off…")
        assert ada.barriers() == []
        fill_in(ada, "Switch off")
        ada.sees('Switched "Report usage" off.')
        ada.button("Switch on…")
        fill_in(ada, "Switch on")
        ada.sees('Switched "Report usage" on.')
        expect(ada.page.get_by_text("2099-01-01")).to_be_visible()


class TestNewDefinition:
    def test_is_a_meter_of_its_own_and_says_what_comes_next(self, visit, start_business, console):
        start_business(customers=1)
        console.manage("report_usage", "--no-sync")
        ada = visit("ada")
        open_row(ada, "/sync/meter/", "tokens")
        ada.button("New definition…")
        assert ada.barriers() == []
        ada.page.fill("#id_event_name", "tokens_2")
        ada.page.fill("#id_scale", "0.001")
        ada.button("Show what it measures")
        assert ada.barriers() == []
        fill_in(ada, "Create the new meter")
        ada.sees("The meter tokens_2 carries the new definition of tokens.")
        ada.sees("Make prices on tokens_2 in Stripe")
        ada.sees("measured × 0.001")


class TestExport:
    def test_holds_what_the_list_shows(self, visit, console):
        console.script(TWO_REPORTS)
        vera = visit("vera")
        vera.go("/sync/usagereport/?status__exact=held")
        vera.button("Export")
        assert vera.barriers() == []
        with vera.page.expect_download() as download:
            vera.button("Download")
        with download.value.path().open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(row["status"], row["units"]) for row in rows] == [("held", "1234.5")]
