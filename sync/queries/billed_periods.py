"""Billing periods with what invoices say of them, beside what the ledger delivered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sync.domain.invoices import DRAFT, VOID
from sync.domain.timeline import Span
from sync.models import BillingPeriod, Enrolment, Invoice
from sync.queries.held_units import DELIVERED, Asked, held_units


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledPeriod:
    """A billing period, and how its invoice stands."""

    period: BillingPeriod
    invoice: Invoice | None
    """None also where it was not read: its id may be known from before."""
    delivered: Decimal | None
    """Units that Stripe has by the ledger; None where the item is not metered."""
    standing: str
    """How the invoice stands, in a few words."""

    @property
    def missing(self) -> Decimal | None:
        """Units that were delivered and are on no final invoice; negative if more was billed than that."""
        billed = self.period.billed_quantity
        return None if self.delivered is None or billed is None else self.delivered - billed


def billed_periods(periods: Sequence[BillingPeriod], *, now: datetime) -> list[BilledPeriod]:
    """Return a line for each period whose item and subscription are loaded, in the same order.

    A constant number of queries for a page of them.
    """
    ids = {period.invoice_id for period in periods} - {""}
    invoices = Invoice.objects.in_bulk(list(ids), field_name="stripe_id")
    delivered = _delivered(periods)
    return [
        BilledPeriod(
            period=period,
            invoice=invoices.get(period.invoice_id),
            delivered=delivered.get(period.pk),
            standing=_standing(period, invoices.get(period.invoice_id), now),
        )
        for period in periods
    ]


def _delivered(periods: Sequence[BillingPeriod]) -> dict[int, Decimal]:
    customers = {period.item.subscription.customer_id for period in periods}
    enrolments = {
        (customer, meter): pk
        for customer, meter, pk in Enrolment.objects.filter(customer__in=customers).values_list(
            "customer_id", "meter_id", "pk"
        )
    }
    asked = {
        period.pk: Asked(enrolment, Span(period.start, period.end))
        for period in periods
        if (enrolment := enrolments.get((period.item.subscription.customer_id, period.item.meter_id or 0)))
    }
    units = held_units(list(asked.values()), counted=DELIVERED)
    return dict(zip(asked, units, strict=True))


def _standing(period: BillingPeriod, invoice: Invoice | None, now: datetime) -> str:
    if invoice and invoice.status == VOID:
        return "voided"
    if period.finalized_at:
        return "final"
    if invoice and invoice.status == DRAFT:
        waits = "a draft that stays open until somebody finalizes it in Stripe"
        return waits if invoice.auto_advance is False else "a draft, open until it closes"
    if period.end > now:
        return "the period goes on"
    return "no invoice was seen yet"
