"""Tell somebody what keeps usage from being billed in time, once when it begins and once when it is over."""

import logging
from datetime import datetime, timedelta
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import mail_admins
from django.db.models import Q

from sync.models import Incident
from sync.operations.keep_run import interrupt_lapsed_runs
from sync.queries.reporting_health import Problem, ReportingHealth, reporting_health

logger = logging.getLogger("sync.watch")

CLAIM = timedelta(minutes=2)
"""So long one worker has for an e-mail before another may try; longer than any mail server is waited for."""
FROM_BEGINNING = "told_at"
OF_END = "end_told_at"


def watch_reporting(*, now: datetime) -> ReportingHealth:
    """Every problem is an open incident, what is over is ended, and ADMINS were told; return how it stands.

    Runs of killed workers are marked interrupted on the way.

    An e-mail that could not be sent is tried again by the next call. Safe to repeat, and to run twice at
    once: an incident is claimed before it is told of. Only a process that is killed between sending an
    e-mail and writing that down leads to a second one.
    """
    interrupt_lapsed_runs(now=now)
    health = reporting_health(now=now)
    for problem in health.problems:
        _keep_open(problem, now=now)
    going_on = [problem.kind for problem in health.problems]
    Incident.objects.filter(ended_at=None).exclude(kind__in=going_on).update(ended_at=now)
    if settings.ADMINS:
        # What began and ended while nobody could be told is no news any more.
        for incident in Incident.objects.filter(ended_at=None, told_at=None):
            _tell(incident, FROM_BEGINNING, now=now)
        for incident in Incident.objects.filter(
            ended_at__isnull=False, told_at__isnull=False, end_told_at=None
        ):
            _tell(incident, OF_END, now=now)
    return health


def _keep_open(problem: Problem, *, now: datetime) -> None:
    incident, _ = Incident.objects.get_or_create(
        kind=problem.kind, ended_at=None, defaults={"message": problem.sentence, "began_at": now}
    )
    if incident.message != problem.sentence:
        Incident.objects.filter(pk=incident.pk).update(message=problem.sentence)


def _tell(incident: Incident, column: str, *, now: datetime) -> None:
    """ADMINS have the e-mail and `column` says when, or nobody else tries and the next call will."""
    mine = Incident.objects.filter(Q(claimed_at=None) | Q(claimed_at__lt=now - CLAIM), pk=incident.pk)
    if not mine.filter(**{column: None}).update(claimed_at=now):
        return
    subject, text = _beginning(incident) if column == FROM_BEGINNING else _end(incident)
    try:
        mail_admins(subject, text)
    except (OSError, SMTPException) as error:
        # The server may be back in a minute; the claim ends at once so that the next look tries again.
        logger.warning("incident.not_told", extra={"incident": incident.pk, "error": type(error).__name__})
        Incident.objects.filter(pk=incident.pk, claimed_at=now).update(claimed_at=None)
        return
    Incident.objects.filter(pk=incident.pk).update(**{column: now, "claimed_at": None})


def _beginning(incident: Incident) -> tuple[str, str]:
    return str(incident.get_kind_display()), (
        f"{incident.message}\n\nSince {incident.began_at:%Y-%m-%d %H:%M} UTC. "
        "The console's overview shows how it stands; another e-mail follows once it is over.\n"
    )


def _end(incident: Incident) -> tuple[str, str]:
    return f"Over: {incident.get_kind_display()}", (
        f"This is over: {incident.message}\n\nIt lasted from {incident.began_at:%Y-%m-%d %H:%M} to "
        f"{incident.ended_at:%Y-%m-%d %H:%M} UTC.\n"
    )
