"""What a quantity costs at a price: Stripe's schemes, for estimates.

Source: https://docs.stripe.com/products-prices/pricing-models and the API reference of prices: amounts are in
the currency's smallest unit, `tiers` are sorted with `up_to` inclusive and null for the last, and
`transform_quantity` divides before pricing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal, localcontext
from typing import Any

ZERO_DECIMAL = frozenset(
    {"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv"}
    | {"xaf", "xof", "xpf"}
)
"""Currencies whose smallest unit is the whole one. Source: https://docs.stripe.com/currencies"""
THREE_DECIMAL = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})

_CONTEXT = Context(prec=400)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in the smallest unit of a currency (lower case, as Stripe writes it)."""

    minor: Decimal
    currency: str

    @property
    def major(self) -> Decimal:
        """The amount in whole units of the currency: 1234 cents are 12.34."""
        return self.minor.scaleb(-decimals_of(self.currency))

    @property
    def text(self) -> str:
        """The amount for people, rounded half-up to what can be paid, like "1,234.50 USD"."""
        step = Decimal(1).scaleb(-decimals_of(self.currency))
        with localcontext(_CONTEXT):
            rounded = self.major.quantize(step, rounding=ROUND_HALF_UP)
        return f"{rounded:,f} {self.currency.upper()}"


def minor_of(major: Decimal, currency: str) -> Decimal:
    """Return whole units of a currency in its smallest unit, exactly: 0.015 dollars are 1.5 cents."""
    with localcontext(_CONTEXT):
        return major.scaleb(decimals_of(currency))


def decimals_of(currency: str) -> int:
    """Return how many decimals a currency's amounts have."""
    if currency in ZERO_DECIMAL:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTerms:
    """What decides about the amount of a metered price, as Stripe has it."""

    currency: str
    unit_amount: Decimal | None
    billing_scheme: str = "per_unit"
    tiers_mode: str = ""
    tiers: Sequence[Mapping[str, Any]] = ()
    transform_quantity: Mapping[str, Any] | None = None

    @property
    def is_linear(self) -> bool:
        """Whether every unit costs the same, however many there are."""
        return self.billing_scheme != "tiered" and not self.transform_quantity

    @property
    def is_known(self) -> bool:
        """Whether there is anything to reckon with; Stripe has no amount where a customer chooses one."""
        return bool(self.tiers) if self.billing_scheme == "tiered" else self.unit_amount is not None

    def amount(self, quantity: Decimal) -> Money:
        """Return what a period's whole quantity costs, not rounded; below zero counts as zero."""
        with localcontext(_CONTEXT):
            billed = max(quantity, Decimal(0))
            if self.billing_scheme == "tiered":
                minor = self._volume(billed) if self.tiers_mode == "volume" else self._graduated(billed)
            else:
                minor = self._transformed(billed) * (self.unit_amount or Decimal(0))
        return Money(minor, self.currency)

    def difference(self, *, before: Decimal, after: Decimal) -> Money:
        """Return by how much the period's amount moves when its quantity goes from one to the other."""
        with localcontext(_CONTEXT):
            return Money(self.amount(after).minor - self.amount(before).minor, self.currency)

    def _transformed(self, quantity: Decimal) -> Decimal:
        if not self.transform_quantity:
            return quantity
        up = self.transform_quantity["round"] == "up"
        parts = quantity / Decimal(self.transform_quantity["divide_by"])
        return parts.to_integral_value(rounding=ROUND_CEILING if up else ROUND_FLOOR)

    def _graduated(self, quantity: Decimal) -> Decimal:
        total, below = Decimal(0), Decimal(0)
        for tier in self.tiers:
            up_to = tier.get("up_to")
            top = quantity if up_to is None else min(quantity, Decimal(str(up_to)))
            if top > below or (below == 0 and quantity == 0):
                total += (top - below) * unit_of(tier) + flat_of(tier)
            below = max(below, top)
            if below >= quantity:
                break
        return total

    def _volume(self, quantity: Decimal) -> Decimal:
        for tier in self.tiers:
            up_to = tier.get("up_to")
            if up_to is None or quantity <= Decimal(str(up_to)):
                return quantity * unit_of(tier) + flat_of(tier)
        return Decimal(0)


def unit_of(tier: Mapping[str, Any]) -> Decimal:
    """Return what a unit in this tier costs."""
    return Decimal(str(tier.get("unit_amount_decimal") or tier.get("unit_amount") or 0))


def flat_of(tier: Mapping[str, Any]) -> Decimal:
    """Return what any unit in this tier costs beside that, once."""
    return Decimal(str(tier.get("flat_amount_decimal") or tier.get("flat_amount") or 0))
