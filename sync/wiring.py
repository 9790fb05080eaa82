"""From configuration to clients, past the guard that refuses keys and addresses which must not be used."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from sync.clients import openmeter_transport, stripe
from sync.clients.openmeter import OpenMeterClient
from sync.clients.openmeter_transport import OpenMeterTransport
from sync.clients.stripe import StripeGateway
from sync.clients.stripe_notices import read_snapshot, read_thin
from sync.conf import STRIPE_ADDRESS, Config, load_config
from sync.domain.notices import Notification
from sync.operations.check_connections import StripeProbe
from sync.operations.report_request import ReportRules
from sync.ports import BillingGateway, Misconfigured, UsageSource

LIVE_KEYS_ACCEPTED = False
"""No live key is accepted, whatever ALLOW_LIVE says, until bills were shown to be right to the cent."""

_KEY = re.compile(r"(sk|rk)_(test|live)_[A-Za-z0-9_]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """The two APIs, ready to be asked, and the configuration they came from."""

    config: Config
    stripe: BillingGateway
    openmeter: UsageSource

    @property
    def rules(self) -> ReportRules:
        """The settings that every run goes by."""
        return ReportRules(
            tail=self.config.tail,
            brake_percent=self.config.brake_percent,
            carries_late=self.config.late_usage == "carry_forward",
            invoice_grace=self.config.invoice_grace,
            calls_per_second=self.config.effective_rate_limit,
        )


def connect(*, config: Config | None = None) -> Connections:
    """Return clients for the configuration; raise `Misconfigured` for one that must not be used.

    Nothing is asked of either API here.
    """
    config = config or load_config()
    guard(config)
    return Connections(
        config=config,
        stripe=StripeGateway(key=config.stripe_key, base=config.stripe_api_base, livemode=config.livemode),
        openmeter=OpenMeterClient(OpenMeterTransport(url=config.openmeter_url, token=config.openmeter_token)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """The two APIs, for somebody who waits before a page: everything is asked once, and not for long."""

    stripe: StripeProbe
    openmeter: UsageSource


def connect_briefly(config: Config) -> Probes:
    """Return what a check of the connections asks; raise `Misconfigured` as `connect` does."""
    guard(config)
    return Probes(
        stripe=StripeGateway(
            key=config.stripe_key,
            base=config.stripe_api_base,
            livemode=config.livemode,
            timeout=stripe.BRIEFLY,
        ),
        openmeter=OpenMeterClient(
            OpenMeterTransport(
                url=config.openmeter_url,
                token=config.openmeter_token,
                timeout=openmeter_transport.BRIEFLY,
                tries=1,
            )
        ),
    )


NoticeReader = Callable[..., Notification]


def snapshot_reader() -> Callable[[bytes, str], Notification]:
    """Return what reads events of changed objects, by body and signature; `Misconfigured` without secret."""
    secret = load_config().webhook_secret
    return _reader(read_snapshot, secret, setting="STRIPE_WEBHOOK_SECRET")


def thin_reader() -> Callable[[bytes, str], Notification]:
    """Return what reads thin events; `Misconfigured` without secret."""
    secret = load_config().thin_webhook_secret
    return _reader(read_thin, secret, setting="STRIPE_THIN_WEBHOOK_SECRET")


def _reader(read: NoticeReader, secret: str, *, setting: str) -> Callable[[bytes, str], Notification]:
    if not secret:
        message = f"This console takes no such events yet: {setting} is not set."
        raise Misconfigured(message)
    return lambda body, signature: read(body, signature=signature, secret=secret)


def guard(config: Config) -> None:
    """Raise `Misconfigured`, with what to do, unless key and addresses may be used. Shows no key."""
    _check_key(config)
    if not re.fullmatch(r"[\x21-\x7e]*", config.openmeter_token):
        message = "OPENMETER_TOKEN holds characters that no token has; copy it again, without blanks."
        raise Misconfigured(message)
    _check_address("STRIPE_API_BASE", config.stripe_api_base, example=STRIPE_ADDRESS)
    _check_address("OPENMETER_URL", config.openmeter_url, example="http://localhost:8888")


def _check_key(config: Config) -> None:
    if not config.stripe_key:
        message = "STRIPE_KEY is not set; put your Stripe test key (sk_test_…) into the environment or .env."
        raise Misconfigured(message)
    if not _KEY.fullmatch(config.stripe_key):
        message = "STRIPE_KEY is no Stripe secret key; it must look like sk_test_… or rk_test_…."
        raise Misconfigured(message)
    tail = f"The key that ends in …{config.stripe_key[-4:]}"
    if config.livemode and config.stripe_api_base != STRIPE_ADDRESS:
        message = (
            f"{tail} is a live key and STRIPE_API_BASE is not {STRIPE_ADDRESS}; "
            "a live key is never sent anywhere else."
        )
        raise Misconfigured(message)
    if config.livemode and not LIVE_KEYS_ACCEPTED:
        message = (
            f"{tail} is a live key; this version accepts test keys only, whatever ALLOW_LIVE says. "
            "Use a key that begins with sk_test_ or rk_test_."
        )
        raise Misconfigured(message)
    if config.livemode and not config.allow_live:
        message = f"{tail} is a live key; set ALLOW_LIVE=1 if you mean it."
        raise Misconfigured(message)


def _check_address(name: str, address: str, *, example: str) -> None:
    try:
        parts = urlsplit(address)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    else:
        usable = usable and not (parts.query or parts.fragment)
        usable = usable and "@" not in parts.netloc and not re.search(r"\s", address)
    if not usable:
        # The address itself is not shown: somebody may have put a password into it.
        message = f"{name} is no usable address; write it like {example}, without user, password or query."
        raise Misconfigured(message)
