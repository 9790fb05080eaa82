"""What can stand still, found by the names that people use."""

from dataclasses import dataclass

from django.db.models import Q

from sync.models import Customer, Meter
from sync.ports import InvalidInput
from sync.queries.planning import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Pausable:
    """Everything, one meter or one customer."""

    meter: Meter | None = None
    customer: Customer | None = None

    @property
    def name(self) -> str:
        """The name under which its pause is stored."""
        if self.meter:
            return f"meter:{self.meter.stripe_id}"
        return f"customer:{self.customer.stripe_id}" if self.customer else "everything"

    @property
    def words(self) -> str:
        """What it is, for people."""
        if self.meter:
            return f"meter {self.meter.slug}"
        return f"customer {self.customer}" if self.customer else "everything"


def pausable(scope: Scope) -> list[Pausable]:
    """Return what has to stand still so that nothing of the scope is reported.

    The customers of chosen subscriptions, or a customer, or every meter of that name, or everything. Raises
    `InvalidInput` where the console knows no such thing.
    """
    if scope.subscriptions:
        customers = Customer.objects.filter(subscriptions__stripe_id__in=scope.subscriptions).distinct()
        found = [Pausable(customer=customer) for customer in customers]
    elif scope.customer:
        found = [Pausable(customer=one) for one in Customer.objects.filter(stripe_id=scope.customer)]
    elif scope.meter:
        named = Q(openmeter_slug=scope.meter) | Q(event_name=scope.meter)
        found = [Pausable(meter=meter) for meter in Meter.objects.filter(named, deleted_at=None)]
    else:
        return [Pausable()]
    if not found:
        msg = f"There is no {_asked(scope)} here: check the name, or sync with Stripe first."
        raise InvalidInput(msg)
    return found


def _asked(scope: Scope) -> str:
    if scope.subscriptions:
        return f"subscription {scope.subscriptions[0]}"
    return f"customer {scope.customer}" if scope.customer else f"meter {scope.meter}"
