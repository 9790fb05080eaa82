"""What crosses the border to the two APIs. Times are aware UTC, stretches half-open, quantities `Decimal`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, Protocol

from sync.domain.changes import StripeEvent
from sync.domain.invoices import InvoiceSource
from sync.domain.notices import ErrorReportSource
from sync.domain.pauses import PauseSource
from sync.domain.summaries import SummarySource
from sync.domain.swaps import SwapSource

WindowSize = Literal["MINUTE", "HOUR", "DAY"]


class SyncError(Exception):
    """Something expected went wrong; `str()` is one clear sentence for an operator, without any key."""

    def __init__(
        self, message: str, *, http_status: int | None = None, code: str = "", request_id: str = ""
    ) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.code = code
        self.request_id = request_id


class InvalidInput(SyncError):
    """A person asked for something that cannot be done; nothing was changed. Commands exit with 2."""


class Misconfigured(SyncError):
    """A key, an address or a permission is wrong; the run stops, nothing is lost."""


class TemporaryFailure(SyncError):
    """ "Not now" (429, 409, 5xx, refused); `maybe_arrived` is false only if it surely had no effect."""

    def __init__(self, message: str, *, maybe_arrived: bool, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.maybe_arrived = maybe_arrived


class OutcomeUnknown(SyncError):
    """The request may have had its effect (timeout, cut connection, another under its key goes on)."""


class DuplicateIdentifier(SyncError):
    """Stripe already holds an event with this identifier."""


class KeyTaken(SyncError):
    """Another event was reported under this event's Idempotency-Key, and so under its identifier."""


class MeterRefused(SyncError):
    """Stripe refuses every event of this meter (inactive, or no meter of that event name)."""


class Rejected(SyncError):
    """Stripe refuses this one event for good (no such customer, bad value)."""


class NotFound(SyncError):
    """The object asked for does not exist there."""


class AnswerTooLarge(SyncError):
    """An answer is larger than we take at once; a shorter stretch of time may be asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceMeter:
    """A live OpenMeter meter. `aggregation` is upper case (`SUM`, `COUNT`, …)."""

    id: str
    slug: str
    aggregation: str
    group_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One row of a meter query: what `subject` used from `start`, in the measurement's own unit."""

    subject: str
    start: datetime
    value: Decimal
    group: Mapping[str, str] = field(default_factory=dict)


class UsageSource(Protocol):
    """OpenMeter, as far as the console uses it. Raises `SyncError`s only."""

    def meters(self) -> list[SourceMeter]:
        """Return every live meter."""

    def subjects(self, slug: str, *, start: datetime, end: datetime) -> set[str]:
        """Return the subjects with events of this meter's type in `[start, end)`."""

    def query(
        self,
        slug: str,
        *,
        start: datetime,
        end: datetime,
        window: WindowSize | None,
        subjects: Sequence[str] | None = None,
        group_by: Sequence[str] = (),
    ) -> list[UsageRow]:
        """Return usage per subject (and group), by windows or in one row; None asks for every subject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The account and mode that a key belongs to."""

    id: str
    livemode: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeMeter:
    """A Stripe billing meter. `event_time_window` is "", "hour" or "day"; `active` is Stripe's status."""

    id: str
    event_name: str
    display_name: str
    formula: str
    event_time_window: str
    customer_key: str
    value_key: str
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StripePrice:
    """A price with its product's name. `meter` is "" for licensed and legacy metered prices."""

    id: str
    active: bool
    lookup_key: str
    product_id: str
    product_name: str
    meter: str
    usage_type: str
    currency: str
    unit_amount_decimal: Decimal | None
    billing_scheme: str
    tiers_mode: str
    tiers: Sequence[Mapping[str, object]]
    transform_quantity: Mapping[str, object]
    interval: str
    interval_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeCustomer:
    """A customer; `external_key` is `metadata.external_key`, "" when unset."""

    id: str
    name: str
    email: str
    external_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeItem:
    """A subscription item with its current period. `om_meter` is `metadata.om_meter_id`, "" when unset."""

    id: str
    price_id: str
    om_meter: str
    created_at: datetime
    period_start: datetime
    period_end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeSubscription:
    """A subscription of any status with *all* its items."""

    id: str
    customer_id: str
    status: str
    billing_mode: str
    created_at: datetime
    start_date: datetime
    trial_start: datetime | None
    trial_end: datetime | None
    cancel_at: datetime | None
    ended_at: datetime | None
    items: Sequence[StripeItem]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterEvent:
    """One call of `POST /v1/billing/meter_events`. `value` is already text, never an exponent."""

    event_name: str
    customer_key: str
    customer_id: str
    value_key: str
    value: str
    identifier: str
    timestamp: datetime
    idempotency_key: str


class MeterEventSender(Protocol):
    """What delivery needs of Stripe; safe to call from many threads at once."""

    call_timeout_seconds: float
    """The longest that one call can take; a lease must outlast it."""

    def send_meter_event(self, event: MeterEvent) -> str:
        """Send one event and return Stripe's request id, or raise a `SyncError` that says what happened."""


class BillingGateway(
    MeterEventSender, InvoiceSource, ErrorReportSource, SummarySource, SwapSource, PauseSource, Protocol
):
    """Stripe, as far as the console uses it. Lists go through all pages; raises `SyncError`s only."""

    def account(self) -> Account:
        """Return the account and mode of the key in use."""

    def meters(self) -> Iterator[list[StripeMeter]]:
        """Yield every meter, active and inactive, a page at a time."""

    def prices(self, *, after: str = "") -> Iterator[list[StripePrice]]:
        """Yield every price, archived ones too, with product name and tiers, a page at a time."""

    def customers(self, *, after: str = "") -> Iterator[list[StripeCustomer]]:
        """Yield every customer, a page at a time."""

    def subscriptions(self, *, after: str = "") -> Iterator[list[StripeSubscription]]:
        """Yield subscriptions of every status with all their items, a page at a time."""

    def events(self, *, since: datetime) -> Iterator[list[StripeEvent]]:
        """Yield what happened to mirrored objects from `since` on, newest first; Stripe keeps 30 days."""

    def meter(self, stripe_id: str) -> StripeMeter:
        """Return one meter; `NotFound` if it is gone."""

    def customer(self, stripe_id: str) -> StripeCustomer:
        """Return one customer; `NotFound` if it is gone or deleted."""

    def price(self, stripe_id: str) -> StripePrice:
        """Return one price; `NotFound` if it is gone."""

    def subscription(self, stripe_id: str) -> StripeSubscription:
        """Return one subscription with all its items; `NotFound` if it is gone."""

    def create_meter(
        self, *, display_name: str, event_name: str, window: str, idempotency_key: str
    ) -> StripeMeter:
        """Create a `sum` meter; `window` is "" or "hour"."""

    def find_product(self, *, set_up_key: str) -> str:
        """Return the id of the active product whose `metadata.billing_console` is `set_up_key`, or ""."""

    def create_product(self, *, name: str, set_up_key: str, idempotency_key: str) -> str:
        """Create a product and return its id."""

    def find_price(self, *, lookup_key: str) -> StripePrice | None:
        """Return the active price with this lookup key."""

    def create_price(
        self,
        *,
        product_id: str,
        meter_id: str,
        currency: str,
        unit_amount_decimal: Decimal,
        interval: str,
        lookup_key: str,
        idempotency_key: str,
    ) -> StripePrice:
        """Create a metered per-unit price; the amount is in minor units (cents)."""

    def find_customer(self, *, external_key: str) -> StripeCustomer | None:
        """Return the oldest customer whose `metadata.external_key` is this."""

    def create_customer(
        self, *, name: str, email: str, external_key: str, idempotency_key: str
    ) -> StripeCustomer:
        """Create a customer with `metadata.external_key`."""

    def find_subscription(self, *, customer_id: str, price_id: str) -> StripeSubscription | None:
        """Return the customer's subscription to this price that is neither canceled nor expired."""

    def create_subscription(
        self, *, customer_id: str, price_id: str, idempotency_key: str
    ) -> StripeSubscription:
        """Create a subscription with one metered item."""
