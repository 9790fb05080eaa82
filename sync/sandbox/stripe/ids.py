"""Ids in Stripe's form."""

import random
import string

ALPHABET = string.ascii_letters + string.digits
LENGTH = 24
_RANDOM = random.Random()  # noqa: S311 - ids need to be different, not secret, and there are many


def new_id(prefix: str) -> str:
    """A fresh id: the prefix and random letters and digits."""
    return prefix + "".join(_RANDOM.choices(ALPHABET, k=LENGTH))
