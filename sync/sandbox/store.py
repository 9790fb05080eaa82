"""The sandbox's memory: ordered collections of JSON objects, kept in a file when there is one."""

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    position INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (kind, id)
)
"""

# An update keeps the row, and so its position: `all` answers in the order of first insertion.
UPSERT = """
INSERT INTO objects (kind, id, body) VALUES (?, ?, ?)
ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body
"""


class Store:
    """Collections of JSON objects by kind and id, in insertion order.

    Reads come from memory. With a path each write is committed to an SQLite file before it returns,
    so what was put survives `kill -9` and the next start. One event loop owns a store; callers treat
    the dicts they get as read-only and `put` a new one to change it.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._kinds: dict[str, dict[str, dict[str, Any]]] = {}
        self.generation = 0
        """Grows with each `clear`: whoever keeps an index beside the store rebuilds it when this moved."""
        self._file: sqlite3.Connection | None = None
        if path is not None:
            self._file = _open(path)
            self._load(self._file)

    def put(self, kind: str, id: str, body: dict[str, Any]) -> None:
        """`body` is what the store holds for this id, in memory and on disk."""
        self.put_many(kind, [(id, body)])

    def put_many(self, kind: str, rows: list[tuple[str, dict[str, Any]]]) -> None:
        """All rows are held, or, if the disk refuses, none of them."""
        if self._file is not None:
            encoded = [(kind, id_, json.dumps(body)) for id_, body in rows]
            with self._file:
                self._file.executemany(UPSERT, encoded)
        self._kinds.setdefault(kind, {}).update(rows)

    def get(self, kind: str, id: str) -> dict[str, Any] | None:
        """The object held for this id, or None."""
        return self._kinds.get(kind, {}).get(id)

    def kinds(self) -> list[str]:
        """The kinds that hold, or once held, an object."""
        return list(self._kinds)

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Every object of a kind, oldest first."""
        return list(self._kinds.get(kind, {}).values())

    def oldest(self, kind: str) -> dict[str, Any] | None:
        """The object of a kind that was put first, or None; costs nothing, however many there are."""
        return next(iter(self._kinds.get(kind, {}).values()), None)

    def delete(self, kind: str, id: str) -> None:
        """The id is not held any more. Deleting what is not there changes nothing."""
        if self._file is not None:
            with self._file:
                self._file.execute("DELETE FROM objects WHERE kind = ? AND id = ?", (kind, id))
        self._kinds.get(kind, {}).pop(id, None)

    def delete_many(self, kind: str, ids: list[str]) -> None:
        """None of the ids is held any more."""
        if self._file is not None and ids:
            with self._file:
                rows = [(kind, id_) for id_ in ids]
                self._file.executemany("DELETE FROM objects WHERE kind = ? AND id = ?", rows)
        for id_ in ids:
            self._kinds.get(kind, {}).pop(id_, None)

    def clear(self) -> None:
        """Nothing is held any more."""
        if self._file is not None:
            with self._file:
                self._file.execute("DELETE FROM objects")
        self._kinds.clear()
        self.generation += 1

    def close(self) -> None:
        """The file is closed; what was put is on disk. Safe to call twice."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _load(self, file: sqlite3.Connection) -> None:
        rows: Iterable[tuple[str, str, str]] = file.execute(
            "SELECT kind, id, body FROM objects ORDER BY position"
        )
        for kind, id_, body in rows:
            self._kinds.setdefault(kind, {})[id_] = json.loads(body)


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The server may run in a thread of a test while the test reads the store, hence the flag.
    file = sqlite3.connect(path, check_same_thread=False)
    # WAL with synchronous=NORMAL survives a killed process; only a power cut may lose the last commits.
    file.execute("PRAGMA journal_mode = WAL")
    file.execute("PRAGMA synchronous = NORMAL")
    file.execute(SCHEMA)
    file.commit()
    return file
