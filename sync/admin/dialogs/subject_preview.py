"""How the usage of one key is shown, and what stands in the way of billing it."""

from collections.abc import Sequence

from sync.admin.dialogs.dialog import Preview
from sync.admin.formats import NOTHING, amounts, from_to, units
from sync.domain.pricing import Money
from sync.domain.stake import Movement, stake_of
from sync.models import Customer
from sync.operations.measure_subject import MeasuredSubject, SubjectUsage
from sync.queries.amounts import UnitMove, amounts_of

HEADERS = ("meter", "billed stretch", "units", "amount", "remark")
LATE = "late: on no invoice any more; it waits for a decision"


def worth_of(usage: Sequence[SubjectUsage]) -> list[Sequence[Money]]:
    """Return what each stretch's usage adds to the customer's bill."""
    return amounts_of([UnitMove(one.enrolment.pk, one.at, one.units) for one in usage])


def movements(usage: Sequence[SubjectUsage], worth: Sequence[Sequence[Money]]) -> list[Movement]:
    """Return what each stretch's usage moves."""
    return [
        Movement(one.enrolment.meter.slug, one.units, money) for one, money in zip(usage, worth, strict=True)
    ]


def preview_usage(measured: MeasuredSubject, sentences: Sequence[str]) -> Preview:
    """Return usage that will be billed, with the money at stake; what is too late is not at stake."""
    used = [one for one in measured.usage if one.units]
    open_ones = [one for one in used if not one.is_late]
    worth = worth_of(open_ones)
    late = [one for one in used if one.is_late]
    return Preview(
        sentences=[*sentences, *measured.obstacles],
        headers=HEADERS,
        rows=[
            *(_row(one, amounts(money), "") for one, money in zip(open_ones, worth, strict=True)),
            *(_row(one, NOTHING, LATE) for one in late),
        ],
        stake=stake_of(movements(open_ones, worth)),
    )


def why_unbilled(measured: MeasuredSubject, customer: Customer) -> list[str]:
    """Return why usage of this customer is billed to nobody, if so."""
    if measured.is_subscribed:
        return []
    return [f"{customer.label} has no subscription on a meter: until then nothing of the key is billed."]


def _row(one: SubjectUsage, worth: str, remark: str) -> Sequence[object]:
    meter = one.enrolment.meter
    return (meter.slug, from_to(one.span.start, one.span.end), units(one.units), worth, remark)
