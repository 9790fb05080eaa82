"""What holds on every page: nothing in anybody's way, nothing outside the window, in light and dark."""

import pytest

from tests.browser.visitor import NARROW, WIDE

COLOURS = ["color-contrast", "link-in-text-block"]
"""The rules that a scheme changes."""
FIRST_SEEN = ("customer", "subscription", "meter", "reportrun", "usagereport", "finding")
EVERYTHING = """
from tests.factories import ReportRunFactory, UsageReportFactory
from tests.integration.test_admin_pages import fill
fill(0, 2)
for status in ("held", "late", "rejected", "unknown", "delivered", "dismissed"):
    UsageReportFactory(status=status, error="Why it is so, in a sentence of some length for narrow windows.")
for status in ("queued", "running", "partial", "failed", "cancelled", "interrupted"):
    ReportRunFactory(status=status, error="Stripe cannot be reached.", notes="What people should know.")
"""
FIND = """
import billing_console.urls
from tests.functional import pages
print("\\n".join(pages.{kind}()))
"""


@pytest.mark.timeout(400)  # many pages in one test, maybe on a busy machine
class TestPages:
    def test_are_readable_in_light_and_dark_wide_and_narrow(self, visit, console):
        found = console.script(EVERYTHING + FIND.format(kind="rows")).split()
        someone = visit("root")
        look_at(someone, ["/", *found], colours_twice=4)

    def test_with_lists_are_readable(self, visit, console):
        found = console.script(EVERYTHING + FIND.format(kind="lists")).split()
        look_at(visit("root"), found)

    def test_with_dialogs_are_readable_while_there_is_something_to_do(self, visit, console, start_business):
        business = start_business(customers=2)
        console.query("UPDATE sync_meter SET max_units_per_slice = 5")
        console.manage("report_usage", "--no-sync")
        console.query("UPDATE sync_meter SET max_units_per_slice = NULL")
        business.use()
        found = console.script(EVERYTHING + FIND.format(kind="dialogs")).split()
        look_at(visit("root"), found)

    def test_are_readable_before_anybody_has_logged_in(self, visit):
        someone = visit("", scheme="dark")
        someone.go("/login/")
        assert someone.page.evaluate("document.documentElement.className") == "dark"
        look_at(someone, ["/login/"], colours_twice=1)

    def test_are_readable_while_there_is_nothing(self, visit, console):
        look_at(visit("root"), ["/", *(f"/sync/{name}/" for name in FIRST_SEEN)])


def look_at(someone, addresses, *, colours_twice=0):
    """Open each address, light and wide and dark and narrow, every other one the other way round.

    The last look is the thorough one. Colours are looked at twice on the first so many pages, which differ
    most, for that takes most of the time; the others take turns.
    """
    assert addresses
    someone.look_closely()
    faults = []
    for number, address in enumerate(addresses):
        someone.go(address)
        first, last = ("light", "dark") if number % 2 == 0 else ("dark", "light")
        someone.wear(first, WIDE)
        faults += someone.overflow()
        if number < colours_twice:
            faults += someone.barriers(only=COLOURS)
        someone.wear(last, NARROW)
        faults += someone.barriers() + someone.overflow()
    assert not faults, "\n".join(faults)
