"""How answers leave: exact JSON, and problem+json for everything that goes wrong."""

import datetime as dt
import http
from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from sync.sandbox.openmeter import exact_json, ulids


class Problem(Exception):
    """A request that is answered with problem+json instead of what it asked for."""

    def __init__(self, *, status: int, detail: str, extensions: dict[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.extensions = extensions


def bad_request(*, detail: str) -> Problem:
    """A 400: the request breaks the contract."""
    errors = {"validationErrors": [{"code": "validation_error", "message": detail}]}
    return Problem(status=http.HTTPStatus.BAD_REQUEST, detail=detail, extensions=errors)


def not_found(*, detail: str) -> Problem:
    """A 404: the thing named in the request does not exist."""
    return Problem(status=http.HTTPStatus.NOT_FOUND, detail=detail)


class ExactJsonResponse(Response):
    """JSON with each number written as its `NumberText` says."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The bytes of the document."""
        return exact_json.dumps(content).encode("ascii")


class ProblemResponse(ExactJsonResponse):
    """RFC 7807, as OpenMeter fills it in: empty fields are left out."""

    media_type = "application/problem+json"

    def __init__(
        self,
        status: int,
        detail: str = "",
        extensions: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        problem: dict[str, Any] = {
            "type": "about:blank",
            "title": http.HTTPStatus(status).phrase,
            "status": status,
            "instance": f"urn:request:{ulids.new(dt.datetime.now(dt.UTC))}",
        }
        if detail:
            problem["detail"] = detail
        if extensions:
            problem["extensions"] = extensions
        super().__init__(problem, status_code=status, headers=headers)


def problem_app(routes: Sequence[BaseRoute], middleware: Sequence[Middleware] = ()) -> Starlette:
    """An app of these routes whose every failure, an unknown path too, is problem+json."""
    return Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers={Problem: _answer_problem, HTTPException: _answer_http, Exception: _answer_fault},
    )


async def _answer_problem(_request: Request, error: Exception) -> Response:
    if not isinstance(error, Problem):
        raise error
    return ProblemResponse(error.status, error.detail, error.extensions)


async def _answer_http(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return ProblemResponse(error.status_code, error.detail, headers=dict(error.headers or {}))


async def _answer_fault(_request: Request, _error: Exception) -> Response:
    # The real server says nothing about its own faults either: a 500 has no detail.
    return ProblemResponse(http.HTTPStatus.INTERNAL_SERVER_ERROR)
