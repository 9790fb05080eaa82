"""Let another customer have a key's usage of the open period, and take back what was sent of it."""

from dataclasses import asdict
from datetime import datetime

from django.db import IntegrityError, transaction

from sync.models import Enrolment, ReportRun, Subject
from sync.operations.keep_reason import keep_reason
from sync.operations.link_subject import resolve_subject_findings
from sync.operations.plan_open_move import OpenMove
from sync.operations.store_plan import store_plan
from sync.operations.sum_up_days import sum_up_days_after_commit
from sync.ports import InvalidInput
from sync.queries.planning import Scope

BUSY = "Usage of these customers was reported at this moment, so nothing was moved; look again."


def move_open_period(*, move: OpenMove, why: str, who: str, now: datetime) -> Subject:
    """The key's usage since the start of the move is the new customer's; return the row that says so.

    What was reported of it is taken back from the old customer and added to the new one by revisions that
    are stored with it, all or nothing, and wait for the next delivery. The brake does not stop them: a person
    saw these units and ordered it. What lies in closed periods stays. Raises `InvalidInput` where the link
    or the ledger is no longer what the move was planned from. Decided once: a second call finds it over.
    """
    try:
        with transaction.atomic():
            old = _standing(move)
            _set_marks_back(move)
            subject = _hand_over(old, move, why)
            _store(move, who=who, now=now)
            was_seen = old.seen_at is not None
            resolve_subject_findings(customer=move.key.customer, key=old.key, was_seen=was_seen, now=now)
            sum_up_days_after_commit(now=now)
    except IntegrityError as error:
        msg = "Somebody else changed this key just now; look again."
        raise InvalidInput(msg) from error
    return subject


def _standing(move: OpenMove) -> Subject:
    """Lock and return the link, or say that it is no longer the one that was planned for."""
    seen = move.key.subject
    rows = Subject.objects.select_for_update(of=("self",)).select_related("customer")
    row = rows.filter(
        pk=seen.pk, customer=seen.customer_id, valid_from=seen.valid_from, valid_to=None
    ).first()
    if row is None:
        msg = "This link is over already; look again."
        raise InvalidInput(msg)
    return row


def _set_marks_back(move: OpenMove) -> None:
    """Plans that are being made of either customer are refused, as this one is if another was stored."""
    customers = (move.key.subject.customer_id, move.key.customer.pk)
    locked = Enrolment.objects.select_for_update(no_key=True).filter(customer__in=customers).order_by("pk")
    rows = list(locked)
    if {row.pk: (row.planned_through, row.anew) for row in rows} != dict(move.marks):
        raise InvalidInput(BUSY)
    for row in rows:
        row.set_back(move.start.at)
    Enrolment.objects.bulk_update(rows, ["planned_through", "anew"], batch_size=500)


def _hand_over(old: Subject, move: OpenMove, why: str) -> Subject:
    """End the old link where the new one begins; one of the same customer that ended there goes on."""
    at = move.start.at
    old.valid_to = at
    keep_reason(old, why).save(update_fields=["valid_to"])
    before = Subject.objects.filter(key=old.key, customer=move.key.customer, valid_to=at)
    new = next((row for row in before.exclude(pk=old.pk) if not row.never_held), None)
    if new is None:
        new = Subject(key=old.key, customer=move.key.customer, valid_from=at, seen_at=old.seen_at)
    new.valid_to = None
    keep_reason(new, why).save()
    return new


def _store(move: OpenMove, *, who: str, now: datetime) -> None:
    """The plans are in the ledger, under a run of their own that says whose decision they are."""
    planned = sum(1 for one in move.moves for _ in one.plan.reports)
    key = move.key
    run = ReportRun.objects.create(
        kind=ReportRun.Kind.REPORT,
        trigger=ReportRun.Trigger.ADMIN,
        requested_by=who,
        scope=asdict(Scope(customer=key.subject.customer.stripe_id)),
        with_sync=False,
        status=ReportRun.Status.SUCCEEDED,
        counters={"planned": planned, "held": move.held},
        notes=(
            f"The key {key.subject.key} moved from {key.subject.customer.label} to {key.customer.label}, "
            f"with all that was used since {move.start.at:%Y-%m-%d %H:%M} UTC. The next run sends what that "
            "changes."
        ),
        queued_at=now,
        started_at=now,
        finished_at=now,
    )
    for one in move.moves:
        if store_plan(one.plan, run=run, now=now).refused:
            raise InvalidInput(BUSY)
