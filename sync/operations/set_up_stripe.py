"""Give a Stripe account what the example needs: meter, product, metered price, customer, subscription."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sync.models import Meter
from sync.operations.mirror_set_up import mirror_set_up
from sync.operations.pin_account import pin_account
from sync.operations.preview_set_up import Kind, dashboard_url, look_first
from sync.operations.register_meter import register_meter
from sync.operations.set_up_objects import (
    Found,
    SetUpCalls,
    check_meter,
    check_price,
)
from sync.operations.set_up_options import SetUpOptions, check_options
from sync.ports import Account, BillingGateway, InvalidInput, StripeCustomer, UsageSource


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUpObject:
    """One Stripe object that is there now, and whether this call created it."""

    kind: Kind
    id: str
    created: bool
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUpResult:
    """What is there now. `remark` says why the console does not show all of it yet, or is empty."""

    objects: tuple[SetUpObject, ...]
    openmeter_slug: str
    remark: str


def set_up_stripe(
    *,
    stripe: BillingGateway,
    openmeter: UsageSource,
    options: SetUpOptions,
    invoice_grace: timedelta,
    now: datetime,
    replaces: Meter | None = None,
) -> SetUpResult:
    """The objects exist in Stripe, the meter is tied to OpenMeter, and all of it is known here.

    With `replaces`, as the new definition of that meter, which may measure the same usage.

    Both sides are asked before anything is created: raises `InvalidInput` where OpenMeter has no such
    meter, or something of that name exists but is not what was asked for, and any other `SyncError` where
    one of them does not answer. Safe to call twice, also after an interruption anywhere: everything is
    looked for before it is created, and created under an idempotency key made of its own contents.
    """
    check_options(options)
    account = stripe.account()
    _check_live(account, options)
    pinned_at = pin_account(account, now=now)
    known = look_first(stripe=stripe, openmeter=openmeter, options=options, replaces=replaces)
    calls = SetUpCalls(stripe)
    window = options.stripe_window
    meter = calls.meter(display_name=options.meter_name, event_name=options.event_name, window=window)
    check_meter(meter.value, window=window)
    slug = register_meter(
        meter.value, source=known.source, filters=options.filters, replaces=replaces, now=now
    )
    there: list[tuple[Kind, Found[str]]] = [("meter", Found(meter.value.id, meter.created))]
    remark = ""
    if not options.meter_only:
        there += _billing(calls, options, meter_id=meter.value.id, chosen=known.customer)
        ids = {kind: found.value for kind, found in there}
        remark = mirror_set_up(
            stripe=stripe,
            price_id=ids["price"],
            subscription_id=ids["subscription"],
            invoice_grace=invoice_grace,
            pinned_at=pinned_at,
            now=now,
        )
    objects = tuple(
        SetUpObject(kind=kind, id=it.value, created=it.created, url=dashboard_url(account, kind, it.value))
        for kind, it in there
    )
    return SetUpResult(objects=objects, openmeter_slug=slug, remark=remark)


def _billing(
    calls: SetUpCalls, options: SetUpOptions, *, meter_id: str, chosen: StripeCustomer | None
) -> list[tuple[Kind, Found[str]]]:
    lookup_key = options.price_key
    known = calls.stripe.find_price(lookup_key=lookup_key)
    if known:
        # Its own product counts, which somebody may have made by hand.
        product = Found(known.product_id, created=False)
    else:
        product = calls.product(name=options.product_name, set_up_key=options.product_key)
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


def _check_live(account: Account, options: SetUpOptions) -> None:
    if account.livemode and options.confirm_live != account.id:
        message = (
            f"This would create real objects in live account {account.id}; add --confirm-live {account.id}."
        )
        raise InvalidInput(message)
