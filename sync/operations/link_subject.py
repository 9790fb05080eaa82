"""Say under which key OpenMeter files a customer's usage, from when on, and until when."""

from collections.abc import Sequence
from datetime import datetime

from django.db import IntegrityError, transaction

from sync.domain.timeline import HOUR, floor_to
from sync.models import Customer, Finding, Subject
from sync.operations.keep_reason import keep_reason
from sync.operations.measure_anew import measure_customer_from
from sync.ports import InvalidInput

LONGEST_KEY = 512


def link_subject(
    *, key: str, customer: Customer, since: datetime | None, was_seen: bool, why: str, now: datetime
) -> Subject:
    """The key's usage is the customer's from `since` on (None: since ever); return the row that says so.

    Nothing that another customer held the key for changes hands: then it begins where that one's ended.
    What lies in the past is measured by the next run. `was_seen`: OpenMeter has usage of the key. Raises
    `InvalidInput` where somebody holds the key already, and for a customer who is gone.
    """
    key = check_key(key)
    if customer.deleted_at:
        msg = f"{customer} was deleted in Stripe: nothing of theirs can be billed any more."
        raise InvalidInput(msg)
    try:
        with transaction.atomic():
            valid_from = _begin(_locked_spans(key), key=key, customer=customer, since=since)
            subject = Subject(
                key=key, customer=customer, valid_from=valid_from, seen_at=now if was_seen else None
            )
            keep_reason(subject, why).save()
            if valid_from is None or valid_from < now:
                measure_customer_from(customer.pk, valid_from, now=now)
            resolve_subject_findings(customer=customer, key=key, was_seen=was_seen, now=now)
    except IntegrityError as error:
        msg = f"Somebody else linked the key {key} just now; look again."
        raise InvalidInput(msg) from error
    return subject


def why_taken(key: str, *, customer: Customer) -> str:
    """Return why the key is not free for this customer, as a sentence, or ""."""
    spans = Subject.objects.filter(key=key.strip(), valid_to=None).select_related("customer")
    return _why_taken(list(spans), key=key.strip(), customer=customer)


def link_begins(*, key: str, since: datetime | None) -> datetime | None:
    """Return when a link would begin that should hold since `since`: not before the key is free."""
    return _not_before_it_is_free(list(Subject.objects.filter(key=key.strip())), since)


def check_key(key: str) -> str:
    """Return a key without blanks around it; raise `InvalidInput` for one that is empty or too long."""
    key = key.strip()
    if not key or len(key) > LONGEST_KEY:
        msg = f"A key has 1 to {LONGEST_KEY} characters."
        raise InvalidInput(msg)
    return key


def next_hour(now: datetime) -> datetime:
    """Return the first whole hour that has not begun: from when on a change of hands applies."""
    return floor_to(now, HOUR) + HOUR


def resolve_subject_findings(*, customer: Customer, key: str, was_seen: bool, now: datetime) -> None:
    """Findings that this link settles are over: the customer was silent, or claimed the key in vain."""
    mine = Finding.objects.filter(resolved_at=None)
    over = mine.filter(
        kind=Finding.Kind.SUBJECT_CLAIMED_TWICE, fingerprint=f"{customer.stripe_id}:{key}"[:255]
    )
    if was_seen:
        over |= mine.filter(kind=Finding.Kind.SUBJECT_NEVER_SEEN, customer=customer)
    over.update(resolved_at=now, resolution=f"The key {key} was linked to {customer.stripe_id}.")


def _locked_spans(key: str) -> Sequence[Subject]:
    rows = Subject.objects.select_for_update(of=("self",)).filter(key=key).select_related("customer")
    return list(rows.order_by("pk"))


def _begin(
    spans: Sequence[Subject], *, key: str, customer: Customer, since: datetime | None
) -> datetime | None:
    """Return when the link begins: when it should, but not before the key is free."""
    if taken := _why_taken(spans, key=key, customer=customer):
        raise InvalidInput(taken)
    return _not_before_it_is_free(spans, since)


def _not_before_it_is_free(spans: Sequence[Subject], since: datetime | None) -> datetime | None:
    ends = [row.valid_to for row in spans if row.valid_to and not row.never_held]
    if not ends:
        return since
    return max([*ends, *([since] if since else [])])


def _why_taken(spans: Sequence[Subject], *, key: str, customer: Customer) -> str:
    standing = next((row for row in spans if row.valid_to is None), None)
    if standing is None:
        return ""
    if standing.customer_id == customer.pk:
        return f"The key {key} belongs to {customer} already."
    return f"The key {key} belongs to {standing.customer}; move it from there instead."
