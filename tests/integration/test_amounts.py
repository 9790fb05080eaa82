"""By how much reports move bills, with the ledger and the mirror in a real database."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sync.domain.pricing import Money
from sync.domain.timeline import Span
from sync.models import BillingPeriod, SubscriptionItem
from sync.queries.amounts import UnitMove, amounts_of, total
from sync.queries.held_units import Asked, held_units
from tests.factories import (
    HOUR,
    NOW,
    BillingPeriodFactory,
    MeterFactory,
    PriceFactory,
    SubscriptionItemFactory,
    UsageReportFactory,
    subscribe,
)

pytestmark = pytest.mark.django_db

TIERS = [{"up_to": 100, "unit_amount_decimal": "10"}, {"up_to": None, "unit_amount_decimal": "1"}]
LATER = NOW + 5 * HOUR


def tiered(**changes):
    return PriceFactory(billing_scheme="tiered", tiers_mode="graduated", tiers=TIERS, **changes)


def report(enrolment, units, hour=0, **changes):
    return UsageReportFactory(
        enrolment=enrolment,
        units=Decimal(units),
        slice_start=NOW + hour * HOUR,
        **{"status": "delivered"} | changes,
    )


def cents(enrolment, *units, at=LATER) -> list[list[Decimal]]:
    moves = [UnitMove(enrolment.pk, at, Decimal(one)) for one in units]
    return [[money.minor for money in amounts] for amounts in amounts_of(moves)]


class TestAmountsOf:
    def test_prices_units(self):
        enrolment = subscribe(price=PriceFactory(unit_amount_decimal=Decimal("0.5"), currency="eur"))
        assert amounts_of([UnitMove(enrolment.pk, LATER, Decimal(3))]) == [[Money(Decimal("1.5"), "eur")]]

    def test_goes_on_from_what_the_ledger_holds_of_the_period(self):
        enrolment = subscribe(price=tiered())
        report(enrolment, 60)
        report(enrolment, 30, 1, status="pending")
        assert cents(enrolment, 20) == [[Decimal(110)]]

    def test_goes_on_from_the_moves_before(self):
        enrolment = subscribe(price=tiered())
        assert cents(enrolment, 90, 20, 10) == [[Decimal(900)], [Decimal(110)], [Decimal(10)]]

    @pytest.mark.parametrize("status", ["held", "late", "rejected", "superseded", "dismissed", "unknown"])
    def test_leaves_out_what_waits_for_a_person_or_was_withdrawn(self, status):
        enrolment = subscribe(price=tiered())
        report(enrolment, 500, status=status)
        assert cents(enrolment, 10) == [[Decimal(100)]]

    def test_each_period_begins_at_nothing(self):
        enrolment = subscribe(price=tiered())
        period = BillingPeriod.objects.get()
        BillingPeriodFactory(item=period.item, start=period.end)
        report(enrolment, 100)
        assert cents(enrolment, 5, at=period.end - timedelta(seconds=1)) == [[Decimal(5)]]
        assert cents(enrolment, 5, at=period.end) == [[Decimal(50)]]

    def test_an_hour_that_is_set_again_counts_once(self):
        enrolment = subscribe(price=tiered(meter=MeterFactory(event_time_window="hour")))
        report(enrolment, 90)
        report(enrolment, 95, revision=2)
        assert cents(enrolment, 10) == [[Decimal(55)]]

    def test_a_bill_does_not_fall_below_zero(self):
        enrolment = subscribe(price=PriceFactory(unit_amount_decimal=Decimal(2)))
        report(enrolment, 10)
        assert cents(enrolment, -4, -10) == [[Decimal(-8)], [Decimal(-12)]]

    def test_two_items_on_one_meter_are_two_bills(self):
        price = PriceFactory(unit_amount_decimal=Decimal(2))
        enrolment = subscribe(price=price)
        subscribe(customer=enrolment.customer, price=PriceFactory(meter=price.meter, unit_amount_decimal=3))
        subscribe(
            customer=enrolment.customer,
            price=PriceFactory(meter=price.meter, unit_amount_decimal=7, currency="eur"),
        )
        assert amounts_of([UnitMove(enrolment.pk, LATER, Decimal(1))]) == [
            [Money(Decimal(7), "eur"), Money(Decimal(5), "usd")]
        ]

    def test_nothing_is_known_of_another_time(self):
        enrolment = subscribe()
        assert cents(enrolment, 1, at=NOW - HOUR) == [[]]

    def test_nothing_is_billed_after_an_items_end(self):
        enrolment = subscribe()
        SubscriptionItem.objects.update(deleted_at=LATER)
        assert cents(enrolment, 1) == [[]]
        assert cents(enrolment, 1000, at=LATER - HOUR) == [[Decimal(2)]]

    def test_nothing_is_billed_on_a_price_of_another_meter(self):
        enrolment = subscribe()
        SubscriptionItem.objects.update(price=PriceFactory(meter=None))
        assert cents(enrolment, 1) == [[]]

    def test_nothing_is_billed_where_the_first_payment_never_came(self):
        assert cents(subscribe(status="incomplete"), 1) == [[]]

    def test_asks_as_often_for_many_as_for_few(self):
        def queries(count):
            moves = [UnitMove(subscribe(price=tiered()).pk, LATER, Decimal(1)) for _ in range(count)]
            with CaptureQueriesContext(connection) as asked:
                assert all(amounts_of(moves))
            return len(asked)

        assert queries(1) == queries(5) == 4

    def test_asks_nothing_for_nothing(self, django_assert_num_queries):
        with django_assert_num_queries(0):
            assert amounts_of([]) == []


class TestTotal:
    def test_adds_up_per_currency(self):
        amounts = [[Money(Decimal(1), "usd")], [], [Money(Decimal(2), "eur"), Money(Decimal("0.5"), "usd")]]
        assert total(amounts) == [Money(Decimal(2), "eur"), Money(Decimal("1.5"), "usd")]


class TestHeldUnits:
    def test_cuts_at_each_asked_stretch_and_never_rounds(self):
        item = SubscriptionItemFactory()
        enrolment = subscribe(customer=item.subscription.customer, price=item.price)
        big = Decimal("12345678901234567890.000000000000000001")
        report(enrolment, big)
        report(enrolment, "0.1", 1)
        report(enrolment, "0.2", 2)
        spans = [Span(NOW, NOW + HOUR), Span(NOW, NOW + 3 * HOUR), Span(NOW + HOUR, NOW + 9 * HOUR)]
        assert held_units([Asked(enrolment.pk, span) for span in spans]) == [
            big,
            Decimal("12345678901234567890.300000000000000001"),
            Decimal("0.3"),
        ]
