"""Keep what each meter's days come to, so that no page has to add up the ledger."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import groupby
from typing import NamedTuple

from django.db import transaction
from django.db.models import Q, TextField
from django.db.models.functions import Cast

from sync.domain.accounts import Counts
from sync.domain.quantities import exact_sum
from sync.domain.timeline import DAY
from sync.models import UsageDay, UsageReport
from sync.models.ledger import how_it_counts

logger = logging.getLogger("sync.report")

Status = UsageReport.Status

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
    sums = _Sums(sets_hours=day.meter.sets_hours)
    for _slice, revisions in groupby(_rows(day.meter_id, day.day), key=lambda row: row[:2]):
        sums.add(revisions)
    day.measured_units, day.delivered_units = sums.measured, sums.held
    day.delivered, day.waiting, day.failed = sums.delivered, sums.waiting, sums.failed
    day.stale, day.summed_at = False, now
    day.save()


class _Row(NamedTuple):
    enrolment: int
    slice_start: str
    status: str
    written_off: bool
    next_attempt_at: datetime | None
    quantity: str
    value: str

    @property
    def waits(self) -> bool:
        return self.status in {Status.PENDING, Status.SENDING} or (
            self.status == Status.UNKNOWN and self.next_attempt_at is not None
        )


def _rows(meter: int, day: date) -> Iterator[_Row]:
    """Yield the day's rows, slice by slice, revisions in order.

    Instants and quantities are read as text: converting them costs more than all the rest.
    """
    start = datetime.combine(day, time(tzinfo=UTC))
    rows = (
        UsageReport.objects.filter(
            enrolment__meter=meter, slice_start__gte=start, slice_start__lt=start + DAY
        )
        .order_by("enrolment", "slice_start", "revision")
        .values_list(
            "enrolment_id",
            Cast("slice_start", TextField()),
            "status",
            "written_off",
            "next_attempt_at",
            Cast("quantity", TextField()),
            Cast("value", TextField()),
        )
    )
    return map(_Row._make, rows.iterator(chunk_size=2000))


@dataclass(slots=True)
class _Sums:
    sets_hours: bool
    measured: Decimal = field(default=Decimal(0))
    held: Decimal = field(default=Decimal(0))
    delivered: int = 0
    waiting: int = 0
    failed: int = 0

    def add(self, revisions: Iterable[_Row]) -> None:
        """Add one slice, by its revisions in order."""
        quantity, held = Decimal(0), Decimal(0)
        for row in revisions:
            if how_it_counts(row.status, written_off=row.written_off) is not Counts.NOT:
                quantity = Decimal(row.quantity)
            if row.status == Status.DELIVERED:
                self.delivered += 1
                held = Decimal(row.value) if self.sets_hours else exact_sum([held, Decimal(row.value)])
            elif row.waits:
                self.waiting += 1
            elif row.status in UsageReport.BLOCKING:
                self.failed += 1
        self.measured = exact_sum([self.measured, quantity])
        self.held = exact_sum([self.held, held])
