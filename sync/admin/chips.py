"""States as chips: a word and an icon, so that colour is never the only sign."""

from collections.abc import Mapping
from datetime import datetime

from django.utils.html import format_html
from django.utils.safestring import SafeString

from sync.models import ReportRun, UsageReport
from sync.operations.check_connections import May
from sync.queries.closing_periods import ClosingPeriod
from sync.queries.day_sums import DayState
from sync.queries.reporting_health import SLICE_SHOULD_BE_IN

Status = UsageReport.Status

GOOD, WAITS, BAD, QUIET = "good", "waits", "bad", "quiet"
"""Tones: done as it should be, will go on by itself, needs a person, over."""

REPORTS: Mapping[str, tuple[str, str, str]] = {
    Status.PENDING: ("pending", WAITS, "schedule"),
    Status.SENDING: ("sending", WAITS, "sync"),
    Status.DELIVERED: ("delivered", GOOD, "check_circle"),
    Status.UNKNOWN: ("unknown", BAD, "help"),
    Status.REJECTED: ("refused", BAD, "block"),
    Status.SUPERSEDED: ("superseded", QUIET, "history"),
    Status.REPLACED: ("replaced", QUIET, "history"),
    Status.HELD: ("held", BAD, "front_hand"),
    Status.LATE: ("late", BAD, "alarm"),
    Status.CARRIED: ("carried", QUIET, "redo"),
    Status.DISMISSED: ("dismissed", QUIET, "do_not_disturb_on"),
}
"""Word, tone and icon of every status in the ledger."""

ATTEMPTS: Mapping[str, tuple[str, str, str]] = {
    "TemporaryFailure": ("not now", WAITS, "replay"),
    "NotSent": ("not sent", WAITS, "replay"),
    "OutcomeUnknown": ("outcome unknown", WAITS, "help"),
    "DuplicateIdentifier": ("was there already", WAITS, "content_copy"),
    "KeyTaken": ("name is taken", BAD, "content_copy"),
    "MeterRefused": ("meter refused", BAD, "speed"),
    "Misconfigured": ("not allowed", BAD, "key_off"),
    "Rejected": ("refused", BAD, "block"),
    "RefusedLater": ("refused later", BAD, "block"),
}
"""Word, tone and icon of what calls to Stripe come to, by the name of the error."""

RUNS: Mapping[str, tuple[str, str, str]] = {
    ReportRun.Status.QUEUED: ("queued", WAITS, "hourglass_empty"),
    ReportRun.Status.RUNNING: ("running", WAITS, "sync"),
    ReportRun.Status.SUCCEEDED: ("succeeded", GOOD, "check_circle"),
    ReportRun.Status.PARTIAL: ("partial", BAD, "rule"),
    ReportRun.Status.FAILED: ("failed", BAD, "error"),
    ReportRun.Status.CANCELLED: ("cancelled", QUIET, "cancel"),
    ReportRun.Status.INTERRUPTED: ("interrupted", BAD, "power_off"),
}
"""Word, tone and icon of every status of a run."""

SUBSCRIPTIONS: Mapping[str, tuple[str, str, str]] = {
    "active": ("active", GOOD, "check_circle"),
    "trialing": ("in trial", WAITS, "hourglass_top"),
    "past_due": ("past due", BAD, "credit_card_off"),
    "unpaid": ("unpaid", BAD, "money_off"),
    "paused": ("paused", QUIET, "pause_circle"),
    "canceled": ("ended", QUIET, "cancel"),
    "incomplete": ("incomplete", WAITS, "pending"),
    "incomplete_expired": ("never paid", QUIET, "block"),
}
"""Word, tone and icon of every status that Stripe gives a subscription."""

DAYS: Mapping[DayState, str] = {
    DayState.FAILED: "✕",
    DayState.SOME_FAILED: "!",
    DayState.WAITING: "…",
    DayState.DISMISSED: "–",
    DayState.DELIVERED: "✓",
    DayState.NOTHING: "·",
}
"""What a day says beside its colour."""


def chip(word: str, *, tone: str, icon: str) -> SafeString:
    """Return a state as a chip."""
    return format_html(
        '<span class="chip chip-{}"><span class="material-symbols-outlined" aria-hidden="true">{}</span>{}'
        "</span>",
        tone,
        icon,
        word,
    )


def report_chip(status: str) -> SafeString:
    """Return a report's status as a chip."""
    word, tone, icon = REPORTS[status]
    return chip(word, tone=tone, icon=icon)


def attempt_chip(outcome: str) -> SafeString:
    """Return what a call to Stripe came to as a chip."""
    word, tone, icon = ATTEMPTS.get(outcome, (outcome, BAD, "error"))
    return chip(word, tone=tone, icon=icon)


def run_chip(status: str) -> SafeString:
    """Return a run's status as a chip."""
    word, tone, icon = RUNS[status]
    return chip(word, tone=tone, icon=icon)


def subscription_chip(status: str) -> SafeString:
    """Return a subscription's status as a chip; one that nobody knew of here goes by Stripe's word."""
    word, tone, icon = SUBSCRIPTIONS.get(status, (status.replace("_", " "), QUIET, "help"))
    return chip(word, tone=tone, icon=icon)


def closing_chip(period: ClosingPeriod, now: datetime) -> SafeString:
    """Return whether the usage of a period that closes soon is in, as a chip."""
    if period.is_in:
        return chip("all in", tone=GOOD, icon="check_circle")
    if period.paused:
        return chip("paused", tone=BAD, icon="pause_circle")
    if period.end > now - SLICE_SHOULD_BE_IN:
        return chip("still counting", tone=WAITS, icon="timelapse")
    return chip("not in", tone=BAD, icon="error")


def yes_no_chip(*, is_good: bool, good: str, bad: str) -> SafeString:
    """Return one of two states as a chip."""
    if is_good:
        return chip(good, tone=GOOD, icon="check_circle")
    return chip(bad, tone=BAD, icon="error")


def may_chip(may: May) -> SafeString:
    """Return whether a key may do something as a chip."""
    tone, icon = {May.YES: (GOOD, "check_circle"), May.NO: (BAD, "block"), May.UNKNOWN: (QUIET, "help")}[may]
    return chip(may.value, tone=tone, icon=icon)
