"""The parameters of a new price, and the rules between them."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sync.sandbox.stripe.errors import StripeError, invalid, missing, no_such
from sync.sandbox.stripe.ledger import plain
from sync.sandbox.stripe.objects import Body, Objects
from sync.sandbox.stripe.shapes import (
    Amount,
    Choice,
    Flag,
    Kind,
    ListOf,
    StringMap,
    Text,
    Whole,
    group,
    shape,
)

INTERVALS = ("day", "week", "month", "year")
USAGE_TYPES = ("licensed", "metered")

EDITABLE: dict[str, Kind] = {
    "active": Flag(),
    "lookup_key": Text(200),
    "nickname": Text(),
    "tax_behavior": Choice(("exclusive", "inclusive", "unspecified")),
}
TIER = group(
    up_to=Whole(least=1, words=frozenset({"inf"})),
    unit_amount=Whole(),
    unit_amount_decimal=Amount(),
    flat_amount=Whole(),
    flat_amount_decimal=Amount(),
).needing("up_to")
CREATE = shape(
    currency=Text(3),
    product=Text(),
    product_data=group(
        active=Flag(),
        id=Text(),
        metadata=StringMap(),
        name=Text(),
        statement_descriptor=Text(22),
        unit_label=Text(12),
    ).needing("name"),
    recurring=group(
        interval=Choice(INTERVALS),
        interval_count=Whole(least=1),
        meter=Text(),
        trial_period_days=Whole(least=0),
        usage_type=Choice(USAGE_TYPES),
    ).needing("interval"),
    billing_scheme=Choice(("per_unit", "tiered")),
    tiers=ListOf(TIER),
    tiers_mode=Choice(("graduated", "volume")),
    transform_quantity=group(divide_by=Whole(least=1), round=Choice(("down", "up"))).needing(
        "divide_by round"
    ),
    unit_amount=Whole(),
    unit_amount_decimal=Amount(),
    transfer_lookup_key=Flag(),
    metadata=StringMap(),
    **EDITABLE,
).needing("currency")


def recurring_of(params: Body, objects: Objects) -> Body | None:
    """What the price recurs by, with Stripe's defaults. Raises StripeError where meter and usage disagree."""
    given = params.get("recurring")
    if given is None:
        return None
    usage_type = given.get("usage_type", "licensed")
    meter_id = given.get("meter")
    if usage_type == "metered":
        _check_meter(meter_id, objects)
    elif meter_id:
        message = "A meter can only be specified for prices with usage_type=metered."
        raise invalid(message, "recurring[meter]")
    return {
        "interval": given["interval"],
        "interval_count": given.get("interval_count", 1),
        "meter": meter_id,
        "trial_period_days": given.get("trial_period_days"),
        "usage_type": usage_type,
    }


def _check_meter(meter_id: str | None, objects: Objects) -> None:
    if not meter_id:
        message = "Metered prices must specify a meter: pass recurring[meter]."
        raise invalid(message, "recurring[meter]", code="parameter_missing")
    meter = objects.find("billing.meter", meter_id)
    if meter is None:
        raise no_such(meter_id, "meter", param="recurring[meter]", status=400)
    if meter["status"] != "active":
        message = f"The meter {meter_id} is inactive and cannot be attached to a price."
        raise invalid(message, "recurring[meter]")


def amounts_of(params: Body) -> Body:
    """The pricing fields. Raises StripeError where they contradict each other."""
    tiered = params.get("billing_scheme") == "tiered"
    amounts = [name for name in ("unit_amount", "unit_amount_decimal") if name in params]
    if tiered:
        _check_tiered(params, amounts)
    else:
        _check_per_unit(params, amounts)
    return {
        "billing_scheme": "tiered" if tiered else "per_unit",
        "tiers": [_tier(tier) for tier in params["tiers"]] if tiered else None,
        "tiers_mode": params.get("tiers_mode"),
        "transform_quantity": params.get("transform_quantity"),
    } | _amount(params, "unit_amount")


def _check_tiered(params: Body, amounts: Sequence[str]) -> None:
    if amounts:
        message = f"You cannot pass {amounts[0]} when billing_scheme is tiered."
        raise invalid(message, amounts[0])
    if params.get("transform_quantity"):
        message = "You cannot use transform_quantity with tiers."
        raise invalid(message, "transform_quantity")
    for name in ("tiers", "tiers_mode"):
        if not params.get(name):
            raise missing(name)
    ends = [tier["up_to"] for tier in params["tiers"]]
    if ends[-1] != "inf" or "inf" in ends[:-1] or ends[:-1] != sorted(set(ends[:-1])):
        message = "The tiers must ascend, and the last one must have up_to=inf."
        raise invalid(message, "tiers")


def _check_per_unit(params: Body, amounts: Sequence[str]) -> None:
    for name in ("tiers", "tiers_mode"):
        if params.get(name):
            message = f"You cannot pass {name} unless billing_scheme is tiered."
            raise invalid(message, name)
    if len(amounts) != 1:
        message = "Pass exactly one of unit_amount and unit_amount_decimal."
        raise StripeError(message, code="parameter_missing", param="unit_amount")


def _tier(given: Body) -> Body:
    up_to = None if given["up_to"] == "inf" else given["up_to"]
    return {"up_to": up_to} | _amount(given, "flat_amount") | _amount(given, "unit_amount")


def _amount(given: Body, name: str) -> dict[str, Any]:
    """Both spellings of an amount; the integer one is null where it would not be exact."""
    exact: Decimal | int | None = given.get(f"{name}_decimal", given.get(name))
    if exact is None:
        return {name: None, f"{name}_decimal": None}
    exact = Decimal(exact)
    return {name: int(exact) if exact == exact.to_integral_value() else None, f"{name}_decimal": plain(exact)}
