"""The outcome table of delivery."""

import pytest

from sync.domain.retries import LONGEST_DELAY, may_resend, retry_delay
from sync.models import Finding, UsageReport
from sync.operations.settle_reports import NotSent, settlement_of
from sync.ports import (
    DuplicateIdentifier,
    KeyTaken,
    MeterRefused,
    Misconfigured,
    OutcomeUnknown,
    Rejected,
    TemporaryFailure,
)
from tests.unit.test_slices import at

Status = UsageReport.Status
TABLE = [
    # answer, may have arrived before, becomes, retried, may have arrived, new idempotency key
    ("req_1", False, Status.DELIVERED, False, False, False),
    (DuplicateIdentifier("exists", http_status=400), True, Status.DELIVERED, False, False, False),
    (DuplicateIdentifier("exists", http_status=400), False, Status.UNKNOWN, False, True, False),
    (
        TemporaryFailure("429", maybe_arrived=False, http_status=429),
        False,
        Status.PENDING,
        True,
        False,
        False,
    ),
    (
        TemporaryFailure("409", maybe_arrived=False, http_status=409),
        False,
        Status.PENDING,
        True,
        False,
        False,
    ),
    (TemporaryFailure("500", maybe_arrived=True, http_status=500), False, Status.PENDING, True, True, True),
    (TemporaryFailure("refused", maybe_arrived=False), False, Status.PENDING, True, False, False),
    (OutcomeUnknown("timeout"), False, Status.UNKNOWN, True, True, False),
    (OutcomeUnknown("HTML", http_status=200), False, Status.UNKNOWN, True, True, True),
    (KeyTaken("another request", http_status=400), False, Status.UNKNOWN, False, True, False),
    (KeyTaken("another request", http_status=400), True, Status.UNKNOWN, False, True, False),
    (MeterRefused("inactive", http_status=400), False, Status.PENDING, False, False, True),
    (Misconfigured("401", http_status=401), False, Status.PENDING, False, False, True),
    (Rejected("no such customer", http_status=400), False, Status.REJECTED, False, False, False),
    (Rejected("no such customer", http_status=400), True, Status.UNKNOWN, False, True, False),
    (NotSent(), False, Status.PENDING, False, False, False),
]


class TestSettlementOf:
    @pytest.mark.parametrize(("answer", "before", "status", "retried", "maybe_arrived", "new_key"), TABLE)
    def test_follows_the_table(self, answer, before, status, retried, maybe_arrived, new_key):
        found = settlement_of(answer, attempts=1, maybe_arrived=before, jitter=0.5)
        assert found.status == status
        assert (found.retry_in is not None) == retried
        assert (found.maybe_arrived, found.new_key) == (maybe_arrived, new_key)

    def test_puts_before_people_what_only_they_can_decide(self):
        duplicate = settlement_of(DuplicateIdentifier("exists"), attempts=1, maybe_arrived=False, jitter=0)
        rejected = settlement_of(Rejected("no"), attempts=1, maybe_arrived=False, jitter=0)
        assert duplicate.finding == Finding.Kind.UNKNOWN_OUTCOME
        assert rejected.finding == Finding.Kind.REJECTED


class TestRetryDelay:
    def test_doubles_with_jitter_up_to_a_limit(self):
        halves = [retry_delay(attempts=n, jitter=0).total_seconds() for n in (1, 2, 3)]
        assert halves == [0.25, 0.5, 1.0]
        assert retry_delay(attempts=50, jitter=1) == LONGEST_DELAY


class TestMayResend:
    def test_stops_before_stripe_forgets_the_identifier(self):
        sent = at("01 00:00:00")
        assert may_resend(first_sent_at=sent, maybe_arrived=True, now=at("01 22:59:59"))
        assert not may_resend(first_sent_at=sent, maybe_arrived=True, now=at("01 23:00:00"))
        assert may_resend(first_sent_at=sent, maybe_arrived=False, now=at("03 00:00:00"))
