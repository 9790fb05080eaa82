"""The JSONPaths that meters use: names and indexes down from `$`, read as ClickHouse's JSON_VALUE does."""

import dataclasses
import functools
import re
from decimal import Decimal, InvalidOperation
from typing import Any

from sync.sandbox.openmeter import float64
from sync.sandbox.openmeter.exact_json import NumberText

STEP = re.compile(
    r"""
    \.(?P<name>[^.\[\]\s'"]+)
    | \[ (?: '(?P<single>[^']*)' | "(?P<double>[^"]*)" | (?P<index>[0-9]+) ) \]
    """,
    re.VERBOSE,
)
# Decimal() would also take " 5", "1_000", "Infinity" and other alphabets' digits; the real server does not.
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
MISSING = object()


@dataclasses.dataclass(frozen=True, slots=True)
class JsonPath:
    """One place in an event's data."""

    steps: tuple[str | int, ...]

    def text(self, data: Any) -> str:
        """The value as text: a missing path, an object and a list are "", null is "null"."""
        match self._find(data):
            case str() as text:
                return text
            case NumberText(text):
                return text
            case None:
                return "null"
            case bool() as flag:
                return "true" if flag else "false"
        return ""

    def number(self, data: Any) -> Decimal | None:
        """The value as an exact number; None where there is none that float64 could hold.

        Strings that are a number and nothing else count. NaN, Infinity, booleans and null do not.
        """
        match self._find(data):
            case NumberText(text):
                return _number(text)
            case str() as text if NUMBER.fullmatch(text):
                return _number(text)
        return None

    def _find(self, data: Any) -> Any:
        for step in self.steps:
            if isinstance(step, str):
                data = data.get(step, MISSING) if isinstance(data, dict) else MISSING
            else:
                data = data[step] if isinstance(data, list) and step < len(data) else MISSING
        return data


@functools.lru_cache(maxsize=1024)
def compile_path(path: str) -> JsonPath:
    """The path, ready to read with. Raises ValueError for what is no path of names and indexes."""
    steps: list[str | int] = []
    position = 1
    while path.startswith("$") and position < len(path):
        found = STEP.match(path, position)
        if found is None:
            break
        name = found["name"] or found["single"] or found["double"] or ""
        steps.append(name if found["index"] is None else int(found["index"]))
        position = found.end()
    if not path.startswith("$") or position != len(path):
        message = f"{path!r} is not a JSONPath of names and indexes that starts with $"
        raise ValueError(message)
    return JsonPath(tuple(steps))


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent of twenty digits
        return None
    return number if abs(number) <= float64.MAX else None
