"""Ask both sides whether they answer, how fast, and what the Stripe key may do. Changes nothing."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Protocol, TypeVar

from sync.models import DeliveryAttempt, StripeAccount, UsageReport
from sync.ports import NotFound, SourceMeter, SyncError, UsageSource

T = TypeVar("T")


class StripeProbe(Protocol):
    """Stripe, as far as a check of the connection uses it. Raises `SyncError`s only."""

    def probe(self, read: str) -> str:
        """Ask for one object of a kind, once; return the account's id where that is asked for."""

    def probe_write(self, kind: str) -> None:
        """Ask, once, to change an object that does not exist: `NotFound` unless the key may not."""


class May(Enum):
    """Whether the key may do something."""

    YES = "granted"
    NO = "missing"
    UNKNOWN = "not checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """What the console wants to do in Stripe, what for, and whether the key lets it."""

    what: str
    purpose: str
    may: May
    sentence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Whether one side answers; `problem` is the sentence that says why not."""

    milliseconds: int
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionReport:
    """How both connections are now."""

    stripe: Side
    account: str
    """Id of the key's account; empty where Stripe does not say."""
    mismatch: str
    """Why this database is not for that account, or ""."""
    permissions: Sequence[Permission]
    openmeter: Side
    meters: Sequence[SourceMeter]


READS = (
    ("meters", "Read billing meters", "what is measured, and how"),
    ("prices", "Read prices and products", "what a unit costs"),
    ("customers", "Read customers", "who pays"),
    ("subscriptions", "Read subscriptions", "who is billed for what, and when"),
    ("invoices", "Read invoices", "when a billing period closes, and what it billed"),
    ("events", "Read events", "what changed since the last look"),
    ("refusals", "Read reports of refused events", "usage that Stripe took and did not bill"),
)
"""What every sync reads, by the name of the probe."""


WRITES = (
    ("meters", "Write billing meters", "set-up and new definitions, which create meters"),
    ("products", "Write products", "set-up, which creates what is sold"),
    ("prices", "Write prices", "set-up, which creates what a unit costs"),
    ("customers", "Write customers", "set-up, which creates a customer"),
    ("subscriptions", "Write subscriptions", "set-up, which subscribes a customer"),
)
"""What only set-up creates, by the name of the probe; reporting needs none of it."""
UNRESTRICTED = "The key is a secret key (sk_…), which Stripe lets do everything."


def check_connections(
    *, stripe: StripeProbe, openmeter: UsageSource, timer: Callable[[], float], unrestricted: bool
) -> ConnectionReport:
    """Return how both sides are; `timer` counts seconds. A dozen short questions at most, each asked once.

    `unrestricted` says whether the key is one that Stripe gives every permission.
    """
    stripe_side, account, permission = _measured(timer, lambda: stripe.probe("account"))
    reachable = not stripe_side.problem or permission is May.NO
    openmeter_side, meters, _ = _measured(timer, openmeter.meters)
    return ConnectionReport(
        stripe=stripe_side,
        account=account or "",
        mismatch=_mismatch(account or ""),
        permissions=[
            *_reads(stripe, reachable=reachable),
            _writing(unrestricted=unrestricted and reachable),
            *_creates(stripe, reachable=reachable, unrestricted=unrestricted),
        ],
        openmeter=openmeter_side,
        meters=sorted(meters or (), key=lambda meter: meter.slug),
    )


def _measured(timer: Callable[[], float], ask: Callable[[], T]) -> tuple[Side, T | None, May]:
    began = timer()
    answer, problem, may = None, "", May.YES
    try:
        answer = ask()
    except SyncError as error:
        problem, may = str(error), _meaning(error)
    return Side(milliseconds=round((timer() - began) * 1000), problem=problem), answer, may


def _meaning(error: SyncError) -> May:
    return May.NO if error.http_status == HTTPStatus.FORBIDDEN else May.UNKNOWN


def _reads(stripe: StripeProbe, *, reachable: bool) -> Iterable[Permission]:
    """Yield what may be read; once Stripe stops answering nothing more is asked."""
    for probe, what, purpose in READS:
        may, sentence = May.UNKNOWN, ""
        if reachable:
            try:
                stripe.probe(probe)
                may = May.YES
            except SyncError as error:
                may, sentence = _meaning(error), str(error)
                reachable = may is May.NO
        yield Permission(what=what, purpose=purpose, may=may, sentence=sentence)


def _creates(stripe: StripeProbe, *, reachable: bool, unrestricted: bool) -> Iterable[Permission]:
    """Yield what set-up may create, as far as that is known without creating something."""
    for probe, what, purpose in WRITES:
        if reachable and unrestricted:
            may, sentence = May.YES, UNRESTRICTED
        else:
            may, sentence = _may_create(stripe, probe) if reachable else (May.UNKNOWN, "")
        yield Permission(what=what, purpose=purpose, may=may, sentence=sentence)


def _may_create(stripe: StripeProbe, kind: str) -> tuple[May, str]:
    """A 403 shows that a permission is missing.

    Nothing else shows that it is there: it is not documented whether Stripe looks at permissions before it
    looks for the object.
    """
    try:
        stripe.probe_write(kind)
    except NotFound:
        pass
    except SyncError as error:
        return _meaning(error), str(error)
    sentence = "Stripe did not refuse the key; for certain it cannot be tried without creating something."
    return May.UNKNOWN, sentence


def _writing(*, unrestricted: bool) -> Permission:
    """Tell from the key's kind and from the ledger whether events may be written: trying it would bill."""
    what, purpose = "Write meter events", "every report"
    refused = DeliveryAttempt.objects.filter(http_status=HTTPStatus.FORBIDDEN).order_by("-id").first()
    delivered = UsageReport.objects.filter(status=UsageReport.Status.DELIVERED).order_by("-id").first()
    taken_at = delivered.delivered_at if delivered else None
    if refused and not (taken_at and taken_at > refused.attempted_at):
        return Permission(what=what, purpose=purpose, may=May.NO, sentence=refused.message)
    if taken_at:
        since = f"Stripe took a report at {taken_at:%Y-%m-%d %H:%M} UTC."
        return Permission(what=what, purpose=purpose, may=May.YES, sentence=since)
    if unrestricted:
        return Permission(what=what, purpose=purpose, may=May.YES, sentence=UNRESTRICTED)
    sentence = "Trying it would bill somebody: the first report will show it."
    return Permission(what=what, purpose=purpose, may=May.UNKNOWN, sentence=sentence)


def _mismatch(account: str) -> str:
    pinned = StripeAccount.objects.first()
    if not account or pinned is None or pinned.stripe_id == account:
        return ""
    return (
        f"This database belongs to {pinned.stripe_id}, but STRIPE_KEY is of {account}: nothing is synced or "
        "sent. Use that account's key, or another database (DATABASE_URL)."
    )
