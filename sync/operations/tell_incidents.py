"""E-mail ADMINS what began and what is over: one e-mail for all news of a kind."""

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from smtplib import SMTPException

from django.core.mail import mail_admins
from django.db import transaction
from django.db.models import Q

from sync.models import Incident

logger = logging.getLogger("sync.watch")

CLAIM = timedelta(minutes=2)
"""So long one worker has for an e-mail before another may try; longer than any mail server is waited for."""
QUIET = timedelta(minutes=5)
"""After an e-mail of a kind that goes on, further news of that kind are gathered for so long."""
NAMED = 20
"""Sentences that an e-mail has at most; the console's page has all of them."""

Kind = Incident.Kind


def tell_incidents(*, now: datetime) -> None:
    """ADMINS have one e-mail of each kind about what began, and one once nothing of it is open any more.

    What began and ended while nobody could be told is no news any more.
    """
    incidents = Incident.objects
    begun = Q(ended_at=None, told_at=None)
    for kind in _kinds(begun):
        told = incidents.filter(kind=kind, ended_at=None, told_at__isnull=False)
        if not told.filter(told_at__gt=now - QUIET).exists():
            _tell(kind, begun, "told_at", is_more=told.exists(), now=now)
    over = Q(ended_at__isnull=False, told_at__isnull=False, end_told_at=None)
    for kind in _kinds(over):
        if not incidents.filter(kind=kind, ended_at=None).exists():
            _tell(kind, over, "end_told_at", is_more=False, now=now)


def _kinds(news: Q) -> list[Incident.Kind]:
    found = Incident.objects.filter(news).order_by("kind").values_list("kind", flat=True).distinct()
    return [Kind(kind) for kind in found]


def _tell(kind: Incident.Kind, news: Q, column: str, *, is_more: bool, now: datetime) -> None:
    """ADMINS have the e-mail and `column` says when, or nobody else tries and the next call will."""
    claimed = _claim(kind, news, now=now)
    if not claimed:
        return
    mine = Incident.objects.filter(pk__in=[one.pk for one in claimed])
    subject, text = _beginning(kind, claimed, is_more) if column == "told_at" else _end(kind, claimed)
    try:
        mail_admins(subject, text)
    except (OSError, SMTPException) as error:
        # The server may be back in a minute; the claim ends at once so that the next look tries again.
        logger.warning("incident.not_told", extra={"kind": kind.value, "error": type(error).__name__})
        mine.filter(claimed_at=now).update(claimed_at=None)
        return
    mine.update(**{column: now, "claimed_at": None})


def _claim(kind: Incident.Kind, news: Q, *, now: datetime) -> list[Incident]:
    """Return the news of this kind that nobody else tells of; nobody else may from here on."""
    free = Q(claimed_at=None) | Q(claimed_at__lt=now - CLAIM)
    with transaction.atomic():
        rows = Incident.objects.select_for_update().filter(news & free, kind=kind).order_by("pk")
        claimed = list(rows)
        Incident.objects.filter(pk__in=[one.pk for one in claimed]).update(claimed_at=now)
    return claimed


def _beginning(kind: Incident.Kind, news: Sequence[Incident], is_more: bool) -> tuple[str, str]:  # noqa: FBT001
    since = min(one.began_at for one in news)
    return f"{'More: ' if is_more else ''}{kind.label}", (
        f"{_sentences(news)}\n\nSince {since:%Y-%m-%d %H:%M} UTC. The console's overview shows how it "
        "stands; another e-mail follows once all of this kind is over.\n"
    )


def _end(kind: Incident.Kind, news: Sequence[Incident]) -> tuple[str, str]:
    since = min(one.began_at for one in news)
    until = max(one.ended_at for one in news if one.ended_at)
    # A period that has closed is in no danger any more, in one way or the other.
    but = "\n\nWhat had not come in before it closed is late, and waits for a decision."
    return f"Over: {kind.label}", (
        f"This is over: {_sentences(news)}{but if kind == Kind.PERIOD_CLOSES else ''}\n\n"
        f"It lasted from {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC.\n"
    )


def _sentences(news: Sequence[Incident]) -> str:
    """Return what happened, each sentence once."""
    counted = Counter(one.message for one in news)
    lines = [text if count == 1 else f"{text} ({count} of these)" for text, count in counted.items()]
    more = [f"… and {len(lines) - NAMED} more on the page Incidents."] if len(lines) > NAMED else []
    return "\n".join([*lines[:NAMED], *more])
