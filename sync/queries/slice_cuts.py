"""Where slices begin and end within an hour: at the minute in which a billing period, or a trial, does."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime

from django.db.models import Q

from sync.domain.timeline import MINUTE, Span, floor_to
from sync.models import UsageReport


def slice_cuts(enrolment_ids: Collection[int], span: Span) -> defaultdict[int, set[datetime]]:
    """Return for each enrolment the minutes, not whole hours, in which a slice begins or ends in `span`.

    Stripe sums up by whole minutes only.
    """
    within_an_hour = ~Q(slice_start__minute=0) | ~Q(slice_end__minute=0)
    rows = UsageReport.objects.filter(
        within_an_hour,
        enrolment__in=enrolment_ids,
        slice_start__lt=span.end,
        slice_end__gt=span.start,
    )
    found: defaultdict[int, set[datetime]] = defaultdict(set)
    for enrolment, start, end in rows.values_list("enrolment", "slice_start", "slice_end"):
        found[enrolment] |= minutes_within_hours([Span(start, end)])
    return found


def minutes_within_hours(slices: Iterable[Span]) -> set[datetime]:
    """Return the minutes, not whole hours, in which these begin or end."""
    minutes = {floor_to(at, MINUTE) for one in slices for at in (one.start, one.end)}
    return {at for at in minutes if at.minute}
