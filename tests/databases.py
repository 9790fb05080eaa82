"""Migrated, empty databases, made quickly: one is migrated, the others are copies of it."""

import fcntl
import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from django.db import connection

from tests.console import Console

IN_MEMORY = "file:tests?mode=memory&cache=shared"
"""Shared by the threads of a process, as long as one of them is connected."""


class Databases:
    """Migrates one database and copies it.

    Processes that share `folder` share the migrated SQLite file too: the first one makes it, the others wait.
    """

    def __init__(self, folder: Path, server: str = "") -> None:
        self._folder, self._server = folder, server
        self._file = folder / "template.sqlite3"
        if server:
            self._template = self._named("template")
            self._admin(f'CREATE DATABASE "{_name(self._template)}"')
            _migrate(self._template)
            return
        with (folder / "template.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self._file.exists():
                unfinished = folder / "unfinished.sqlite3"
                _migrate(f"sqlite:///{unfinished}")
                unfinished.rename(self._file)

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """Yield the URL of a migrated, empty database."""
        if not self._server:
            path = self._folder / f"{uuid.uuid4().hex}.sqlite3"
            shutil.copy(self._file, path)
            yield f"sqlite:///{path}"
            return
        url = self._named("copy")
        self._admin(f'CREATE DATABASE "{_name(url)}" TEMPLATE "{_name(self._template)}"')
        try:
            yield url
        finally:
            self._admin(f'DROP DATABASE "{_name(url)}" WITH (FORCE)')

    def close(self) -> None:
        """The template is gone."""
        if self._server:
            self._admin(f'DROP DATABASE "{_name(self._template)}" WITH (FORCE)')

    def _named(self, purpose: str) -> str:
        parts = urlsplit(self._server)
        return urlunsplit(parts._replace(path=f"/{purpose}_{uuid.uuid4().hex[:12]}"))

    def _admin(self, sql: str) -> None:
        parts = urlsplit(self._server)
        with psycopg.connect(urlunsplit(parts._replace(path="/postgres")), autocommit=True) as admin:
            admin.execute(sql)


def connect_to(url: str) -> None:
    """Django's connection leads to this database, or, for speed, to a copy in memory of one of SQLite."""
    if connection.vendor != "sqlite":
        connection.settings_dict["NAME"] = _name(url)
        return
    connection.settings_dict["NAME"] = IN_MEMORY
    connection.ensure_connection()
    with closing(sqlite3.connect(urlsplit(url).path[1:])) as file:
        file.backup(connection.connection)


def _name(url: str) -> str:
    return url.rsplit("/", 1)[1]


def _migrate(url: str) -> None:
    console = Console(database_url=url, stripe_url="http://127.0.0.1:1", openmeter_url="")
    migrated = console.manage("migrate")
    assert migrated.returncode == 0, migrated.stderr
