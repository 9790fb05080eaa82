"""The reports that findings are about, and what they come to."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from django.db.models import Q

from sync.domain.pricing import Money
from sync.models import Finding, UsageReport
from sync.queries.amounts import total
from sync.queries.report_moves import amounts_of_reports
from sync.queries.waiting_reports import WAITS_FOR_A_PERSON

Status = UsageReport.Status

WAITING: Mapping[str, str] = {
    Finding.Kind.BRAKE: Status.HELD,
    Finding.Kind.LATE: Status.LATE,
    Finding.Kind.REJECTED: Status.REJECTED,
    Finding.Kind.UNKNOWN_OUTCOME: Status.UNKNOWN,
}
"""The status of the reports that wait, by the kind of finding that says so."""
ONE_REPORT = "report:"
"""How the fingerprint of a finding about a single report begins; others are about their meter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stakes:
    """How many reports of a finding still wait for a person, and the money in them per currency."""

    reports: int = 0
    amounts: Sequence[Money] = field(default_factory=list)


def count_of(finding: Finding) -> int:
    """Return how many of a finding's reports still wait for a person."""
    which = _Which.of(finding)
    return UsageReport.objects.filter(which.condition, WAITS_FOR_A_PERSON).count() if which else 0


def stakes_of(findings: Iterable[Finding]) -> dict[int, Stakes]:
    """Return what is at stake in each open finding (by id) whose reports still wait.

    A constant number of queries for any number of findings.
    """
    chosen = {
        finding.pk: which
        for finding in findings
        if finding.resolved_at is None and (which := _Which.of(finding))
    }
    if not chosen:
        return {}
    wanted = Q()
    for which in set(chosen.values()):
        wanted |= which.condition
    reports = list(
        UsageReport.objects.filter(wanted, WAITS_FOR_A_PERSON)
        .select_related("enrolment__meter")
        .order_by("slice_start", "pk")
    )
    worth: dict[_Which, list[Sequence[Money]]] = defaultdict(list)
    for report, amounts in zip(reports, amounts_of_reports(reports), strict=True):
        for which in _Which.all_of(report):
            worth[which].append(amounts)
    return {
        pk: Stakes(reports=len(worth[which]), amounts=total(worth[which])) for pk, which in chosen.items()
    }


@dataclass(frozen=True, slots=True)
class _Which:
    """Reports of one status: a single one by its identifier, or all of a meter."""

    status: str
    identifier: str = ""
    meter_id: int = 0

    @classmethod
    def of(cls, finding: Finding) -> "_Which | None":
        status = WAITING.get(finding.kind)
        if status is None:
            return None
        if finding.fingerprint.startswith(ONE_REPORT):
            return cls(status, identifier=finding.fingerprint.removeprefix(ONE_REPORT))
        return cls(status, meter_id=finding.meter_id or 0)

    @classmethod
    def all_of(cls, report: UsageReport) -> "Sequence[_Which]":
        """Return every way to name this report."""
        status = report.status
        return (
            cls(status, identifier=report.identifier),
            cls(status, meter_id=report.enrolment.meter_id),
        )

    @property
    def condition(self) -> Q:
        if self.identifier:
            return Q(identifier=self.identifier, status=self.status)
        return Q(enrolment__meter=self.meter_id, status=self.status)
