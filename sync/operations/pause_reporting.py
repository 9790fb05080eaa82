"""Let reporting stand still, and go on again."""

from datetime import datetime

from django.db import IntegrityError, transaction

from sync.models import Customer, Finding, Meter, Pause
from sync.operations.record_findings import FoundIssue, record_findings
from sync.ports import InvalidInput
from sync.queries.pausable import Pausable, pausable
from sync.queries.pauses import open_pauses
from sync.queries.planning import Scope


def pause_reporting(
    *, meter: Meter | None = None, customer: Customer | None = None, why: str, who: str, now: datetime
) -> Pause:
    """Nothing more of everything, one meter or one customer is measured or sent; return the pause.

    Calls to Stripe that are under way end first; whatever waits is sent after the resumption. Raises
    `InvalidInput` without a reason, and where the same thing is paused already.
    """
    if not why.strip():
        msg = "Reporting is paused for a reason: say why."
        raise InvalidInput(msg)
    pause = Pause(
        meter=meter,
        customer=customer,
        scope=Pausable(meter=meter, customer=customer).name,
        reason=why.strip(),
        paused_by=who,
        paused_at=now,
    )
    try:
        with transaction.atomic():
            pause.save()
    except IntegrityError as error:
        standing = open_pauses().filter(scope=pause.scope).first()
        msg = standing.sentence if standing else "It was paused and resumed just now; try again."
        raise InvalidInput(msg) from error
    return pause


def resume_reporting(*, pause_id: int, why: str, who: str, now: datetime) -> Pause:
    """What stood still goes on with the next run, which catches up; return the pause that is over.

    Raises `InvalidInput` without a reason, for one that is over already, and for one that Stripe caused.
    """
    if not why.strip():
        msg = "Reporting is resumed for a reason: say why."
        raise InvalidInput(msg)
    with transaction.atomic():
        pause = Pause.objects.select_for_update(of=("self",)).filter(pk=pause_id).first()
        if pause is None or pause.resumed_at:
            msg = f"Pause {pause_id} is over already, or never was."
            raise InvalidInput(msg)
        if pause.by_stripe:
            msg = "Stripe refuses this meter's events: reactivate it in Stripe, and the next sync resumes it."
            raise InvalidInput(msg)
        pause.resumed_by, pause.resumed_at, pause.resume_reason = who, now, why.strip()
        pause.save(update_fields=["resumed_by", "resumed_at", "resume_reason"])
    return pause


def pause_scope(*, scope: Scope, why: str, who: str, now: datetime) -> list[Pause]:
    """Everything of the scope stands still; return the new pauses, all or none.

    Chosen subscriptions stand still with their customers, and a meter's name with every meter that bears it.
    What is paused already stays so. Raises `InvalidInput` for what the console does not know, and where
    nothing is left to pause.
    """
    targets = pausable(scope)
    paused = {pause.scope: pause for pause in open_pauses()}
    new = [target for target in targets if target.name not in paused]
    if not new:
        raise InvalidInput(paused[targets[0].name].sentence)
    with transaction.atomic():
        return [
            pause_reporting(meter=one.meter, customer=one.customer, why=why, who=who, now=now) for one in new
        ]


def resume_scope(*, scope: Scope, why: str, who: str, now: datetime) -> list[Pause]:
    """What a person paused of exactly this scope goes on; return the pauses that are over, all or none.

    Raises `InvalidInput` for what the console does not know, and where nothing of it is paused.
    """
    names = [target.name for target in pausable(scope)]
    standing = list(open_pauses().filter(scope__in=names))
    if not standing:
        msg = "This is not paused; the list of pauses shows what is."
        raise InvalidInput(msg)
    with transaction.atomic():
        return [resume_reporting(pause_id=pause.pk, why=why, who=who, now=now) for pause in standing]


def pause_for_stripe(meter: Meter, *, reason: str, now: datetime) -> None:
    """The meter stands still until Stripe takes its events again, and a finding says so from then on."""
    _, is_new = Pause.objects.get_or_create(
        scope=f"refused:{meter.stripe_id}",
        resumed_at=None,
        defaults={
            "meter": meter,
            "by_stripe": True,
            "reason": reason,
            "paused_by": "Stripe",
            "paused_at": now,
        },
    )
    if is_new:
        issue = FoundIssue(
            kind=Finding.Kind.METER_REFUSED,
            fingerprint=f"meter:{meter.stripe_id}",
            message=(
                f"Stripe refuses every event of {meter.event_name}: {reason} Its reports wait. "
                "Reactivate the meter in Stripe, then sync with Stripe and report usage."
            ),
            meter_id=meter.pk,
        )
        record_findings([issue], now=now)
