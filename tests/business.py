"""Customers who subscribed a few hours ago, in real time: what a console in processes of its own reports."""

from datetime import UTC, datetime, timedelta

from sync.domain.timeline import HOUR, floor_to
from tests.console import Console
from tests.world import World

SETTLED = timedelta(seconds=130)
"""A slice is measured once it has been over for this long, and a little more."""
USED = 7


class Business:
    """Customers who subscribed a few hours ago, in real time; the console has mirrored them."""

    def __init__(self, world: World, console: Console, customers: int, window: str = "") -> None:
        self.world, self.console = world, console
        self.hour = floor_to(datetime.now(UTC) - SETTLED, HOUR) - HOUR
        world.at(self.hour - 3 * HOUR)
        tokens = world.meter(window=window)
        self.people = [world.subscriber(tokens, f"c{number}") for number in range(customers)]
        self.expected = 0
        self.use()
        world.control.set_clock(None)
        synced = console.manage("sync_stripe")
        assert synced.returncode == 0, synced.stderr

    def use(self, amount: int = USED) -> None:
        """Let everybody use something in an hour that has closed."""
        self.expected += amount
        self.world.use_many([(who.subject, amount, self.hour + HOUR / 2) for who in self.people])

    def billed(self) -> set[int]:
        """Return the distinct totals that Stripe holds for its customers."""
        totals = self.world.control.totals()
        return {int(totals.get((who.customer, "tokens"), "0")) for who in self.people}
