"""What follows from a mirror that is up to date: who is reported, and what stands in the way."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice

from sync.models import Finding
from sync.operations.find_obstacles import (
    find_item_obstacles,
    find_meter_obstacles,
    find_silent_customers,
)
from sync.operations.link_meters import MeterProblem, link_meters
from sync.operations.mirror_catalog import Tally
from sync.operations.record_findings import FoundIssue, record_findings, resolve_absent
from sync.ports import SyncError, UsageSource

Kind = Finding.Kind

ALWAYS_KNOWN = (Kind.SUBJECT_CLAIMED_TWICE, Kind.ITEM_WITHOUT_METER, Kind.BILLED_TWICE, Kind.LEGACY_PRICE)
"""Findings that Stripe's answers alone decide."""
KNOWN_WITH_METERS = (Kind.METER_WITHOUT_SLUG, Kind.METER_UNSUPPORTED)
"""Findings that are only over once OpenMeter's meters were read, too."""
KNOWN_WITH_USAGE = (Kind.SUBJECT_NEVER_SEEN,)
"""Findings that are only over once OpenMeter was asked for usage."""
BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorSummary:
    """What a sync saw and did. `openmeter_problem` is a sentence where OpenMeter did not answer."""

    seen: Mapping[str, int]
    changed: Mapping[str, int]
    findings: Mapping[str, int]
    """Kind → how many of it this sync found."""
    new_findings: int
    resolved_findings: int
    openmeter_problem: str
    invoices_problem: str = ""
    """A sentence where the key may not read invoices: periods then close as the setting says."""
    refusals_problem: str = ""
    """A sentence where it cannot be known what Stripe refused after it had taken it."""
    remark: str = ""
    """What people should know about how it was read."""
    went_on: bool = False
    """Whether part of it was read by an earlier sync, which was interrupted."""


def ask_for_meters(openmeter: UsageSource) -> tuple[Mapping[int, MeterProblem] | None, str]:
    """Meters are tied; return what is wrong with them, or None and why OpenMeter could not be asked."""
    try:
        return link_meters(openmeter.meters()), ""
    except SyncError as error:
        return None, str(error)


def record_obstacles(
    *,
    contested: Sequence[FoundIssue],
    linked: Mapping[int, MeterProblem] | None,
    usage_is_known: bool,
    tally: Tally,
    problem: str,
    invoices_problem: str = "",
    now: datetime,
) -> MirrorSummary:
    """Every obstacle has its finding, and those that are over are resolved where that can be known.

    `linked` is None where OpenMeter's meters were not read; `problem` says why, if they should have been.
    """
    found = chain(contested, find_item_obstacles(), find_meter_obstacles(linked or {}))
    issues, new = _record(chain(found, find_silent_customers()) if usage_is_known else found, now=now)
    decided: tuple[Finding.Kind, ...] = ALWAYS_KNOWN
    if linked is not None:
        decided += KNOWN_WITH_METERS
    if usage_is_known:
        decided += KNOWN_WITH_USAGE
    return MirrorSummary(
        seen=tally.seen,
        changed=tally.changed,
        findings=dict(Counter(issue.kind.value for issue in issues)),
        new_findings=new,
        resolved_findings=resolve_absent(decided, seen=issues, now=now),
        openmeter_problem=problem,
        invoices_problem=invoices_problem,
    )


def _record(found: Iterable[FoundIssue], *, now: datetime) -> tuple[list[FoundIssue], int]:
    """Record issues in batches; return them all and how many were new."""
    issues: list[FoundIssue] = []
    new, waiting = 0, iter(found)
    while batch := list(islice(waiting, BATCH)):
        new += record_findings(batch, now=now)
        issues += batch
    return issues, new
