"""A price's terms in words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sync.domain.pricing import PriceTerms, decimals_of, flat_of, unit_of
from sync.domain.quantities import as_text

_EVERY = {"day": "daily", "week": "weekly", "month": "monthly", "year": "yearly"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TierWords:
    """One tier: which units, what each costs, and what having any costs (empty if nothing)."""

    units: str
    unit: str
    flat: str


def price_sentence(terms: PriceTerms, *, interval: str = "", interval_count: int = 1) -> str:
    """Return the terms like "0.01 USD a unit, monthly"."""
    return ", ".join(part for part in (_amount(terms), _every(interval, interval_count)) if part)


def _amount(terms: PriceTerms) -> str:
    if terms.billing_scheme == "tiered":
        count = f"{len(terms.tiers)} tiers" if len(terms.tiers) != 1 else "1 tier"
        if terms.tiers_mode == "volume":
            return f"{count}, the one that all units reach prices each of them"
        return f"{count}, each prices the units inside it"
    if terms.unit_amount is None:
        return "no amount"
    amount = amount_text(terms.unit_amount, terms.currency)
    if not terms.transform_quantity:
        return f"{amount} a unit"
    pack = Decimal(terms.transform_quantity["divide_by"])
    rounding = "begun" if terms.transform_quantity["round"] == "up" else "full"
    return f"{amount} for every {rounding} {pack:,f} units"


def _every(interval: str, count: int) -> str:
    if not interval:
        return ""
    return _EVERY.get(interval, f"every {interval}") if count == 1 else f"every {count} {interval}s"


def amount_text(minor: Decimal, currency: str) -> str:
    """Return an amount with all its decimals, like "0.00002 USD": a unit may cost less than can be paid."""
    decimals = decimals_of(currency)
    text = as_text(minor.scaleb(-decimals))
    shown = max(decimals, len(text.partition(".")[2]))
    return f"{Decimal(text):,.{shown}f} {currency.upper()}"


def tier_words(terms: PriceTerms) -> list[TierWords]:
    """Return the tiers of a price, in order; none for one without."""
    return list(_tiers(terms))


def _tiers(terms: PriceTerms) -> Iterator[TierWords]:
    below: Any = None
    for tier in terms.tiers:
        flat = flat_of(tier)
        yield TierWords(
            units=_range(below, tier),
            unit=amount_text(unit_of(tier), terms.currency),
            flat=amount_text(flat, terms.currency) if flat else "",
        )
        below = tier.get("up_to")


def _range(below: Any, tier: Mapping[str, Any]) -> str:
    top = tier.get("up_to")
    until = "" if top is None else f"up to {Decimal(str(top)):,f}"
    since = "" if below is None else f"above {Decimal(str(below)):,f}"
    return " ".join(part for part in (since, until) if part) or "all units"
