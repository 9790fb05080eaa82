"""How invoices are read from Stripe: account-wide lists, each invoice with all its lines."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sync.clients.stripe_calls import Body, StripeCalls
from sync.clients.stripe_parsing import parse_invoice
from sync.domain.invoices import DRAFT, StripeInvoice


class StripeInvoices:
    """Implements `domain.invoices.InvoiceSource` over the calls of a gateway."""

    _api: Any
    _calls: StripeCalls

    def invoices(self, *, created_since: datetime) -> Iterator[list[StripeInvoice]]:
        """Yield invoices of every status that were created from then on, newest first."""
        return self._invoice_pages({"created": {"gte": int(created_since.timestamp())}})

    def draft_invoices(self) -> Iterator[list[StripeInvoice]]:
        """Yield every invoice of the account that is not final yet."""
        return self._invoice_pages({"status": DRAFT})

    def invoice(self, stripe_id: str) -> StripeInvoice:
        """Return one invoice."""
        return self._with_lines(self._calls.read_living(lambda: self._api.invoices.retrieve(stripe_id), dict))

    def _invoice_pages(self, asked: Mapping[str, Any]) -> Iterator[list[StripeInvoice]]:
        for page in self._calls.pages(self._api.invoices.list, dict, asked):
            yield [self._with_lines(body) for body in page]

    def _with_lines(self, body: Body) -> StripeInvoice:
        """Complete the embedded lines, which are ten at most, by listing them all where there are more."""
        embedded = body.get("lines") or {}
        lines: Sequence[Body] = embedded.get("data") or []
        if embedded.get("has_more"):
            listing = self._api.invoices.line_items.list
            listed = self._calls.pages(lambda asked: listing(body["id"], asked), dict)
            lines = [line for page in listed for line in page]
        return self._calls.read_answer(body, lambda whole: parse_invoice(whole, lines=lines))
