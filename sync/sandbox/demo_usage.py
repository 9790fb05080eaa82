"""What the demo's customers use: more by day than by night, more in the week than at weekends."""

import datetime as dt
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

SEED = 20231107
"""The same customers use the same amounts in every demo; only the dates move along with today."""

HOUR = dt.timedelta(hours=1)
SATURDAY = 5
BUSY = 1.1
"""An hour with more than this share of the usual rate is told in two events instead of one."""
QUIET = 0.12
"""Below this share of the usual rate an hour passes without any usage."""


@dataclass(frozen=True, slots=True)
class Measure:
    """An OpenMeter meter: which number of which events it adds up, and what a busy customer comes to."""

    slug: str
    event_type: str
    value: str
    groups: dict[str, Sequence[str]]
    """Group-by key → what the events say there."""
    per_hour: int


@dataclass(frozen=True, slots=True)
class Habit:
    """How one subject uses one meter. `size` is its share of a busy customer's rate."""

    subject: str
    measure: Measure
    size: float
    utc_offset: int
    """Hours between UTC and the subject's office, which decide when its days are."""
    end: dt.datetime | None = None
    """Nothing is used from here on."""


def events_of(habits: Sequence[Habit], *, days: int, now: dt.datetime) -> Iterator[dict[str, Any]]:
    """Yield CloudEvents for the `days` before `now`, subject by subject in the order of time."""
    first = (now - dt.timedelta(days=days)).replace(minute=0, second=0, microsecond=0)
    for habit in habits:
        chance = random.Random(f"{SEED}:{habit.subject}:{habit.measure.slug}")  # noqa: S311 - no secret
        end = min(now, habit.end or now)
        hour = first
        while hour < end:
            yield from _events_in(hour, habit, chance, end)
            hour += HOUR


def _events_in(
    hour: dt.datetime, habit: Habit, chance: random.Random, end: dt.datetime
) -> Iterator[dict[str, Any]]:
    share = _rhythm(hour + habit.utc_offset * HOUR) * chance.uniform(0.6, 1.4)
    seconds = sorted(chance.randrange(3600) for _ in range(2 if share > BUSY else 1))
    amounts = [_amount(habit, share / len(seconds), chance) for _ in seconds]
    groups = [{key: chance.choice(words) for key, words in habit.measure.groups.items()} for _ in seconds]
    if share < QUIET:
        return
    for number, (second, amount, group) in enumerate(zip(seconds, amounts, groups, strict=True)):
        at = hour + dt.timedelta(seconds=second)
        if at < end:
            yield {
                "specversion": "1.0",
                "id": f"{habit.measure.slug}-{habit.subject}-{hour:%Y%m%d%H}-{number}",
                "source": "demo",
                "type": habit.measure.event_type,
                "subject": habit.subject,
                "time": at.isoformat(),
                "data": {habit.measure.value: amount, **group},
            }


def _amount(habit: Habit, share: float, chance: random.Random) -> int:
    return max(1, round(habit.measure.per_hour * habit.size * share * chance.uniform(0.5, 1.5)))


def _rhythm(local: dt.datetime) -> float:
    """The share of the usual rate at this time of somebody's day and week."""
    if local.hour < 6 or local.hour >= 22:
        by_day = 0.12
    elif 9 <= local.hour < 18:
        by_day = 1.0
    else:
        by_day = 0.45
    return by_day * (0.3 if local.weekday() >= SATURDAY else 1.0)
