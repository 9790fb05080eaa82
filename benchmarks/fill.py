"""Migrate an empty database and fill it with the mirror of the made-up business.

`DATABASE_URL=… python -m benchmarks.fill --subscriptions 1000 --meters 2 --hour 2026-11-22T14:00:00+00:00`
leaves exactly that one hour due; a day before it is in the ledger, delivered.
"""

import argparse
import os
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import django

from benchmarks.world import ACCOUNT, HOUR, World, customer_id, meter_slug, subject_key, usage

if TYPE_CHECKING:
    from sync.models import Enrolment, ReportRun

HISTORY_HOURS = 24
PERIOD_BEFORE, PERIOD_AFTER = timedelta(days=10), timedelta(days=20)


def fill(world: World, *, hour: datetime) -> None:
    """The database holds the world, with nothing but `hour` left to report."""
    from sync import models as m

    start, end = hour - PERIOD_BEFORE, hour + PERIOD_AFTER
    numbers = range(world.subscriptions)
    m.StripeAccount.objects.create(stripe_id=ACCOUNT, livemode=False, pinned_at=start)
    meters = m.Meter.objects.bulk_create(
        m.Meter(
            stripe_id=f"mtr_bench{number}",
            event_name=meter_slug(number),
            formula="sum",
            openmeter_slug=meter_slug(number),
            openmeter_id=f"om_{number}",
            aggregation="SUM",
            fetched_at=hour,
        )
        for number in range(world.meters)
    )
    prices = m.Price.objects.bulk_create(
        m.Price(
            stripe_id=f"price_bench{number}",
            product_id=f"prod_bench{number}",
            product_name=meter.event_name,
            meter=meter,
            usage_type="metered",
            currency="usd",
            unit_amount_decimal=Decimal(1),
            billing_scheme="per_unit",
            interval="month",
            fetched_at=hour,
        )
        for number, meter in enumerate(meters)
    )
    customers = m.Customer.objects.bulk_create(
        m.Customer(
            stripe_id=customer_id(number),
            name=f"Customer {number}",
            external_key=subject_key(number),
            fetched_at=hour,
        )
        for number in numbers
    )
    m.Subject.objects.bulk_create(
        m.Subject(key=subject_key(number), customer=customers[number], seen_at=hour) for number in numbers
    )
    subscriptions = m.Subscription.objects.bulk_create(
        m.Subscription(
            stripe_id=f"sub_bench{number:06}",
            customer=customers[number],
            status="active",
            billing_mode="flexible",
            created_at=start,
            start_date=start,
            fetched_at=hour,
        )
        for number in numbers
    )
    items = m.SubscriptionItem.objects.bulk_create(
        m.SubscriptionItem(
            stripe_id=f"si_bench{number:06}",
            subscription=subscriptions[number],
            price=prices[world.meter_of(number)],
            meter=meters[world.meter_of(number)],
            created_at=start,
            fetched_at=hour,
        )
        for number in numbers
    )
    m.BillingPeriod.objects.bulk_create(
        m.BillingPeriod(item=item, start=start, end=end, closes_at=end + HOUR) for item in items
    )
    enrolments = m.Enrolment.objects.bulk_create(
        m.Enrolment(
            customer=customers[number],
            meter=meters[world.meter_of(number)],
            planned_through=hour,
            checked_at=start,
        )
        for number in numbers
    )
    run = m.ReportRun.objects.create(
        trigger=m.ReportRun.Trigger.SCHEDULE,
        status=m.ReportRun.Status.SUCCEEDED,
        queued_at=start,
        started_at=start,
        heartbeat_at=hour,
        finished_at=hour,
    )
    for back in range(HISTORY_HOURS, 0, -1):
        _fill_hour(enrolments, run, hour - back * HOUR, closes_at=end + HOUR)


def _fill_hour(
    enrolments: "list[Enrolment]", run: "ReportRun", hour: datetime, *, closes_at: datetime
) -> None:
    from sync import models as m
    from sync.domain.identifiers import report_identifier

    m.UsageReport.objects.bulk_create(
        (
            m.UsageReport(
                enrolment=enrolment,
                slice_start=hour,
                slice_end=hour + HOUR,
                revision=1,
                measured=used,
                quantity=used,
                value=used,
                event_at=hour + HOUR - timedelta(seconds=1),
                closes_at=closes_at,
                identifier=report_identifier(
                    meter_id=enrolment.meter.stripe_id,
                    customer_id=customer_id(number),
                    slice_start=hour,
                    revision=1,
                ),
                status=m.UsageReport.Status.DELIVERED,
                attempts=1,
                first_sent_at=hour + HOUR,
                delivered_at=hour + HOUR,
                stripe_request_id="req_benchmark",
                run=run,
                created_at=hour + HOUR,
            )
            for number, enrolment in enumerate(enrolments)
            for used in (usage(number, hour),)
        ),
        batch_size=500,
    )


def main() -> None:
    """Parse, migrate, fill."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscriptions", type=int, required=True)
    parser.add_argument("--meters", type=int, required=True)
    parser.add_argument("--hour", type=datetime.fromisoformat, required=True)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_console.settings")
    django.setup()
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    fill(World(options.subscriptions, options.meters), hour=options.hour)
    with connection.cursor() as cursor:
        # As autovacuum would have done it long ago in a database that has been in use.
        cursor.execute("ANALYZE")


if __name__ == "__main__":
    main()
