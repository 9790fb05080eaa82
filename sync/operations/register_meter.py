"""Tie a Stripe meter to the OpenMeter meter that measures it."""

from datetime import datetime

from django.db import transaction

from sync.models import Meter, UsageReport
from sync.operations.measure_anew import measure_anew
from sync.operations.mirror_catalog import meter_row
from sync.operations.store_rows import store_rows
from sync.ports import InvalidInput, SourceMeter, StripeMeter


def register_meter(meter: StripeMeter, *, source: SourceMeter | None, now: datetime) -> str:
    """The meter is known here, tied to `source` if given; return the slug it is tied to, or "".

    Safe to call twice. Raises `InvalidInput` where reports were made from another OpenMeter meter: what
    they measured cannot be changed afterwards.
    """
    store_rows(Meter, [meter_row(meter)], fetched_at=now)
    row = Meter.objects.get(stripe_id=meter.id)
    if source is None or row.openmeter_id == source.id:
        return row.openmeter_slug
    if row.openmeter_id and UsageReport.objects.filter(enrolment__meter=row).exists():
        message = (
            f"Meter {row.event_name} already reported usage of the OpenMeter meter {row.openmeter_slug}; "
            "choose another --event-name for another OpenMeter meter."
        )
        raise InvalidInput(message)
    row.openmeter_slug, row.openmeter_id, row.aggregation = source.slug, source.id, source.aggregation
    with transaction.atomic():
        row.save(update_fields=["openmeter_slug", "openmeter_id", "aggregation"])
        measure_anew(row)
    return row.openmeter_slug
