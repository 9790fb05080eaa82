"""What Stripe billed: the lines of invoices that are final, item by item."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class Line:
    """Units of an item at a price (`item` names both) on a final invoice, for the stretch that ends at `end`.

    Where it begins says less: what is reported after a change of price is billed from the period's start.
    """

    item: str
    end: int
    units: Decimal


def lines_of(invoices: Iterable[dict[str, Any]]) -> list[Line]:
    """Return the lines of these final invoices; one that was voided bills nobody."""
    return [
        Line(item=f"{line['item']} {line['price']}", end=int(line["end"]), units=Decimal(line["quantity"]))
        for invoice in invoices
        if invoice["status"] != "void"
        for line in invoice["lines"]
    ]
