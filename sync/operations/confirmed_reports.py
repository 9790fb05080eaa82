"""Which reports a person confirmed by a preview: what its run plans, and what it showed as due."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Q

from sync.domain.id_ranges import as_ranges, from_ranges
from sync.domain.pricing import Money
from sync.domain.quantities import as_text
from sync.models import UsageReport
from sync.queries.planning import Scope, enrolments_in


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmedReports:
    """What a confirmed run may send; what others planned or released since the preview is not among it."""

    run_id: int
    due: frozenset[int]
    """Reports (their ids) that waited to be sent when the person looked."""

    def candidates(self) -> Q:
        """Return a condition that holds for all of them, and for few others."""
        mine = Q(run=self.run_id)
        return mine | Q(pk__lte=max(self.due)) if self.due else mine

    def includes(self, report: UsageReport) -> bool:
        """Whether it is one of them. What this run planned as held, a person has released since."""
        return report.pk in self.due or (report.run_id == self.run_id and not report.decision)


def confirmed_reports(shown: Mapping[str, Any], *, run_id: int) -> ConfirmedReports:
    """Return what the run of a preview may send, from what `shown_with` wrote."""
    return ConfirmedReports(run_id=run_id, due=from_ranges(shown.get("due", "")))


def count_due(scope: Scope, only: ConfirmedReports | None) -> int:
    """Return how many reports of a scope wait to be sent, among those confirmed where some were."""
    due = UsageReport.objects.filter(enrolment__in=enrolments_in(scope), status=UsageReport.Status.PENDING)
    return due.filter(only.candidates() if only else Q()).count()


def shown_with(
    *, due: Iterable[int], units: Mapping[str, Decimal], amounts: Sequence[Money]
) -> dict[str, Any]:
    """Return what a preview shows beside its plan, for the run to keep.

    `due` are the ids of reports that wait to be sent, `units` theirs by meter (Stripe id), `amounts` the
    money of these and of the plan.
    """
    return {
        "due": as_ranges(due),
        "units": {meter: as_text(count) for meter, count in sorted(units.items()) if count},
        "amounts": [[str(money.minor), money.currency] for money in amounts],
    }
