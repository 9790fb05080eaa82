"""Start a new definition of a meter whose old one has been reported by."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction

from sync.domain.meters import why_bad_filters
from sync.models import Meter
from sync.operations.choose_source import choose_source
from sync.operations.keep_reason import keep_reason
from sync.operations.measure_anew import measure_anew
from sync.operations.set_up_options import SetUpOptions, Window
from sync.operations.set_up_stripe import set_up_stripe
from sync.ports import BillingGateway, InvalidInput, UsageSource
from sync.queries.meter_story import is_frozen
from sync.queries.overlapping import why_overlapping

MOST_DECIMALS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """How a meter is to measure from now on, and what it is called in Stripe."""

    event_name: str
    meter_name: str
    window: Window
    openmeter_slug: str
    filters: dict[str, Any]
    scale: Decimal
    decimals: int
    confirm_live: str = ""


def redefine_meter(
    *,
    meter: Meter,
    definition: Definition,
    stripe: BillingGateway,
    openmeter: UsageSource,
    why: str,
    now: datetime,
) -> Meter:
    """A Stripe meter with the new definition exists and is known here; return it. The old one stays.

    Nothing is billed by it until prices on it have subscriptions. Safe to call twice. Raises
    `InvalidInput` where the name belongs to a meter that was reported by already, or the definition cannot
    be measured; then nothing is stored.
    """
    check_definition(meter, definition, openmeter)
    result = set_up_stripe(
        stripe=stripe,
        openmeter=openmeter,
        options=SetUpOptions(
            event_name=definition.event_name,
            meter_name=definition.meter_name,
            window=definition.window,
            openmeter_meter=definition.openmeter_slug,
            filters=definition.filters,
            meter_only=True,
            confirm_live=definition.confirm_live,
        ),
        # Only a meter: nothing of it has an invoice yet.
        invoice_grace=timedelta(0),
        now=now,
        replaces=meter,
    )
    with transaction.atomic():
        new = Meter.objects.select_for_update().get(stripe_id=result.objects[0].id)
        _check_unused(new)
        new.scale, new.decimals, new.replaces = definition.scale, definition.decimals, meter
        new.settle_seconds, new.max_units_per_slice = meter.settle_seconds, meter.max_units_per_slice
        changed = ["replaces", "scale", "decimals", "settle_seconds", "max_units_per_slice"]
        keep_reason(new, why).save(update_fields=changed)
        measure_anew(new)
    return new


def check_definition(meter: Meter, definition: Definition, openmeter: UsageSource) -> None:
    """Raise `InvalidInput` for what could not be measured, or would bill usage of another meter again.

    Nothing is created. Raises other `SyncError`s where OpenMeter does not answer.
    """
    if definition.event_name == meter.event_name:
        msg = f"The old definition keeps the event name {meter.event_name}: choose another one."
        raise InvalidInput(msg)
    if definition.scale <= 0:
        msg = "The scale must be above zero."
        raise InvalidInput(msg)
    if not 0 <= definition.decimals <= MOST_DECIMALS:
        msg = f"Decimals are a number from 0 to {MOST_DECIMALS}."
        raise InvalidInput(msg)
    if problem := why_bad_filters(definition.filters):
        raise InvalidInput(problem)
    for named in Meter.objects.filter(event_name=definition.event_name):
        _check_unused(named)
    choose_source(openmeter, slug=definition.openmeter_slug, filters=definition.filters)
    known = Meter.objects.filter(event_name=definition.event_name, deleted_at=None).first()
    overlapping = why_overlapping(
        name=definition.event_name,
        slug=definition.openmeter_slug,
        filters=definition.filters,
        meter_id=known.pk if known else None,
        replaces=meter.pk,
    )
    if overlapping:
        raise InvalidInput(overlapping)


def _check_unused(named: Meter) -> None:
    if is_frozen(named):
        msg = f"The meter {named.event_name} was reported by already: choose another event name."
        raise InvalidInput(msg)
