"""A fresh database for every measured run, gone afterwards."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
from psycopg import sql


@contextmanager
def fresh_database(where: str) -> Iterator[str]:
    """Yield the DATABASE_URL of an empty database: `where` is `sqlite` or a PostgreSQL server's address."""
    if where == "sqlite":
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            yield f"sqlite:///{Path(folder) / 'benchmark.sqlite3'}"
        return
    parts = urlsplit(where)
    name = f"benchmark_{uuid4().hex[:12]}"
    server = parts._replace(path="/postgres").geturl()
    _execute(server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield parts._replace(path=f"/{name}").geturl()
    finally:
        _execute(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _execute(server: str, statement: sql.Composed) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)
