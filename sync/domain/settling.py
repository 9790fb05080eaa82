"""Whether the last usage of a period is reported before its invoice becomes final."""

from datetime import timedelta

MARGIN = timedelta(minutes=15)
"""So long before a period closes its last usage is sent at the latest: for a run that takes a while, for more
tries where Stripe stumbles, and for the last two minutes, in which nothing is sent into it any more."""


def why_reported_too_late(*, what: str, settle: timedelta, every: timedelta, grace: timedelta) -> str:
    """Return the sentence that says that `settle` is too long, or "".

    `every` is how often usage is reported, `grace` how long invoices stay open after a period's end.
    """
    needed = settle + every + MARGIN
    if needed <= grace:
        return ""
    return (
        f"Usage can be reported too late for its invoice: {what} ({_minutes(settle)}), the reporting "
        f"interval ({_minutes(every)}) and a margin ({_minutes(MARGIN)}) come to {_minutes(needed)}, "
        f"but invoices become final {_minutes(grace)} after a period's end."
    )


def longest_settle(*, every: timedelta, grace: timedelta) -> timedelta:
    """Return the longest settle time that is not too late; below zero where none is short enough."""
    return grace - every - MARGIN


def _minutes(length: timedelta) -> str:
    return f"{length.total_seconds() / 60:g} min"
