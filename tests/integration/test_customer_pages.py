"""Customers, subscriptions and prices, the way billing staff ask about them."""

from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sync.models import BillingPeriod, Customer, Enrolment, Invoice, Price, Subscription, SubscriptionItem
from tests.factories import (
    HOUR,
    NOW,
    BillingPeriodFactory,
    CustomerFactory,
    FindingFactory,
    PauseFactory,
    PriceFactory,
    SubjectFactory,
    SubscriptionFactory,
    SubscriptionItemFactory,
    UsageReportFactory,
    subscribe,
)
from tests.staff import log_in, url_of

pytestmark = pytest.mark.django_db

TIERS = [{"up_to": 100, "unit_amount_decimal": "10"}, {"up_to": None, "unit_amount_decimal": "1"}]
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
    """Return somebody's enrolment, subscribed to tiers two days ago."""
    price = PriceFactory(billing_scheme="tiered", tiers_mode="graduated", tiers=TIERS)
    return subscribe(customer=CustomerFactory(name="Ada Lovelace"), price=price, at=NOW - 2 * DAY)


def report(enrolment, units, *, ago, **changes):
    return UsageReportFactory(
        enrolment=enrolment,
        units=Decimal(units),
        slice_start=NOW - ago,
        **{"status": "delivered"} | changes,
    )


def text_of(client, address) -> str:
    """Return what a page says, on one line."""
    answer = client.get(address)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def names(client, model, **query) -> list[str]:
    """Return the rows of a list."""
    answer = client.get(url_of(model, "changelist"), query)
    return [str(row) for row in answer.context["cl"].result_list]


class TestCustomerList:
    def test_says_who_it_is_and_what_is_known_of_them(self, staff, ada):
        SubjectFactory(customer=ada.customer, key="ada-1")
        SubjectFactory(customer=ada.customer, key="ada-0", valid_to=NOW)
        FindingFactory(customer=ada.customer)
        FindingFactory(customer=ada.customer, resolved_at=NOW)
        said = text_of(staff, url_of(Customer, "changelist"))
        for part in ("Ada Lovelace", ada.customer.email, "ada-1", ada.meter.slug, "</span>1</span>"):
            assert part in said
        assert "ada-0" not in said

    def test_filters_whom_openmeter_never_saw_and_whom_something_is_the_matter_with(self, staff, ada):
        silent, troubled = subscribe().customer, CustomerFactory()
        SubjectFactory(customer=silent)
        SubjectFactory(customer=ada.customer, seen_at=NOW)
        FindingFactory(customer=troubled)
        # Somebody looked at it and let it be: nobody has seen their usage all the same.
        FindingFactory(kind="subject_never_seen", customer=silent, resolved_at=NOW)
        FindingFactory(kind="subject_never_seen", customer=ada.customer)
        assert names(staff, Customer, linked="never") == [str(silent)]
        assert sorted(names(staff, Customer, findings="open")) == sorted([str(ada.customer), str(troubled)])

    def test_finds_a_customer_by_a_subject_once(self, staff, ada):
        SubjectFactory(customer=ada.customer, key="engine-1")
        SubjectFactory(customer=ada.customer, key="engine-2")
        assert names(staff, Customer, q="engine") == [str(ada.customer)]


class TestCustomerPage:
    def test_shows_subjects_subscriptions_meters_pauses_and_findings(self, staff, ada):
        SubjectFactory(customer=ada.customer, key="engine", valid_from=NOW)
        PauseFactory(customer=ada.customer, reason="she asked")
        FindingFactory(customer=ada.customer, message="Something is odd.")
        report(ada, 110, ago=DAY)
        said = text_of(staff, url_of(Customer, "change", ada.customer.pk))
        for part in ("engine", "never seen", "she asked", "Something is odd.", "10.10 USD", ">110<"):
            assert part in said
        assert "paused</span>" in said

    def test_says_what_to_do_where_nothing_is_known(self, staff):
        said = text_of(staff, url_of(Customer, "change", CustomerFactory().pk))
        assert "No key belongs to this customer" in said
        assert "Nothing of this customer is billed by use" in said

    def test_leaves_out_what_somebody_may_not_see(self, client, ada):
        report(ada, 110, ago=DAY)
        said = text_of(
            log_in(client, "eve", "sync.view_customer"), url_of(Customer, "change", ada.customer.pk)
        )
        assert "10.10 USD" not in said
        assert 'id="subjects-title"' not in said


class TestSubscriptionList:
    def test_says_what_the_current_period_comes_to_so_far(self, staff, ada):
        before = BillingPeriod.objects.get()
        BillingPeriodFactory(item=before.item, start=before.start - 30 * DAY, end=before.start)
        report(ada, 110, ago=DAY)
        report(ada, 500, ago=3 * DAY)
        said = text_of(staff, url_of(Subscription, "changelist"))
        assert "Ada Lovelace" in said
        assert "10.10 USD" in said
        assert "2026-03-08 – 2026-04-06" in said

    def test_an_item_without_usage_or_period_has_no_amount(self, staff):
        SubscriptionItemFactory(price__meter=None, price__usage_type="licensed")
        assert '<span class="amount">–</span>' in text_of(staff, url_of(Subscription, "changelist"))

    def test_filters_by_status_and_by_when_the_period_closes(self, staff, ada):
        soon = subscribe(at=NOW - 700 * HOUR)
        ended = SubscriptionFactory(status="canceled")
        assert names(staff, Subscription, status="canceled") == [str(ended)]
        closing = str(Subscription.objects.get(customer=soon.customer))
        assert names(staff, Subscription, closes="day") == [closing]
        assert names(staff, Subscription, closes="hour") == [closing]
        assert len(names(staff, Subscription, closes="nonsense")) == 3


class TestSubscriptionPage:
    def address(self, enrolment):
        return url_of(Subscription, "change", Subscription.objects.get(customer=enrolment.customer).pk)

    def test_shows_the_period_by_day_measured_and_delivered(self, staff, ada):
        report(ada, 60, ago=DAY)
        report(ada, 50, ago=DAY - HOUR)
        report(ada, 7, ago=HOUR, status="held")
        answer = staff.get(self.address(ada))
        [(part, chart)] = answer.context["parts"]
        shown = [(f"{day.day:%d}", day.measured_units, day.delivered_units) for day in part.days]
        assert shown == [("08", 0, 0), ("09", 110, 110), ("10", 7, 0)]
        assert '"data": [0.0, 110.0, 0.0]' in chart["data"]
        assert "10.10 USD" in answer.content.decode()

    def test_shows_the_last_report_that_stripe_took(self, staff, ada):
        report(ada, 60, ago=DAY)
        last = report(ada, 50, ago=HOUR)
        [(part, _chart)] = staff.get(self.address(ada)).context["parts"]
        assert part.last_report == last

    def test_counts_nothing_after_the_subscriptions_end(self, staff, ada):
        report(ada, 60, ago=DAY)
        Subscription.objects.update(status="canceled", ended_at=NOW - 20 * HOUR)
        [(part, _chart)] = staff.get(self.address(ada)).context["parts"]
        assert part.usage.units == 60
        assert [f"{day.day:%d}" for day in part.days] == ["08", "09"]

    def test_says_what_keeps_a_metered_item_from_being_reported(self, staff, ada):
        price = PriceFactory(meter=None)
        SubscriptionItem.objects.update(meter=None, price=price)
        assert "nothing says what it measures" in text_of(staff, self.address(ada))

    def test_lists_periods_with_what_was_billed(self, staff, ada):
        BillingPeriod.objects.update(invoice_id="in_1", billed_quantity=Decimal("12.5"), finalized_at=NOW)
        said = text_of(staff, self.address(ada))
        assert "https://dashboard.stripe.com/test/invoices/in_1" in said
        # The ledger delivered nothing, so that is told beside it.
        assert "12.5 (12.5 more than reported)" in said
        assert "final" in said

    def test_the_list_of_periods_takes_as_many_queries_for_many_as_for_one(self, staff, ada):
        def queries():
            with CaptureQueriesContext(connection) as asked:
                assert staff.get("/sync/billingperiod/").status_code == 200
            return len(asked)

        report(ada, 3, ago=HOUR)
        BillingPeriod.objects.update(invoice_id="in_first")
        queries()
        few = queries()
        for number in range(5):
            other = subscribe(at=NOW - DAY)
            BillingPeriod.objects.filter(item__meter=other.meter).update(invoice_id=f"in_{number}")
        assert queries() == few

    def test_says_that_a_draft_waits_for_somebody(self, staff, ada):
        BillingPeriod.objects.update(invoice_id="in_1")
        Invoice.objects.create(
            stripe_id="in_1", status="draft", auto_advance=False, created_at=NOW, fetched_at=NOW
        )
        assert "stays open until somebody finalizes it in Stripe" in text_of(staff, self.address(ada))

    def test_takes_as_many_queries_for_much_usage_as_for_little(self, staff, ada):
        def queries():
            with CaptureQueriesContext(connection) as asked:
                staff.get(self.address(ada))
            return len(asked)

        report(ada, 1, ago=HOUR)
        queries()
        few = queries()
        for hours in range(2, 20):
            report(ada, 1, ago=hours * HOUR)
        assert queries() == few


class TestPricePage:
    def test_says_what_a_unit_costs(self, staff):
        price = PriceFactory(unit_amount_decimal=Decimal("0.002"))
        said = text_of(staff, url_of(Price, "changelist"))
        assert "0.00002 USD a unit, monthly" in said
        assert f"https://dashboard.stripe.com/test/prices/{price.stripe_id}" in said

    def test_shows_tiers_as_a_table(self, staff, ada):
        said = text_of(staff, url_of(Price, "change", Price.objects.get().pk))
        assert "above 100" in said
        assert "0.01 USD" in said

    def test_a_fixed_price_is_not_by_use(self, staff):
        PriceFactory(usage_type="licensed", meter=None)
        assert "a fixed amount, not by use" in text_of(staff, url_of(Price, "changelist"))


class TestEnrolmentPage:
    def test_links_to_its_reports(self, staff, ada):
        mine = report(ada, 1, ago=HOUR)
        UsageReportFactory()
        answer = staff.get(url_of(Enrolment, "change", ada.pk))
        address = (
            f"enrolment__customer__id__exact={ada.customer_id}&amp;enrolment__meter__id__exact={ada.meter_id}"
        )
        assert address in answer.content.decode()
        found = staff.get("/sync/usagereport/?" + address.replace("&amp;", "&")).context["cl"].result_list
        assert list(found) == [mine]


class TestRowsThatSayNothing:
    def test_fields_without_a_value_are_left_out(self, staff, ada):
        address = url_of(Customer, "change", ada.customer.pk)
        assert "Deleted in Stripe" not in text_of(staff, address)
        Customer.objects.update(deleted_at=NOW - timedelta(days=1))
        assert "Deleted in Stripe" in text_of(staff, address)
