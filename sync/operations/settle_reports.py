"""Write down what came back from Stripe: the outcome table of delivery."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import random

from django.db import transaction

from sync.domain.retries import retry_delay
from sync.models import DeliveryAttempt, Finding, Meter, ReportRun, UsageReport
from sync.models.expressions import TextByKey
from sync.operations.measure_anew import measure_slices_anew
from sync.operations.pause_reporting import pause_for_stripe
from sync.operations.record_findings import about_report, record_findings
from sync.operations.reserve_calls import postpone_calls
from sync.ports import (
    DuplicateIdentifier,
    KeyTaken,
    MeterRefused,
    Misconfigured,
    Rejected,
    SyncError,
    TemporaryFailure,
)

Status = UsageReport.Status

AFTER_429 = timedelta(seconds=1)
"""How long all workers hold back once Stripe says that calls come too fast."""
SHORT_DOUBT = timedelta(minutes=1)
"""The tries of one run take less; a slice that was in doubt for longer is measured again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSent:
    """The call was not made, because the lease would have run out under it."""


Answer = str | NotSent | SyncError
"""Stripe's request id, or what went wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What a row becomes. `outcome` is the word for people and counters."""

    outcome: str
    status: UsageReport.Status
    retry_in: timedelta | None = None
    maybe_arrived: bool = False
    new_key: bool = False
    finding: Finding.Kind | None = None


def settlement_of(answer: Answer, *, attempts: int, maybe_arrived: bool, jitter: float) -> Settlement:
    """Return what an answer means for a row that has now been tried `attempts` times.

    `maybe_arrived` says whether an earlier attempt may have reached Stripe without our learning of it.

    Sources: https://docs.stripe.com/api/idempotent_requests (stored answers, hence new keys) and
    https://docs.stripe.com/billing/subscriptions/usage-based/recording-usage-api (identifiers).
    """
    fixed = _FIXED.get(type(answer))
    if fixed:
        return fixed
    delay = retry_delay(attempts=attempts, jitter=jitter)
    match answer:
        case DuplicateIdentifier() if maybe_arrived:
            return _DELIVERED
        case Rejected() if not maybe_arrived:
            return Settlement(outcome="rejected", status=Status.REJECTED, finding=Finding.Kind.REJECTED)
        case DuplicateIdentifier() | Rejected() | KeyTaken():
            # Somebody else used our name for this slice (a restored backup, a second database), or Stripe
            # refuses now what an earlier attempt may have brought in: a person has to look.
            return Settlement(
                outcome="unknown",
                status=Status.UNKNOWN,
                maybe_arrived=True,
                finding=Finding.Kind.UNKNOWN_OUTCOME,
            )
        case TemporaryFailure():
            return Settlement(
                outcome="waiting",
                status=Status.PENDING,
                retry_in=delay,
                maybe_arrived=answer.maybe_arrived,
                new_key=(answer.http_status or 0) >= 500,
            )
        case _:
            # An unknown outcome, and whatever nobody thought of: it may have arrived.
            new_key = isinstance(answer, SyncError) and answer.http_status is not None
            return Settlement(
                outcome="unknown",
                status=Status.UNKNOWN,
                retry_in=delay,
                maybe_arrived=True,
                new_key=new_key,
            )


_DELIVERED = Settlement(outcome="delivered", status=Status.DELIVERED)
_WAITS = Settlement(outcome="waiting", status=Status.PENDING, new_key=True)
_FIXED: dict[type, Settlement] = {
    str: _DELIVERED,
    NotSent: Settlement(outcome="waiting", status=Status.PENDING),
    MeterRefused: _WAITS,
    Misconfigured: _WAITS,
}
"""What an answer means however often the row was tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A row as it was sent, what came back, and what it became; `mine` is false if the lease was lost."""

    report: UsageReport
    answer: Answer
    settlement: Settlement
    mine: bool


def settle_reports(
    answers: Sequence[tuple[UsageReport, Answer]], *, owner: str, run: ReportRun, now: datetime
) -> list[Settled]:
    """Every answer is written to its row and committed, unless another worker took the row over.

    Safe to call late: a row that is no longer `sending` under this owner's lease stays as it is.
    """
    with transaction.atomic():
        measure_slices_anew([report for report, answer in answers if _was_in_doubt(report, answer, now)])
        mine = set(
            UsageReport.objects.select_for_update(of=("self",))
            .filter(
                pk__in=[report.pk for report, _ in answers],
                status=Status.SENDING,
                enrolment__lease_owner=owner,
            )
            .order_by("pk")
            .values_list("pk", flat=True)
        )
        settled = [_settle(report, answer, report.pk in mine, now) for report, answer in answers]
        kept = [one for one in settled if one.mine]
        _write(kept, now)
        DeliveryAttempt.objects.bulk_create(
            [_attempt(one, run, now) for one in kept if isinstance(one.answer, SyncError)]
        )
        record_findings(
            [about_report(one.report, kind) for one in kept if (kind := one.settlement.finding)], now=now
        )
        _pause_refused_meters(kept, now)
        if any(getattr(one.answer, "http_status", None) == 429 for one in kept):
            postpone_calls(AFTER_429)
    return settled


def _was_in_doubt(report: UsageReport, answer: Answer, now: datetime) -> bool:
    """Whether a slice is settled only now that was blocked so long that usage may have come in meanwhile."""
    settled = isinstance(answer, str | DuplicateIdentifier)
    first = report.first_sent_at or now
    return settled and report.maybe_arrived and now - first > SHORT_DOUBT


def _write(kept: Sequence[Settled], now: datetime) -> None:
    """Store what the rows became. Delivered ones, nearly all, differ in nothing but the request id."""
    delivered = {one.report.pk: one.report for one in kept if one.report.status == Status.DELIVERED}
    if delivered:
        UsageReport.objects.filter(pk__in=delivered).update(
            status=Status.DELIVERED,
            delivered_at=now,
            next_attempt_at=None,
            maybe_arrived=False,
            error="",
            stripe_request_id=TextByKey({pk: report.stripe_request_id for pk, report in delivered.items()}),
        )
    others = [one.report for one in kept if one.report.pk not in delivered]
    UsageReport.objects.bulk_update(others, _CHANGED, batch_size=200)


_CHANGED = ["status", "maybe_arrived", "key_series", "next_attempt_at", "stripe_request_id", "error"]
"""The columns in which rows that were not delivered may differ."""


def _settle(report: UsageReport, answer: Answer, mine: bool, now: datetime) -> Settled:  # noqa: FBT001
    settlement = settlement_of(
        answer,
        attempts=report.attempts,
        maybe_arrived=report.maybe_arrived,
        jitter=random(),  # noqa: S311 - not a secret
    )
    if mine:
        delivered = settlement.status == Status.DELIVERED
        report.status = settlement.status
        report.maybe_arrived = (report.maybe_arrived or settlement.maybe_arrived) and not delivered
        report.key_series += settlement.new_key
        report.next_attempt_at = now + settlement.retry_in if settlement.retry_in else None
        report.delivered_at = now if delivered else None
        report.error = "" if delivered or isinstance(answer, NotSent | str) else str(answer)
        report.stripe_request_id = answer if isinstance(answer, str) else getattr(answer, "request_id", "")
    return Settled(report=report, answer=answer, settlement=settlement, mine=mine)


def _attempt(one: Settled, run: ReportRun, now: datetime) -> DeliveryAttempt:
    answer = one.answer
    assert isinstance(answer, SyncError)  # noqa: S101 - narrows the type for mypy
    return DeliveryAttempt(
        report=one.report,
        run=run,
        number=one.report.attempts,
        outcome=type(answer).__name__,
        http_status=answer.http_status,
        code=answer.code[:100],
        message=str(answer)[:2000],
        stripe_request_id=answer.request_id[:255],
        attempted_at=now,
    )


def _pause_refused_meters(kept: Sequence[Settled], now: datetime) -> None:
    """Stop a meter that Stripe refuses as a whole; its rows wait, one finding says so."""
    refused = {
        one.report.enrolment.meter_id: str(one.answer) for one in kept if isinstance(one.answer, MeterRefused)
    }
    for meter in Meter.objects.filter(pk__in=refused):
        pause_for_stripe(meter, reason=refused[meter.pk], now=now)
