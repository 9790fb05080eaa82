"""What Stripe's subscription statuses mean for usage; the one place that lists them.

Source: https://docs.stripe.com/billing/subscriptions/overview#subscription-statuses
"""

PAUSED = "paused"
TRIALING = "trialing"

BILLABLE = frozenset({"active", "past_due", "unpaid", TRIALING, PAUSED, "canceled"})
"""Usage is billed, but not that of a trial, of a pause, or after a cancellation."""

NEVER_BILLED = frozenset({"incomplete", "incomplete_expired"})
"""The first payment has not come, so nothing that was used is billed; it may yet come for `incomplete`."""

OVER = NEVER_BILLED | {"canceled"}
"""Nothing new is billed, so nobody needs to mend what stands in the way of it."""

ENDED = frozenset({"canceled", "incomplete_expired"})
"""Stripe never takes a subscription out of these again."""
