"""The demo's customers: who they are, since when they pay for what, and what is special about some."""

import datetime as dt
from dataclasses import dataclass

from dateutil.relativedelta import relativedelta

from sync.sandbox.demo_usage import Measure

TOKENS = Measure(
    slug="tokens_total",
    event_type="prompt",
    value="tokens",
    groups={"model": ("gpt-5", "gpt-5-mini", "claude"), "type": ("input", "output", "output")},
    per_hour=4200,
)
REQUESTS = Measure(
    slug="api_requests",
    event_type="request",
    value="requests",
    groups={"method": ("GET", "GET", "POST"), "route": ("/chat", "/embed", "/files")},
    per_hour=160,
)


@dataclass(frozen=True, slots=True)
class Product:
    """What is sold: a Stripe meter, a product and a monthly price on it, measured by an OpenMeter meter."""

    measure: Measure
    event_name: str
    name: str
    unit_amount: str
    """In cents per unit, as Stripe's `unit_amount_decimal`."""

    @property
    def lookup_key(self) -> str:
        """The name that set-up finds the price again by."""
        return f"billing-console:{self.event_name}"


PRODUCTS = (
    Product(TOKENS, "ai_tokens", "AI Tokens", "0.002"),
    Product(REQUESTS, "api_requests", "API Requests", "0.05"),
)
BOTH = (TOKENS, REQUESTS)


@dataclass(frozen=True, slots=True)
class DemoCustomer:
    """One customer. Its current billing period began `days` days and `offset` seconds ago."""

    name: str
    key: str
    days: int
    months: int
    """How many whole billing periods lie before the current one."""
    offset: int
    """Seconds further back, so that no two anchors share their minute and second."""
    size: float
    measures: tuple[Measure, ...] = BOTH
    utc_offset: int = 0
    second_key: str = ""
    """A second subject whose usage is this customer's too."""
    trial_days: int = 0
    status: str = ""
    """What the subscriptions are set to afterwards, which no API call could."""
    ended_minutes_ago: int = 0
    silent: bool = False
    """No usage appears under its subject."""
    renews_in_hours: int = 0
    """Its current billing period ends so soon, whatever `days` says."""

    @property
    def email(self) -> str:
        """Where its invoices go; example.com belongs to nobody."""
        return f"billing@{self.key}.example.com"

    def subscribed_at(self, now: dt.datetime) -> dt.datetime:
        """When its subscriptions began."""
        period_start = now - dt.timedelta(days=self.days, seconds=self.offset)
        if self.renews_in_hours:
            renewal = now + dt.timedelta(hours=self.renews_in_hours) - dt.timedelta(seconds=self.offset)
            period_start = renewal - relativedelta(months=1)
        return (period_start - relativedelta(months=self.months)).replace(microsecond=0)


CUSTOMERS = (
    DemoCustomer("Northwind Traders", "northwind", 24, 3, 1427, 1.0, utc_offset=1),
    DemoCustomer(
        "Consolidated Messenger",
        "consolidated",
        5,
        0,
        2153,
        0.3,
        (TOKENS,),
        ended_minutes_ago=150,
        silent=True,
    ),
    DemoCustomer(
        "Contoso Robotics", "contoso", 19, 2, 2891, 1.6, second_key="contoso-research", utc_offset=-8
    ),
    DemoCustomer("Fabrikam Publishing", "fabrikam", 12, 5, 3313, 0.7, utc_offset=1),
    DemoCustomer("Tailspin Travel", "tailspin", 9, 0, 507, 0.4, utc_offset=-5),
    DemoCustomer("Wingtip Legal", "wingtip", 21, 1, 1933, 0.5, (TOKENS,), utc_offset=-5),
    DemoCustomer("Adventure Works", "adventure-works", 5, 4, 2267, 0.9, utc_offset=-8),
    DemoCustomer("Alpine Ski House", "alpine-ski", 16, 0, 3049, 0.2, (TOKENS,), utc_offset=1),
    DemoCustomer("Blue Yonder Air", "blue-yonder", 3, 6, 811, 1.2, utc_offset=9),
    DemoCustomer("City Power and Light", "city-power", 26, 1, 1619, 0.3, (REQUESTS,)),
    DemoCustomer("Coho Winery", "coho-winery", 14, 2, 2539, 0.1, (TOKENS,), utc_offset=-8),
    DemoCustomer("Fourth Coffee", "fourth-coffee", 7, 3, 3571, 0.6, utc_offset=-8),
    DemoCustomer("Graphic Design Institute", "graphic-design", 11, 0, 229, 0.8, (TOKENS,), utc_offset=1),
    DemoCustomer("Humongous Insurance", "humongous", 29, 5, 1097, 1.9, utc_offset=-5, renews_in_hours=9),
    DemoCustomer("Lakeshore Clinic", "lakeshore", 18, 1, 2711, 0.5, utc_offset=-6),
    DemoCustomer("Litware Studios", "litware", 2, 0, 1733, 0.9, (TOKENS,), utc_offset=9),
    DemoCustomer("Lucerne Dairy", "lucerne", 10, 4, 3461, 0.2, (REQUESTS,), utc_offset=1),
    DemoCustomer("Margie's Travel", "margies-travel", 15, 2, 653, 0.3, (REQUESTS,)),
    DemoCustomer("Munson Farms", "munson", 6, 1, 2017, 0.2, (TOKENS,), utc_offset=-6),
    DemoCustomer("Proseware Analytics", "proseware", 20, 3, 2963, 1.4, utc_offset=5),
    DemoCustomer("Relecloud Hosting", "relecloud", 8, 2, 379, 1.1, utc_offset=2),
    DemoCustomer("School of Fine Art", "fine-art", 6, 0, 1871, 0.3, (TOKENS,), 1, trial_days=14),
    DemoCustomer("Southridge Video", "southridge", 13, 1, 3187, 0.7, utc_offset=-8, status="past_due"),
    DemoCustomer("Trey Research", "trey-research", 17, 2, 941, 0.8, utc_offset=-5, ended_minutes_ago=41),
    DemoCustomer("VanArsdel Imports", "vanarsdel", 4, 1, 2423, 0.4, (TOKENS,), 1, silent=True),
    DemoCustomer("Woodgrove Bank", "woodgrove", 22, 6, 1289, 1.5, utc_offset=-5),
)
