"""Runs in words: what they do, for whom, how long it took and what came of it."""

from collections.abc import Mapping
from datetime import timedelta

from sync.models import ReportRun
from sync.queries.planning import Scope

Kind, Trigger = ReportRun.Kind, ReportRun.Trigger

KINDS: Mapping[str, str] = {
    Kind.REPORT: "Report usage",
    Kind.SYNC: "Sync with Stripe",
    Kind.CHANGES: "Read what changed in Stripe",
    Kind.RECONCILE: "Compare all sides",
}
TRIGGERS: Mapping[str, str] = {
    Trigger.ADMIN: "asked for here",
    Trigger.COMMAND: "by a command",
    Trigger.SCHEDULE: "by the schedule",
}
COUNTERS: Mapping[str, str] = {
    "delivered": "delivered",
    "planned": "newly planned",
    "waiting": "not sent yet",
    "unknown": "of unknown outcome",
    "rejected": "refused by Stripe",
    "held": "held for a person",
    "late": "too late",
    "carried": "carried forward",
    "elsewhere": "sent by another worker",
    "planned_elsewhere": "planned by another worker",
}
"""What a report run counts, in the order in which people want to know it."""


def scope_words(run: ReportRun) -> str:
    """Return what a run is limited to, by the names that it was asked with."""
    scope = Scope.stored(run.scope)
    words = []
    if scope.customer:
        words.append(f"customer {scope.customer}")
    if scope.meter:
        words.append(f"meter {scope.meter}")
    if len(scope.subscriptions) == 1:
        words.append(f"subscription {scope.subscriptions[0]}")
    elif scope.subscriptions:
        words.append(f"{len(scope.subscriptions)} subscriptions")
    return ", ".join(words) or "everything"


def duration(length: timedelta | None) -> str:
    """Return a length of time like "0.4 s", "12 s", "3 min 20 s" or "1 h 5 min"."""
    if length is None:
        return "–"
    seconds = max(0.0, length.total_seconds())
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def outcome_words(run: ReportRun, *, in_short: bool = False) -> list[tuple[str, int]]:
    """Return what a run counted, but for zeros: how it is called, and how many.

    In short, a sync says what was new to it, not what it saw.
    """
    if run.kind == Kind.RECONCILE:
        return [(name, count) for name, count in run.counters.items() if count]
    if run.kind != Kind.REPORT:
        counted = {name: count for name, count in sorted(run.counters.items()) if count}
        return _sync_in_short(counted) if in_short else list(counted.items())
    known = [(COUNTERS[name], run.counters[name]) for name in COUNTERS if run.counters.get(name)]
    other = [(name, count) for name, count in sorted(run.counters.items()) if count and name not in COUNTERS]
    return known + other


def _sync_in_short(counted: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return how much changed in all, and the findings."""
    changed = sum(count for name, count in counted.items() if name.endswith(" changed"))
    findings = [
        (name.removesuffix("s") if count == 1 else name, count)
        for name, count in counted.items()
        if name.endswith(" findings")
    ]
    return [*([("changed", changed)] if changed else []), *findings]
