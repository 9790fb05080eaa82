"""The rate limit for meter events, shared by all workers through one row."""

from datetime import datetime, timedelta

from django.db import connection
from django.db.models.functions import Now

from sync.models import CallBudget

BUDGET = "meter_events"
LONGEST_LEAD = timedelta(seconds=1)
"""Calls are reserved at most this far ahead: a row should not be claimed long before it is sent."""
CLOCK_JUMP = timedelta(minutes=1)
"""A reservation further ahead than this can only come from a clock that was set back."""


def reserve_calls(*, wanted: int, per_second: int) -> tuple[int, float]:
    """Up to `wanted` calls are reserved; return how many, and in how many seconds the first may start.

    The calls may start `1 / per_second` apart. Must be called inside a transaction: the reservation is
    committed with what it was made for.
    """
    budget = _locked_budget()
    now = _database_now()
    if budget.next_call_at > now + CLOCK_JUMP:
        budget.next_call_at = now
    first = max(budget.next_call_at, now)
    lead = first - now
    room = int((LONGEST_LEAD - lead).total_seconds() * per_second)
    granted = max(0, min(wanted, room))
    if granted:
        budget.next_call_at = first + timedelta(seconds=granted / per_second)
        budget.save(update_fields=["next_call_at"])
    return granted, lead.total_seconds()


def _locked_budget() -> CallBudget:
    locked = CallBudget.objects.select_for_update()
    found = locked.filter(name=BUDGET).first()
    if found:
        return found
    CallBudget.objects.get_or_create(name=BUDGET, defaults={"next_call_at": _database_now()})
    return locked.get(name=BUDGET)


def postpone_calls(delay: timedelta) -> None:
    """No worker starts a call before `delay` has passed: Stripe said 429."""
    CallBudget.objects.filter(name=BUDGET, next_call_at__lt=Now() + delay).update(next_call_at=Now() + delay)


def _database_now() -> datetime:
    """Return the database's clock, the only one that all workers share."""
    if connection.vendor == "sqlite":
        expression = "strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')"
    else:
        expression = "clock_timestamp()"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {expression}")
        value = cursor.fetchone()[0]
    return datetime.fromisoformat(value) if isinstance(value, str) else value
