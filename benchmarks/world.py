"""The made-up business that is measured: names, and what everybody used, by rule instead of by record.

The player answers by these rules, the filler puts the same names into the database, and the check
afterwards computes from them what each customer must have been billed.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

HOUR = timedelta(hours=1)
SETTLE = timedelta(seconds=120)
"""How long after its end an hour is reported: the default of the console's meters."""
ACCOUNT = "acct_benchmark"
KEY = "sk_test_benchmark"
SUBJECT_PREFIX, CUSTOMER_PREFIX, METER_PREFIX = "subject-", "cus_bench", "meter_"


@dataclass(frozen=True, slots=True)
class World:
    """So many subscriptions, each of its own customer, with one item each, spread over the meters."""

    subscriptions: int
    meters: int

    def meter_of(self, number: int) -> int:
        """Return the meter that this subscription is on."""
        return number % self.meters

    def numbers_of(self, meter: int) -> range:
        """Return the subscriptions on this meter."""
        return range(meter, self.subscriptions, self.meters)

    def expected(self, hour: datetime) -> dict[tuple[str, str], Decimal]:
        """Return what each (customer, event name) must be billed for one hour."""
        return {
            (customer_id(number), meter_slug(self.meter_of(number))): usage(number, hour)
            for number in range(self.subscriptions)
        }


def meter_slug(meter: int) -> str:
    """Return a meter's slug in OpenMeter and event name in Stripe."""
    return f"{METER_PREFIX}{meter}"


def subject_key(number: int) -> str:
    """Return the key that OpenMeter files a subscription's usage under."""
    return f"{SUBJECT_PREFIX}{number:06}"


def customer_id(number: int) -> str:
    """Return the Stripe customer of a subscription."""
    return f"{CUSTOMER_PREFIX}{number:06}"


def usage(number: int, hour: datetime) -> Decimal:
    """Return what a subscription used in the hour that begins then: never zero, two decimals."""
    hundredths = 1 + (number * 7919 + int(hour.timestamp()) // 3600 * 104_729) % 99_999
    return Decimal(hundredths) / 100


def closed_hour(now: datetime) -> datetime:
    """Return the start of the newest hour that is reported at this time."""
    return (now - SETTLE).astimezone(UTC).replace(minute=0, second=0, microsecond=0) - HOUR
