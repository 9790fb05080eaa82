"""Tell somebody what keeps usage from being billed in time, once when it begins and once when it is over."""

from collections.abc import Sequence
from datetime import datetime

from django.conf import settings

from sync.models import Incident
from sync.operations.keep_run import interrupt_lapsed_runs
from sync.operations.tell_incidents import tell_incidents
from sync.queries.incident_parts import IncidentPart, incident_parts
from sync.queries.reporting_health import ReportingHealth, reporting_health


def watch_reporting(*, now: datetime) -> ReportingHealth:
    """Every problem is open incidents, what is over is ended, and ADMINS were told; return how it stands.

    Runs of killed workers are marked interrupted on the way.

    An e-mail that could not be sent is tried again by the next call. Safe to repeat, and to run twice at
    once: incidents are claimed before they are told of. Only a process that is killed between sending an
    e-mail and writing that down leads to a second one.
    """
    interrupt_lapsed_runs(now=now)
    health = reporting_health(now=now)
    parts = [part for problem in health.problems for part in incident_parts(problem, now=now)]
    _keep_open(parts, now=now)
    if settings.ADMINS:
        tell_incidents(now=now)
    return health


def _keep_open(parts: Sequence[IncidentPart], *, now: datetime) -> None:
    """Of each of these one incident is open with its newest sentence, and no other one."""
    wanted = {(part.kind.value, part.about): part for part in parts}
    known = {(one.kind, one.about): one for one in Incident.objects.filter(ended_at=None)}
    over = [one.pk for key, one in known.items() if key not in wanted]
    Incident.objects.filter(pk__in=over, ended_at=None).update(ended_at=now)
    Incident.objects.bulk_create(
        [
            Incident(kind=part.kind, about=part.about, message=part.sentence, began_at=now)
            for key, part in wanted.items()
            if key not in known
        ],
        ignore_conflicts=True,  # another process saw it in the same moment
    )
    changed = [one for key, one in known.items() if key in wanted and one.message != wanted[key].sentence]
    for one in changed:
        one.message = wanted[one.kind, one.about].sentence
    Incident.objects.bulk_update(changed, ["message"], batch_size=500)
