"""Stripe's invoices, and what they say about the billing periods that they close."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from sync.domain.timeline import Span

DRAFT, VOID = "draft", "void"

CLOCKS_DIFFER = timedelta(seconds=10)
"""An invoice that was made so long before a period's end still closes it: Stripe dates the end of a
subscription that is canceled at once, and its last invoice, one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeInvoiceLine:
    """What an invoice bills for one subscription item: `quantity` units of a stretch of time."""

    id: str
    item_id: str
    span: Span
    quantity: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeInvoice:
    """An invoice with *all* its lines that are about a subscription item's usage.

    `finalized_at` is set for every status but draft. `auto_advance` is None where Stripe does not say.
    """

    id: str
    customer_id: str
    subscription_id: str
    status: str
    auto_advance: bool | None
    created_at: datetime
    automatically_finalizes_at: datetime | None
    finalized_at: datetime | None
    lines: Sequence[StripeInvoiceLine]


class InvoiceSource(Protocol):
    """Stripe, as far as invoices are read from it. Raises `SyncError`s only."""

    def invoices(self, *, created_since: datetime) -> Iterator[list[StripeInvoice]]:
        """Yield invoices of every status that were created from then on, newest first, a page at a time."""

    def draft_invoices(self) -> Iterator[list[StripeInvoice]]:
        """Yield every invoice of the account that is not final yet, a page at a time."""

    def invoice(self, stripe_id: str) -> StripeInvoice:
        """Return one invoice; `NotFound` if it is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoicedStretch:
    """A line of an invoice that was read at `read_at`, about one item."""

    span: Span
    quantity: Decimal | None
    invoice_id: str
    status: str
    auto_advance: bool | None
    created_at: datetime
    automatically_finalizes_at: datetime | None
    finalized_at: datetime | None
    read_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoicedPeriod:
    """What invoices say of a period: which of them closes it, when, and what it bills once it is final."""

    invoice_id: str
    closes_at: datetime
    finalized_at: datetime | None
    billed_quantity: Decimal | None


def closed_by(period: Span, lines: Sequence[InvoicedStretch], *, grace: timedelta) -> InvoicedPeriod | None:
    """Return what the lines of the period's item say of it, or None where no invoice closes it.

    An invoice closes a period if it bills part of it and was made once the period was over. One that was
    made before (the first, or at a threshold) leaves it open; what it bills counts all the same.
    """
    about = [line for line in lines if line.span.overlaps(period)]
    closing = sorted(
        (line for line in about if line.created_at + CLOCKS_DIFFER >= period.end),
        key=lambda line: (line.created_at, line.invoice_id),
    )
    if not closing:
        return None
    final = [line.finalized_at for line in closing if line.finalized_at]
    named = _named(closing)
    if not final:
        return InvoicedPeriod(
            invoice_id=named.invoice_id,
            closes_at=max(period.end, min(_draft_closes_at(line, period, grace) for line in closing)),
            finalized_at=None,
            billed_quantity=None,
        )
    return InvoicedPeriod(
        invoice_id=named.invoice_id,
        closes_at=max(period.end, min(final)),
        finalized_at=min(final),
        billed_quantity=_billed(period, about),
    )


def _named(closing: Sequence[InvoicedStretch]) -> InvoicedStretch:
    """Return the newest final invoice that is valid, else the first one that there is."""
    valid = [line for line in closing if line.finalized_at and line.status != VOID]
    final = [line for line in closing if line.finalized_at]
    return valid[-1] if valid else (final or closing)[0]


def _draft_closes_at(line: InvoicedStretch, period: Span, grace: timedelta) -> datetime:
    """Return after when a draft may be final.

    One that does not advance by itself was open when it was read and waits for a person, who may finalize
    it at any time: it is taken to stay open as long as any other, counted from every look at it.
    """
    if line.auto_advance is False:
        return line.read_at + grace
    return line.automatically_finalizes_at or max(period.end, line.created_at) + grace


def _billed(period: Span, about: Sequence[InvoicedStretch]) -> Decimal | None:
    """Return the units on all final and valid invoices; None where a line does not say how it divides."""
    valid = [line for line in about if line.finalized_at and line.status != VOID]
    if any(line.quantity is None or not period.covers(line.span) for line in valid):
        return None
    return sum((line.quantity for line in valid if line.quantity is not None), Decimal(0))
