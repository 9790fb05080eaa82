"""Hold a plan against the one that a person saw and confirmed."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from sync.domain.quantities import as_text, exact_sum
from sync.models import Meter
from sync.operations.plan_reports import MeterPlan


def units_by_meter(plans: Iterable[MeterPlan]) -> dict[str, str]:
    """Return meter's Stripe id → billed units that would reach Stripe, as text; zeros are left out."""
    totals = {
        plan.meter.stripe_id: exact_sum([moved.units for moved in plan.moved_units()]) for plan in plans
    }
    return {meter: as_text(units) for meter, units in totals.items() if units}


def difference(confirmed: Mapping[str, str], plans: Iterable[MeterPlan]) -> str:
    """Return the sentence that says how the plans differ from what was confirmed, or ""."""
    now = units_by_meter(plans)
    wanted = {meter: units for meter, units in confirmed.items() if Decimal(units)}
    names = dict(Meter.objects.filter(stripe_id__in={*now, *wanted}).values_list("stripe_id", "event_name"))
    changed = [
        f"{names.get(meter, meter)} {now.get(meter, '0')} instead of {wanted.get(meter, '0')}"
        for meter in sorted({*now, *wanted})
        if Decimal(now.get(meter, "0")) != Decimal(wanted.get(meter, "0"))
    ]
    if not changed:
        return ""
    return (
        f"The usage is not what was confirmed any more ({'; '.join(changed)} units), so nothing was planned "
        "or sent: look at the preview again and confirm it."
    )
