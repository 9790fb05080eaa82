"""What set-up is asked for, and what of it Stripe would refuse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from sync.domain.meters import why_bad_filters
from sync.ports import InvalidInput

Window = Literal["none", "hour"]
INTERVALS = ("day", "week", "month", "year")
LONGEST = {"event_name": 100, "meter_name": 250, "lookup_key": 200, "product_name": 250, "external_key": 500}
"""Stripe's limits; of metadata values for the external key."""
MOST_DECIMALS = 12
"""Stripe's limit for `unit_amount_decimal`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUpOptions:
    """What to set up. The defaults are the example's: AI tokens, monthly, $0.01 each."""

    event_name: str = "ai_tokens"
    meter_name: str = "AI Tokens"
    window: Window = "none"
    openmeter_meter: str = ""
    """Slug of the OpenMeter meter; empty means the one called like the event name."""
    filters: Mapping[str, Sequence[str]] | None = None
    """Which of its usage counts, by group-by key; None leaves what a meter has, and a new one takes all."""
    product_name: str = "AI Tokens"
    unit_amount: Decimal = Decimal(1)
    """In the currency's smallest unit, as Stripe counts: 1 is $0.01."""
    currency: str = "usd"
    interval: str = "month"
    lookup_key: str = ""
    """Finds the price again; empty means one made of the event name."""
    customer_name: str = "Example customer"
    customer_email: str = ""
    external_key: str = "customer-1"
    """The subject that OpenMeter files this customer's usage under."""
    customer_id: str = ""
    """Subscribe this customer, who exists, to the price; then name, e-mail and external key do not count."""
    meter_only: bool = False
    confirm_live: str = ""
    """In live mode: the id of the account, typed by a person."""

    @property
    def slug(self) -> str:
        """The OpenMeter meter that is meant."""
        return self.openmeter_meter or self.event_name

    @property
    def stripe_window(self) -> str:
        """The window as Stripe names it."""
        return "" if self.window == "none" else self.window

    @property
    def price_key(self) -> str:
        """The lookup key that finds the price again."""
        return self.lookup_key or f"billing-console:{self.event_name}"

    @property
    def product_key(self) -> str:
        """What marks the product in its metadata, so that it is found again."""
        return f"set-up:{self.price_key}"


def check_options(options: SetUpOptions) -> None:
    """Raise `InvalidInput`, which names the option, for anything that Stripe would not take."""
    for name in ("event_name", "meter_name", "product_name", "external_key", "currency"):
        if not str(getattr(options, name)).strip():
            message = f"{_option(name)} is empty; leave it out or give it a value."
            raise InvalidInput(message)
    for name, longest in LONGEST.items():
        if len(getattr(options, name)) > longest:
            message = f"{_option(name)} is longer than the {longest} characters that Stripe takes."
            raise InvalidInput(message)
    if options.interval not in INTERVALS:
        message = f"--interval must be one of {', '.join(INTERVALS)}."
        raise InvalidInput(message)
    if not (len(options.currency) == 3 and options.currency.isalpha() and options.currency.islower()):
        message = "--currency must be three lower-case letters, like usd."
        raise InvalidInput(message)
    _check_amount(options.unit_amount)
    _check_filters(options)
    if options.customer_id and options.meter_only:
        message = "--meter-only subscribes nobody; leave it or --customer out."
        raise InvalidInput(message)


def _check_filters(options: SetUpOptions) -> None:
    if options.filters and (problem := why_bad_filters(options.filters)):
        raise InvalidInput(problem)


def _check_amount(amount: Decimal) -> None:
    if not amount.is_finite() or amount < 0 or -int(amount.normalize().as_tuple().exponent) > MOST_DECIMALS:
        message = f"--unit-amount must be a number from 0 with at most {MOST_DECIMALS} decimals."
        raise InvalidInput(message)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
