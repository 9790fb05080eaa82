"""How templates write quantities, times, states and links: {% load console %}."""

from django import template
from django.db import models
from django.utils.safestring import SafeString

from sync.admin import formats, links
from sync.admin.chips import attempt_chip, closing_chip, may_chip, report_chip, run_chip, subscription_chip
from sync.domain.price_words import price_sentence as words
from sync.models import Price

register = template.Library()
register.filter("units", formats.units)
register.filter("money", formats.money)
register.filter("amounts", formats.amounts)
register.filter("when", formats.when)
register.filter("report_chip", report_chip)
register.filter("attempt_chip", attempt_chip)
register.filter("run_chip", run_chip)
register.filter("subscription_chip", subscription_chip)
register.filter("closing_chip", closing_chip)
register.filter("may_chip", may_chip)


@register.filter
def grouped(count: int) -> str:
    """Return a count with its digits grouped, like 1,234."""
    return f"{count:,}"


@register.filter
def row_link(row: models.Model | None, text: object = None) -> str | SafeString:
    """Return a link to a row's page, under its own name unless a text is given."""
    return links.row_link(row, text)


@register.filter
def stripe_invoice(invoice_id: str) -> str | SafeString:
    """Return a link to an invoice in Stripe's dashboard."""
    return formats.stripe_link("invoice", invoice_id)


@register.filter
def price_sentence(price: Price) -> str:
    """Return what a price costs, in words."""
    if price.usage_type != "metered":
        return "a fixed amount, not by use"
    return words(price.terms, interval=price.interval, interval_count=price.interval_count)


@register.filter
def thousands(count: int) -> str:
    """Return a whole number with its digits grouped."""
    return f"{count:,}"


@register.filter
def stripe_request(request_id: str) -> str | SafeString:
    """Return a link to a call in Stripe's own log."""
    return formats.stripe_link("request", request_id)
