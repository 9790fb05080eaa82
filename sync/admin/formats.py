"""How quantities, money, times, states and links look on every page."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from django.utils.html import format_html
from django.utils.safestring import SafeString

from sync.conf import load_config
from sync.domain.pricing import Money
from sync.domain.quantities import as_text
from sync.queries.billed_periods import BilledPeriod

NOTHING = "–"


def units(quantity: Decimal | None) -> str:
    """Return a quantity for people: digits grouped, no empty decimals, never an exponent."""
    if quantity is None:
        return NOTHING
    return f"{Decimal(as_text(quantity)):,f}"


def billed(line: BilledPeriod) -> str:
    """Return the units that a period's invoice bills, and by how much they differ from what was reported."""
    text = units(line.period.billed_quantity)
    if not line.missing:
        return text
    word = "less" if line.missing > 0 else "more"
    return f"{text} ({units(abs(line.missing))} {word} than reported)"


def money(amount: Money | None) -> str:
    """Return an amount with its currency, like "1,234.50 USD"; a dash where nobody knows it."""
    return amount.text if amount else NOTHING


def amounts(amounts_by_currency: Sequence[Money]) -> str:
    """Return amounts of several currencies, like "12.00 EUR + 3.50 USD"; a dash where nobody knows any."""
    return " + ".join(amount.text for amount in amounts_by_currency) or NOTHING


def when(instant: datetime | None) -> str | SafeString:
    """Return an instant that the browser shows in its own time zone, with UTC on hover.

    Without scripts it is UTC, and says so.
    """
    if instant is None:
        return NOTHING
    utc = instant.astimezone(UTC)
    return format_html(
        '<time class="when" datetime="{}" title="{} UTC">{} UTC</time>',
        utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        utc.strftime("%Y-%m-%d %H:%M:%S"),
        utc.strftime("%Y-%m-%d %H:%M"),
    )


def from_to(start: datetime, end: datetime) -> SafeString:
    """Return a stretch of time."""
    return format_html('<span class="from-to">{} <span>to {}</span></span>', when(start), when(end))


def two_lines(first: str, second: str) -> SafeString:
    """Return what a row is called, and below it what tells it from others of that name."""
    return format_html(
        '<span class="two-lines">{} <span class="overview-sub">{}</span></span>', first, second
    )


def days(start: datetime, end: datetime) -> SafeString:
    """Return a stretch of whole days (UTC), like a billing period."""
    return format_html(
        '<span class="nowrap">{} – {}</span>', start.strftime("%Y-%m-%d"), end.strftime("%Y-%m-%d")
    )


def short_list(words: Sequence[str], *, most: int = 3) -> str:
    """Return a few words, and how many more there are; a dash where there is none."""
    more = [f"and {len(words) - most} more"] if len(words) > most else []
    return ", ".join([*words[:most], *more]) or NOTHING


def wrapped(sentence: str) -> SafeString:
    """Return a sentence that may take several lines of a table's cell."""
    return format_html('<span class="console-wrap">{}</span>', sentence)


def stripe_url(kind: str, stripe_id: str) -> str:
    """Return an object's page in Stripe's dashboard, of the mode that the key in use has."""
    mode = "" if load_config().livemode else "test/"
    if kind == "request":
        return f"https://dashboard.stripe.com/{mode}workbench/logs?object={stripe_id}"
    place = {"meter": "billing/meters", "event": "workbench/events"}.get(kind, f"{kind}s")
    return f"https://dashboard.stripe.com/{mode}{place}/{stripe_id}"


def stripe_link(kind: str, stripe_id: str) -> str | SafeString:
    """Return a link to an object in Stripe's dashboard .

    The kind is as in the address (customer, price, …), or request for a call in Stripe's own log.
    """
    if not stripe_id:
        return NOTHING
    return format_html(
        '<a class="outward" href="{}" target="_blank" rel="noopener noreferrer">{}</a>',
        stripe_url(kind, stripe_id),
        stripe_id,
    )
