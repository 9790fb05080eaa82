"""Write into billing periods what the mirrored invoices say of them."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, Max, Min, OuterRef, QuerySet

from sync.domain.closings import OLDEST_EVENT
from sync.domain.invoices import InvoicedStretch, closed_by
from sync.domain.timeline import DAY, Span
from sync.models import BillingPeriod, InvoiceLine, UsageReport

CHUNK = 500
TO_BE_SENT = (UsageReport.Status.PENDING, UsageReport.Status.SENDING, UsageReport.Status.UNKNOWN)


def waiting_periods(now: datetime) -> QuerySet[BillingPeriod]:
    """Return metered periods that are over and whose invoice is not known to be final.

    Not those that ended before everything that Stripe still takes: nothing could be sent into them.
    """
    oldest = now - OLDEST_EVENT - DAY
    return BillingPeriod.objects.filter(
        finalized_at=None, item__meter__isnull=False, end__lte=now, end__gt=oldest, closes_at__gt=oldest
    )


def close_waiting_periods(*, grace: timedelta, now: datetime) -> int:
    """Every period that waits for its invoice says what is mirrored of it; return how many changed.

    An invoice and the end of its period become known in either order. Safe to repeat.
    """
    line = InvoiceLine.objects.filter(item=OuterRef("item__stripe_id"), end__gt=OuterRef("start"))
    return _close(waiting_periods(now).filter(Exists(line)), grace=grace)


def close_periods_of(invoices: Collection[int], *, grace: timedelta) -> int:
    """Every period that these invoices (local ids) bill part of says so; return how many changed."""
    lines = InvoiceLine.objects.filter(invoice__in=invoices)
    bounds = lines.aggregate(first=Min("start"), last=Max("end"))
    if not bounds["first"]:
        return 0
    items = list(lines.order_by().values_list("item", flat=True).distinct())
    return sum(
        _close(
            BillingPeriod.objects.filter(
                item__stripe_id__in=items[first : first + CHUNK],
                item__meter__isnull=False,
                end__gt=bounds["first"],
                start__lt=bounds["last"],
            ),
            grace=grace,
        )
        for first in range(0, len(items), CHUNK)
    )


def _close(chosen: QuerySet[BillingPeriod], *, grace: timedelta) -> int:
    ids = list(chosen.order_by("pk").values_list("pk", flat=True))
    return sum(_close_chunk(ids[first : first + CHUNK], grace) for first in range(0, len(ids), CHUNK))


def _close_chunk(ids: Sequence[int], grace: timedelta) -> int:
    """Lock first, then look: whoever stored a newer invoice has committed it by then."""
    with transaction.atomic():
        locked = BillingPeriod.objects.select_for_update(of=("self",)).filter(pk__in=ids)
        periods = list(locked.select_related("item__subscription").order_by("pk"))
        lines = _lines(periods)
        changed = [one for one in periods if _apply(one, lines[one.item.stripe_id], grace)]
        columns = ["closes_at", "finalized_at", "invoice_id", "billed_quantity"]
        BillingPeriod.objects.bulk_update(changed, columns, batch_size=CHUNK)
        _close_reports([one for one in changed if one.finalized_at])
    return len(changed)


def _apply(period: BillingPeriod, lines: Sequence[InvoicedStretch], grace: timedelta) -> bool:
    """Set what the lines say; return whether that is anything new. What is final closes only once."""
    before = _facts(period)
    seen = closed_by(Span(period.start, period.end), lines, grace=grace)
    if seen is None:
        if period.invoice_id and not period.finalized_at:
            # Its draft was deleted: nothing says any more that it stays open for longer than usual.
            period.invoice_id, period.closes_at = "", period.end + grace
        return _facts(period) != before
    if not period.finalized_at:
        period.closes_at, period.finalized_at = seen.closes_at, seen.finalized_at
    if not period.finalized_at or seen.finalized_at:
        period.invoice_id, period.billed_quantity = seen.invoice_id, seen.billed_quantity
    return _facts(period) != before


def _facts(period: BillingPeriod) -> tuple[object, ...]:
    return period.closes_at, period.finalized_at, period.invoice_id, period.billed_quantity


def _lines(periods: Iterable[BillingPeriod]) -> dict[str, list[InvoicedStretch]]:
    """Return what living invoices bill for the periods' items, by Stripe's id of the item."""
    found: dict[str, list[InvoicedStretch]] = defaultdict(list)
    items = {period.item.stripe_id for period in periods}
    first = min((period.start for period in periods), default=None)
    lines = InvoiceLine.objects.filter(item__in=items, end__gt=first, invoice__deleted_at=None)
    for line in lines.select_related("invoice").order_by("pk") if first else ():
        invoice = line.invoice
        found[line.item].append(
            InvoicedStretch(
                span=Span(line.start, line.end),
                quantity=line.quantity,
                invoice_id=invoice.stripe_id,
                status=invoice.status,
                auto_advance=invoice.auto_advance,
                created_at=invoice.created_at,
                automatically_finalizes_at=invoice.automatically_finalizes_at,
                finalized_at=invoice.finalized_at,
                read_at=invoice.fetched_at,
            )
        )
    return found


def _close_reports(periods: Sequence[BillingPeriod]) -> None:
    """Reports that wait to be sent into these periods are too late from now on: delivery looks at them.

    The next plan says of each whether another period still bills it.
    """
    if not periods:
        return
    open_rows = UsageReport.objects.filter(status__in=TO_BE_SENT, decision="")
    customers = {period.item.subscription.customer_id for period in periods}
    pairs = open_rows.filter(enrolment__customer__in=customers).values_list(
        "enrolment__customer", "enrolment__meter", "enrolment"
    )
    enrolments = {(customer, meter): pk for customer, meter, pk in pairs.order_by().distinct()}
    for period in periods:
        if pk := enrolments.get((period.item.subscription.customer_id, period.item.meter_id or 0)):
            open_rows.filter(
                enrolment=pk,
                event_at__gte=period.start,
                event_at__lt=period.end,
                closes_at__gt=period.closes_at,
            ).update(closes_at=period.closes_at)
