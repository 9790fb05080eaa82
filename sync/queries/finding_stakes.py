"""The reports that findings are about, and what they come to."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from django.db.models import Q

from sync.domain.pricing import Money
from sync.models import Customer, Finding, UsageReport
from sync.queries.amounts import total
from sync.queries.report_moves import amounts_of_reports
from sync.queries.waiting_reports import WAITS_FOR_A_PERSON

Status = UsageReport.Status

WAITING: Mapping[str, str] = {
    Finding.Kind.BRAKE: Status.HELD,
    Finding.Kind.HALF_CLOSED: Status.HELD,
    Finding.Kind.ALREADY_BILLED: Status.HELD,
    Finding.Kind.LATE: Status.LATE,
    Finding.Kind.REJECTED: Status.REJECTED,
    Finding.Kind.UNKNOWN_OUTCOME: Status.UNKNOWN,
}
"""The status of the reports that wait, by the kind of finding that says so."""
ONE_REPORT = "report:"
"""How the fingerprint of a finding about a single report begins; others are about their meter."""

MOST_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Stakes:
    """The reports of a finding that still wait for a person: how many, whose, and the money in them."""

    reports: int = 0
    amounts: Sequence[Money] = field(default_factory=list)
    customers: Sequence[Customer] = field(default_factory=list)
    """Whose reports they are, each once, whoever has waited longest first."""
    first: Sequence["WaitingReport"] = field(default_factory=list)
    """Those that have waited longest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingReport:
    """A report that waits, and what it would add to its customer's bill."""

    report: UsageReport
    amounts: Sequence[Money]


def count_of(finding: Finding) -> int:
    """Return how many of a finding's reports still wait for a person."""
    which = _Which.of(finding)
    return UsageReport.objects.filter(which.condition, WAITS_FOR_A_PERSON).count() if which else 0


def report_of(finding: Finding) -> UsageReport | None:
    """Return the one report that a finding is about, whatever became of it; None for other findings."""
    if not finding.fingerprint.startswith(ONE_REPORT):
        return None
    reports = UsageReport.objects.select_related("enrolment__meter", "enrolment__customer")
    return reports.filter(identifier=finding.fingerprint.removeprefix(ONE_REPORT)).first()


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
        .select_related("enrolment__meter", "enrolment__customer")
        .order_by("slice_start", "pk")
    )
    waiting: dict[_Which, list[WaitingReport]] = defaultdict(list)
    for report, amounts in zip(reports, amounts_of_reports(reports), strict=True):
        for which in _Which.all_of(report):
            waiting[which].append(WaitingReport(report=report, amounts=amounts))
    return {pk: _stakes(waiting[which]) for pk, which in chosen.items()}


def _stakes(waiting: Sequence[WaitingReport]) -> Stakes:
    customers = {one.report.enrolment.customer_id: one.report.enrolment.customer for one in waiting}
    return Stakes(
        reports=len(waiting),
        amounts=total([one.amounts for one in waiting]),
        customers=list(customers.values()),
        first=waiting[:MOST_SHOWN],
    )


@dataclass(frozen=True, slots=True)
class _Which:
    """Reports of one status: a single one by its identifier, or all of a meter."""

    status: str
    identifier: str = ""
    meter_id: int = 0
    why_held: str = ""
    """Of what is held: the kind of finding that says why."""

    @classmethod
    def of(cls, finding: Finding) -> "_Which | None":
        status = WAITING.get(finding.kind)
        if status is None:
            return None
        if finding.fingerprint.startswith(ONE_REPORT):
            return cls(status, identifier=finding.fingerprint.removeprefix(ONE_REPORT))
        why_held = finding.kind if status == Status.HELD else ""
        return cls(status, meter_id=finding.meter_id or 0, why_held=why_held)

    @classmethod
    def all_of(cls, report: UsageReport) -> "Sequence[_Which]":
        """Return every way to name this report."""
        status = report.status
        return (
            cls(status, identifier=report.identifier),
            cls(
                status,
                meter_id=report.enrolment.meter_id,
                why_held=_why_held(report) if status == Status.HELD else "",
            ),
        )

    @property
    def condition(self) -> Q:
        if self.identifier:
            return Q(identifier=self.identifier, status=self.status)
        chosen = Q(enrolment__meter=self.meter_id, status=self.status)
        return chosen & _HELD[self.why_held] if self.status == Status.HELD else chosen


_HELD: Mapping[str, Q] = {
    Finding.Kind.BRAKE: Q(half_closed=False, beside=None),
    Finding.Kind.HALF_CLOSED: Q(half_closed=True, beside=None),
    Finding.Kind.ALREADY_BILLED: Q(beside__isnull=False),
}
"""Which of the held reports a kind of finding is about."""


def _why_held(report: UsageReport) -> str:
    if report.beside is not None:
        return Finding.Kind.ALREADY_BILLED
    return Finding.Kind.HALF_CLOSED if report.half_closed else Finding.Kind.BRAKE
