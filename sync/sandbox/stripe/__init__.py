"""The look-alike of Stripe's API, version 2026-10-28.endive: the part that usage billing needs."""

from sync.sandbox.stripe.app import DELAYED_INSIDE, OPERATIONS, ROUTES, StripeApp
from sync.sandbox.stripe.errors import usual_error
from sync.sandbox.stripe.idempotency import IdempotencyLayer
from sync.sandbox.stripe.inspection import event_rows, total_rows
from sync.sandbox.stripe.lifecycle import TO_BE_SETTLED
from sync.sandbox.stripe.operations import Account
from sync.sandbox.stripe.rendering import render

__all__ = [
    "DELAYED_INSIDE",
    "OPERATIONS",
    "ROUTES",
    "TO_BE_SETTLED",
    "Account",
    "IdempotencyLayer",
    "StripeApp",
    "event_rows",
    "render",
    "total_rows",
    "usual_error",
]
