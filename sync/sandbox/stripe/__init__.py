"""The look-alike of Stripe's API, version 2026-10-28.endive: the part that usage billing needs."""

from sync.sandbox.stripe.app import DELAYED_INSIDE, OPERATIONS, ROUTES, StripeApp
from sync.sandbox.stripe.errors import usual_error
from sync.sandbox.stripe.events import shown as shown_event
from sync.sandbox.stripe.idempotency import IdempotencyLayer
from sync.sandbox.stripe.inspection import event_rows, total_rows
from sync.sandbox.stripe.landings import invoice_rows, landing_rows
from sync.sandbox.stripe.lifecycle import advance, overwritten
from sync.sandbox.stripe.operations import Account
from sync.sandbox.stripe.refusals import BadRefusal, Refusal, notification
from sync.sandbox.stripe.rendering import render

__all__ = [
    "DELAYED_INSIDE",
    "OPERATIONS",
    "ROUTES",
    "Account",
    "BadRefusal",
    "IdempotencyLayer",
    "Refusal",
    "StripeApp",
    "advance",
    "event_rows",
    "invoice_rows",
    "landing_rows",
    "notification",
    "overwritten",
    "render",
    "shown_event",
    "total_rows",
    "usual_error",
]
