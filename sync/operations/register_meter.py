"""Tie a Stripe meter to the OpenMeter meter that measures it."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import transaction

from sync.models import Meter
from sync.operations.measure_anew import measure_anew
from sync.operations.mirror_catalog import meter_row
from sync.operations.store_rows import store_rows
from sync.ports import InvalidInput, SourceMeter, StripeMeter
from sync.queries.meter_story import is_frozen


def register_meter(
    meter: StripeMeter,
    *,
    source: SourceMeter | None,
    filters: Mapping[str, Sequence[str]] | None = None,
    replaces: Meter | None = None,
    now: datetime,
) -> str:
    """The meter is known here, tied to `source` if given; return the slug it is tied to, or "".

    `filters` say what counts of it; None leaves what is there. Safe to call twice. Raises `InvalidInput`
    where reports were made from another OpenMeter meter, or by other filters: what they measured cannot be
    changed afterwards.
    """
    store_rows(Meter, [meter_row(meter)], fetched_at=now)
    row = Meter.objects.get(stripe_id=meter.id)
    if source is None:
        return row.openmeter_slug
    taken = dict(row.filters if filters is None else filters)
    if (row.openmeter_id, row.filters) != (source.id, taken):
        if row.openmeter_id and is_frozen(row):
            raise InvalidInput(_already_reported(row, source))
        row.openmeter_slug, row.openmeter_id, row.aggregation = source.slug, source.id, source.aggregation
        row.filters = taken
        if replaces and replaces.pk != row.pk:
            row.replaces = replaces
        with transaction.atomic():
            row.save(update_fields=["openmeter_slug", "openmeter_id", "aggregation", "filters", "replaces"])
            measure_anew(row)
    return row.openmeter_slug


def _already_reported(row: Meter, source: SourceMeter) -> str:
    if row.openmeter_id != source.id:
        return (
            f"Meter {row.event_name} already reported usage of the OpenMeter meter {row.openmeter_slug}; "
            "choose another --event-name for another OpenMeter meter."
        )
    return (
        f"Meter {row.event_name} already reported usage by other filters; choose another --event-name for "
        "other usage."
    )
