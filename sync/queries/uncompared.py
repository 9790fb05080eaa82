"""Which reports may be sent only after Stripe was asked what it holds of their slices already."""

from datetime import datetime

from django.db.models import F, Q

from sync.domain.retries import RESEND_LIMIT
from sync.domain.timeline import HOUR
from sync.models import UsageReport

COMPARED_FOR = RESEND_LIMIT
"""So long a comparison holds: what was sent since is refused by its name, if this ledger has forgotten it."""


def is_uncompared(now: datetime) -> Q:
    """Return the condition for rows that surely never arrived and could bill something twice, unseen.

    Before an enrolment's first delivery another tool may have reported; of a database that was put back
    nobody knows what it had sent. Within a day Stripe refuses a name that it knows. Not so where the slice is
    older, nor where it is longer than an hour: its hours may have been sent under names of their own. Nor
    does a name protect what is late: it is carried forward under another one.
    """
    not_lately = Q(compared_at=None) | Q(compared_at__lte=now - COMPARED_FOR)
    old = Q(slice_end__lte=now - RESEND_LIMIT)
    long = Q(slice_end__gt=F("slice_start") + HOUR)
    first = Q(enrolment__checked_at=None)
    status = UsageReport.Status
    is_sent = Q(status=status.PENDING) & not_lately & (old | long | first)
    return Q(maybe_arrived=False) & (is_sent | Q(status=status.LATE, compared_at=None))
