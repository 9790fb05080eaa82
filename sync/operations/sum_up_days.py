"""Keep what each meter's days come to, so that no page has to add up the ledger."""

import logging
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, time

from django.db import transaction
from django.db.models import Q

from sync.domain.timeline import DAY
from sync.models import UsageDay, UsageReport
from sync.queries.day_sums import Sums, slices, sum_rows

logger = logging.getLogger("sync.report")

MOST_DAYS = 120
"""How many days one call adds up; after a long outage the rest is left to the next one."""


def mark_days(touched: Iterable[tuple[int, datetime]], *, now: datetime) -> None:
    """The days of these slices, by (meter, slice start), are added up again once they have changed.

    Call it in the transaction that changes them. What only goes on from waiting to sent needs no mark: a day
    in which something waits is added up again anyway.
    """
    days = sorted({(meter, start.astimezone(UTC).date()) for meter, start in touched})
    UsageDay.objects.bulk_create(
        [UsageDay(meter_id=meter, day=day, stale=True, summed_at=now) for meter, day in days],
        update_conflicts=True,
        unique_fields=["meter", "day"],
        update_fields=["stale"],
    )


def sum_up_days(*, now: datetime) -> int:
    """Days in which something changed or waits are added up from the ledger, newest first; return how many.

    Memory stays flat however many reports a day has. Safe to repeat, and beside itself: a day is locked while
    it is read, so that an older sum never replaces a newer one.
    """
    due = UsageDay.objects.filter(Q(stale=True) | Q(waiting__gt=0)).order_by("-day", "meter")
    keys = list(due.values_list("pk", flat=True)[:MOST_DAYS])
    for key in keys:
        with transaction.atomic(), suppress(UsageDay.DoesNotExist):
            _sum_up(UsageDay.objects.select_for_update(of=("self",)).select_related("meter").get(pk=key), now)
    return len(keys)


def try_to_sum_up_days(*, now: datetime) -> None:
    """As `sum_up_days`, for the end of work that must not fail by it: what fails is left to the next call."""
    try:
        sum_up_days(now=now)
    except Exception:
        logger.exception("days.not_summed")


def sum_up_days_after_commit(*, now: datetime) -> None:
    """As `try_to_sum_up_days`, once the transaction that this is called in has been committed."""
    transaction.on_commit(lambda: try_to_sum_up_days(now=now))


def _sum_up(day: UsageDay, now: datetime) -> None:
    start = datetime.combine(day.day, time(tzinfo=UTC))
    reports = UsageReport.objects.filter(
        enrolment__meter=day.meter, slice_start__gte=start, slice_start__lt=start + DAY
    )
    sums = Sums(sets_hours=day.meter.sets_hours)
    for revisions in slices(sum_rows(reports)):
        sums.add(revisions)
    day.measured_units, day.delivered_units = sums.measured, sums.held
    day.delivered, day.waiting, day.failed = sums.delivered, sums.waiting, sums.failed
    day.stale, day.summed_at = False, now
    day.save()
