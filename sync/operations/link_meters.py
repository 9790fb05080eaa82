"""Tie Stripe's meters to OpenMeter's, and learn under which subjects usage arrives."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from sync.domain.meters import REPLACE
from sync.models import Finding, Meter, Subject
from sync.operations.measure_anew import measure_anew
from sync.ports import SourceMeter, UsageSource
from sync.queries.overlapping import why_overlapping

Kind = Finding.Kind

LOOKBACK = timedelta(days=35)
"""Stripe takes no usage that is older, so a subject last seen before has nothing left to report."""
BATCH = 500


@dataclass(frozen=True, slots=True)
class MeterProblem:
    """Why a meter is not tied to OpenMeter, or no longer to the same meter."""

    kind: Finding.Kind
    sentence: str


def link_meters(sources: Iterable[SourceMeter]) -> dict[int, MeterProblem]:
    """Every meter that can be is tied to its OpenMeter meter; return local id → what is wrong.

    A meter without a slug is tied to the OpenMeter meter called like its event name, if there is one.
    A tie holds by OpenMeter's id: a slug that now names another meter is a problem. Safe to repeat.
    """
    by_slug = {source.slug: source for source in sources}
    problems: dict[int, MeterProblem] = {}
    linked: list[Meter] = []
    meters = list(Meter.objects.filter(deleted_at=None))
    for meter in meters:
        source = by_slug.get(meter.slug)
        if source is None:
            problems[meter.pk] = _without_source(meter)
        elif not meter.openmeter_id and (taken := _billed_by_another(meter, source.slug, meters)):
            problems[meter.pk] = taken
        elif not meter.openmeter_id:
            meter.openmeter_slug, meter.openmeter_id = source.slug, source.id
            meter.aggregation = source.aggregation
            linked.append(meter)
        elif meter.openmeter_id != source.id:
            problems[meter.pk] = _renamed(meter)
        elif unknown := sorted(set(meter.filters) - set(source.group_by)):
            problems[meter.pk] = _unknown_filters(meter, unknown)
    columns = ["openmeter_slug", "openmeter_id", "aggregation"]
    with transaction.atomic():
        Meter.objects.filter(openmeter_id="").bulk_update(linked, columns)
        # Nothing was reported of a meter without a tie, but another slug may have been asked before.
        measure_anew(*linked)
    return problems


def mark_conflicts(*, redefined: Mapping[str, str], linked: Mapping[int, MeterProblem] | None) -> None:
    """Every meter that is not what it was is stopped with a sentence, and goes on once it is again.

    `redefined` holds what changed in Stripe by Stripe id; `linked` is what OpenMeter showed, None where it
    was silent: then what was wrong stays wrong.
    """
    for meter in Meter.objects.all():
        problem = linked.get(meter.pk) if linked is not None else None
        if meter.stripe_id in redefined:
            conflict = _redefined(meter, redefined[meter.stripe_id])
        elif linked is None:
            continue
        else:
            conflict = problem.sentence if problem and problem.kind is Kind.METER_UNSUPPORTED else ""
        if conflict != meter.conflict:
            Meter.objects.filter(pk=meter.pk).update(conflict=conflict)


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
    return MeterProblem(Kind.METER_WITHOUT_SLUG, sentence)


def _billed_by_another(meter: Meter, slug: str, known: Sequence[Meter]) -> MeterProblem | None:
    """Return why a meter is not tied by its name: another one, which people tied, takes that usage."""
    overlapping = why_overlapping(
        name=meter.event_name,
        slug=slug,
        filters=meter.filters,
        meter_id=meter.pk,
        replaces=meter.replaces_id,
        among=known,
    )
    if not overlapping:
        return None
    sentence = f"{overlapping[:-1]}, or an OpenMeter meter of its own, on the meter's page."
    return MeterProblem(Kind.METER_WITHOUT_SLUG, sentence)


def _redefined(meter: Meter, changed: str) -> str:
    return (
        f"Meter {meter.event_name} is not what it was in Stripe ({changed}); its old definition is kept and "
        f"nothing of it is reported: {REPLACE}."
    )


def _renamed(meter: Meter) -> MeterProblem:
    sentence = (
        f"The OpenMeter slug {meter.openmeter_slug} now names another meter than the one that measured "
        f"{meter.event_name} so far; nothing of it is reported until the slug names the old one again."
    )
    return MeterProblem(Kind.METER_UNSUPPORTED, sentence)


def _unknown_filters(meter: Meter, unknown: list[str]) -> MeterProblem:
    sentence = (
        f"Meter {meter.event_name} is filtered by {', '.join(unknown)}, which the OpenMeter meter "
        f"{meter.openmeter_slug} does not group by; correct the filters, or add the key in OpenMeter."
    )
    return MeterProblem(Kind.METER_UNSUPPORTED, sentence)
