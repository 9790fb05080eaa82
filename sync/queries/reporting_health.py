"""Whether usage is being reported, for everybody who asks: pages, probes, commands and e-mail."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Max, Min, Q, QuerySet
from django_q.models import Schedule

from sync.models import Enrolment, Incident, Pause, ReportRun, StripeAccount, UsageReport, Worker
from sync.queries.closing_periods import periods_closing
from sync.queries.pauses import everything_is_paused, unpaused
from sync.queries.planning import Scope
from sync.queries.waiting_reports import count_waiting

REPORT_TASK = "sync.tasks.report_on_schedule"
"""What the schedule that reports usage calls."""
FULL_RUN_AGE = timedelta(minutes=30)
"""So long after the last full run ended, somebody is told: six runs of the schedule did not happen."""
WORKER_SILENCE = timedelta(minutes=5)
"""A worker shows itself every minute; so long without any is no hiccup."""
CLOSES_SOON = timedelta(minutes=20)
"""So long before a period closes its usage should be in: time enough for a person and a few more runs."""
HEART_STOPS = timedelta(minutes=2)
"""A run whose heart has not beaten for this long is not going on."""
SLICE_SHOULD_BE_IN = timedelta(minutes=10)
"""So long after a period's end its last slice has settled and a scheduled run has come by."""
STARTS_WITHIN = timedelta(minutes=2)
"""So long after the schedules were made, a worker that nobody has ever seen may be on its way."""
START_WORKER = "whoever looks after the console starts one with: manage.py qcluster"

Kind = Incident.Kind
Status = ReportRun.Status


WAITING: Mapping[Incident.Kind, str] = {
    Kind.HELD: "held",
    Kind.LATE: "late",
    Kind.REJECTED: "refused",
    Kind.UNKNOWN: "of unknown outcome",
}
"""What waits for a person, in the words of the pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What keeps usage from being billed in time, as a sentence that names no customer."""

    kind: Incident.Kind
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportingHealth:
    """How reporting stands. Instants are None where there is none."""

    checked_at: datetime
    in_use: bool
    """Whether this console knows its Stripe account yet; before that, nothing is missing."""
    last_full_run: ReportRun | None
    """The newest run of everything that measured all and failed in nothing but what Stripe refuses."""
    last_run: ReportRun | None
    """The newest report run of any scope, whoever asked and however it stands."""
    oldest_undelivered_end: datetime | None
    """Where the oldest slice ends of which something is not settled with Stripe."""
    next_run_at: datetime | None
    """When the schedule reports next; None while it is switched off."""
    worker_seen_at: datetime | None
    worker_alive: bool
    worker_starting: bool
    """Whether no worker was ever seen because the schedules were made a moment ago."""
    paused: Pause | None
    """The pause of everything, if there is one."""
    problems: Sequence[Problem]

    @property
    def last_full_run_at(self) -> datetime | None:
        """When the last full run ended."""
        return self.last_full_run.finished_at if self.last_full_run else None

    @property
    def schedule_off(self) -> str:
        """Why nothing is reported by itself, as a sentence, where somebody switched the schedule off."""
        if not self.in_use or self.next_run_at or self.paused:
            return ""
        if any(problem.kind == Kind.NO_FULL_RUN for problem in self.problems):
            return ""  # which says it, too
        return 'The schedule "Report usage" is switched off, so nothing is reported by itself.'

    @property
    def is_well(self) -> bool:
        """Whether nobody needs to be told anything."""
        return not self.problems


def reporting_health(*, now: datetime) -> ReportingHealth:
    """Return how reporting stands now; a constant number of queries."""
    account = StripeAccount.objects.first()
    reports = ReportRun.objects.filter(kind=ReportRun.Kind.REPORT)
    last_full = _full_runs().filter(is_full=True)
    seen_at, schedule = worker_seen_at(), _schedule()
    facts = {
        "checked_at": now,
        "in_use": account is not None,
        "last_full_run": last_full.order_by("-finished_at").first(),
        "last_run": reports.order_by("-queued_at", "-pk").first(),
        "oldest_undelivered_end": UsageReport.objects.filter(status__in=UsageReport.UNSETTLED).aggregate(
            oldest=Min("slice_end")
        )["oldest"],
        "next_run_at": schedule.next_run if schedule else None,
        "worker_seen_at": seen_at,
        "worker_alive": seen_at is not None and now - seen_at <= WORKER_SILENCE,
        "worker_starting": seen_at is None and schedule is not None and _is_new(schedule, now),
        "paused": everything_is_paused(),
    }
    known = ReportingHealth(**facts, problems=())
    return ReportingHealth(**facts, problems=list(_problems(known, account, now)) if account else [])


def _full_runs() -> QuerySet[ReportRun]:
    """Return the report runs of everything, whoever asked for them."""
    return ReportRun.objects.filter(
        kind=ReportRun.Kind.REPORT,
        dry_run=False,
        window_start=None,
        scope__customer="",
        scope__meter="",
        scope__subscriptions=[],
    )


def worker_seen_at() -> datetime | None:
    """Return a worker's latest sign of life: one it gave itself, or the heart of a run it carries out."""
    by_itself = Worker.objects.aggregate(latest=Max("seen_at"))["latest"]
    by_run = (
        ReportRun.objects.filter(heartbeat_at__isnull=False)
        .exclude(trigger=ReportRun.Trigger.COMMAND)
        .aggregate(latest=Max("heartbeat_at"))["latest"]
    )
    return max((at for at in (by_itself, by_run) if at), default=None)


def _schedule() -> Schedule | None:
    """Return what reports by itself, unless it is off."""
    # django-q2 counts `repeats` down to 0, which is off; -1 goes on for ever.
    return Schedule.objects.filter(func=REPORT_TASK).exclude(repeats=0).order_by("next_run").first()


def _is_new(schedule: Schedule, now: datetime) -> bool:
    """Whether it was made a moment ago: one that no worker has taken yet is due since then."""
    return not schedule.task and now - STARTS_WITHIN <= schedule.next_run <= now


def _problems(known: ReportingHealth, account: StripeAccount, now: datetime) -> Iterator[Problem]:
    if not known.worker_alive and now - account.pinned_at > WORKER_SILENCE:
        since = f"since {known.worker_seen_at:%Y-%m-%d %H:%M} UTC" if known.worker_seen_at else "yet"
        sentence = f"No background worker was seen {since}, so nothing is reported by itself; {START_WORKER}."
        yield Problem(kind=Kind.WORKER_DEAD, sentence=sentence)
    if sentence := _no_full_run(known, account, now):
        yield Problem(kind=Kind.NO_FULL_RUN, sentence=sentence)
    for status, count in sorted(count_waiting(Scope()).items()):
        # Each is an incident of its own: what is refused is news though something is held already.
        word = WAITING[Kind(status)]
        sentence = f"Reports wait for a person ({count} {word}): decide on them under Reports."
        yield Problem(kind=Kind(status), sentence=sentence)
    if sentence := _closes_soon(now):
        yield Problem(kind=Kind.PERIOD_CLOSES, sentence=sentence)


def _no_full_run(known: ReportingHealth, account: StripeAccount, now: datetime) -> str:
    """Return the sentence where no full run ended for too long though somebody is to be billed."""
    last = known.last_full_run_at
    latest = max(at for at in (last, _begun_at(now), account.pinned_at) if at)
    if now - latest <= FULL_RUN_AGE or not unpaused(Enrolment.objects.all()).exists():
        return ""
    since = f"since {last:%Y-%m-%d %H:%M} UTC" if last else "yet"
    sentence = f"No run over everything went through {since}"
    if known.next_run_at is None:
        return f'{sentence}: the schedule "Report usage" is switched off; switch it on under Schedules.'
    return f"{sentence}; see whether a worker runs, and what the last runs say."


def _begun_at(now: datetime) -> datetime | None:
    """Return when a run of everything began that still goes on: it may yet become a full one.

    Not where somebody was told already: runs that fail one after the other would end that and begin it anew.
    """
    if Incident.objects.filter(kind=Kind.NO_FULL_RUN, ended_at=None).exists():
        return None
    going_on = _full_runs().filter(status=Status.RUNNING, heartbeat_at__gt=now - HEART_STOPS)
    begun_at: datetime | None = going_on.aggregate(latest=Max("started_at"))["latest"]
    return begun_at


def periods_in_danger(now: datetime) -> QuerySet[Any]:
    """Return the billing periods that close within `CLOSES_SOON` although usage of theirs is not in."""
    closing = periods_closing(now=now, until=now + CLOSES_SOON)
    return closing.filter(is_in=False, end__lte=now - SLICE_SHOULD_BE_IN)


def _closes_soon(now: datetime) -> str:
    """Return the sentence where usage is not in although its period closes within `CLOSES_SOON`."""
    counted = periods_in_danger(now).aggregate(
        count=Count("pk"), first=Min("closes_at"), standing=Count("pk", filter=Q(paused=True))
    )
    if not counted["count"]:
        return ""
    one = counted["count"] == 1
    sentence = (
        f"Usage of {counted['count']} billing period{'' if one else 's'} is not in, and "
        f"{'it closes' if one else 'the first closes'} at {counted['first']:%Y-%m-%d %H:%M} UTC"
    )
    if counted["standing"]:
        return f"{sentence}; reporting is paused for {counted['standing']} of them: resume it in time."
    return f"{sentence}; report usage, and see the findings for what stands in its way."
