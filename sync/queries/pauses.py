"""What stands still at the moment."""

from django.db.models import Exists, OuterRef, Q, QuerySet

from sync.models import Enrolment, Pause


def open_pauses() -> QuerySet[Pause]:
    """Return the pauses that are in force, with what they name."""
    return Pause.objects.filter(resumed_at=None).select_related("meter", "customer")


def pauses_of(enrolments: QuerySet[Enrolment], *, as_if_over: int = 0) -> QuerySet[Pause]:
    """Return the pauses in force that keep any of these from being measured or sent, but for one."""
    return (
        open_pauses()
        .exclude(pk=as_if_over)
        .filter(
            Q(meter=None, customer=None)
            | Q(meter__in=enrolments.order_by().values("meter"))
            | Q(customer__in=enrolments.order_by().values("customer"))
        )
    )


def everything_is_paused() -> Pause | None:
    """Return the pause of all reporting, if there is one."""
    return open_pauses().filter(meter=None, customer=None).first()


def unpaused(enrolments: QuerySet[Enrolment], *, as_if_over: int = 0) -> QuerySet[Enrolment]:
    """Return those that may be measured and sent: neither they nor everything is paused.

    `as_if_over` is a pause that is not minded, to see what would be sent without it.
    """
    in_force = Pause.objects.filter(resumed_at=None).exclude(pk=as_if_over)
    in_force = in_force.filter(
        Q(meter=None, customer=None) | Q(meter=OuterRef("meter")) | Q(customer=OuterRef("customer"))
    )
    return enrolments.filter(~Exists(in_force))
