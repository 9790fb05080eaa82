"""What the ledger says that was measured, by enrolment and UTC day, to be compared with OpenMeter's days."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from operator import itemgetter

from django.db.models import Q, TextField
from django.db.models.functions import Cast

from sync.domain.quantities import exact_add
from sync.domain.timeline import Span
from sync.models import Meter, UsageReport
from sync.queries.planning import EnrolmentToPlan, LedgerRow

CHUNK = 5000
"""How many ids go into one IN list here."""

FEW = 500
"""Up to so many are asked for by name; above, everybody's rows are read."""

Day = tuple[int, datetime]
"""An enrolment and the midnight (UTC) that its day begins at."""

BELIEVED = ~Q(status__in=UsageReport.WITHDRAWN) & ~Q(status=UsageReport.Status.DISMISSED, written_off=False)
"""Rows whose measurement stands: not what was taken back, nor what a person said is not true."""


def measured_by_day(meter: Meter, *, span: Span, enrolments: Sequence[int]) -> dict[Day, Decimal]:
    """Return what slices inside the span came to, unrounded, by enrolment and the day that they lie in.

    Of each slice the newest revision whose measurement stands. Days that hold nothing may be missing. Memory
    grows with enrolments and days, not with reports.
    """
    few = Q(enrolment__in=enrolments) if len(enrolments) <= FEW else Q()
    rows = (
        UsageReport.objects.filter(BELIEVED, few, enrolment__meter=meter)
        .filter(slice_start__gte=span.start, slice_end__lte=span.end)
        .order_by("enrolment", "slice_start", "revision")
        # Read as text: a month of hours is a long list, and the columns' own reading is careful but slow.
        .values_list("enrolment_id", Cast("slice_start", TextField()), Cast("measured", TextField()))
    )
    found: dict[tuple[int, str], Decimal] = defaultdict(Decimal)
    for (pk, start), revisions in groupby(rows.iterator(chunk_size=5000), key=itemgetter(0, 1)):
        *_, (_pk, _start, measured) = revisions
        if measured != "0":
            key = pk, start[:10]
            found[key] = exact_add(found[key], Decimal(measured))
    return {(pk, _midnight(day)): total for (pk, day), total in found.items()}


def _midnight(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


def attach_rows_within(enrolments: Sequence[EnrolmentToPlan], span: Span) -> None:
    """Give enrolments the ledger rows of the slices that the span touches, and no others."""
    found = {one.id: one for one in enrolments}
    for one in enrolments:
        one.rows = []
    names = list(LedgerRow.__dataclass_fields__)
    for ids in _chunks(list(found)):
        rows = (
            UsageReport.objects.filter(enrolment__in=ids, slice_start__lt=span.end, slice_end__gt=span.start)
            .order_by("enrolment", "slice_start", "revision")
            .values_list("enrolment_id", *names)
        )
        for pk, *values in rows.iterator(chunk_size=2000):
            found[pk].rows.append(LedgerRow(**dict(zip(names, values, strict=True))))


def _chunks(ids: Sequence[int]) -> Collection[Sequence[int]]:
    return [ids[first : first + CHUNK] for first in range(0, len(ids), CHUNK)]
