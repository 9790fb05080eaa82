"""Say that what Stripe refused without naming it was looked for in its totals."""

from collections.abc import Collection
from datetime import datetime

from django.db import transaction

from sync.models import StripeNotice
from sync.operations.show_unnamed import end_unnamed


def mark_compared(notice_ids: Collection[int], *, now: datetime) -> None:
    """These notices are compared, and their findings over: what was missing has findings of its own.

    Safe to repeat; a notice that needs no comparison stays as it is.
    """
    with transaction.atomic():
        notices = StripeNotice.objects.filter(
            pk__in=notice_ids, needs_comparison=True, compared_at=None
        ).select_for_update(of=("self",))
        for notice in notices:
            end_unnamed(notice, resolution="What was sent then was compared with Stripe's totals.", now=now)
        StripeNotice.objects.filter(pk__in=[one.pk for one in notices]).update(compared_at=now)
