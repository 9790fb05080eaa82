"""Why a billing period's usage was billed, or was not: the page that says it."""

from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sync.models import BillingPeriod
from tests.factories import (
    HOUR,
    NOW,
    DeliveryAttemptFactory,
    MeterFactory,
    PriceFactory,
    SubjectFactory,
    SubscriptionPauseFactory,
    UsageReportFactory,
    subscribe,
)
from tests.staff import log_in, url_of

pytestmark = pytest.mark.django_db
DAY = 24 * HOUR


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


@pytest.fixture
def ada():
    """Return an enrolment that was subscribed two days ago and is measured up to now."""
    enrolment = subscribe(at=NOW - 2 * DAY)
    enrolment.planned_through = NOW
    enrolment.save()
    SubjectFactory(customer=enrolment.customer)
    return enrolment


def report(enrolment, units, *, ago, **changes):
    return UsageReportFactory(
        enrolment=enrolment,
        units=Decimal(units),
        slice_start=NOW - ago,
        **{"status": "delivered"} | changes,
    )


def page_of(client, **query) -> str:
    """Return what the only period's page says, on one line."""
    answer = client.get(url_of(BillingPeriod, "change", BillingPeriod.objects.get().pk), query)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def bill(units):
    BillingPeriod.objects.update(billed_quantity=units, finalized_at=NOW, invoice_id="in_ada")


class TestPeriodPage:
    def test_says_that_everything_is_billed(self, staff, ada):
        report(ada, 110, ago=DAY, stripe_request_id="req_ada")
        bill(Decimal(110))
        said = page_of(staff)
        assert "All 110 units that were measured have been delivered to Stripe." in said
        assert "The final invoice bills 110 units, which is what was delivered." in said
        for part in ("in_ada", "req_ada"):
            assert part in said

    def test_says_what_waits_and_why(self, staff, ada):
        report(ada, 110, ago=DAY)
        waiting = report(ada, 7, ago=2 * HOUR, status="rejected", error="No such customer: 'cus_x'.")
        DeliveryAttemptFactory(report=waiting, message="No such customer: 'cus_x'.")
        report(ada, 5, ago=HOUR, status="pending")
        said = page_of(staff)
        assert "122 units were measured, 110 of them have been delivered to Stripe." in said
        assert "7 units wait for a person" in said
        assert "5 units are on their way" in said
        # The day with something that waits is the one that is shown.
        assert said.count("No such customer: &#x27;cus_x&#x27;.") == 2

    def test_says_what_people_gave_up(self, staff, ada):
        report(
            ada, 7, ago=2 * HOUR, status="dismissed", written_off=True, decision="Dismissed by ada: a gift"
        )
        said = page_of(staff)
        assert "7 units are not billed in this period, because a person decided so." in said
        assert "a gift" in said

    def test_says_when_an_invoice_bills_something_else(self, staff, ada):
        report(ada, 110, ago=DAY)
        bill(Decimal(100))
        assert "The final invoice bills 100 units, 10 less than was delivered" in page_of(staff)

    def test_counts_an_hours_newest_value_once(self, staff):
        price = PriceFactory(meter=MeterFactory(event_time_window="hour"))
        ada = subscribe(price=price, at=NOW - 2 * DAY)
        report(ada, 10, ago=2 * HOUR)
        report(ada, 25, ago=2 * HOUR, revision=2)
        assert "All 25 units that were measured have been delivered to Stripe." in page_of(staff)

    def test_shows_one_day_at_a_time(self, staff, ada):
        report(ada, 110, ago=DAY, stripe_request_id="req_yesterday")
        report(ada, 5, ago=HOUR, stripe_request_id="req_today")
        assert "req_today" in page_of(staff)
        yesterday = f"{NOW - DAY:%Y-%m-%d}"
        said = page_of(staff, day=yesterday)
        assert "req_yesterday" in said
        assert "req_today" not in said
        for nonsense in ("2026-13-77", "x", "1999-01-01"):
            assert "req_today" in page_of(staff, day=nonsense)

    def test_names_every_rule_by_which_time_is_not_billed(self, staff, ada):
        subscription = BillingPeriod.objects.get().item.subscription
        subscription.trial_start, subscription.trial_end = NOW - 2 * DAY, NOW - 40 * HOUR
        subscription.cancel_at = NOW + 5 * DAY
        subscription.save()
        SubscriptionPauseFactory(subscription=subscription, start=NOW - 30 * HOUR, end=NOW - 20 * HOUR)
        ada.report_from, ada.planned_through = NOW - 35 * HOUR, NOW - HOUR
        ada.save()
        said = page_of(staff)
        for why in (
            "In the trial",
            "While the subscription was paused",
            "Before the instant from which this console reports",
            "Not measured yet",
            "Still to come.",
            "After the instant for which the subscription is canceled.",
        ):
            assert why in said
        ada.customer.subjects.all().delete()
        assert "No key of OpenMeter was linked to the customer." in page_of(staff)

    def test_says_that_an_item_is_not_billed_by_use(self, staff, ada):
        item = BillingPeriod.objects.get().item
        item.meter = None
        item.save()
        assert "This item is not billed by what a meter counts" in page_of(staff)

    def test_shows_no_reports_to_those_who_may_not_see_them(self, client, ada):
        report(ada, 110, ago=DAY, stripe_request_id="req_ada")
        said = page_of(log_in(client, "eve", "sync.view_billingperiod"))
        assert "All 110 units" in said
        assert "req_ada" not in said

    def test_takes_as_many_queries_for_a_month_as_for_an_hour(self, staff, ada):
        address = url_of(BillingPeriod, "change", BillingPeriod.objects.get().pk)
        report(ada, 1, ago=3 * HOUR)
        with CaptureQueriesContext(connection) as few:
            staff.get(address)
        for hours in range(4, 40):
            DeliveryAttemptFactory(report=report(ada, 1, ago=timedelta(hours=hours)))
        with CaptureQueriesContext(connection) as many:
            staff.get(address)
        assert len(many) == len(few)
