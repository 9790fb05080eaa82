"""Fill a migrated database with a business whose pages are worth timing: many customers, and a ledger.

The newest hundred subscriptions have a report for every hour of their period, as all have at a month's end;
everybody else has one a day. Some reports wait for a person, most customers' periods close within a day.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sync import models as m
from sync.domain.timeline import DAY, HOUR, floor_to
from sync.operations.sum_up_days import mark_days, sum_up_days

PERIOD = timedelta(days=30)
DAYS_EACH = 10
BUSY = 100
"""So many subscriptions have a report for every hour."""
BUSY_DAYS = 29
FINDINGS = 500
RUNS = 2000
BATCH = 2000
TIERS = [
    {"up_to": 1000, "unit_amount_decimal": "2", "flat_amount": 500},
    {"up_to": 100_000, "unit_amount_decimal": "1.5"},
    {"up_to": None, "unit_amount_decimal": "0.5"},
]
WAITING = ("held", "late", "rejected", "unknown", "pending")
"""The states of one report in two thousand."""


def fill(*, customers: int, now: datetime) -> None:
    """The database holds so many customers, each with a subscription to two meters, and their reports."""
    start = floor_to(now, DAY) - timedelta(days=29)
    m.StripeAccount.objects.create(stripe_id="acct_bench", livemode=False, pinned_at=start)
    meters, prices = _catalog(now)
    people = m.Customer.objects.bulk_create(
        m.Customer(
            stripe_id=f"cus_bench{number:06}",
            name=f"Customer {number * 7919 % 1_000_003:06}",
            email=f"billing{number}@example.com",
            external_key=f"subject-{number:06}",
            fetched_at=now,
        )
        for number in range(customers)
    )
    m.Subject.objects.bulk_create(
        m.Subject(key=one.external_key, customer=one, seen_at=now) for one in people
    )
    _subscribe(people, prices, start=start, now=now)
    enrolments = m.Enrolment.objects.bulk_create(
        m.Enrolment(customer=one, meter=meter, planned_through=floor_to(now, HOUR))
        for one in people
        for meter in meters
    )
    _runs(now)
    _report(enrolments, start=start, now=now)
    _find(people, meters, now)
    for meter in meters:
        mark_days([(meter.pk, start + number * DAY) for number in range(30)], now=now)
    sum_up_days(now=now)


def _catalog(now: datetime) -> tuple[list[m.Meter], list[m.Price]]:
    terms_of: tuple[dict[str, Any], ...] = (
        {"billing_scheme": "tiered", "tiers_mode": "graduated", "tiers": TIERS},
        {"billing_scheme": "per_unit", "unit_amount_decimal": Decimal("0.05")},
    )
    meters = [
        m.Meter.objects.create(
            stripe_id=f"mtr_{name}",
            event_name=name,
            display_name=name.replace("_", " ").title(),
            formula="sum",
            openmeter_slug=name,
            openmeter_id=f"om_{name}",
            aggregation="SUM",
            fetched_at=now,
        )
        for name in ("ai_tokens", "api_requests")
    ]
    prices = [
        m.Price.objects.create(
            stripe_id=f"price_{meter.event_name}",
            product_id=f"prod_{meter.event_name}",
            product_name=meter.display_name,
            meter=meter,
            usage_type="metered",
            currency="usd",
            interval="month",
            fetched_at=now,
            **terms,
        )
        for meter, terms in zip(meters, terms_of, strict=True)
    ]
    return meters, prices


def _subscribe(
    people: Sequence[m.Customer], prices: Sequence[m.Price], *, start: datetime, now: datetime
) -> None:
    statuses = ("active",) * 17 + ("past_due", "trialing", "unpaid")
    subscriptions = m.Subscription.objects.bulk_create(
        m.Subscription(
            stripe_id=f"sub_bench{number:06}",
            customer=one,
            status=statuses[number % len(statuses)],
            billing_mode="flexible",
            created_at=start - PERIOD - timedelta(seconds=number),
            start_date=start - PERIOD - timedelta(seconds=number),
            fetched_at=now,
        )
        for number, one in enumerate(people)
    )
    items = m.SubscriptionItem.objects.bulk_create(
        m.SubscriptionItem(
            stripe_id=f"si_{price.product_id}_{one.pk}",
            subscription=one,
            price=price,
            meter_id=price.meter_id,
            created_at=one.created_at,
            fetched_at=now,
        )
        for one in subscriptions
        for price in prices
    )
    m.BillingPeriod.objects.bulk_create(
        (
            m.BillingPeriod(item=item, start=begin, end=begin + PERIOD, closes_at=begin + PERIOD + HOUR)
            for item in items
            for begin in (start - PERIOD, start)
        ),
        batch_size=BATCH,
    )


def _report(enrolments: Sequence[m.Enrolment], *, start: datetime, now: datetime) -> None:
    run = m.ReportRun.objects.latest("pk")
    rows = _rows(enrolments, run, start=start, now=now)
    m.UsageReport.objects.bulk_create(rows, batch_size=BATCH)


def _rows(
    enrolments: Sequence[m.Enrolment], run: m.ReportRun, *, start: datetime, now: datetime
) -> Iterator[m.UsageReport]:
    for number, enrolment in enumerate(enrolments):
        busy = number < 2 * BUSY
        length = HOUR if busy else DAY
        for step in range(BUSY_DAYS * 24 if busy else DAYS_EACH):
            begin = start + step * length
            used = Decimal((number * 7919 + step * 104_729) % 99_999 + 1) / 100
            waits = (number * 17 + step) % 2000
            status = WAITING[waits] if waits < len(WAITING) else "delivered"
            yield _row(enrolment, run, begin, begin + length, used, status, start + PERIOD + HOUR, now)


def _row(
    enrolment: m.Enrolment,
    run: m.ReportRun,
    begin: datetime,
    end: datetime,
    used: Decimal,
    status: str,
    closes_at: datetime,
    now: datetime,
) -> m.UsageReport:
    times: dict[str, Any] = {}
    if status in {"delivered", "unknown"}:
        times["first_sent_at"] = end
    if status == "delivered":
        times["delivered_at"] = end
    return m.UsageReport(
        enrolment=enrolment,
        slice_start=begin,
        slice_end=end,
        revision=1,
        measured=used,
        quantity=used,
        value=used,
        event_at=end - timedelta(seconds=1),
        closes_at=closes_at,
        identifier=f"bench-{enrolment.pk}-{begin:%Y%m%d%H}",
        status=status,
        attempts=1,
        stripe_request_id="req_benchmark",
        run=run,
        created_at=now,
        **times,
    )


def _runs(now: datetime) -> None:
    m.ReportRun.objects.bulk_create(
        m.ReportRun(
            trigger=m.ReportRun.Trigger.SCHEDULE,
            requested_by="schedule",
            status=m.ReportRun.Status.SUCCEEDED,
            is_full=True,
            scope={"customer": "", "meter": "", "subscriptions": []},
            counters={"delivered": 20, "planned": 20},
            queued_at=now - back * timedelta(minutes=5),
            started_at=now - back * timedelta(minutes=5),
            heartbeat_at=now - back * timedelta(minutes=5),
            finished_at=now - back * timedelta(minutes=5),
        )
        for back in range(RUNS, 0, -1)
    )


def _find(people: Sequence[m.Customer], meters: Sequence[m.Meter], now: datetime) -> None:
    m.Finding.objects.bulk_create(
        m.Finding(
            kind=m.Finding.Kind.SUBJECT_NEVER_SEEN,
            fingerprint=one.stripe_id,
            message=f"OpenMeter has never seen usage of {one}.",
            customer=one,
            meter=meters[0],
            found_at=now,
            seen_at=now,
        )
        for one in people[:FINDINGS]
    )
