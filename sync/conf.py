"""The console's configuration, typed. Built from Django's settings, once, at the edges."""

from dataclasses import dataclass, field
from datetime import timedelta

from django.conf import settings

STRIPE_ADDRESS = "https://api.stripe.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that can be configured; keys are never part of `repr`."""

    stripe_key: str = field(repr=False)
    stripe_api_base: str
    stripe_rate_limit: int
    """Meter-event calls a second, all workers together; 0 means: 20 with a test key, 800 with a live one."""
    openmeter_url: str
    openmeter_token: str = field(repr=False)
    allow_live: bool
    tail: timedelta
    """How far back every run measures again, for usage that arrived late."""
    brake_percent: int
    """A run that would lower a meter by more than this share is held for a person."""
    invoice_grace: timedelta
    """How long Stripe leaves a draft open after a period's end, where the draft itself was not read."""

    late_usage: str = "ask"
    """What becomes of usage whose billing period has closed: `ask` a person, or `carry_forward` by itself."""

    confirm_amount: int
    """From this amount on, in whole units of a price's currency, a dialog wants the amount typed."""

    run_budget: timedelta = timedelta(minutes=20)
    """How long a run in the background goes on before it leaves the rest to the next one."""

    webhook_secret: str = field(default="", repr=False)
    """What Stripe signs events of changed objects with; "" where none are taken."""
    thin_webhook_secret: str = field(default="", repr=False)
    """The same for thin events, which come to an address of their own."""

    @property
    def livemode(self) -> bool:
        """Whether the key is a live one, by its prefix."""
        return self.stripe_key.startswith(("sk_live_", "rk_live_"))

    @property
    def unrestricted(self) -> bool:
        """Whether the key is a secret key, which Stripe lets do everything, by its prefix."""
        return self.stripe_key.startswith("sk_")

    @property
    def environment(self) -> str:
        """SANDBOX, TEST or LIVE: what the console is connected to, for everybody to see."""
        if self.livemode:
            return "LIVE"
        return "TEST" if self.stripe_api_base == STRIPE_ADDRESS else "SANDBOX"

    @property
    def effective_rate_limit(self) -> int:
        """Calls a second for meter events: Stripe allows 25 with test keys, 1,000 with live ones.

        Source: https://docs.stripe.com/rate-limits; the defaults leave room for other callers.
        """
        return self.stripe_rate_limit or (800 if self.livemode else 20)


def load_config() -> Config:
    """Return the configuration that Django's settings hold now."""
    return Config(
        stripe_key=settings.STRIPE_KEY.strip(),
        stripe_api_base=settings.STRIPE_API_BASE.strip().rstrip("/"),
        stripe_rate_limit=settings.STRIPE_RATE_LIMIT,
        openmeter_url=settings.OPENMETER_URL.strip().rstrip("/"),
        openmeter_token=settings.OPENMETER_TOKEN.strip(),
        allow_live=settings.ALLOW_LIVE,
        tail=timedelta(hours=settings.REPORT_TAIL_HOURS),
        brake_percent=settings.REPORT_BRAKE_PERCENT,
        invoice_grace=timedelta(minutes=settings.INVOICE_GRACE_MINUTES),
        late_usage=settings.LATE_USAGE,
        confirm_amount=settings.CONFIRM_AMOUNT,
        run_budget=timedelta(minutes=settings.RUN_BUDGET_MINUTES),
        webhook_secret=settings.STRIPE_WEBHOOK_SECRET.strip(),
        thin_webhook_secret=settings.STRIPE_THIN_WEBHOOK_SECRET.strip(),
    )
