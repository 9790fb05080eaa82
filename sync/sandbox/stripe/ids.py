"""Ids in Stripe's form."""

import secrets
import string

ALPHABET = string.ascii_letters + string.digits
LENGTH = 24


def new_id(prefix: str) -> str:
    """A fresh id: the prefix and random letters and digits."""
    return prefix + "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
