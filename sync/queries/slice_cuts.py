"""Where slices begin and end within an hour: at the minute in which a billing period, or a trial, does."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime

from django.db.models import Q

from sync.domain.timeline import MINUTE, Span, floor_to
from sync.models import UsageReport


def slice_cuts(enrolment_ids: Collection[int], span: Span) -> Mapping[int, set[datetime]]:
    """Return for each enrolment the minutes in `span`, not whole hours, in which a slice begins or ends.

    Stripe sums up by whole minutes only.
    """
    within_an_hour = ~Q(slice_start__minute=0) | ~Q(slice_end__minute=0)
    rows = UsageReport.objects.filter(
        within_an_hour,
        enrolment__in=enrolment_ids,
        slice_start__lt=span.end,
        slice_end__gt=span.start,
    )
    found: dict[int, set[datetime]] = defaultdict(set)
    for enrolment, *bounds in rows.values_list("enrolment", "slice_start", "slice_end"):
        minutes = {floor_to(at, MINUTE) for at in bounds}
        found[enrolment] |= {at for at in minutes if at.minute and span.start < at < span.end}
    return found
