"""What a delivery goes by, and what comes of it."""

from collections import Counter
from dataclasses import dataclass, field

from sync.models import UsageReport
from sync.operations.confirmed_reports import ConfirmedReports


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRules:
    """The settings that decide how delivery goes about it."""

    calls_per_second: int
    ignore_back_off: bool
    """A person asked for it now: rows that wait for their next attempt are tried at once."""
    wait_for_others: bool = True
    """Whether to stay until a worker that was killed has lost its lease, and take over what it left."""
    only: ConfirmedReports | None = None
    """What a person confirmed; None: whatever is due."""


@dataclass(slots=True, kw_only=True)
class Delivered:
    """What came of a delivery. `reports` are those that reached Stripe."""

    reports: list[UsageReport] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    elsewhere: int = 0
    """Due reports that another worker is sending."""
    error: str = ""
    """Why delivery stopped early, as a sentence; empty if it did not."""
    trouble: str = ""
    """What Stripe said to the newest report that is left to the next run."""
    given_up: set[int] = field(default_factory=set)
    """Enrolments that are left to the next run."""
    stopped: bool = False
