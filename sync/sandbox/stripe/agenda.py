"""What time will do next: a queue of the stored bodies that change by themselves."""

import heapq
import itertools

from sync.sandbox.stripe.bodies import Body

NEVER = 2**53
"""Later than any instant in use, and still exact in JSON."""

DUE = "_due_at"
"""Where a stored body notes when time changes it next."""

TO_BE_SETTLED = {DUE: 0}
"""Merged into a body that was changed by hand, so that the next look brings it up to date."""

RANKS = {"invoice": 0}
"""At the same instant what was drafted before is finalized before anything else happens."""


class Agenda:
    """Bodies in the order in which time changes them.

    A body may be noted many times: an entry counts only while the stored body still has its instant.
    """

    def __init__(self) -> None:
        self._entries: list[tuple[int, int, int, str, str]] = []
        self._order = itertools.count()

    def note(self, body: Body) -> None:
        """The body comes up when it is due."""
        due = body.get(DUE, NEVER)
        if due < NEVER:
            type_name = body["object"]
            rank = RANKS.get(type_name, 1)
            heapq.heappush(self._entries, (due, rank, next(self._order), type_name, body["id"]))

    def pop(self, *, at: int) -> tuple[int, str, str] | None:
        """Return the instant, type and id of what is due first, if that is by now, and forget the entry."""
        if not self._entries or self._entries[0][0] > at:
            return None
        due, _, _, type_name, id_ = heapq.heappop(self._entries)
        return due, type_name, id_
