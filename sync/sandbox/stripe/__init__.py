"""The look-alike of Stripe's API, version 2026-10-28.endive: the part that usage billing needs."""

from sync.sandbox.stripe.app import DELAYED_INSIDE, OPERATIONS, ROUTES, StripeApp
from sync.sandbox.stripe.errors import usual_error
from sync.sandbox.stripe.idempotency import IdempotencyLayer
from sync.sandbox.stripe.inspection import event_rows, total_rows
from sync.sandbox.stripe.landings import invoice_rows, landing_rows
from sync.sandbox.stripe.lifecycle import advance, overwritten
from sync.sandbox.stripe.operations import Account
from sync.sandbox.stripe.rendering import render

__all__ = [
    "DELAYED_INSIDE",
    "OPERATIONS",
    "ROUTES",
    "Account",
    "IdempotencyLayer",
    "StripeApp",
    "advance",
    "event_rows",
    "invoice_rows",
    "landing_rows",
    "overwritten",
    "render",
    "total_rows",
    "usual_error",
]
