"""Find by Stripe's totals what it refused without naming it, and take that back."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from django.db import transaction

from sync.domain.comparison import Cell, Comparison
from sync.domain.notices import Refused
from sync.domain.quantities import as_text
from sync.domain.slices import claimed_span
from sync.domain.summaries import SummarySource
from sync.models import Enrolment, StripeNotice, UsageReport
from sync.operations.compare_with_stripe import Unreadable, Wanted, compare_with_stripe
from sync.operations.show_unnamed import end_unnamed, show_unexplained
from sync.operations.take_back import lock_rows, take_back_rows
from sync.queries.refused_stretches import notices_to_compare, sent_then, stretches_to_compare

CHUNK = 500


def find_unnamed(*, source: SummarySource, clock: Callable[[], datetime]) -> None:
    """What was sent when Stripe refused something, and its totals lack, is refused in the ledger.

    Notices are compared once, when what was sent then must be visible: one call for each customer to whom
    something was sent at that time. Where it cannot be told which reports are missing, the notice's finding
    says how much. Stripe is asked outside of transactions. Raises `SyncError` where it does not answer; the
    next call goes on. Safe to repeat and to run twice at once: a row is taken back once.
    """
    for notice in notices_to_compare(now=clock()):
        unexplained: list[str] = []
        for found in _compared(notice, source, clock):
            unexplained += _take_back(notice, found, now=clock())
        _settle(notice, unexplained, now=clock())


def _compared(
    notice: StripeNotice, source: SummarySource, clock: Callable[[], datetime]
) -> Iterator[Comparison]:
    stretches = list(stretches_to_compare(notice))
    for first in range(0, len(stretches), CHUNK):
        page = {one.enrolment_id: one.span for one in stretches[first : first + CHUNK]}
        enrolments = Enrolment.objects.select_related("customer", "meter").in_bulk(list(page))
        wanted = [
            Wanted(enrolment=enrolments[pk], span=claimed_span(span, sets_hours=True))
            for pk, span in page.items()
        ]
        for answers in compare_with_stripe(wanted, source=source, clock=clock):
            for one in answers:
                if isinstance(one, Unreadable):
                    raise one.error
                yield one


def _take_back(notice: StripeNotice, found: Comparison, *, now: datetime) -> list[str]:
    """Take back what one enrolment lacks; return sentences on what cannot be explained."""
    lacking = [cell for cell in found.cells if not cell.agrees and cell.units < cell.ledger]
    if not lacking:
        return []
    codes = ", ".join(sorted(notice.report.get("codes", {})))
    unexplained = []
    with transaction.atomic():
        sent = set(sent_then(notice).filter(enrolment=found.enrolment_id).values_list("pk", flat=True))
        missing: list[int] = []
        for cell in lacking:
            those = cell.missing(sent)
            missing += [one.report_id for one in those]
            if not those:
                unexplained.append(_numbers(cell))
        rows = [row for row in lock_rows(missing) if row.status == UsageReport.Status.DELIVERED]
        reason = Refused(code=codes, message="It did not say which, and its totals lack it.", names=())
        take_back_rows(rows, dict.fromkeys([row.pk for row in rows], reason), now=now)
    return unexplained


def _numbers(cell: Cell) -> str:
    return (
        f"from {cell.span.start:%Y-%m-%d %H:%M} to {cell.span.end:%Y-%m-%d %H:%M} UTC Stripe holds "
        f"{as_text(cell.units)} units of a customer and was told {as_text(cell.ledger)}"
    )


def _settle(notice: StripeNotice, unexplained: Sequence[str], *, now: datetime) -> None:
    with transaction.atomic():
        if unexplained:
            show_unexplained(notice, unexplained, now=now)
        else:
            end_unnamed(notice, resolution="What was sent then was compared with Stripe's totals.", now=now)
        StripeNotice.objects.filter(pk=notice.pk, compared_at=None).update(compared_at=now)
