"""Hold a plan against the one that a person saw and confirmed."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from sync.domain.quantities import as_text, exact_sum
from sync.models import Meter, UsageReport
from sync.operations.plan_reports import MeterPlan
from sync.queries.planning import Scope, enrolments_in

WHO = "who"
"""Key of the fingerprint that says which customer the units are of; no Stripe id looks like it."""


def confirmation_of(plans: Sequence[MeterPlan]) -> dict[str, str]:
    """Return what a person confirms with these plans: the units of each meter, and whose they are.

    Meter's Stripe id → billed units that would reach Stripe, as text, without zeros; and under `WHO` a
    fingerprint of the customers' shares, so that nobody is billed what was shown for somebody else.
    """
    totals = {plan.meter.stripe_id: exact_sum([one.units for one in plan.moved_units()]) for plan in plans}
    return {meter: as_text(units) for meter, units in totals.items() if units} | {WHO: _fingerprint(plans)}


def difference(
    confirmed: Mapping[str, str], plans: Sequence[MeterPlan], *, scope: Scope, as_of: datetime | None
) -> str:
    """Return the sentence that says how the plans differ from what was confirmed, or ""."""
    now = confirmation_of(plans)
    if now == dict(confirmed):
        return ""
    meters = sorted({*now, *confirmed} - {WHO})
    names = dict(Meter.objects.filter(stripe_id__in=meters).values_list("stripe_id", "event_name"))
    changed = [
        f"{names.get(meter, meter)} {now.get(meter, '0')} instead of {confirmed.get(meter, '0')}"
        for meter in meters
        if Decimal(now.get(meter, "0")) != Decimal(confirmed.get(meter, "0"))
    ]
    how = f"{'; '.join(changed)} units" if changed else "the same units are of other customers"
    return (
        f"The usage is not what was confirmed any more ({how}), so nothing was planned or sent."
        f"{_meanwhile(scope, as_of)} Look at the preview again and confirm it."
    )


def _fingerprint(plans: Iterable[MeterPlan]) -> str:
    shares: dict[tuple[str, str], list[Decimal]] = {}
    for plan in plans:
        for one in plan.moved_units():
            shares.setdefault((plan.meter.stripe_id, one.customer), []).append(one.units)
    added_up = {whose: exact_sum(units) for whose, units in sorted(shares.items())}
    lines = [f"{meter} {customer} {as_text(units)}" for (meter, customer), units in added_up.items() if units]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def _meanwhile(scope: Scope, as_of: datetime | None) -> str:
    """Return which runs planned something of the scope since the preview, as a sentence, or ""."""
    since = UsageReport.objects.filter(created_at__gte=as_of, enrolment__in=enrolments_in(scope))
    runs = sorted(since.order_by().values_list("run", flat=True).distinct()) if as_of else []
    return f" Meanwhile run {', '.join(str(run) for run in runs)} planned some of it." if runs else ""
