"""One row for every way in which a call to Stripe can fail, with the SDK's own reading of the answer."""

import json
import ssl
from typing import Any

import pytest
import stripe
from urllib3.exceptions import (
    ConnectTimeoutError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)

from sync.clients.stripe import API_VERSION
from sync.clients.stripe_errors import Call, Peer, clean, translate
from sync.ports import (
    DuplicateIdentifier,
    KeyTaken,
    MeterRefused,
    Misconfigured,
    NotFound,
    OutcomeUnknown,
    Rejected,
    TemporaryFailure,
)

PEER = Peer(base="https://api.stripe.com", key_tail="…wxyz")
KEY = "sk_test_abcdefwxyz"
EVENT, READ, WRITE = Call.EVENT, Call.READ, Call.WRITE


class Answering(stripe.HTTPClient):
    """Gives one answer, or raises one error, without any network."""

    name = "answering"

    def __init__(self, answer) -> None:
        super().__init__()
        self._answer = answer

    def request(self, *_: Any, **__: Any):
        if isinstance(self._answer, BaseException):
            msg = "Unexpected error communicating with Stripe."
            raise stripe.APIConnectionError(msg, should_retry=True) from self._answer
        status, body = self._answer
        return body.encode(), status, {"request-id": "req_1"}


def failure(answer):
    """Return the SDK's error for an answer."""
    client = stripe.StripeClient(KEY, http_client=Answering(answer), max_network_retries=0)
    with pytest.raises(stripe.StripeError) as caught:
        client.v1.customers.retrieve("cus_1")
    return caught.value


def said(status, message="No.", **error: Any):
    return status, json.dumps({"error": {"type": "invalid_request_error", "message": message, **error}})


def wrapped(reason):
    """Return the error as requests passes it on: inside urllib3's, inside its own."""
    return OSError(MaxRetryError(None, "/v1", reason=reason))


HTML = "<html>502 Bad Gateway</html>"
DUPLICATE = "An event already exists with identifier om-1."
NO_CUSTOMER = "No such customer: 'cus_1'"
NO_METER = "No active meter found for event name tokens."

ANSWERS = [
    # what happened, in which call, what it means, whether it may have arrived
    ("rate limit", said(429, code="rate_limit"), EVENT, TemporaryFailure, False),
    ("lock timeout", said(429, code="lock_timeout"), EVENT, TemporaryFailure, False),
    ("old rate limit", said(400, code="rate_limit"), EVENT, TemporaryFailure, False),
    ("rate limit as HTML", (429, HTML), EVENT, TemporaryFailure, False),
    ("conflict", said(409, code="too_many_concurrent_requests"), EVENT, TemporaryFailure, False),
    ("conflict over a key", said(409, type="idempotency_error"), EVENT, OutcomeUnknown, None),
    ("key with other params", said(400, type="idempotency_error"), EVENT, KeyTaken, None),
    ("set-up key with other params", said(400, type="idempotency_error"), WRITE, OutcomeUnknown, None),
    ("server error", said(500, type="api_error"), EVENT, TemporaryFailure, True),
    ("bad gateway", (502, HTML), EVENT, TemporaryFailure, True),
    ("unavailable, no body", (503, ""), EVENT, TemporaryFailure, True),
    ("server error on a read", said(500, type="api_error"), READ, TemporaryFailure, False),
    ("server error on a write", said(500, type="api_error"), WRITE, TemporaryFailure, True),
    ("duplicate", said(400, DUPLICATE), EVENT, DuplicateIdentifier, None),
    ("duplicate text elsewhere", said(400, f"Note: {DUPLICATE}"), EVENT, Rejected, None),
    ("no active meter", said(400, NO_METER, code="resource_missing"), EVENT, MeterRefused, None),
    ("no active meter, 404", said(404, NO_METER), EVENT, MeterRefused, None),
    ("archived meter", said(400, code="archived_meter"), EVENT, MeterRefused, None),
    ("no meter", said(400, code="no_meter"), EVENT, MeterRefused, None),
    ("meter by param", said(400, code="resource_missing", param="event_name"), EVENT, MeterRefused, None),
    ("no such customer", said(400, NO_CUSTOMER, code="resource_missing"), EVENT, Rejected, None),
    ("no such customer, 404", said(404, NO_CUSTOMER, code="resource_missing"), EVENT, Rejected, None),
    ("bad value", said(400, "Invalid decimal", param="payload[value]"), EVENT, Rejected, None),
    ("card declined", said(402, type="card_error"), WRITE, Rejected, None),
    ("gone", said(404, NO_CUSTOMER, code="resource_missing"), READ, NotFound, None),
    ("gone, as a parameter", said(400, NO_CUSTOMER, code="resource_missing"), READ, NotFound, None),
    ("no such address", said(404, "Unrecognized request URL"), READ, Misconfigured, None),
    ("no such address, event", said(404, "Unrecognized request URL"), EVENT, Misconfigured, None),
    ("no such address, write", said(404, "Unrecognized request URL"), WRITE, Misconfigured, None),
    ("bad question", said(400, "Invalid limit"), READ, Rejected, None),
    ("unauthorized", said(401, "Invalid API Key provided: sk_test_****wxyz"), EVENT, Misconfigured, None),
    ("forbidden", said(403, "requires the 'rak_customer_read' permission"), READ, Misconfigured, None),
    ("HTML instead of 200", (200, HTML), EVENT, OutcomeUnknown, None),
    ("HTML on a read", (200, HTML), READ, TemporaryFailure, False),
    ("HTML on a write", (200, HTML), WRITE, TemporaryFailure, True),
    ("HTML login page", (403, HTML), EVENT, TemporaryFailure, True),
    ("JSON that is not Stripe's", (400, '{"oops": 1}'), EVENT, TemporaryFailure, True),
    ("refused", wrapped(NewConnectionError(None, "refused")), EVENT, TemporaryFailure, False),
    ("no DNS", wrapped(NameResolutionError("api", None, OSError())), EVENT, TemporaryFailure, False),
    ("connect timeout", wrapped(ConnectTimeoutError(None, "slow")), EVENT, TemporaryFailure, False),
    ("read timeout", OSError(ReadTimeoutError(None, "/", "slow")), EVENT, OutcomeUnknown, None),
    ("cut", OSError(ProtocolError("aborted", ConnectionResetError())), EVENT, OutcomeUnknown, None),
    ("read timeout on a read", OSError(ReadTimeoutError(None, "/", "slow")), READ, TemporaryFailure, False),
    ("cut on a write", OSError(ProtocolError("aborted")), WRITE, OutcomeUnknown, None),
    ("bad certificate", wrapped(ssl.SSLCertVerificationError("self-signed")), EVENT, Misconfigured, None),
    ("broken TLS", OSError(ssl.SSLError("bad record")), EVENT, OutcomeUnknown, None),
    ("anything else", RuntimeError("?"), EVENT, OutcomeUnknown, None),
]


class TestTranslate:
    @pytest.mark.parametrize(
        ("answer", "call", "kind", "maybe_arrived"),
        [row[1:] for row in ANSWERS],
        ids=[row[0] for row in ANSWERS],
    )
    def test_says_what_a_failure_means(self, answer, call, kind, maybe_arrived):
        error = translate(failure(answer), call=call, peer=PEER)

        assert type(error) is kind
        assert getattr(error, "maybe_arrived", None) is maybe_arrived
        assert "_test_" not in str(error)
        assert len(str(error)) < 700

    def test_keeps_status_code_and_request_id(self):
        error = translate(failure(said(404, code="resource_missing")), call=READ, peer=PEER)

        assert (error.http_status, error.code, error.request_id) == (404, "resource_missing", "req_1")

    def test_names_the_missing_permission(self):
        answer = said(
            403, "Having the 'rak_billing_meter_read' permission would allow this; key rk_test_*****wxyz"
        )
        error = translate(failure(answer), call=READ, peer=PEER)

        assert "rak_billing_meter_read" in str(error)
        assert "…wxyz" in str(error)

    def test_names_only_the_end_of_a_refused_key(self):
        error = translate(failure(said(401, "Invalid API Key provided: " + KEY)), call=READ, peer=PEER)

        assert str(error) == "Stripe does not accept the key that ends in …wxyz; check STRIPE_KEY."


class TestClean:
    @pytest.mark.parametrize(
        "key", ["sk_live_51Habc", "rk_test_a_b", "sk_test_****1234", "whsec_12ab", "pk_test_x"]
    )
    def test_takes_keys_out(self, key):
        assert clean(f"Key {key} is bad") == "Key (key) is bad"

    def test_keeps_the_names_of_permissions(self):
        assert clean("needs rak_customer_read") == "needs rak_customer_read"

    def test_cuts_long_messages(self):
        assert len(clean("x" * 9000)) == 500


class TestApiVersion:
    def test_is_the_one_the_installed_sdk_was_made_for(self):
        assert stripe.api_version is None or stripe.api_version == API_VERSION
        assert stripe._api_version._ApiVersion.CURRENT == API_VERSION == "2026-10-28.endive"
