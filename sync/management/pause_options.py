"""The options by which the pause commands name what stands still."""

from typing import Any

from django.core.management.base import CommandParser

from sync.queries.planning import Scope


def add_targets(parser: CommandParser) -> Any:
    """Take exactly one of everything, a meter or a customer; return the group, for more choices."""
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--everything", action="store_true", help="all reporting")
    group.add_argument(
        "--meter", default="", metavar="slug", help="one meter, by its OpenMeter slug or Stripe event name"
    )
    group.add_argument("--customer", default="", metavar="cus_…", help="one customer, on all meters")
    parser.add_argument("--why", default="", help="the reason; it is kept and shown")
    return group


def scope_of(options: dict[str, Any]) -> Scope:
    """Return what was named."""
    return Scope(meter=options["meter"], customer=options["customer"])
