"""JSON in which numbers stay the text that was sent: no float, no rounding, no limit on digits."""

import dataclasses
import json
from typing import Any, NoReturn


@dataclasses.dataclass(frozen=True, slots=True)
class NumberText:
    """A JSON number, exactly as written."""

    text: str


def loads(text: str | bytes) -> Any:
    """The document, its numbers as `NumberText`.

    Raises ValueError for what is not JSON (NaN and Infinity are not) or is nested too deeply to read.
    """
    try:
        return json.loads(text, parse_float=NumberText, parse_int=NumberText, parse_constant=_refuse)
    except RecursionError as error:
        message = "nested too deeply"
        raise ValueError(message) from error


def dumps(document: Any) -> str:
    """The document as ASCII JSON, each `NumberText` as the digits it holds.

    A float is refused with TypeError: whoever has one must decide how it is written.
    """
    match document:
        case NumberText(text):
            return text
        case dict():
            members = (f"{json.dumps(str(key))}:{dumps(value)}" for key, value in document.items())
            return "{" + ",".join(members) + "}"
        case list() | tuple():
            return "[" + ",".join(map(dumps, document)) + "]"
        case None | bool() | int() | str():
            return json.dumps(document)
    message = f"{type(document).__name__} has no exact JSON form"
    raise TypeError(message)


def _refuse(constant: str) -> NoReturn:
    message = f"{constant} is not JSON"
    raise ValueError(message)
