"""Ask Stripe what it holds already, before it is told something for the first time."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Max, Min, Q

from sync.domain.comparison import Comparison
from sync.domain.quantities import as_text, billed_units
from sync.domain.slices import Slice, claimed_span
from sync.domain.summaries import SummarySource
from sync.domain.timeline import Span
from sync.models import Enrolment, Finding, Meter, UsageReport
from sync.models.ledger import is_unsettled
from sync.operations.compare_with_stripe import Unreadable, Wanted, around, compare_with_stripe, hours_of
from sync.operations.find_forgotten import find_forgotten
from sync.operations.measured_slices import measured_slices
from sync.operations.record_findings import FoundIssue, record_findings
from sync.ports import InvalidInput
from sync.queries.pauses import unpaused
from sync.queries.planning import Scope, enrolments_in
from sync.queries.uncompared import is_uncompared

Status = UsageReport.Status

CHUNK = 500


@dataclass(slots=True, kw_only=True)
class Checked:
    """What came of a check: reports that are held now, customers Stripe was not asked about, and why."""

    held: int = 0
    unasked: int = 0
    error: str = ""

    @property
    def sentences(self) -> list[str]:
        """Return what waits because Stripe did not answer, if something does."""
        who = "1 customer" if self.unasked == 1 else f"{self.unasked} customers"
        waits = f"First deliveries of {who} wait until Stripe's totals can be read: {self.error}"
        return [f"{waits} Everything else was sent."] if self.error else []


def check_first_deliveries(
    *,
    source: SummarySource,
    scope: Scope,
    clock: Callable[[], datetime],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Checked:
    """Whatever needs a look before it is sent was compared with Stripe's totals, or is still not sent.

    Reports of whose slices Stripe holds something that this ledger did not tell it are held, with one finding
    per meter; the others may go. One or two calls for each enrolment, outside of transactions, and none where
    nothing needs a look. What was compared is committed page by page, so that a run which is stopped or dies
    is gone on with. Safe to repeat and to run twice at once.
    """
    return _check(source, is_uncompared(clock()), scope, clock, progress, should_stop)


def compare_late(
    report_ids: Collection[int], *, source: SummarySource, clock: Callable[[], datetime]
) -> None:
    """These late reports are compared with Stripe's totals, as they are to be carried.

    However lately they were compared before: a ledger that was put back since does not know what it carried.
    Where Stripe holds something that it was not told they wait, or are held. Raises `InvalidInput` with the
    reason where Stripe does not answer.
    """
    these = Q(pk__in=report_ids, status=Status.LATE)
    checked = _check(source, these, Scope(), clock) if report_ids else Checked()
    if checked.error:
        msg = f"Nothing was carried forward, as what Stripe holds cannot be read: {checked.error}"
        raise InvalidInput(msg)


def _check(
    source: SummarySource,
    needed: Q,
    scope: Scope,
    clock: Callable[[], datetime],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Checked:
    result = Checked()
    wanted, slices = _wanted(needed, scope, now=clock())
    done = 0
    if wanted:
        progress(0, len(wanted))
    for page in compare_with_stripe(wanted, source=source, clock=clock):
        found = [one for one in page if isinstance(one, Comparison)]
        failed = [one for one in page if isinstance(one, Unreadable)]
        result.error = result.error or "".join(str(one.error) for one in failed[:1])
        result.held += _write(found, needed, slices, now=clock())
        done += len(found)
        progress(done, len(wanted))
        if should_stop():
            break
    result.unasked = len(wanted) - done
    return result


def _wanted(needed: Q, scope: Scope, *, now: datetime) -> tuple[list[Wanted], dict[int, list[Slice]]]:
    """Return for each enrolment the stretch around all that needs a look, soonest closing first.

    Where late usage waits it goes on until now, with the slices that may have taken it along already: that is
    how a ledger that was put back learns of what it had carried.
    """
    rows = UsageReport.objects.filter(is_unsettled(), needed)
    spans = list(
        rows.filter(enrolment__in=unpaused(enrolments_in(scope)))
        .order_by()
        .values("enrolment")
        .annotate(
            start=Min("slice_start"),
            end=Max("slice_end"),
            late_since=Min("slice_start", filter=Q(status=Status.LATE)),
            closes_first=Min("closes_at"),
        )
        .order_by("closes_first", "enrolment")
        .values_list("enrolment", "start", "end", "late_since")
    )
    enrolments: dict[int, Enrolment] = {}
    for first in range(0, len(spans), CHUNK):
        ids = [pk for pk, *_ in spans[first : first + CHUNK]]
        enrolments |= Enrolment.objects.select_related("customer", "meter").in_bulk(ids)
    late = {pk: since for pk, _start, _end, since in spans if since}
    slices = {
        one.id: [piece for piece in pieces if piece.span.start >= late[one.id]]
        for one, pieces in measured_slices([enrolments[pk] for pk in late], now=now, unmeasured_too=True)
    }
    wanted = [
        Wanted(
            enrolment=enrolments[pk],
            span=claimed_span(Span(start, max(end, now) if since else end), sets_hours=True),
            slices=[piece.span for piece in slices.get(pk, ())],
        )
        for pk, start, end, since in spans
    ]
    return wanted, slices


def _write(
    found: Sequence[Comparison], needed: Q, slices: Mapping[int, Sequence[Slice]], *, now: datetime
) -> int:
    """Commit what was found of some enrolments; return how many reports are held for it."""
    by_enrolment = {one.enrolment_id: one for one in found}
    with transaction.atomic():
        rows = list(
            UsageReport.objects.select_for_update(of=("self",))
            .select_related("enrolment__meter", "enrolment__customer", "run")
            .filter(is_unsettled(), needed, enrolment__in=by_enrolment)
            .order_by("pk")
        )
        seen = [row for row in rows if by_enrolment[row.enrolment_id].covers(hours_of(row))]
        late = [row for row in seen if row.status == Status.LATE]
        forgotten = find_forgotten(late, slices, by_enrolment, now=now)
        known = _known([*seen, *forgotten])
        for row in [*seen, *forgotten]:
            _look_at(row, by_enrolment[row.enrolment_id], known[row.enrolment_id, row.slice_start])
        more = [row for row in forgotten if row.status == Status.HELD]
        # Whatever another worker has planned there meanwhile is looked at by the next run.
        UsageReport.objects.bulk_create(more, ignore_conflicts=True)
        _look_again(late, [*seen, *more], by_enrolment)
        UsageReport.objects.bulk_update(
            seen, ["status", "error", "beside", "compared_at", "next_attempt_at"], batch_size=200
        )
        # What was planned meanwhile, further away, is looked at by the next run.
        missed = {row.enrolment_id for row in rows} - {row.enrolment_id for row in seen}
        checked = Enrolment.objects.filter(pk__in=set(by_enrolment) - missed, checked_at=None)
        checked.update(checked_at=now)
    held = [row for row in [*seen, *more] if row.status == Status.HELD]
    record_findings(_findings(held), now=now)
    return len(held)


def _look_again(
    late: Sequence[UsageReport], seen: Sequence[UsageReport], found: Mapping[int, Comparison]
) -> None:
    """Late usage is not carried while Stripe may hold it elsewhere already."""
    if not late:
        return
    in_doubt = Q(status=Status.UNKNOWN) | Q(status=Status.HELD, beside__isnull=False)
    waiting = UsageReport.objects.filter(in_doubt, enrolment__in={row.enrolment_id for row in late})
    doubtful = {row.enrolment_id for row in seen if row.status == Status.HELD} | {
        row.enrolment_id
        for row in waiting.select_related("enrolment__meter")
        if row.status == Status.HELD or not around(row, found[row.enrolment_id]).agrees
    }
    for row in late:
        if row.status == Status.LATE and row.enrolment_id in doubtful:
            row.compared_at = None


def _known(rows: Sequence[UsageReport]) -> Mapping[tuple[int, datetime], set[Decimal]]:
    """Return what was found beside these slices' earlier revisions, and decided on."""
    decided = UsageReport.objects.filter(
        enrolment__in={row.enrolment_id for row in rows},
        slice_start__in={row.slice_start for row in rows},
        beside__isnull=False,
    ).exclude(status__in=(Status.HELD, Status.REPLACED))
    known: dict[tuple[int, datetime], set[Decimal]] = defaultdict(set)
    for enrolment, start, beside in decided.values_list("enrolment", "slice_start", "beside"):
        known[enrolment, start] |= {beside} if beside is not None else set()
    return known


def _look_at(row: UsageReport, found: Comparison, known: Collection[Decimal]) -> None:
    """Hold a report of whose slice Stripe holds more than it was told, or let it go."""
    here = around(row, found)
    span = here.span
    row.compared_at = here.as_of
    units = billed_units(here.beside, scale=Decimal(1), decimals=row.enrolment.meter.decimals)
    # Less than it was told is a matter of what was told before: no reason to bill less still.
    is_less = units < 0 and any(one.told for one in here.cells)
    if here.agrees or is_less or units in known:
        return
    row.status, row.next_attempt_at, row.beside = Status.HELD, None, units
    row.error = (
        f"From {span.start:%Y-%m-%d %H:%M} to {span.end:%Y-%m-%d %H:%M} UTC Stripe holds {as_text(units)} "
        "units that this console did not send."
    )


def _findings(held: Sequence[UsageReport]) -> Iterator[FoundIssue]:
    """Yield one finding for each meter."""
    by_meter: dict[Meter, list[UsageReport]] = defaultdict(list)
    for row in held:
        by_meter[row.enrolment.meter].append(row)
    for meter, rows in by_meter.items():
        waiting = UsageReport.objects.filter(
            enrolment__meter=meter, status=Status.HELD, beside__isnull=False
        ).count()
        yield FoundIssue(
            kind=Finding.Kind.ALREADY_BILLED,
            fingerprint=f"meter:{meter.stripe_id}",
            message=(
                f"{waiting} held on {meter.slug}: {rows[0].error} Say that it is billed already, or release "
                "what is to be billed on top, under Reports."
            ),
            meter_id=meter.pk,
        )
