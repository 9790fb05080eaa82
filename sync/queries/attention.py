"""What needs a person, and the money that hangs on it."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count

from sync.domain.pricing import Money
from sync.models import Finding, UsageReport
from sync.queries.amounts import total
from sync.queries.report_moves import amounts_of_reports
from sync.queries.waiting_reports import WAITS_FOR_A_PERSON

Status = UsageReport.Status

MOST_PRICED = 1000
"""So many reports are priced for the overview; where more wait, somebody has to look at the list anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The reports of one status that wait for a person."""

    status: str
    count: int
    money: Sequence[Money]
    """What they would add to bills; empty if no price is known."""
    unpriced: int
    """How many of them the money leaves out."""


def waiting_for_a_person() -> list[Waiting]:
    """Return what waits in each of the four states, also those without any. A constant number of queries."""
    waiting = UsageReport.objects.filter(WAITS_FOR_A_PERSON)
    counts = dict(waiting.order_by().values_list("status").annotate(Count("pk")))
    rows = waiting.select_related("enrolment__meter").order_by("status", "slice_start", "pk")[:MOST_PRICED]
    money: dict[str, list[Sequence[Money]]] = defaultdict(list)
    priced: Counter[str] = Counter()
    reports = list(rows) if counts else []
    for report, amounts in zip(reports, amounts_of_reports(reports), strict=True):
        money[report.status].append(amounts)
        priced[report.status] += 1
    return [
        Waiting(
            status=status,
            count=counts.get(status, 0),
            money=total(money[status]),
            unpriced=counts.get(status, 0) - priced[status],
        )
        for status in (Status.HELD, Status.LATE, Status.REJECTED, Status.UNKNOWN)
    ]


def count_open_findings() -> int:
    """Return how many findings nobody has resolved."""
    return Finding.objects.filter(resolved_at=None).count()
