"""Find usage of customers who are billed on an OpenMeter meter that the filters of no meter take."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from sync.domain.closings import OLDEST_EVENT
from sync.domain.filters import Filters, in_words, keys_of, takes
from sync.domain.quantities import as_measured, as_text, billed_units, exact_add, exact_sum
from sync.domain.timeline import DAY, HOUR, SECOND, Span, floor_to
from sync.models import Enrolment, Finding, Meter, ReportRun
from sync.operations.collect_usage import SUBJECTS_PER_FILTER
from sync.operations.compare_days import ask_by_days, day_chunks
from sync.operations.plan_meters import Remarks
from sync.operations.record_findings import FoundIssue, record_findings, resolve_matter
from sync.operations.report_request import ReportRequest
from sync.ports import SyncError, UsageRow, UsageSource
from sync.queries.amounts import UnitMove, amounts_of, total
from sync.queries.planning import LONGEST_UNMEASURED
from sync.queries.silent_customers import living_items
from sync.queries.taken_usage import BilledCustomer, billed_customers

KIND = Finding.Kind.USAGE_UNTAKEN
LOOKED_AT_AGAIN = timedelta(hours=1)
"""It costs a look at the days of five weeks, which need not be had every five minutes while it lasts."""
MOST_NAMED = 5


def look_for_untaken(request: ReportRequest, *, source: UsageSource, now: datetime, remarks: Remarks) -> None:
    """Findings say what is taken by nobody now, of meters of which a run saw that there may be some.

    And of those that have a finding; one that was looked at within the hour only where a person asks. Where
    OpenMeter does not answer `remarks` say so, and findings stay as they are.
    """
    findings = Finding.objects.filter(kind=KIND, resolved_at=None)
    known = dict(findings.values_list("meter__openmeter_slug", "seen_at"))
    fresh = {slug for slug, seen_at in known.items() if seen_at > now - LOOKED_AT_AGAIN}
    asked = request.trigger != ReportRun.Trigger.SCHEDULE
    for slug in sorted({*remarks.untaken, *known} - (set() if asked else fresh)):
        try:
            find_untaken(slug=slug, source=source, now=now)
        except SyncError as error:
            # Reporting itself goes on without it, so this alone is no failure of the run.
            remarks.errors.append(f"It is not known what of {slug} is billed to nobody: {error}")


def find_untaken(*, slug: str, source: UsageSource, now: datetime) -> None:
    """Usage of this OpenMeter meter that nobody takes has one finding, open while there is any.

    Counted are UTC days of which anything is billed, of the last five weeks, or further back where the
    finding is older: it does not end because time passes. Raises `SyncError`; then nothing is changed.
    """
    meters = [one for one in Meter.objects.filter(openmeter_slug=slug).order_by("pk") if not one.obstacle]
    if not meters:
        return
    fingerprint = f"openmeter:{meters[0].openmeter_id}"
    known = Finding.objects.filter(kind=KIND, fingerprint=fingerprint, resolved_at=None).first()
    begin = (known.found_at if known else now) - OLDEST_EVENT
    span = Span(floor_to(max(begin, now - LONGEST_UNMEASURED), DAY), floor_to(now, HOUR))
    untaken = _measure(meters, span, source, now)
    if not untaken.units:
        resolve_matter(KIND, fingerprint, now=now)
        return
    issue = FoundIssue(
        kind=KIND, fingerprint=fingerprint, message=_message(meters, untaken), meter_id=meters[0].pk
    )
    record_findings([issue], now=now)


@dataclass(slots=True)
class _Untaken:
    """What nobody takes, unscaled: by what its events say, and by enrolments that might have billed it."""

    first: datetime | None = None
    by_group: dict[tuple[tuple[str, str], ...], Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    by_enrolment: dict[int, list[tuple[datetime, Decimal]]] = field(default_factory=lambda: defaultdict(list))
    customers: set[str] = field(default_factory=set)

    @property
    def units(self) -> Decimal:
        return exact_sum(list(self.by_group.values()))

    def add(self, row: UsageRow, customer: str, enrolments: Collection[int]) -> None:
        value, group = as_measured(row.value), tuple(sorted(row.group.items()))
        if not value:
            return
        self.first = min(self.first or row.start, row.start)
        self.by_group[group] = exact_add(self.by_group[group], value)
        self.customers.add(customer)
        for pk in enrolments:
            self.by_enrolment[pk].append((row.start, value))


def _measure(meters: Sequence[Meter], span: Span, source: UsageSource, now: datetime) -> _Untaken:
    found = _Untaken()
    living = set(living_items().filter(meter__in=meters).values_list("meter", flat=True).distinct())
    open_to_all = [meter.filters for meter in meters if meter.pk in living]
    customers = billed_customers(meters, since=span.start, now=now)
    holders: dict[str, list[tuple[str, BilledCustomer]]] = defaultdict(list)
    for stripe_id, customer in customers.items():
        for key in {subject.key for subject in customer.subjects}:
            holders[key].append((stripe_id, customer))
    names = sorted(holders) if len(holders) <= SUBJECTS_PER_FILTER else None
    keys = keys_of([meter.filters for meter in meters])
    for chunk in day_chunks(span, len(holders)) if holders else ():
        for row in ask_by_days(source, meters[0].openmeter_slug, chunk, names, keys):
            if not _is_taken(row, open_to_all):
                _add(found, row, holders.get(row.subject, ()))
    return found


def _is_taken(row: UsageRow, by: Iterable[Filters]) -> bool:
    return any(takes(filters, row.group) for filters in by)


def _add(found: _Untaken, row: UsageRow, holders: Iterable[tuple[str, BilledCustomer]]) -> None:
    """Count a day's usage of one group, unless a meter took it that its customer has left since."""
    day = Span(row.start, floor_to(row.start, DAY) + DAY)
    for stripe_id, customer in holders:
        billing = customer.enrolments_on(row.subject, day)
        if billing and not _is_taken(row, (meter.filters for meter in billing.values())):
            found.add(row, stripe_id, billing)


def _message(meters: Sequence[Meter], untaken: _Untaken) -> str:
    slug, count = meters[0].openmeter_slug, len(untaken.customers)
    largest = sorted(untaken.by_group.items(), key=lambda one: (-abs(one[1]), one[0]))
    parts = [
        f"{in_words({key: [value] for key, value in group})}: {as_text(units)}"
        for group, units in largest[:MOST_NAMED]
    ]
    more = [f"and {len(largest) - MOST_NAMED} other groups"] if len(largest) > MOST_NAMED else []
    who = "1 customer" if count == 1 else f"{count} customers"
    return (
        f"OpenMeter's meter {slug} counted {as_text(untaken.units)} units of {who} since "
        f"{untaken.first:%Y-%m-%d} that the filters of no meter take ({', '.join([*parts, *more])}). "
        f"They are billed to nobody.{_worth(meters, untaken)}"
    )


def _worth(meters: Sequence[Meter], untaken: _Untaken) -> str:
    """Return what it would come to by the prices of each meter, as a sentence; "" where no price tells."""
    known = {meter.pk: meter for meter in meters}
    owners: Mapping[int, int] = dict(Enrolment.objects.filter(meter__in=known).values_list("pk", "meter"))
    moves, moved_on = [], []
    for pk, parts in untaken.by_enrolment.items():
        meter = known[owners[pk]]
        for day, value in parts:
            units = billed_units(value, scale=meter.scale, decimals=meter.decimals)
            moves.append(UnitMove(pk, floor_to(day, DAY) + DAY - SECOND, units))
            moved_on.append(meter.pk)
    by_meter = defaultdict(list)
    for meter_id, money in zip(moved_on, amounts_of(moves), strict=True):
        by_meter[meter_id].append(money)
    words = [
        f"{' + '.join(one.text for one in amounts)} by the price of {known[pk].event_name}"
        for pk, each in sorted(by_meter.items(), key=lambda one: known[one[0]].event_name)
        if (amounts := total(each))
    ]
    return f" They would come to {', '.join(words)}." if words else ""
