"""How templates write quantities, times, states and links: {% load console %}."""

import re
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from django import template
from django.db import models
from django.utils.safestring import SafeString

from sync.admin import formats, links
from sync.admin.chips import attempt_chip, closing_chip, may_chip, report_chip, run_chip, subscription_chip
from sync.admin.dialogs.dialog import Preview
from sync.admin.formats import NOTHING
from sync.domain.price_words import price_sentence as words
from sync.models import Price

register = template.Library()
register.filter("units", formats.units)
register.filter("money", formats.money)
register.filter("amounts", formats.amounts)
register.filter("when", formats.when)
register.filter("billed", formats.billed)
register.filter("report_chip", report_chip)
register.filter("attempt_chip", attempt_chip)
register.filter("run_chip", run_chip)
register.filter("subscription_chip", subscription_chip)
register.filter("closing_chip", closing_chip)
register.filter("may_chip", may_chip)


_NUMBER = re.compile(r"-?[\d,]+(\.\d+)?( [A-Z]{3}( \+ .*)?)?")
"""A quantity or amounts, as pages write them."""


@register.filter
def columns(preview: Preview) -> list[bool]:
    """Return of each of a preview's columns whether it holds numbers: quantities or amounts, as text."""
    shown = [[cell for cell in column if cell != NOTHING] for column in zip(*preview.rows, strict=False)]
    return [
        bool(cells) and all(isinstance(cell, str) and _NUMBER.fullmatch(cell) for cell in cells)
        for cells in shown
    ]


@register.filter
def beside(cells: Sequence[Any], numeric: Sequence[bool]) -> list[tuple[Any, bool]]:
    """Return each cell with whether its column holds numbers."""
    return list(zip_longest(cells, numeric[: len(cells)], fillvalue=False))


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
