"""manage.py set_up_stripe: the example's `npm run setup`."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import CommandParser

from sync.management.base import SyncCommand
from sync.operations.set_up_options import SetUpOptions
from sync.operations.set_up_stripe import SetUpResult, set_up_stripe
from sync.ports import InvalidInput
from sync.wiring import connect

DEFAULT = SetUpOptions()


class Command(SyncCommand):
    """Creates, or finds, a Stripe meter, product, price, customer and subscription."""

    help = "Create a Stripe meter, product, metered price, customer and subscription, or find them again."
    interrupted = "Interrupted. Run set_up_stripe again: it finds what was created and completes it."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take an option for everything that the example fixes."""
        text = (
            ("event-name", "name of the meter's events; everything set up for it is found by it"),
            ("meter-name", "the Stripe meter's display name"),
            ("openmeter-meter", "slug of the OpenMeter meter (default: the one called like the event name)"),
            ("product-name", "the product's name"),
            ("currency", "the price's currency, three lower-case letters"),
            ("lookup-key", "finds the price again (default: made of the event name)"),
            ("customer-name", "the customer's name"),
            ("customer-email", "the customer's e-mail address"),
            ("external-key", "the customer's subject in OpenMeter, kept in metadata.external_key"),
            ("confirm-live", "in live mode: the id of the account, to show that you mean it"),
        )
        for option, meaning in text:
            parser.add_argument(
                f"--{option}", default=getattr(DEFAULT, option.replace("-", "_")), help=meaning
            )
        parser.add_argument(
            "--customer",
            dest="customer_id",
            default=DEFAULT.customer_id,
            metavar="cus_…",
            help="subscribe this customer, who exists, instead of an example one",
        )
        parser.add_argument(
            "--window", choices=["none", "hour"], default=DEFAULT.window, help="the meter's event time window"
        )
        parser.add_argument(
            "--interval",
            choices=["day", "week", "month", "year"],
            default=DEFAULT.interval,
            help="billed every …",
        )
        parser.add_argument(
            "--unit-amount",
            type=_decimal,
            default=DEFAULT.unit_amount,
            help="in cents: 1 is $0.01, 0.5 half a cent",
        )
        parser.add_argument(
            "--filter",
            dest="filters",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="count only usage whose group KEY is VALUE; repeat it for more values, or more keys",
        )
        parser.add_argument("--meter-only", action="store_true", help="for those who already have products")
        parser.add_argument(
            "--format", choices=["text", "json"], default="text", help="how to print the result"
        )

    def run(self, **options: Any) -> None:
        """Set up and print a link to each object."""
        connections = connect()
        options["filters"] = _filters(options["filters"])
        asked = SetUpOptions(**{field.name: options[field.name] for field in fields(SetUpOptions)})
        result = set_up_stripe(
            stripe=connections.stripe,
            openmeter=connections.openmeter,
            options=asked,
            invoice_grace=connections.config.invoice_grace,
            now=self.now(),
        )
        if options["format"] == "json":
            self.stdout.write(json.dumps(asdict(result)))
        else:
            self._print(result, event_name=asked.event_name)

    def _print(self, result: SetUpResult, *, event_name: str) -> None:
        for one in result.objects:
            self.stdout.write(f"Stripe {one.kind} {'created' if one.created else 'found'}: {one.url}")
        self.stdout.write(f"Usage of OpenMeter meter {result.openmeter_slug} is reported as {event_name}.")
        if result.remark:
            self.stdout.write(f"{result.remark} Run sync_stripe to see all of it in the console.")


def _filters(given: Sequence[str]) -> dict[str, list[str]] | None:
    """Return the values that count by their keys, or None where nothing was said of them."""
    filters: dict[str, list[str]] = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not (key and equals):
            message = f"--filter {one} names no key and value; write --filter type=input."
            raise InvalidInput(message)
        filters.setdefault(key, []).append(value)
    return filters or None


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        message = f"{text!r} is no number"
        raise argparse.ArgumentTypeError(message) from error
