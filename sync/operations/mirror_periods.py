"""Keep every billing period that was ever seen, and the ones that nobody was there to see."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from sync.domain.cycles import Cycle, unseen_periods
from sync.domain.timeline import Span
from sync.models import BillingPeriod
from sync.operations.measure_anew import measure_from

NO_CYCLE = Cycle("", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """When an item came into being that came after us: every period since is ours, seen or not.

    `starts_at` is when its usage begins to count, earlier than `created_at` for a backdated one.
    """

    starts_at: datetime
    created_at: datetime
    past_is_billed_next: bool
    """Whether what was used before it was created is on its next invoice; else it was on its first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPeriod:
    """The current period of one item, as Stripe shows it; `end` is after `start`."""

    item_id: int
    start: datetime
    end: datetime
    cycle: Cycle = NO_CYCLE
    beginning: Beginning | None = None
    """None for an item that is older than this database: what was before its first sync is not ours."""


def store_periods(seen: Sequence[SeenPeriod], *, invoice_grace: timedelta) -> int:
    """The periods are stored; return how many were new or different. Nothing is ever removed.

    An end moves only while the period's invoice is not known to be final: where Stripe shows another end
    for the same start, and where a new period begins before the last one was to end. Periods that came
    and went unseen are stored with the one that followed them, so that their usage is found and, where its
    invoice is final, shown as late. What that makes billable is measured from there. Safe to repeat.
    """
    if not seen:
        return 0
    with transaction.atomic():
        known = _known(seen)
        new: list[BillingPeriod] = []
        moved: list[BillingPeriod] = []
        measured_from: dict[int, datetime] = {}
        for one in seen:
            mine = known[one.item_id]
            ends = {period.pk: period.end for period in mine}
            mine_moved = list(_move_ends(mine, one, invoice_grace))
            mine_new = list(_unseen(mine, one, invoice_grace))
            grown = [ends[period.pk] for period in mine_moved if period.end > ends[period.pk]]
            if begun := grown + [period.start for period in mine_new]:
                measured_from[one.item_id] = min(begun)
            moved += mine_moved
            new += mine_new
        # A period that another process finalized meanwhile keeps its end.
        open_periods = BillingPeriod.objects.filter(finalized_at=None)
        open_periods.bulk_update(moved, ["end", "closes_at"])
        BillingPeriod.objects.bulk_create(new, ignore_conflicts=True)
        measure_from(measured_from)
    return len(new) + len(moved)


def _known(seen: Sequence[SeenPeriod]) -> dict[int, list[BillingPeriod]]:
    known: dict[int, list[BillingPeriod]] = defaultdict(list)
    periods = BillingPeriod.objects.filter(item_id__in={one.item_id for one in seen}).order_by("start")
    for period in periods.only("item_id", "start", "end", "closes_at", "finalized_at"):
        known[period.item_id].append(period)
    return known


def _move_ends(mine: list[BillingPeriod], one: SeenPeriod, grace: timedelta) -> Iterator[BillingPeriod]:
    for period in mine:
        if period.finalized_at:
            continue
        if period.start == one.start and period.end != one.end:
            end = one.end
        elif period.start < one.start < period.end:
            # The billing anchor was moved: the old period was billed up to there.
            end = one.start
        else:
            continue
        period.end, period.closes_at = end, end + grace
        yield period


def _unseen(mine: list[BillingPeriod], one: SeenPeriod, grace: timedelta) -> Iterator[BillingPeriod]:
    if any(period.start == one.start for period in mine):
        return
    spans = [*_missed(mine, one), Span(one.start, one.end)]
    for span in spans:
        yield BillingPeriod(
            item_id=one.item_id,
            start=span.start,
            end=span.end,
            closes_at=_closes_at(span, spans, one.beginning, grace),
        )


def _missed(mine: list[BillingPeriod], one: SeenPeriod) -> list[Span]:
    """Return the periods between what is known of the item, or its beginning, and its current period."""
    ends = [period.end for period in mine if period.start < one.start]
    if not mine and one.beginning:
        ends = [one.beginning.starts_at]
    since = max(ends, default=one.start)
    if since >= one.start:
        return []
    known = [*(period.start for period in mine), one.end]
    return unseen_periods(Span(since, one.start), cycle=one.cycle, known=known)


def _closes_at(span: Span, spans: list[Span], beginning: Beginning | None, grace: timedelta) -> datetime:
    """Return when a period closes as far as nobody has read its invoice."""
    if beginning is None or span.end > beginning.created_at:
        return span.end + grace
    if not beginning.past_is_billed_next:
        # The first invoice of a subscription is final as soon as it is made.
        return span.end
    return next((later.end for later in spans if later.end > beginning.created_at), span.end) + grace
