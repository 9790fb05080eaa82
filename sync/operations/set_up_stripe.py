"""Give a Stripe account what the example needs: meter, product, metered price, customer, subscription."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from sync.domain.meters import ADDITIVE
from sync.operations.pin_account import pin_account
from sync.operations.register_meter import register_meter
from sync.operations.set_up_objects import (
    Found,
    SetUpCalls,
    check_meter,
    check_price,
)
from sync.ports import (
    Account,
    BillingGateway,
    InvalidInput,
    NotFound,
    SourceMeter,
    StripeCustomer,
    SyncError,
    UsageSource,
)

Window = Literal["none", "hour"]
Kind = Literal["meter", "product", "price", "customer", "subscription"]
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
    """Slug of the OpenMeter meter; empty means the one called like the event name, if there is one."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUpObject:
    """One Stripe object that is there now, and whether this call created it."""

    kind: Kind
    id: str
    created: bool
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUpResult:
    """What is there now. `openmeter_slug` is empty while the meter measures nothing; `note` says why."""

    objects: tuple[SetUpObject, ...]
    openmeter_slug: str
    note: str


def set_up_stripe(
    *, stripe: BillingGateway, openmeter: UsageSource, options: SetUpOptions, now: datetime
) -> SetUpResult:
    """The objects exist in Stripe and the meter is registered here.

    Safe to call twice, also after an interruption anywhere: everything is looked for before it is created,
    and created under an idempotency key made of its own contents. Raises `InvalidInput` where something of
    that name exists but is not what was asked for; then nothing more is created.
    """
    _check(options)
    account = stripe.account()
    _check_live(account, options)
    pin_account(account, now=now)
    chosen = _chosen_customer(stripe, options)
    source, note = _source(openmeter, options)
    calls = SetUpCalls(stripe)
    window = "" if options.window == "none" else options.window
    meter = calls.meter(display_name=options.meter_name, event_name=options.event_name, window=window)
    check_meter(meter.value, window=window)
    slug = register_meter(meter.value, source=source, now=now)
    there: list[tuple[Kind, Found[str]]] = [("meter", Found(meter.value.id, meter.created))]
    if not options.meter_only:
        there += _billing(calls, options, meter_id=meter.value.id, chosen=chosen)
    objects = tuple(
        SetUpObject(kind=kind, id=it.value, created=it.created, url=_dashboard_url(account, kind, it.value))
        for kind, it in there
    )
    return SetUpResult(objects=objects, openmeter_slug=slug, note="" if slug else note)


def _chosen_customer(stripe: BillingGateway, options: SetUpOptions) -> StripeCustomer | None:
    """Return the customer who was named, before anything is created; `InvalidInput` if there is none."""
    if not options.customer_id:
        return None
    if options.meter_only:
        message = "--meter-only subscribes nobody; leave it or --customer out."
        raise InvalidInput(message)
    try:
        return stripe.customer(options.customer_id)
    except NotFound as error:
        message = f"Stripe has no customer {options.customer_id}; check --customer."
        raise InvalidInput(message) from error


def _billing(
    calls: SetUpCalls, options: SetUpOptions, *, meter_id: str, chosen: StripeCustomer | None
) -> list[tuple[Kind, Found[str]]]:
    lookup_key = options.lookup_key or f"billing-console:{options.event_name}"
    known = calls.stripe.find_price(lookup_key=lookup_key)
    if known:
        # Its own product counts, which somebody may have made by hand.
        product = Found(known.product_id, created=False)
    else:
        product = calls.product(name=options.product_name, set_up_key=f"set-up:{lookup_key}")
    price = calls.price(
        product_id=product.value,
        meter_id=meter_id,
        currency=options.currency,
        unit_amount_decimal=options.unit_amount,
        interval=options.interval,
        lookup_key=lookup_key,
    )
    check_price(
        price.value,
        meter_id=meter_id,
        currency=options.currency,
        unit_amount_decimal=options.unit_amount,
        interval=options.interval,
    )
    if chosen:
        customer = Found(chosen, created=False)
    else:
        customer = calls.customer(
            name=options.customer_name, email=options.customer_email, external_key=options.external_key
        )
    subscription = calls.subscription(customer_id=customer.value.id, price_id=price.value.id)
    return [
        ("product", product),
        ("price", Found(price.value.id, price.created)),
        ("customer", Found(customer.value.id, customer.created)),
        ("subscription", Found(subscription.value.id, subscription.created)),
    ]


def _source(openmeter: UsageSource, options: SetUpOptions) -> tuple[SourceMeter | None, str]:
    """Return the OpenMeter meter to tie to, or None and why; one that was asked for must be usable."""
    wanted = options.openmeter_meter or options.event_name
    try:
        known = {meter.slug: meter for meter in openmeter.meters()}
    except SyncError as error:
        if options.openmeter_meter:
            raise
        return None, f"{error} Then sync with Stripe, which ties the meter to OpenMeter."
    source = known.get(wanted)
    if source and source.aggregation in ADDITIVE:
        return source, ""
    if source:
        problem = (
            f"OpenMeter meter {wanted} aggregates by {source.aggregation}; only SUM and COUNT can be billed."
        )
    else:
        there = ", ".join(sorted(known)[:10]) or "none"
        problem = f"OpenMeter has no meter {wanted} (it has: {there})."
    if options.openmeter_meter:
        raise InvalidInput(problem)
    return None, f"{problem} Name the right one with --openmeter-meter."


def _check(options: SetUpOptions) -> None:
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
    amount = options.unit_amount
    if not amount.is_finite() or amount < 0 or -int(amount.normalize().as_tuple().exponent) > MOST_DECIMALS:
        message = f"--unit-amount must be a number from 0 with at most {MOST_DECIMALS} decimals."
        raise InvalidInput(message)


def _check_live(account: Account, options: SetUpOptions) -> None:
    if account.livemode and options.confirm_live != account.id:
        message = (
            f"This would create real objects in live account {account.id}; add --confirm-live {account.id}."
        )
        raise InvalidInput(message)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _dashboard_url(account: Account, kind: Kind, stripe_id: str) -> str:
    mode = "" if account.livemode else "test/"
    return f"https://dashboard.stripe.com/{mode}{kind}s/{stripe_id}"
