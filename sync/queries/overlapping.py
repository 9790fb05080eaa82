"""Which meters would bill the same usage, since one OpenMeter meter feeds them and their filters overlap."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from sync.domain.filters import Filters, overlap, overlap_sentence
from sync.models import Meter


def why_overlapping(
    *,
    name: str,
    slug: str,
    filters: Filters,
    meter_id: int | None = None,
    replaces: int | None = None,
    among: Sequence[Meter] | None = None,
) -> str:
    """Return why usage would be billed twice if a meter took this, as a sentence, or "".

    `meter_id` is the meter's own row, if there is one, and `replaces` that of whose definition it is the
    new one. Its older definitions do not count, nor its newer ones: customers move from one to the next.
    Nor does a meter that is not reported. One query, unless all meters are handed in as `among`.
    """
    known = list(Meter.objects.order_by("pk")) if among is None else among
    kin = _kin(meter_id, replaces, known)
    for other in known:
        is_other = other.openmeter_slug == slug and other.pk not in kin and not other.obstacle
        if is_other and overlap(filters, other.filters):
            return overlap_sentence(name=name, other=other.event_name, slug=slug, filters=other.filters)
    return ""


def overlapping_pairs() -> Iterator[tuple[Meter, Meter]]:
    """Yield every two reported meters that would take the same usage of a customer who is on both.

    Old and new definitions, too: nobody is meant to be on both at once. One query.
    """
    by_slug: dict[str, list[Meter]] = defaultdict(list)
    for meter in Meter.objects.exclude(openmeter_slug="").order_by("pk"):
        if not meter.obstacle:
            by_slug[meter.openmeter_slug].append(meter)
    for meters in by_slug.values():
        for number, one in enumerate(meters):
            yield from ((other, one) for other in meters[:number] if overlap(one.filters, other.filters))


def _kin(meter_id: int | None, replaces: int | None, known: Sequence[Meter]) -> set[int]:
    """Return a meter, its older definitions and its newer ones."""
    older = {meter.pk: meter.replaces_id for meter in known}
    kin = {*_line(meter_id, older), *_line(replaces, older)}
    return kin | {pk for pk in older if meter_id and meter_id in _line(pk, older)}


def _line(meter_id: int | None, older: Mapping[int, int | None]) -> list[int]:
    """Return a meter and what it replaces, and what that replaced, and so on."""
    line: list[int] = []
    while meter_id and meter_id not in line:
        line.append(meter_id)
        meter_id = older.get(meter_id)
    return line
