"""OpenMeter's FilterString: one operator over one text, and trees of them."""

import operator
import re
from collections.abc import Callable
from typing import Any

from sync.sandbox.openmeter.answers import bad_request
from sync.sandbox.openmeter.fields import Fields

TextFilter = Callable[[str], bool]

COMPARISONS: dict[str, Callable[[str, str], bool]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    # Texts compare by their code points, as ClickHouse compares their bytes: "10" < "9".
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
    "$like": lambda text, pattern: _like(pattern)(text),
    "$nlike": lambda text, pattern: not _like(pattern)(text),
    "$ilike": lambda text, pattern: _like(pattern.lower())(text.lower()),
    "$nilike": lambda text, pattern: not _like(pattern.lower())(text.lower()),
}
MEMBERSHIPS: dict[str, Callable[[str, list[str]], bool]] = {
    "$in": lambda text, members: text in members,
    "$nin": lambda text, members: text not in members,
}
COMBINATIONS: dict[str, Callable[[Any], bool]] = {"$and": all, "$or": any}
OPERATORS = (*COMPARISONS, *MEMBERSHIPS, *COMBINATIONS)


def text_filter(document: Any, name: str) -> TextFilter | None:
    """The predicate that this FilterString states, None when it states nothing.

    Two operators side by side are a 400: the real server wants them inside $and or $or.
    """
    fields = Fields(document, what=name)
    operators = [key for key in OPERATORS if fields.has(key)]
    if not operators:
        return None
    if len(operators) > 1:
        raise bad_request(detail=f"{name}: filter is invalid: multiple operators are set")
    return _filter(fields, operators[0], name)


def _filter(fields: Fields, key: str, name: str) -> TextFilter:
    operand = fields.value(key)
    if key in COMPARISONS:
        if not isinstance(operand, str):
            raise bad_request(detail=f"{name}: {key} takes a string")
        compare = COMPARISONS[key]
        return lambda text: compare(text, operand)
    if key in MEMBERSHIPS:
        members = fields.texts(key) or []
        belongs = MEMBERSHIPS[key]
        return lambda text: belongs(text, members)
    if not isinstance(operand, list):
        raise bad_request(detail=f"{name}: {key} takes a list of filters")
    parts = [part for item in operand if (part := text_filter(item, name)) is not None]
    combine = COMBINATIONS[key]
    return lambda text: combine(part(text) for part in parts)


def _like(pattern: str) -> TextFilter:
    """SQL's LIKE: % is any text, _ any character, a backslash takes the next character as it is."""
    wildcards = {"%": ".*", "_": "."}
    tokens = re.findall(r"\\?.", pattern, re.DOTALL)
    parts = (wildcards.get(token) or re.escape(token[-1]) for token in tokens)
    expression = re.compile("".join(parts), re.DOTALL)
    return lambda text: expression.fullmatch(text) is not None
