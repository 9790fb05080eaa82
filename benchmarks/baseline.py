"""What the original example does: one subscription after the other, one question and one call each.

`python -m benchmarks.baseline --url http://127.0.0.1:PORT --subscriptions 1000 --meters 2 --hour …`
It keeps no ledger, no run and no retries; it is what the console's speed is compared with.
"""

import argparse
import json
from datetime import datetime, timedelta
from decimal import Decimal

import httpx
import stripe

from benchmarks.world import HOUR, KEY, World, customer_id, meter_slug, subject_key


def report_one_by_one(*, url: str, world: World, hour: datetime) -> int:
    """Every subscription's hour was asked for and sent; return how many."""
    stripe.enable_telemetry = False
    api = stripe.StripeClient(KEY, base_addresses={"api": url}).v1
    with httpx.Client(base_url=url) as openmeter:
        for number in range(world.subscriptions):
            slug = meter_slug(world.meter_of(number))
            answer = openmeter.get(
                f"/api/v1/meters/{slug}/query",
                params={
                    "from": hour.isoformat(),
                    "to": (hour + HOUR).isoformat(),
                    "windowSize": "HOUR",
                    "subject": subject_key(number),
                },
            ).raise_for_status()
            rows = json.loads(answer.text, parse_float=Decimal, parse_int=Decimal)["data"]
            total = sum((row["value"] for row in rows), start=Decimal(0))
            api.billing.meter_events.create(
                {
                    "event_name": slug,
                    "payload": {"stripe_customer_id": customer_id(number), "value": format(total, "f")},
                    "identifier": f"baseline:{slug}:{customer_id(number)}:{int(hour.timestamp())}",
                    "timestamp": int((hour + HOUR - timedelta(seconds=1)).timestamp()),
                }
            )
    return world.subscriptions


def main() -> None:
    """Parse and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--subscriptions", type=int, required=True)
    parser.add_argument("--meters", type=int, required=True)
    parser.add_argument("--hour", type=datetime.fromisoformat, required=True)
    options = parser.parse_args()
    world = World(options.subscriptions, options.meters)
    print(report_one_by_one(url=options.url, world=world, hour=options.hour))


if __name__ == "__main__":
    main()
