"""What goes wrong in the demo after its first report, so that there is something to decide on."""

import datetime as dt
import json

import httpx

from sync.sandbox.demo_customers import CUSTOMERS, TOKENS, DemoCustomer

LIMIT = 1_000_000
"""Tokens that nobody uses in an hour by honest work."""
RUNAWAY, REFUSED, TOO_LATE = "proseware", "tailspin", "consolidated"
"""Whose usage looks wrong, whose report Stripe refuses once, and whose usage comes after the invoice."""
AGO = dt.timedelta(minutes=100)
"""Long enough for its hour to be over, and recent enough to be measured again."""
BEFORE_ITS_END = dt.timedelta(minutes=15)
TIMEOUT_SECONDS = 30


def make_trouble(base_url: str, *, refused_customer: str, now: dt.datetime) -> None:
    """Three customers' usage will not go through by itself; `refused_customer` is one's Stripe id."""
    with httpx.Client(base_url=base_url, timeout=TIMEOUT_SECONDS, trust_env=False) as http:
        _use(http, RUNAWAY, 2_400_000, now - AGO)
        _use(http, REFUSED, 7_400, now - AGO)
        _use(http, TOO_LATE, 61_000, _end_of(TOO_LATE, now) - BEFORE_ITS_END)
        fault = {
            "route": "POST /v1/billing/meter_events",
            "match": refused_customer,
            "status": 400,
            "body": {
                "error": {
                    "type": "invalid_request_error",
                    "code": "resource_missing",
                    "param": "payload[stripe_customer_id]",
                    "message": f"No such customer: '{refused_customer}'",
                }
            },
        }
        http.post("/sandbox/faults", json=fault).raise_for_status()


def _use(http: httpx.Client, subject: str, tokens: int, at: dt.datetime) -> None:
    event = {
        "specversion": "1.0",
        "id": f"trouble-{subject}",
        "source": "demo",
        "type": TOKENS.event_type,
        "subject": subject,
        "time": at.isoformat(),
        "data": {TOKENS.value: tokens, **{key: words[0] for key, words in TOKENS.groups.items()}},
    }
    headers = {"Content-Type": "application/cloudevents-batch+json"}
    http.post("/openmeter/api/v1/events", content=json.dumps([event]), headers=headers).raise_for_status()


def _end_of(key: str, now: dt.datetime) -> dt.datetime:
    customer: DemoCustomer = next(one for one in CUSTOMERS if one.key == key)
    return now - dt.timedelta(minutes=customer.ended_minutes_ago)
