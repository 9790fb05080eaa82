"""A dialog holds people to what it showed them: what they confirm is signed, for one person, for a while."""

import hashlib
import json
from datetime import timedelta
from typing import Any

from django.core import signing

KEPT = timedelta(hours=1)
"""How long what was shown may be confirmed."""
CHANGED = (
    "This is not what you were shown before, so nothing was done. Look at what it is now and confirm that."
)
TOO_OLD = "What you were shown is out of date, so nothing was done. Look at what it is now and confirm that."
_SALT = "sync.shown"


def seal(facts: Any, *, who: str) -> str:
    """Return what stands for these facts in a form, as text that nobody can change."""
    return signing.dumps([who, _fingerprint(facts)], salt=_SALT)


def why_broken(text: str, facts: Any, *, who: str) -> str:
    """Return why the sealed text does not stand for these facts, as a sentence, or ""."""
    try:
        owner, fingerprint = signing.loads(text, salt=_SALT, max_age=KEPT)
    except signing.BadSignature:
        return TOO_OLD
    if owner != who:
        return TOO_OLD
    return "" if fingerprint == _fingerprint(facts) else CHANGED


def _fingerprint(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()
