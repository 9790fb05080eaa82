"""The parameters a route takes: their names and kinds, and reading them from a form."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Protocol

from sync.sandbox.stripe.errors import invalid, missing, unknown_parameter
from sync.sandbox.stripe.forms import Tree

DECIMAL = re.compile(r"-?\d+(\.\d+)?")
"""A plain decimal number; whether Stripe's parser takes exponents is not established, so none are taken."""


class Kind(Protocol):
    """What a parameter may hold."""

    def read(self, value: Tree, param: str) -> Any:
        """The value, or a StripeError that names the parameter."""


@dataclasses.dataclass(frozen=True)
class Text:
    """A string; empty means null."""

    longest: int = 5000

    def read(self, value: Tree, param: str) -> str | None:
        """The string."""
        text = leaf(value, param)
        if len(text) > self.longest:
            message = f"Invalid string: {text[:20]}...; must be at most {self.longest} characters"
            raise invalid(message, param, code="parameter_invalid_string_too_long")
        return text or None


@dataclasses.dataclass(frozen=True)
class Whole:
    """An integer, or one of some words; empty means null where that clears the field."""

    least: int | None = None
    words: frozenset[str] = frozenset()
    clearable: bool = False

    def read(self, value: Tree, param: str) -> int | str | None:
        """The integer or the word."""
        text = leaf(value, param)
        if text in self.words:
            return text
        if text == "" and self.clearable:
            return None
        if not re.fullmatch(r"-?\d{1,18}", text):
            message = f"Invalid integer: {text}"
            raise invalid(message, param, code="parameter_invalid_integer")
        if self.least is not None and int(text) < self.least:
            message = f"This value must be greater than or equal to {self.least}."
            raise invalid(message, param, code="parameter_invalid_integer")
        return int(text)


@dataclasses.dataclass(frozen=True)
class Flag:
    """true or false."""

    def read(self, value: Tree, param: str) -> bool:
        """The boolean."""
        text = leaf(value, param)
        if text not in ("true", "false"):
            message = f"Invalid boolean: {text}"
            raise invalid(message, param)
        return text == "true"


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of some words."""

    words: tuple[str, ...]

    def read(self, value: Tree, param: str) -> str:
        """The word."""
        text = leaf(value, param)
        if text not in self.words:
            message = f"Invalid {param}: must be one of {', '.join(self.words)}"
            raise invalid(message, param)
        return text


@dataclasses.dataclass(frozen=True)
class Amount:
    """A decimal number in the currency's minor unit, with at most 12 decimals."""

    def read(self, value: Tree, param: str) -> Decimal:
        """The exact number."""
        text = leaf(value, param)
        if not DECIMAL.fullmatch(text) or len(text.partition(".")[2]) > 12:
            message = f"Invalid decimal: {text}; must be a decimal string with at most 12 decimal places"
            raise invalid(message, param, code="parameter_invalid_decimal")
        return Decimal(text)


@dataclasses.dataclass(frozen=True)
class StringMap:
    """A flat map of strings; an empty string instead of the map is None, which clears it."""

    def read(self, value: Tree, param: str) -> dict[str, str] | None:
        """The map."""
        if value == "":
            return None
        return {name: leaf(inner, f"{param}[{name}]") for name, inner in branches(value, param).items()}


@dataclasses.dataclass(frozen=True)
class ListOf:
    """A list; an empty string is the empty list."""

    inner: Kind

    def read(self, value: Tree, param: str) -> list[Any]:
        """The list, in the order of its indexes."""
        if value == "":
            return []
        named = branches(value, param)
        if not all(name.isdecimal() for name in named):
            message = f"Invalid array: {param}"
            raise invalid(message, param)
        ordered = sorted(named.items(), key=lambda pair: int(pair[0]))
        return [self.inner.read(inner, f"{param}[{index}]") for index, (_, inner) in enumerate(ordered)]


@dataclasses.dataclass(frozen=True)
class Shape:
    """Parameters by name; those in `required` must be there, and no others may."""

    fields: Mapping[str, Kind]
    required: frozenset[str] = frozenset()

    def needing(self, names: str) -> "Shape":
        """The same parameters, of which those named (with spaces between) must be given."""
        return Shape(self.fields, frozenset(names.split()))

    def read(self, value: Tree, param: str) -> dict[str, Any]:
        """The values of the parameters that were given."""
        given = branches(value, param)
        name_of: Callable[[str], str] = (lambda name: f"{param}[{name}]") if param else str
        for name in given:
            if name not in self.fields:
                raise unknown_parameter(name_of(name))
        for name in sorted(self.required - given.keys()):
            raise missing(name_of(name))
        for name in sorted(self.required):
            if given[name] == "":
                message = f"You passed an empty string for '{name_of(name)}'. It is required."
                raise invalid(message, name_of(name), code="parameter_invalid_empty")
        return {name: self.fields[name].read(inner, name_of(name)) for name, inner in given.items()}


@dataclasses.dataclass(frozen=True)
class Range:
    """An instant, or bounds on one."""

    bounds: Shape = Shape({name: Whole() for name in ("gt", "gte", "lt", "lte")})

    def read(self, value: Tree, param: str) -> dict[str, int]:
        """The bounds; a bare instant is both of them."""
        if isinstance(value, str):
            at = Whole().read(value, param)
            assert isinstance(at, int)  # noqa: S101 - no words, not clearable
            return {"gte": at, "lte": at}
        return self.bounds.read(value, param)


def shape(**fields: Kind) -> Shape:
    """Parameters of a route by name; every route but a DELETE takes `expand`."""
    return Shape(fields | {"expand": ListOf(Text())})


def group(**fields: Kind) -> Shape:
    """Parameters inside a parameter."""
    return Shape(fields)


def listing(**fields: Kind) -> Shape:
    """The parameters of a list: its filters and its paging."""
    paging: dict[str, Kind] = {"limit": Whole(), "starting_after": Text(), "ending_before": Text()}
    return shape(**(fields | paging))


def within(bounds: Mapping[str, int] | None, at: int) -> bool:
    """Whether an instant lies inside the bounds of a Range."""
    tests: dict[str, Callable[[int], bool]] = {
        "gt": lambda bound: at > bound,
        "gte": lambda bound: at >= bound,
        "lt": lambda bound: at < bound,
        "lte": lambda bound: at <= bound,
    }
    return all(tests[name](bound) for name, bound in (bounds or {}).items())


def leaf(value: Tree, param: str) -> str:
    """The value as a string, or a StripeError where it has parts."""
    if not isinstance(value, str):
        message = f"Invalid string: {param}"
        raise invalid(message, param)
    return value


def branches(value: Tree, param: str) -> dict[str, Tree]:
    """The parts of the value, or a StripeError where it is a string."""
    if isinstance(value, str):
        message = f"Invalid object: {param}"
        raise invalid(message, param, code="parameter_invalid_object")
    return value
