"""/v1/subscriptions: creating, reading, listing and canceling."""

from sync.sandbox.stripe import customers, first_invoice, items, lifecycle, subscription_changes
from sync.sandbox.stripe.errors import invalid, no_such
from sync.sandbox.stripe.ids import new_id
from sync.sandbox.stripe.objects import Body, merge_metadata
from sync.sandbox.stripe.operations import Call, Operation, new_object
from sync.sandbox.stripe.paging import page
from sync.sandbox.stripe.periods import boundary
from sync.sandbox.stripe.shapes import shape, within
from sync.sandbox.stripe.stretches import COUNTING
from sync.sandbox.stripe.subscription_params import CREATE, DELETE, LIST, UPDATE

DAY_SECONDS = 86_400
ENDED = ("canceled", "incomplete_expired")


def create(call: Call) -> Body:
    """A new subscription, active or in its trial, with each item in its first period and a first invoice."""
    params = call.params
    customer = customers.existing(call, params["customer"], param="customer", status=400)
    subscription = _with_schedule(call, _blank(call, customer))
    rows: list[Body] = []
    for index, given in enumerate(params["items"]):
        made = items.build(call, subscription, given, rows, prefix=f"items[{index}]")
        rows.append(made | {COUNTING: first_invoice.counting_from(subscription, made)})
    _check_anchor(call, subscription, rows)
    subscription["currency"] = call.objects.get("price", rows[0]["price"])["currency"]
    subscription = subscription_changes.with_cancellation(call, subscription, rows, params)
    bill = first_invoice.of(call.account, subscription, rows, at=call.at)
    hours = first_invoice.hours(call.account, subscription)
    return lifecycle.settle(call.account, subscription, rows, at=call.at, bill=bill, **hours)


def _blank(call: Call, customer: Body) -> Body:
    params = call.params
    mode = params.get("billing_mode", {"type": "flexible"})
    flexible = {"proration_discounts": "included"} | mode.get("flexible", {})
    return new_object(
        "subscription",
        new_id("sub_"),
        at=call.at,
        application=None,
        application_fee_percent=None,
        automatic_tax={"disabled_reason": None, "enabled": False, "liability": None},
        billing_cycle_anchor_config=None,
        billing_mode={
            "flexible": flexible if mode["type"] == "flexible" else None,
            "type": mode["type"],
            "updated_at": call.at if mode["type"] == "flexible" else None,
        },
        billing_schedules=[],
        billing_thresholds=None,
        cancel_at=None,
        cancel_at_period_end=False,
        canceled_at=None,
        cancellation_details={"comment": None, "feedback": None, "reason": None},
        collection_method=params.get("collection_method", "charge_automatically"),
        customer=customer["id"],
        customer_account=None,
        days_until_due=params.get("days_until_due"),
        default_payment_method=None,
        default_source=None,
        default_tax_rates=[],
        description=params.get("description"),
        discounts=[],
        ended_at=None,
        invoice_settings={"account_tax_ids": None, "issuer": {"type": "self"}},
        latest_invoice=None,
        metadata=merge_metadata(None, params.get("metadata")),
        next_pending_invoice_item_invoice=None,
        on_behalf_of=None,
        pause_collection=None,
        payment_settings={
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        pending_invoice_item_interval=None,
        pending_setup_intent=None,
        pending_update=None,
        schedule=None,
        test_clock=None,
        transfer_data=None,
        trial_settings=params.get(
            "trial_settings", {"end_behavior": {"missing_payment_method": "create_invoice"}}
        ),
    )


def _with_schedule(call: Call, subscription: Body) -> Body:
    """When it starts, whether it is in a trial, and which instant its periods are counted from."""
    params = call.params
    trial_end = params.get("trial_end")
    if params.get("trial_period_days"):
        trial_end = call.at + params["trial_period_days"] * DAY_SECONDS
    if trial_end == "now":
        trial_end = None
    if trial_end is not None and trial_end <= call.at:
        message = "The trial end must be in the future."
        raise invalid(message, "trial_end")
    start = params.get("backdate_start_date", call.at)
    if start > call.at:
        message = "The backdate_start_date cannot be in the future."
        raise invalid(message, "backdate_start_date")
    return subscription | {
        # By default a backdated subscription too counts its periods from its creation.
        "billing_cycle_anchor": params.get("billing_cycle_anchor", trial_end or call.at),
        "start_date": start,
        "status": "trialing" if trial_end else "active",
        "trial_end": trial_end,
        "trial_start": call.at if trial_end else None,
    }


def _check_anchor(call: Call, subscription: Body, rows: list[Body]) -> None:
    if "billing_cycle_anchor" not in call.params:
        return
    start = subscription["trial_end"] or call.at
    for row in rows:
        recurring = call.objects.get("price", row["price"])["recurring"]
        if subscription["billing_cycle_anchor"] > boundary(
            start, recurring["interval"], recurring["interval_count"]
        ):
            message = "billing_cycle_anchor cannot be later than next natural billing date for the price."
            raise invalid(message, "billing_cycle_anchor")


def retrieve(call: Call) -> Body:
    """The subscription as it is by now."""
    return call.objects.get("subscription", call.path("subscription_exposed_id"))


def update(call: Call) -> Body:
    """The subscription with the given fields and items changed."""
    return subscription_changes.apply(call, retrieve(call))


def list_subscriptions(call: Call) -> Body:
    """Subscriptions, newest first; without a status filter those that have not ended."""
    rows = [
        subscription
        for subscription in call.objects.all("subscription")
        if call.params.get("customer", subscription["customer"]) == subscription["customer"]
        and _is_wanted(call, subscription)
    ]
    return page(rows, call.params, url=call.url)


def _is_wanted(call: Call, subscription: Body) -> bool:
    params = call.params
    method = params.get("collection_method", subscription["collection_method"])
    if not _has_status(subscription, params.get("status")) or method != subscription["collection_method"]:
        return False
    if not within(params.get("created"), subscription["created"]):
        return False
    bounds = {name: params[name] for name in ("current_period_start", "current_period_end") if name in params}
    if "price" not in params and not bounds:
        return True
    return any(
        params.get("price", item["price"]) == item["price"]
        and all(within(bound, item[name]) for name, bound in bounds.items())
        for item in call.objects.items_of(subscription["id"])
    )


def _has_status(subscription: Body, wanted: str | None) -> bool:
    status = str(subscription["status"])
    if wanted is None:
        return status != "canceled"
    if wanted == "ended":
        return status in ENDED
    return wanted in ("all", status)


def delete(call: Call) -> Body:
    """The subscription is canceled at once. A canceled one is not found again, as at Stripe."""
    subscription = retrieve(call)
    if subscription["status"] == "canceled":
        raise no_such(subscription["id"], "subscription")
    return lifecycle.cancel(
        call.account,
        subscription,
        at=call.at,
        details=call.params.get("cancellation_details"),
        invoice_now=call.params.get("invoice_now", False),
    )


OPERATIONS = [
    Operation("POST", "/v1/subscriptions", create, CREATE),
    Operation("GET", "/v1/subscriptions", list_subscriptions, LIST),
    Operation("GET", "/v1/subscriptions/{subscription_exposed_id}", retrieve, shape()),
    Operation("POST", "/v1/subscriptions/{subscription_exposed_id}", update, UPDATE),
    Operation("DELETE", "/v1/subscriptions/{subscription_exposed_id}", delete, DELETE),
]
