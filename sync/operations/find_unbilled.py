"""Find usage that Stripe was told of and that is on no invoice that anybody has to pay."""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from decimal import Decimal

from django.db.models import F

from sync.domain.invoices import VOID
from sync.domain.quantities import as_text, exact_sum
from sync.domain.timeline import HOUR
from sync.models import Finding, Invoice, SubscriptionItem
from sync.operations.close_periods import waiting_periods
from sync.operations.record_findings import FoundIssue, period_fingerprint, record_findings
from sync.queries.billed_periods import delivered_units

SLACK = 2 * HOUR
"""How long after a period is taken to be closed its invoice may still turn up."""


def record_gone_invoices(ids: Collection[int], *, now: datetime) -> int:
    """Each of these invoices (local ids) that billed usage, and whose place none took, has a finding."""
    return record_findings(_gone(ids), now=now) if ids else 0


def record_uninvoiced(*, now: datetime) -> int:
    """Usage of subscriptions that were canceled at once, without an invoice, has a finding, once each."""
    return record_findings(_uninvoiced(now), now=now)


def _gone(ids: Collection[int]) -> Iterator[FoundIssue]:
    for invoice in Invoice.objects.filter(pk__in=list(ids)).prefetch_related("lines").order_by("pk"):
        # How much a draft would have billed is known only once it is final.
        lines = [line for line in invoice.lines.all() if line.quantity != 0 or invoice.status != VOID]
        items = SubscriptionItem.objects.filter(
            stripe_id__in={line.item for line in lines}, meter__isnull=False
        )
        for item in items.select_related("subscription__customer", "meter"):
            mine = [line for line in lines if line.item == item.stripe_id]
            start, end = min(line.start for line in mine), max(line.end for line in mine)
            if _is_billed_otherwise(item, start, end):
                continue
            verb = "was voided" if invoice.status == VOID else "was deleted while it was a draft"
            billed = exact_sum([line.quantity or Decimal(0) for line in mine])
            units = f"{as_text(billed)} units" if invoice.status == VOID else "the usage"
            yield FoundIssue(
                kind=Finding.Kind.INVOICE_GONE,
                fingerprint=f"{invoice.stripe_id}:{item.stripe_id}",
                message=(
                    f"Invoice {invoice.stripe_id} of {item.subscription.customer} {verb}: {units} of "
                    f"{item.meter.slug if item.meter else 'a meter'} from {_instant(start)} to "
                    f"{_instant(end)} is on no other invoice."
                ),
                customer_id=item.subscription.customer_id,
                meter_id=item.meter_id,
                item_id=item.pk,
            )


def _is_billed_otherwise(item: SubscriptionItem, start: datetime, end: datetime) -> bool:
    """Whether a valid invoice, a draft too, covers what the one that is gone did."""
    valid = Invoice.objects.filter(deleted_at=None).exclude(status=VOID)
    return valid.filter(lines__item=item.stripe_id, lines__start__lte=start, lines__end__gte=end).exists()


def _uninvoiced(now: datetime) -> Iterator[FoundIssue]:
    ended = waiting_periods(now).filter(
        item__subscription__status="canceled",
        item__subscription__ended_at=F("end"),
        invoice_id="",
        closes_at__lt=now - SLACK,
    )
    periods = list(
        ended.select_related("item__subscription__customer", "item__meter", "item__price").order_by("pk")
    )
    known = _told([period_fingerprint(period) for period in periods])
    delivered = delivered_units(periods)
    for period in periods:
        units = delivered.get(period.pk)
        if period_fingerprint(period) in known or not units:
            continue
        subscription, meter = period.item.subscription, period.item.meter
        yield FoundIssue(
            kind=Finding.Kind.NOT_INVOICED,
            fingerprint=period_fingerprint(period),
            message=(
                f"{subscription.customer} canceled {subscription.stripe_id} at once, and Stripe made no last "
                f"invoice: {as_text(units)} units of {meter.slug if meter else 'a meter'} since "
                f"{_instant(period.start)} were reported and are on no invoice."
            ),
            customer_id=subscription.customer_id,
            meter_id=period.item.meter_id,
            item_id=period.item_id,
        )


def _told(fingerprints: Iterable[str]) -> set[str]:
    """Return what people were told of before: nothing can change it, so once is enough."""
    found = Finding.objects.filter(kind=Finding.Kind.NOT_INVOICED, fingerprint__in=list(fingerprints))
    return set(found.values_list("fingerprint", flat=True))


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
