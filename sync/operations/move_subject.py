"""Let another customer have a key, or nobody, from the next hour on."""

from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction

from sync.models import Customer, Subject
from sync.operations.keep_reason import keep_reason
from sync.operations.link_subject import next_hour, resolve_subject_findings
from sync.ports import InvalidInput


@dataclass(frozen=True, slots=True)
class Moved:
    """The row that says whose the key is from `at` on."""

    subject: Subject
    at: datetime


def move_subject(*, subject_id: int, customer: Customer, why: str, now: datetime) -> Moved:
    """From the next whole hour on the key's usage is the other customer's; what came before stays.

    Raises `InvalidInput` where the link is over, or is theirs already. Decided once: a second call finds
    the link over.
    """
    if customer.deleted_at:
        msg = f"{customer} was deleted in Stripe: nothing of theirs can be billed any more."
        raise InvalidInput(msg)
    try:
        with transaction.atomic():
            old = _standing(subject_id)
            if old.customer_id == customer.pk:
                msg = f"The key {old.key} belongs to {customer} already."
                raise InvalidInput(msg)
            new = _hand_over(old, customer, _end(old, why, now=now), why)
            was_seen = old.seen_at is not None
            resolve_subject_findings(customer=customer, key=old.key, was_seen=was_seen, now=now)
    except IntegrityError as error:
        msg = "Somebody else changed this key just now; look again."
        raise InvalidInput(msg) from error
    return Moved(new, new.valid_from or next_hour(now))


def end_subject(*, subject_id: int, why: str, now: datetime) -> Moved:
    """From the next whole hour on the key is nobody's; what came before stays. Returns the ended row.

    One that has not begun yet never does. No sync gives the key again to whom it was taken from.
    """
    with transaction.atomic():
        old = _standing(subject_id)
        at = _end(old, why, now=now)
    return Moved(old, at)


def _standing(subject_id: int) -> Subject:
    """Lock and return the link, or say that it is over."""
    rows = Subject.objects.select_for_update(of=("self",)).select_related("customer")
    subject = rows.filter(pk=subject_id).first()
    if subject is None or subject.valid_to:
        msg = "This link is over already; look again."
        raise InvalidInput(msg)
    return subject


def _end(subject: Subject, why: str, *, now: datetime) -> datetime:
    """The link ends; return when. One that has not begun stays as one that never held.

    Its row is what tells a sync that somebody decided: without it the customer would get the key again.
    """
    at = max(next_hour(now), subject.valid_from or next_hour(now))
    subject.valid_to = at
    keep_reason(subject, why).save(update_fields=["valid_to"])
    return at


def _hand_over(old: Subject, customer: Customer, at: datetime, why: str) -> Subject:
    new = Subject(key=old.key, customer=customer, valid_from=at, seen_at=old.seen_at)
    keep_reason(new, why).save()
    return new
