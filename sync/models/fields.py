"""The column type for quantities."""

from decimal import Decimal
from typing import Any, TypeVar

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

_ST = TypeVar("_ST", contravariant=True)
_GT = TypeVar("_GT", covariant=True)


class QuantityField(models.DecimalField[_ST, _GT]):
    """A `Decimal` that comes back exactly as it was stored, on SQLite too.

    SQLite keeps a DECIMAL column as a binary float and Django rounds it to 15 digits on the way back;
    so there the column is text. Do not compare or sum it in SQL on SQLite: do that in Python.
    """

    _pyi_private_set_type: Decimal | int
    _pyi_private_get_type: Decimal

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Default to 38 digits, 18 of them decimals: more than OpenMeter's float64 can carry."""
        kwargs.setdefault("max_digits", 38)
        kwargs.setdefault("decimal_places", 18)
        super().__init__(*args, **kwargs)

    def get_internal_type(self) -> str:
        """Keep away the float converter that SQLite's backend has for `DecimalField`."""
        return "QuantityField"

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        """Text on SQLite, an exact numeric elsewhere."""
        if connection.vendor == "sqlite":
            return "text"
        return f"numeric({self.max_digits}, {self.decimal_places})"

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:  # noqa: ARG002, FBT001, FBT002 - Django
        """Store plain digits, never an exponent; more decimals than the column has is a ValueError."""
        if value is None or hasattr(value, "as_sql"):
            return value
        quantity = self.to_python(value)
        if -int(quantity.as_tuple().exponent) > self.decimal_places:
            msg = f"{quantity} has more than {self.decimal_places} decimals"
            raise ValueError(msg)
        return format(quantity, "f") if connection.vendor == "sqlite" else quantity

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        """Store as `get_db_prep_value` does."""
        return self.get_db_prep_value(value, connection)

    def from_db_value(self, value: Any, _expression: Any, _connection: BaseDatabaseWrapper) -> Decimal | None:
        """Read text or numeric back as the same `Decimal` on every database, without trailing zeros."""
        if value is None:
            return None
        text = format(Decimal(value), "f")
        return Decimal(text.rstrip("0").rstrip(".") if "." in text else text)
