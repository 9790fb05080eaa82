"""Tie Stripe's meters to OpenMeter's, and learn under which subjects usage arrives."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sync.models import Finding, Meter, Subject
from sync.ports import SourceMeter, UsageSource

LOOKBACK = timedelta(days=35)
"""Stripe takes no usage that is older, so a subject last seen before has nothing left to report."""
BATCH = 500


@dataclass(frozen=True, slots=True)
class MeterProblem:
    """Why a meter is not tied to OpenMeter, or no longer to the same meter."""

    kind: Finding.Kind
    sentence: str


def link_meters(sources: Iterable[SourceMeter], *, now: datetime) -> dict[int, MeterProblem]:
    """Every meter that can be is tied to its OpenMeter meter; return local id → what is wrong.

    A meter without a slug is tied to the OpenMeter meter called like its event name, if there is one.
    A tie holds by OpenMeter's id: a slug that now names another meter pauses ours. Safe to repeat.
    """
    by_slug = {source.slug: source for source in sources}
    problems: dict[int, MeterProblem] = {}
    linked: list[Meter] = []
    for meter in Meter.objects.filter(deleted_at=None):
        source = by_slug.get(meter.slug)
        if source is None:
            problems[meter.pk] = _without_source(meter)
        elif not meter.openmeter_id:
            meter.openmeter_slug, meter.openmeter_id = source.slug, source.id
            meter.aggregation = source.aggregation
            linked.append(meter)
        elif meter.openmeter_id != source.id:
            problems[meter.pk] = _renamed(meter)
            Meter.objects.filter(pk=meter.pk, paused_at=None).update(
                paused_at=now, pause_reason=problems[meter.pk].sentence
            )
        elif unknown := sorted(set(meter.filters) - set(source.group_by)):
            problems[meter.pk] = _unknown_filters(meter, unknown)
    columns = ["openmeter_slug", "openmeter_id", "aggregation"]
    Meter.objects.filter(openmeter_id="").bulk_update(linked, columns)
    return problems


def mark_seen_subjects(openmeter: UsageSource, *, slugs: Iterable[str], now: datetime) -> None:
    """Every current subject with usage of one of these meters in the last 35 days has `seen_at` set."""
    for slug in sorted(slugs):
        keys = sorted(openmeter.subjects(slug, start=now - LOOKBACK, end=now))
        for first in range(0, len(keys), BATCH):
            Subject.objects.filter(key__in=keys[first : first + BATCH], valid_to=None).update(seen_at=now)


def _without_source(meter: Meter) -> MeterProblem:
    if meter.openmeter_id:
        sentence = (
            f"OpenMeter no longer has the meter {meter.openmeter_slug}, which measures {meter.event_name}; "
            "nothing of it is reported until OpenMeter has it again."
        )
    else:
        sentence = (
            f"OpenMeter has no meter {meter.slug} for the Stripe meter {meter.event_name}; "
            "create one, or enter the right OpenMeter slug on the meter's page."
        )
    return MeterProblem(Finding.Kind.METER_WITHOUT_SLUG, sentence)


def _renamed(meter: Meter) -> MeterProblem:
    sentence = (
        f"The OpenMeter slug {meter.openmeter_slug} now names another meter than the one that measured "
        f"{meter.event_name} so far; the meter is paused until a person decides which one counts."
    )
    return MeterProblem(Finding.Kind.METER_UNSUPPORTED, sentence)


def _unknown_filters(meter: Meter, unknown: list[str]) -> MeterProblem:
    sentence = (
        f"Meter {meter.event_name} is filtered by {', '.join(unknown)}, which the OpenMeter meter "
        f"{meter.openmeter_slug} does not group by; correct the filters, or add the key in OpenMeter."
    )
    return MeterProblem(Finding.Kind.METER_UNSUPPORTED, sentence)
