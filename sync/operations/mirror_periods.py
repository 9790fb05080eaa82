"""Keep every billing period that was ever seen, and the ones that nobody was there to see."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from sync.models import BillingPeriod


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPeriod:
    """The current period of one item, as Stripe shows it; `end` is after `start`."""

    item_id: int
    start: datetime
    end: datetime


def store_periods(seen: Sequence[SeenPeriod], *, invoice_grace: timedelta) -> int:
    """The periods are stored; return how many were new or different. Nothing is ever removed.

    An end moves only while the period's invoice is not known to be final: where Stripe shows another end
    for the same start, and where a new period begins before the last one was to end. Periods that came
    and went unseen stand as one stretch up to the current period, so that their usage is found and, where
    its invoice is final, shown as late. Safe to repeat.
    """
    if not seen:
        return 0
    with transaction.atomic():
        known = _known(seen)
        new: list[BillingPeriod] = []
        moved: list[BillingPeriod] = []
        for one in seen:
            mine = known[one.item_id]
            moved += _move_ends(mine, one, invoice_grace)
            new += _unseen(mine, one, invoice_grace)
        # A period that another process finalized meanwhile keeps its end.
        open_periods = BillingPeriod.objects.filter(finalized_at=None)
        open_periods.bulk_update(moved, ["end", "closes_at"])
        BillingPeriod.objects.bulk_create(new, ignore_conflicts=True)
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
    last_end = max((period.end for period in mine if period.start < one.start), default=one.start)
    if last_end < one.start:
        yield _period(one.item_id, last_end, one.start, grace)
    yield _period(one.item_id, one.start, one.end, grace)


def _period(item_id: int, start: datetime, end: datetime, grace: timedelta) -> BillingPeriod:
    return BillingPeriod(item_id=item_id, start=start, end=end, closes_at=end + grace)
