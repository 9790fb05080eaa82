"""Whose usage it is that no customer on a meter has: another customer's, or nobody's."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sync.domain.filters import overlap
from sync.domain.quantities import exact_sum
from sync.models import Enrolment, Meter, Subject

CHUNK = 500
MOST_SHOWN = 200
"""Subjects that are told apart, those with most usage; others measure on this meter, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unowned:
    """A subject's usage (unscaled), and the customer (local id) who has the subject, if any."""

    subject: str
    customer_id: int | None
    used: Decimal
    first: datetime
    days: int


def unowned_usage(totals: Mapping[str, Mapping[datetime, Decimal]]) -> list[Unowned]:
    """Return the usage of each subject, most first; all beyond `MOST_SHOWN` as one under no name."""
    sums = {key: exact_sum(list(days.values())) for key, days in totals.items()}
    keys = sorted((key for key, used in sums.items() if used), key=lambda key: (-sums[key], key))
    shown, rest = keys[:MOST_SHOWN], keys[MOST_SHOWN:]
    owners: dict[str, int] = {}
    for first in range(0, len(shown), CHUNK):
        owned = Subject.objects.filter(key__in=shown[first : first + CHUNK], customer__isnull=False)
        owners |= dict(owned.order_by("pk").values_list("key", "customer_id"))
    found = [
        Unowned(
            subject=key,
            customer_id=owners.get(key),
            used=sums[key],
            first=min(totals[key]),
            days=len(totals[key]),
        )
        for key in shown
    ]
    if rest:
        found.append(
            Unowned(
                subject=f"{len(rest)} other subjects",
                customer_id=None,
                used=exact_sum([sums[key] for key in rest]),
                first=min(min(totals[key]) for key in rest),
                days=max(len(totals[key]) for key in rest),
            )
        )
    return found


def customers_billed_elsewhere(meter: Meter) -> set[int]:
    """Return the customers (local ids) of other meters that take usage of the same OpenMeter meter."""
    others = Meter.objects.filter(openmeter_slug=meter.openmeter_slug).exclude(pk=meter.pk)
    sharing = [other for other in others if overlap(meter.filters, other.filters)]
    customers = Enrolment.objects.filter(meter__in=sharing).values_list("customer_id", flat=True)
    return set(customers) if sharing else set()
