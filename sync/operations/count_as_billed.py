"""A person's decision that what Stripe holds of a slice already is this usage: only the rest is sent."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from sync.domain.comparison import Comparison
from sync.domain.summaries import SummarySource
from sync.models import UsageReport
from sync.operations.adopt_units import adopt_units
from sync.operations.compare_with_stripe import Unreadable, around, compare_with_stripe, one_stretch_each
from sync.operations.measure_anew import measure_slices_anew
from sync.operations.record_findings import end_report_findings
from sync.operations.resolve_report import decision
from sync.operations.sum_up_days import mark_days, sum_up_days_after_commit
from sync.ports import InvalidInput

Status = UsageReport.Status


@dataclass(slots=True, kw_only=True)
class Counted:
    """Reports that were replaced, with what took their place, and why others were not."""

    done: int = 0
    changed: list[UsageReport] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def count_as_billed(
    report_ids: Collection[int],
    *,
    why: str,
    who: str,
    source: SummarySource,
    clock: Callable[[], datetime],
) -> Counted:
    """What Stripe holds of these held reports' slices counts as told; what lacks is sent by the next run.

    Stripe is asked once more, outside of transactions: what it holds now counts, not what was found before.
    Only reports that are held because Stripe holds something; each is decided by itself, and once.
    """
    if not why.strip():
        msg = "What Stripe holds counts as billed for a reason: say which."
        raise InvalidInput(msg)
    result = Counted()
    rows = list(
        _waiting().filter(pk__in=report_ids).select_related("enrolment__customer", "enrolment__meter")
    )
    for page in compare_with_stripe(one_stretch_each(rows), source=source, clock=clock):
        for found in page:
            # What else of a slice is held for it goes along.
            mine = {row.slice_start: row.pk for row in rows if row.enrolment_id == found.enrolment_id}
            if isinstance(found, Unreadable):
                result.refused.append(str(found.error))
                continue
            said = decision("Counted as billed already", why, who, clock())
            for pk in mine.values():
                _count(pk, found, result, said=said, now=clock())
    return result


def _waiting() -> QuerySet[UsageReport]:
    return UsageReport.objects.filter(status=Status.HELD, beside__isnull=False)


def _count(pk: int, found: Comparison, result: Counted, *, said: str, now: datetime) -> None:
    with transaction.atomic():
        measure_slices_anew(UsageReport.objects.filter(pk=pk))
        report = (
            _waiting()
            .select_for_update(of=("self",))
            .select_related("enrolment__meter", "enrolment__customer")
            .filter(pk=pk)
            .first()
        )
        if report is None:
            result.refused.append(f"Report {pk} was decided on meanwhile.")
            return
        here = around(report, found)
        if here.doubtful:
            result.refused.append(
                f"Report {pk}: other reports of the same hours were sent just now, or their outcome is "
                "unknown; decide on it once that is settled."
            )
            return
        if here.agrees:
            result.refused.append(
                f"Report {pk}: Stripe holds nothing any more that this console did not send; release it."
            )
            return
        result.changed += [report, *adopt_units(report, here, decision=said, run=None, now=now)]
        result.done += 1
        end_report_findings([report], now=now, resolution=said)
        mark_days([(report.enrolment.meter_id, report.slice_start)], now=now)
        sum_up_days_after_commit(now=now)
