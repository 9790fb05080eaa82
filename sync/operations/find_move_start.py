"""Say from when on a key's usage can become another customer's, or why it cannot. Writes nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sync.domain.closings import OLDEST_EVENT
from sync.domain.settling import MARGIN
from sync.domain.timeline import DAY, HOUR, ceil_to
from sync.models import Customer, Enrolment, Subject, UsageReport
from sync.operations.link_subject import next_hour
from sync.ports import InvalidInput
from sync.queries.open_enrolments import OpenEnrolment
from sync.queries.pauses import pauses_of

Status = UsageReport.Status
SETTLES_ITSELF = (Status.SENDING, Status.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveStart:
    """From this whole hour on usage can change hands; `because` says what keeps it from being earlier."""

    at: datetime
    because: str


def check_movable(subject: Subject, customer: Customer, *, now: datetime) -> None:
    """Raise `InvalidInput` where the link is over or has not begun, or the customer cannot have the key."""
    problems = (
        (subject.valid_to is not None, "This link is over already; look again."),
        (customer.deleted_at is not None, f"{customer} was deleted in Stripe: nothing of theirs is billed."),
        (subject.customer_id == customer.pk, f"The key {subject.key} belongs to {customer} already."),
        (
            subject.valid_from is not None and subject.valid_from > now,
            "This link has not begun: Move… gives the key to somebody else from its beginning on.",
        ),
    )
    for applies, sentence in problems:
        if applies:
            raise InvalidInput(sentence)


def find_move_start(
    subject: Subject, customer: Customer, found: Sequence[OpenEnrolment], *, now: datetime
) -> MoveStart:
    """Return the latest of the beginnings of all open periods of both customers, as a whole hour.

    What lies before it is closed for one of them on one of their meters, so it stays where it is. An hour in
    which a period begins stays, too: no window belongs to two customers. Raises `InvalidInput` where no
    period is open, or somebody's is not known yet.
    """
    for one in found:
        if one.periods.unread:
            msg = (
                f"The billing period that {_of(one)} is in now was not read from Stripe yet: sync with "
                "Stripe, then try again."
            )
            raise InvalidInput(msg)
    if not any(one.enrolment.customer_id == customer.pk and one.billed_after(now) for one in found):
        msg = (
            f"{customer.label} is billed on no meter now, so what is taken from {subject.customer.label} "
            "would be on no invoice: subscribe them first, or use Move… from the next hour on."
        )
        raise InvalidInput(msg)
    at, because = max(_bounds(subject, found, now), key=lambda bound: bound[0])
    at = ceil_to(at, HOUR)
    if at >= next_hour(now):
        msg = f"No whole hour of it is open: {because}. Move… gives the key over from the next hour on."
        raise InvalidInput(msg)
    return MoveStart(at=at, because=because)


def check_standing(live: Sequence[OpenEnrolment], start: MoveStart, *, now: datetime) -> None:
    """Raise `InvalidInput` where something in the stretch cannot be measured, sent or changed now."""
    for one in live:
        if obstacle := one.enrolment.meter.obstacle:
            raise InvalidInput(obstacle)
        closes_at = min(c.closes_at for stretch in one.billed_after(start.at) for c in stretch.closings)
        if closes_at - MARGIN <= now:
            msg = (
                f"The billing period of {_of(one)} closes at {closes_at:%Y-%m-%d %H:%M} UTC: it is too late "
                "to move anything of it. Use Move… from the next hour on."
            )
            raise InvalidInput(msg)
    ids = [one.enrolment.pk for one in live]
    for pause in pauses_of(Enrolment.objects.filter(pk__in=ids)):
        msg = f"{pause.sentence} Resume it first: what is taken back must be sent while the period is open."
        raise InvalidInput(msg)
    _check_settled(ids, start)


def _bounds(
    subject: Subject, found: Sequence[OpenEnrolment], now: datetime
) -> Iterator[tuple[datetime, str]]:
    for one in found:
        if one.periods.since:
            yield one.periods.since, f"the open billing period of {_of(one)} began then"
    if subject.valid_from:
        yield subject.valid_from, f"the key belongs to {subject.customer.label} since then"
    yield ceil_to(now - OLDEST_EVENT, DAY), "Stripe takes nothing that is older"


def _check_settled(ids: Sequence[int], start: MoveStart) -> None:
    """A slice with an open question gets no further revision until that is settled."""
    rows = UsageReport.objects.filter(
        enrolment__in=ids, slice_end__gt=start.at, status__in=UsageReport.BLOCKING
    )
    row = rows.select_related("enrolment__customer", "enrolment__meter").order_by("slice_start", "pk").first()
    if row is None:
        return
    then = "Wait for the next run" if row.status in SETTLES_ITSELF else "Decide on it under Reports"
    msg = f"The report of {row.page_name} is {row.status_word}, so its slice cannot change now. {then} first."
    raise InvalidInput(msg)


def _of(one: OpenEnrolment) -> str:
    return f"{one.enrolment.customer.label} on {one.enrolment.meter.slug}"
