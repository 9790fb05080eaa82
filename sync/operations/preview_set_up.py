"""Look at both sides before anything is set up: what is there, what will be created, what is in the way."""

from dataclasses import dataclass
from typing import Literal

from sync.models import Meter, StripeAccount
from sync.operations.choose_source import choose_source
from sync.operations.set_up_objects import check_meter, check_price, find_meter
from sync.operations.set_up_options import SetUpOptions, check_options
from sync.ports import (
    Account,
    BillingGateway,
    InvalidInput,
    NotFound,
    SourceMeter,
    StripeCustomer,
    StripeMeter,
    StripePrice,
    UsageSource,
)
from sync.queries.overlapping import why_overlapping

Kind = Literal["meter", "product", "price", "customer", "subscription"]


@dataclass(frozen=True, slots=True, kw_only=True)
class There:
    """What exists already and is as it was asked for; `customer` only where one was named by id."""

    source: SourceMeter
    meter: StripeMeter | None
    price: StripePrice | None
    customer: StripeCustomer | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedObject:
    """One Stripe object that will be there; id and url are empty for one that will be created."""

    kind: Kind
    id: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUpPreview:
    """What set-up would do now."""

    source: SourceMeter
    objects: tuple[PlannedObject, ...]


def look_first(
    *, stripe: BillingGateway, openmeter: UsageSource, options: SetUpOptions, replaces: Meter | None = None
) -> There:
    """Return what exists. Nothing is created, nothing is stored.

    Raises `InvalidInput` where OpenMeter has no such meter or cannot bill it, where something of that name
    is not what was asked for, where another meter bills some of the usage already (but the one that it
    `replaces`), and where the customer that was named does not exist.
    """
    check_options(options)
    customer = _named_customer(stripe, options)
    source = choose_source(openmeter, slug=options.slug, filters=options.filters or ())
    meter = find_meter(stripe, options.event_name)
    if meter:
        check_meter(meter, window=options.stripe_window)
    price = None if options.meter_only else stripe.find_price(lookup_key=options.price_key)
    if price:
        check_price(
            price,
            meter_id=meter.id if meter else "a new one",
            currency=options.currency,
            unit_amount_decimal=options.unit_amount,
            interval=options.interval,
        )
    _check_overlap(options, meter, replaces)
    return There(source=source, meter=meter, price=price, customer=customer)


def preview_set_up(*, stripe: BillingGateway, openmeter: UsageSource, options: SetUpOptions) -> SetUpPreview:
    """Return what set-up would find and what it would create; raises as `look_first` does.

    Nothing is created, nothing is stored.
    """
    account = stripe.account()
    pinned = StripeAccount.objects.first()
    if pinned and pinned.stripe_id != account.id:
        message = f"This database belongs to {pinned.stripe_id}, but STRIPE_KEY is of {account.id}."
        raise InvalidInput(message)
    there = look_first(stripe=stripe, openmeter=openmeter, options=options)
    ids: dict[Kind, str] = {"meter": there.meter.id if there.meter else ""}
    if not options.meter_only:
        ids |= _billing(stripe, options, there)
    planned = [
        PlannedObject(kind=kind, id=id_, url=dashboard_url(account, kind, id_) if id_ else "")
        for kind, id_ in ids.items()
    ]
    return SetUpPreview(source=there.source, objects=tuple(planned))


def dashboard_url(account: Account, kind: Kind, stripe_id: str) -> str:
    """Return an object's page in Stripe's dashboard."""
    mode = "" if account.livemode else "test/"
    return f"https://dashboard.stripe.com/{mode}{kind}s/{stripe_id}"


def _billing(stripe: BillingGateway, options: SetUpOptions, there: There) -> dict[Kind, str]:
    price = there.price
    product = price.product_id if price else stripe.find_product(set_up_key=options.product_key)
    customer = there.customer or stripe.find_customer(external_key=options.external_key)
    subscription = None
    if customer and price:
        subscription = stripe.find_subscription(customer_id=customer.id, price_id=price.id)
    return {
        "product": product,
        "price": price.id if price else "",
        "customer": customer.id if customer else "",
        "subscription": subscription.id if subscription else "",
    }


def _check_overlap(options: SetUpOptions, meter: StripeMeter | None, replaces: Meter | None) -> None:
    known = Meter.objects.filter(stripe_id=meter.id).first() if meter else None
    kept = known.filters if known else {}
    problem = why_overlapping(
        name=options.event_name,
        slug=options.slug,
        filters=kept if options.filters is None else options.filters,
        meter_id=known.pk if known else None,
        replaces=replaces.pk if replaces else None,
    )
    if problem:
        raise InvalidInput(problem)


def _named_customer(stripe: BillingGateway, options: SetUpOptions) -> StripeCustomer | None:
    if not options.customer_id:
        return None
    try:
        return stripe.customer(options.customer_id)
    except NotFound as error:
        message = f"Stripe has no customer {options.customer_id}; check --customer."
        raise InvalidInput(message) from error
