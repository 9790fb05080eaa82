"""When to try again, and when to stop trying."""

from datetime import datetime, timedelta

FIRST_DELAY = timedelta(milliseconds=500)
LONGEST_DELAY = timedelta(minutes=5)

RESEND_LIMIT = timedelta(hours=23)
"""Stripe keeps identifiers unique for at least 24 h; past this, sending again could bill twice."""


def retry_delay(*, attempts: int, jitter: float) -> timedelta:
    """Return how long to wait after the `attempts`-th failure: doubling from 0.5 s, capped at 5 min.

    `jitter` in [0, 1) picks from the upper half, so workers that failed together part ways.
    """
    full = min(FIRST_DELAY * (1 << min(attempts - 1, 20)), LONGEST_DELAY)
    return full * (0.5 + jitter / 2)


def may_resend(*, first_sent_at: datetime, maybe_arrived: bool, now: datetime) -> bool:
    """Whether sending under the same identifier is safe: Stripe would still notice a repetition."""
    return not maybe_arrived or now - first_sent_at < RESEND_LIMIT


CURSOR_GONE = "cursor_gone"
"""Code of the failure that says that a list cannot go on: the object it goes on after was deleted."""
