"""How many units Stripe holds, or will hold without anybody's doing, of an enrolment in a stretch of time."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from django.db.models import F, Q, TextField
from django.db.models.functions import Cast

from sync.domain.quantities import exact_add, exact_sum
from sync.domain.timeline import Span
from sync.models import UsageReport

Status = UsageReport.Status

NOTHING = Decimal(0)
SECONDS = len("2026-03-10 09:59:59")
CHUNK = 5000
"""How many ids go into one IN list here: SQLite and PostgreSQL both take many more."""

ASIDE = Q(
    status=Status.DISMISSED,
    written_off=True,
    beside__isnull=False,
    value=F("beside"),
    enrolment__meter__event_time_window="hour",
)
"""Rows that say what Stripe holds in other hours of a slice than that of its event.

`operations.adopt_units` makes them. They count beside the slice's own value, which does not change them.
"""
GOES_TO_STRIPE = (
    ASIDE
    | Q(status__in=(Status.DELIVERED, Status.PENDING, Status.SENDING))
    | Q(status=Status.UNKNOWN, next_attempt_at__isnull=False)
)
"""Rows whose value Stripe was told or will be, as long as no person decides otherwise."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A stretch of an enrolment's time. A report lies in it if its event does."""

    enrolment_id: int
    span: Span


DELIVERED = ASIDE | Q(status=Status.DELIVERED)
"""Rows whose value Stripe surely has."""


def held_units(asked: Sequence[Asked], *, counted: Q = GOES_TO_STRIPE) -> list[Decimal]:
    """Return the units of each stretch, in the order asked, of the rows that are `counted`.

    One query for every few thousand enrolments. Quantities are text on SQLite, so they are added up here.
    """
    if not asked:
        return []
    begin, end = min(one.span.start for one in asked), max(one.span.end for one in asked)
    cuts = _Cuts(asked)
    ids = sorted({one.enrolment_id for one in asked})
    for first in range(0, len(ids), CHUNK):
        rows = (
            UsageReport.objects.filter(counted, enrolment__in=ids[first : first + CHUNK])
            .filter(event_at__gte=begin, event_at__lt=end)
            .order_by("enrolment", "slice_start", "revision")
            # Read as text: a month of hours is a long list, and the columns' own reading is careful but slow.
            .values_list(
                "enrolment_id",
                Cast("event_at", TextField()),
                Cast("slice_start", TextField()),
                Cast("value", TextField()),
                "enrolment__meter__event_time_window",
                "status",
            )
        )
        cuts.take(rows.iterator(chunk_size=5000))
    return [cuts.units(one) for one in asked]


class _Cuts:
    """Adds rows up between all points where somebody's stretch begins or ends; instants stay text."""

    def __init__(self, asked: Iterable[Asked]) -> None:
        points: dict[int, set[str]] = defaultdict(set)
        for one in asked:
            points[one.enrolment_id] |= {_text(one.span.start), _text(one.span.end)}
        self._points = {pk: sorted(found) for pk, found in points.items()}
        self._values: dict[tuple[int, int], dict[str, Decimal]] = defaultdict(dict)

    def take(self, rows: Iterable[tuple[int, str, str, str, str, str]]) -> None:
        """Add rows, revisions in order."""
        for pk, event_at, slice_start, text, window, status in rows:
            # An event's time is a whole second, and UTC in every database.
            values = self._values[pk, bisect_right(self._points[pk], event_at[:SECONDS])]
            if window == "hour":
                # One value stands for an hour: a newer one takes its place.
                values[slice_start + (status if status == Status.DISMISSED else "")] = Decimal(text)
            else:
                values[""] = exact_add(values.get("", NOTHING), Decimal(text))

    def units(self, one: Asked) -> Decimal:
        """Return what a stretch comes to."""
        points = self._points[one.enrolment_id]
        first, last = points.index(_text(one.span.start)) + 1, points.index(_text(one.span.end)) + 1
        parts = [
            value
            for number in range(first, last)
            for value in self._values.get((one.enrolment_id, number), {}).values()
        ]
        return exact_sum(parts)


def _text(instant: datetime) -> str:
    """Return an instant as databases write it, so that texts come in the order of time."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")
