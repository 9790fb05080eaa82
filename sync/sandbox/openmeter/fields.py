"""Reading a JSON object field by field; the first field that breaks the contract is a 400."""

import datetime as dt
import re
from collections.abc import Sequence
from typing import Any

from sync.sandbox.openmeter.answers import bad_request
from sync.sandbox.openmeter.params import parse_instant

NAME_LENGTH = 256
DESCRIPTION_LENGTH = 1024


class Fields:
    """The fields of one object. What nobody asks for is ignored, as the real server does."""

    def __init__(self, document: Any, *, what: str = "the body") -> None:
        if not isinstance(document, dict):
            raise bad_request(detail=f"{what} must be an object")
        self._document: dict[str, Any] = document

    def has(self, name: str) -> bool:
        """Whether the field was sent with a value other than null."""
        return self._document.get(name) is not None

    def value(self, name: str) -> Any:
        """The field as it is, None where it is absent."""
        return self._document.get(name)

    def text(self, name: str, *, longest: int | None = None, pattern: re.Pattern[str] | None = None) -> str:
        """A required string that is not empty."""
        value = self._document.get(name)
        if not isinstance(value, str) or not value:
            raise bad_request(detail=f"{name} must be a string that is not empty")
        if not _is_unicode(value):
            raise bad_request(detail=f"{name} must be Unicode text without lone surrogates")
        if longest is not None and len(value) > longest:
            raise bad_request(detail=f"{name} must be at most {longest} characters")
        if pattern is not None and not pattern.fullmatch(value):
            raise bad_request(detail=f"{name} must match {pattern.pattern}")
        return value

    def optional_text(self, name: str, *, longest: int | None = None) -> str | None:
        """A string that is not empty, or None where it is absent."""
        return self.text(name, longest=longest) if self.has(name) else None

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """A required string out of these."""
        value = self._document.get(name)
        if value not in choices:
            raise bad_request(detail=f"{name} must be one of {', '.join(choices)}")
        return str(value)

    def instant(self, name: str) -> dt.datetime | None:
        """A date-time, or None where it is absent."""
        return parse_instant(self._document[name], name) if self.has(name) else None

    def texts(self, name: str, *, most: int | None = None) -> list[str] | None:
        """A list of strings, or None where it is absent."""
        if not self.has(name):
            return None
        value = self._document[name]
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise bad_request(detail=f"{name} must be a list of strings")
        if most is not None and len(value) > most:
            raise bad_request(detail=f"{name} must have at most {most} items")
        return value

    def text_map(self, name: str) -> dict[str, str]:
        """An object whose values are strings, {} where it is absent."""
        value = self._document.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise bad_request(detail=f"{name} must be an object of strings")
        return value

    def object(self, name: str) -> dict[str, Any] | None:
        """An object, or None where it is absent."""
        value = self._document.get(name)
        if value is not None and not isinstance(value, dict):
            raise bad_request(detail=f"{name} must be an object")
        return value


def without_empty(document: dict[str, Any]) -> dict[str, Any]:
    """The document without fields that are None or {}: the real server leaves those out."""
    return {name: value for name, value in document.items() if value is not None and value != {}}


def _is_unicode(text: str) -> bool:
    # JSON's escapes can name half a character, which no answer, page or file could hold.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
