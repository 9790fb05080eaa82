"""What Django's own expressions say at too great a length."""

from collections.abc import Mapping

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import CharField, Expression
from django.db.models.sql.compiler import SQLCompiler

_Sql = tuple[str, tuple[str | int, ...]]


class Literal(Expression):
    """A word of our own, in the SQL itself: behind a parameter SQLite knows no partial index's condition."""

    def __init__(self, word: str) -> None:
        """Take letters only, or nothing at all."""
        if word and not word.isalpha():
            raise ValueError(word)
        super().__init__(output_field=CharField())
        self._word = str(word)

    def as_sql(self, _compiler: SQLCompiler, _connection: BaseDatabaseWrapper) -> _Sql:
        """Return the word between quotes."""
        return f"'{self._word}'", ()


class TextByKey(Expression):
    """A text for each row, by its primary key: for an update of rows that differ in one column.

    `bulk_update` says the same by a `When` for every row, and takes ten times as long to put it together.
    """

    def __init__(self, texts: Mapping[int, str]) -> None:
        """Every row that is updated has to be among these."""
        super().__init__(output_field=CharField())
        self._texts = tuple(texts.items())

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> _Sql:
        """Return one CASE."""
        meta = compiler.query.get_meta()
        key = connection.ops.quote_name(meta.pk.attname)
        cases = " ".join("WHEN %s THEN %s" for _ in self._texts)
        return f"CASE {key} {cases} END", tuple(part for pair in self._texts for part in pair)
