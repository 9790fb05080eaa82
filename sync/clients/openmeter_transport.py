"""How OpenMeter is asked: timeouts, repeats, a limit on size, and what its refusals mean."""

import json
import ssl
import time
import weakref
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from http import HTTPStatus
from typing import Any

import httpx

from sync.ports import AnswerTooLarge, Misconfigured, NotFound, Rejected, SyncError, TemporaryFailure

TIMEOUT = httpx.Timeout(connect=3.05, read=60.0, write=10.0, pool=10.0)
"""OpenMeter's own server gives up reading after 60 seconds."""
BRIEFLY = httpx.Timeout(connect=2.0, read=4.0, write=4.0, pool=4.0)
"""For somebody who waits before a page."""
TRIES = 3
PASSING = frozenset({408, 429, 502, 503, 504})
"""Statuses that may be gone a moment later."""
MAX_RESPONSE_BYTES = 64 * 1024 * 1024
"""About 300,000 rows. The server has no limit of its own and builds the whole answer in memory."""

Params = Sequence[tuple[str, str]]


@cache
def trusted_authorities() -> ssl.SSLContext:
    """Return what certificates are checked against; read once, for that takes longer than a short answer."""
    return httpx.create_ssl_context()


class OpenMeterTransport:
    """Asks questions (GET, and POST for long ones: both only read) and returns their JSON."""

    def __init__(
        self,
        *,
        url: str,
        token: str,
        retry_pause_seconds: float = 0.5,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        timeout: httpx.Timeout = TIMEOUT,
        tries: int = TRIES,
    ) -> None:
        """Open no connection yet."""
        self._tries = tries
        self._url, self._token = url, token
        self._retry_pause_seconds = retry_pause_seconds
        self._max_response_bytes = max_response_bytes
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        # Redirects are not followed: the token would go where nobody configured it to go.
        self._http = httpx.Client(
            timeout=timeout, headers=headers, follow_redirects=False, verify=trusted_authorities()
        )
        weakref.finalize(self, self._http.close)

    def ask(
        self, path: str, *, params: Params = (), body: Mapping[str, Any] | None = None, about: str = ""
    ) -> Any:
        """Return the answer's JSON, numbers as `Decimal`. `about` names what a 404 says is not there."""
        answer = self._send_until_answered(path, params, body)
        status, content_type, content = answer
        if status >= HTTPStatus.BAD_REQUEST:
            raise self._refusal(status, content, about=about)
        if status != HTTPStatus.OK:
            message = f"OpenMeter at {self._url} answered with status {status}; check OPENMETER_URL."
            raise SyncError(message, http_status=status)
        try:
            return read_json(content)
        except ValueError as error:
            message = (
                f"OpenMeter at {self._url} answered with {content_type or 'something'} instead of JSON; "
                "check that OPENMETER_URL is OpenMeter's own address and no login page stands before it."
            )
            raise SyncError(message, http_status=status) from error

    def unusable(self, what: str) -> SyncError:
        """Return the error for JSON that is not what OpenMeter's API promises."""
        return SyncError(f"OpenMeter at {self._url} {what}; check OPENMETER_URL and OpenMeter's version.")

    def _send_until_answered(
        self, path: str, params: Params, body: Mapping[str, Any] | None
    ) -> tuple[int, str, bytes]:
        """Repeat what may pass: every call only reads."""
        for attempt in range(1, self._tries):
            try:
                answer = self._send(path, params, body)
            except TemporaryFailure:
                answer = None
            if answer and answer[0] not in PASSING:
                return answer
            time.sleep(self._retry_pause_seconds * 2 ** (attempt - 1))
        return self._send(path, params, body)

    def _send(self, path: str, params: Params, body: Mapping[str, Any] | None) -> tuple[int, str, bytes]:
        try:
            with self._http.stream(
                "GET" if body is None else "POST", self._url + path, params=list(params), json=body
            ) as response:
                kind = response.headers.get("content-type", "").partition(";")[0]
                return response.status_code, kind, self._read(response)
        except httpx.TimeoutException as error:
            message = f"OpenMeter at {self._url} did not answer in time; try again, or check how busy it is."
            raise TemporaryFailure(message, maybe_arrived=False) from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            message = (
                f"OPENMETER_URL {self._url!r} is no address; write it like https://openmeter.example.com."
            )
            raise Misconfigured(message) from error
        except httpx.HTTPError as error:
            message = (
                f"OpenMeter cannot be reached at {self._url} ({type(error).__name__}); "
                "check that it runs and that OPENMETER_URL is right."
            )
            raise TemporaryFailure(message, maybe_arrived=False) from error

    def _read(self, response: httpx.Response) -> bytes:
        content = bytearray()
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > self._max_response_bytes:
                megabytes = self._max_response_bytes // 1024**2
                message = (
                    f"OpenMeter's answer is larger than {megabytes} MB; ask for a shorter stretch of time."
                )
                raise AnswerTooLarge(message, http_status=response.status_code)
        return bytes(content)

    def _refusal(self, status: int, content: bytes, *, about: str) -> SyncError:
        problem = self._problem(content)
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            message = f"OpenMeter at {self._url} refuses the token ({status}); check OPENMETER_TOKEN."
            return Misconfigured(message, http_status=status)
        if status == HTTPStatus.NOT_FOUND and about and problem is not None:
            return NotFound(f"OpenMeter at {self._url} has no {about}.", http_status=status)
        if status == HTTPStatus.NOT_FOUND:
            message = f"{self._url} does not know OpenMeter's API (404); check OPENMETER_URL."
            return Misconfigured(message, http_status=status)
        reason = f": {problem}" if problem else ""
        if status in PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            message = f"OpenMeter at {self._url} cannot answer now (HTTP {status}){reason}; try again later."
            return TemporaryFailure(message, maybe_arrived=False, http_status=status)
        return Rejected(f"OpenMeter refuses the question (HTTP {status}){reason}.", http_status=status)

    def _problem(self, content: bytes) -> str | None:
        """Return what a problem document says, "" where it gives no reason, None where it is none.

        A server that repeats what it was sent does not get the token into our records.
        """
        try:
            body = read_json(content)
        except ValueError:
            return None
        if not isinstance(body, dict):
            return None
        # The spec requires title and detail; the server leaves out what is empty.
        reason = str(body.get("detail") or body.get("title") or "")
        if self._token:
            reason = reason.replace(self._token, "(token)")
        return reason[:300].rstrip(".")


def read_json(content: bytes) -> Any:
    """Return the JSON with numbers as exact `Decimal`s; NaN and Infinity become text, so are no numbers."""
    return json.loads(content, parse_float=Decimal, parse_int=Decimal, parse_constant=str)
