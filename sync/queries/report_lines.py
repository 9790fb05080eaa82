"""What a run carried to Stripe, one line per customer, price and meter."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sync.domain.quantities import exact_sum
from sync.models import Meter, SubscriptionItem, UsageReport


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportLine:
    """`total_usage` units went (or would go) to Stripe for usage in `[start, end)`.

    Two prices of one customer on the same meter give two lines with the same usage: Stripe bills both.
    """

    stripe_customer: str
    stripe_price: str
    meter: str
    decimals: int
    total_usage: Decimal
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedUnits:
    """By how much one report moves, or would move, what Stripe holds of a customer (by Stripe id)."""

    customer: str
    units: Decimal
    start: datetime
    end: datetime


def delivered_lines(reports: Sequence[UsageReport]) -> list[ReportLine]:
    """Return the lines for reports that reached Stripe."""
    by_meter: dict[Meter, list[UsageReport]] = defaultdict(list)
    for report in reports:
        by_meter[report.enrolment.meter].append(report)
    lines: list[ReportLine] = []
    for meter, rows in by_meter.items():
        before = held_before(rows) if meter.sets_hours else {}
        moved = [
            MovedUnits(
                customer=row.enrolment.customer.stripe_id,
                units=row.value - before.get(row.pk, Decimal(0)),
                start=row.slice_start,
                end=row.slice_end,
            )
            for row in rows
        ]
        lines += lines_of(meter, moved)
    return lines


def held_before(rows: Sequence[UsageReport]) -> Mapping[int, Decimal]:
    """Return what Stripe held before each of these revisions of a *set* slice, where it held anything."""
    later = [row for row in rows if row.revision > 1]
    earlier = UsageReport.objects.filter(
        enrolment__in={row.enrolment_id for row in later},
        slice_start__in={row.slice_start for row in later},
        status=UsageReport.Status.DELIVERED,
    ).order_by("revision")
    held: dict[tuple[int, datetime], list[UsageReport]] = defaultdict(list)
    for row in earlier:
        held[row.enrolment_id, row.slice_start].append(row)
    return {
        row.pk: [other.value for other in below][-1]
        for row in later
        if (
            below := [
                other for other in held[row.enrolment_id, row.slice_start] if other.revision < row.revision
            ]
        )
    }


def lines_of(meter: Meter, moved: Iterable[MovedUnits]) -> list[ReportLine]:
    """Return one line per customer and price on the meter."""
    by_customer: dict[str, list[MovedUnits]] = defaultdict(list)
    for one in moved:
        by_customer[one.customer].append(one)
    prices = _prices(meter, list(by_customer))
    return [
        ReportLine(
            stripe_customer=customer,
            stripe_price=price,
            meter=meter.slug,
            decimals=max(6, meter.decimals),
            total_usage=exact_sum([one.units for one in parts]),
            start=min(one.start for one in parts),
            end=max(one.end for one in parts),
        )
        for customer, parts in sorted(by_customer.items())
        for price in prices.get(customer, ["-"])
    ]


def _prices(meter: Meter, customers: Sequence[str]) -> dict[str, list[str]]:
    """Return each customer's prices on the meter, those of deleted items only where there is no other."""
    live: dict[str, set[str]] = defaultdict(set)
    gone: dict[str, set[str]] = defaultdict(set)
    for first in range(0, len(customers), 500):
        items = SubscriptionItem.objects.filter(
            meter=meter, subscription__customer__stripe_id__in=customers[first : first + 500]
        ).values_list("subscription__customer__stripe_id", "price__stripe_id", "deleted_at")
        for customer, price, deleted_at in items:
            (gone if deleted_at else live)[customer].add(price)
    return {
        customer: sorted(live[customer] or gone[customer])
        for customer in customers
        if live[customer] or gone[customer]
    }
