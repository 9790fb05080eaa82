"""Form encoding with brackets, as Stripe reads it: `a[b][0][c]=1` is a tree."""

import re
from typing import TypeAlias
from urllib.parse import parse_qsl

from sync.sandbox.stripe.errors import StripeError

Tree: TypeAlias = str | dict[str, "Tree"]
"""A leaf, or branches by name; a list is branches named 0, 1, 2 ..."""

KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")


def parse_form(raw: bytes) -> dict[str, Tree]:
    """The tree that a request body or a query string spells. Raises StripeError."""
    try:
        pairs = parse_qsl(raw.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=2_000)
    except ValueError as error:
        message = "Invalid request: the parameters are not form-encoded UTF-8."
        raise StripeError(message) from error
    tree: dict[str, Tree] = {}
    for key, value in pairs:
        _plant(tree, key, value)
    return tree


def _plant(tree: dict[str, Tree], key: str, value: str) -> None:
    found = KEY.fullmatch(key)
    if found is None:
        message = f"Invalid parameter name: {key}"
        raise StripeError(message, param=key)
    path = [found[1], *re.findall(r"\[([^\[\]]*)\]", found[2])]
    branch = tree
    for name in path[:-1]:
        below = branch.setdefault(_index(branch, name), {})
        if isinstance(below, str):
            raise _mixed(key)
        branch = below
    last = _index(branch, path[-1])
    if isinstance(branch.get(last), dict):
        raise _mixed(key)
    branch[last] = value


def _index(branch: dict[str, Tree], name: str) -> str:
    # `a[]=x&a[]=y` appends.
    return name or str(len(branch))


def _mixed(key: str) -> StripeError:
    message = f"Invalid parameter: {key} is given both a value and parts."
    return StripeError(message, param=key)
