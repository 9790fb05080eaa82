"""States as chips: a word and an icon, so that colour is never the only sign."""

from collections.abc import Mapping

from django.utils.html import format_html
from django.utils.safestring import SafeString

from sync.models import UsageReport

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
    "MeterRefused": ("meter refused", BAD, "speed"),
    "Misconfigured": ("not allowed", BAD, "key_off"),
    "Rejected": ("refused", BAD, "block"),
}
"""Word, tone and icon of what calls to Stripe come to, by the name of the error."""


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


def yes_no_chip(*, is_good: bool, good: str, bad: str) -> SafeString:
    """Return one of two states as a chip."""
    if is_good:
        return chip(good, tone=GOOD, icon="check_circle")
    return chip(bad, tone=BAD, icon="error")
