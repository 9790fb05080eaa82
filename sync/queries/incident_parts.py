"""What is to be told apart of a problem: somebody who knows of one of these may not know of another."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, F, Value
from django.db.models.functions import Coalesce, NullIf, TruncDate

from sync.models import Incident, UsageReport
from sync.queries.reporting_health import WAITING, Problem, periods_in_danger
from sync.queries.waiting_reports import WAITS_FOR_A_PERSON

Kind = Incident.Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentPart:
    """One thing that somebody has to hear of: `about` names it for ever, the sentence names no customer."""

    kind: Incident.Kind
    about: str
    sentence: str


def incident_parts(problem: Problem, *, now: datetime) -> Sequence[IncidentPart]:
    """Return what a problem consists of.

    Of usage that is not in, each billing period. Of reports that wait for a person, those of a meter that
    one UTC day brought: hundreds of one hour are one piece of news, and tomorrow's are another.
    """
    if problem.kind == Kind.PERIOD_CLOSES:
        return _periods(now)
    if problem.kind in WAITING:
        return _waiting(problem.kind)
    return [IncidentPart(kind=problem.kind, about="", sentence=problem.sentence)]


def _periods(now: datetime) -> list[IncidentPart]:
    rows = (
        periods_in_danger(now)
        .annotate(slug=_slug("item__meter__"))
        .values_list("item__stripe_id", "slug", "end", "closes_at", "paused")
    )
    return [
        IncidentPart(
            kind=Kind.PERIOD_CLOSES,
            about=f"{item}:{end.isoformat()}",
            sentence=(
                f"Usage of a billing period on {meter} is not in, and it closes at "
                f"{closes_at:%Y-%m-%d %H:%M} UTC{'; reporting is paused for it' if paused else ''}."
            ),
        )
        for item, meter, end, closes_at, paused in rows.order_by("closes_at", "pk")
    ]


def _waiting(kind: Incident.Kind) -> list[IncidentPart]:
    rows = (
        UsageReport.objects.filter(WAITS_FOR_A_PERSON, status=kind.value)
        .annotate(slug=_slug("enrolment__meter__"), day=TruncDate("created_at"))
        .order_by("slug", "enrolment__meter__stripe_id", "day")
        .values_list("enrolment__meter__stripe_id", "slug", "day")
        .annotate(count=Count("pk"))
    )
    return [
        IncidentPart(
            kind=kind,
            about=f"{stripe_id}:{day:%Y-%m-%d}",
            sentence=(
                f"Reports wait for a person ({count} {WAITING[kind]}) on {meter}, planned on {day:%Y-%m-%d}: "
                "decide on them under Reports."
            ),
        )
        for stripe_id, meter, day, count in rows
    ]


def _slug(prefix: str) -> Coalesce:
    """Return the name that people use for a meter, as `Meter.slug` does."""
    return Coalesce(NullIf(F(f"{prefix}openmeter_slug"), Value("")), F(f"{prefix}event_name"))
