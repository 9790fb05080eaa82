"""Stripe's error envelope, and the errors that the look-alike answers with."""

import json
from collections.abc import Mapping
from typing import Any

from sync.sandbox.exchange import Answer
from sync.sandbox.stripe.ids import new_id

NO_RETRY = {"stripe-should-retry": "false"}


class StripeError(Exception):
    """A refusal, with the status, envelope and headers that Stripe would send."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str | None = None,
        param: str | None = None,
        type: str = "invalid_request_error",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self._error: dict[str, Any] = {"type": type, "message": message}
        if code is not None:
            self._error["code"] = code
            self._error["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
        if param is not None:
            self._error["param"] = param
        self._headers = dict(headers or {})

    def answer(self) -> Answer:
        """The error as a response."""
        headers = {"content-type": "application/json", "request-id": new_id("req_")} | self._headers
        return Answer(self.status, json.dumps({"error": self._error}).encode(), headers)


def no_such(id_: str, type_name: str, *, param: str = "id", status: int = 404) -> StripeError:
    """An id that names nothing: 404 where it is the path, 400 where it is a parameter."""
    return StripeError(f"No such {type_name}: '{id_}'", status=status, code="resource_missing", param=param)


def missing(param: str) -> StripeError:
    """A required parameter was left out."""
    return StripeError(f"Missing required param: {param}.", code="parameter_missing", param=param)


def unknown_parameter(param: str) -> StripeError:
    """A parameter that this route does not have."""
    return StripeError(f"Received unknown parameter: {param}", code="parameter_unknown", param=param)


def invalid(message: str, param: str, *, code: str | None = None) -> StripeError:
    """A parameter whose value cannot be."""
    return StripeError(message, code=code, param=param)


def unrecognized_url(method: str, path: str) -> StripeError:
    """No route has this method and path."""
    message = (
        f"Unrecognized request URL ({method}: {path}). "
        "Please see https://stripe.com/docs or we can help at https://support.stripe.com/."
    )
    return StripeError(message, status=404)


def too_many_concurrent_requests() -> StripeError:
    """A second call for a customer and meter while the first is being processed."""
    message = (
        "Only one concurrent request is allowed per customer and meter. Wait for the other one to complete."
    )
    return StripeError(message, status=409, code="too_many_concurrent_requests")


def rate_limited(reason: str) -> StripeError:
    """Too many calls; `reason` goes into Stripe-Rate-Limited-Reason."""
    message = (
        "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits."
    )
    headers = {"stripe-rate-limited-reason": reason}
    return StripeError(message, status=429, code="rate_limit", headers=headers)


def usual_error(status: int, route: str) -> Answer:
    """What Stripe usually answers with a status; used for scripted faults."""
    if status == 409:
        return too_many_concurrent_requests().answer()
    if status == 429:
        events = route == "POST /v1/billing/meter_events"
        return rate_limited("endpoint-rate" if events else "global-rate").answer()
    if status >= 500:
        message = "An unknown error occurred. Please contact support@stripe.com for assistance."
        return StripeError(message, status=status, type="api_error").answer()
    messages = {
        401: "Invalid API Key provided: sk_test_********",
        402: "Your card was declined.",
        403: "The provided key does not have the required permissions for this endpoint.",
        404: "No such object: 'scripted_fault'",
    }
    codes = {402: "card_declined", 403: "more_permissions_required_for_application", 404: "resource_missing"}
    return StripeError(
        messages.get(status, "The request was refused by a scripted fault."),
        status=status,
        code=codes.get(status),
        type="card_error" if status == 402 else "invalid_request_error",
    ).answer()
