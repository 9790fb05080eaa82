"""Reading bodies and query parameters; what breaks the contract is a 400 that says where."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request

from sync.sandbox.openmeter import exact_json, instants
from sync.sandbox.openmeter.answers import bad_request


async def json_body(request: Request) -> Any:
    """The request's document. A body that is not JSON, or not called JSON, is a 400."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise bad_request(detail=f"content type {media_type!r} is not application/json")
    return parse_body(await request.body())


def parse_body(body: bytes) -> Any:
    """The document in these bytes; what is not JSON is a 400."""
    try:
        return exact_json.loads(body)
    except ValueError as error:
        raise bad_request(detail=f"the body is not JSON: {error}") from error


def instant_param(params: QueryParams, name: str) -> dt.datetime | None:
    """The date-time parameter, None when it was not sent; anything else is a 400."""
    values = params.getlist(name)
    if not values:
        return None
    return parse_instant(values[0] if len(values) == 1 else values, name)


def parse_instant(value: Any, name: str) -> dt.datetime:
    """The instant that a field or parameter says; anything else is a 400 that names it."""
    if not isinstance(value, str):
        raise bad_request(detail=f"{name} must be one date-time")
    try:
        return instants.parse(value)
    except ValueError as error:
        raise bad_request(detail=f"{name}: {error}") from error


def integer_param(params: QueryParams, name: str, *, default: int, maximum: int | None = None) -> int:
    """The integer parameter, at least 1; anything else is a 400."""
    value = params.get(name, str(default))
    if not (value.isascii() and value.isdigit()) or int(value) < 1:
        raise bad_request(detail=f"{name} must be an integer of at least 1")
    if maximum is not None and int(value) > maximum:
        raise bad_request(detail=f"{name} must be at most {maximum}")
    return int(value)


def boolean_param(params: QueryParams, name: str) -> bool:
    """The boolean parameter, False when it was not sent; anything else is a 400."""
    return choice_param(params, name, ("false", "true")) == "true"


def choice_param(params: QueryParams, name: str, choices: Sequence[str]) -> str:
    """The parameter, the first choice when it was not sent; anything else is a 400."""
    value = params.get(name, choices[0])
    if value not in choices:
        raise bad_request(detail=f"{name} must be one of {', '.join(choices)}")
    return value
