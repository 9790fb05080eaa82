"""Stripe's webhooks on their way to the console: signed by the sandbox, delivered as a test wants them."""

import hashlib
import hmac
import time
from collections.abc import Sequence
from typing import Any

from django.http import HttpResponse
from django.test import Client

from tests.office import Office

SECRET, THIN_SECRET = "whsec_snapshots_1", "whsec_thin_1"
ADDRESS, THIN_ADDRESS = "/webhooks/stripe", "/webhooks/stripe/thin"


def sign(body: str, secret: str = SECRET, *, at: float | None = None, scheme: str = "v1") -> str:
    """Return the header with which Stripe would send this, now or at another time."""
    at = int(time.time() if at is None else at)
    signed = hmac.new(secret.encode(), f"{at}.{body}".encode(), hashlib.sha256).hexdigest()
    return f"t={at},{scheme}={signed}"


class Post:
    """Brings what the sandbox's Stripe tells to the console, and has a worker look after it."""

    def __init__(self, office: Office, settings: Any) -> None:
        """Set both addresses up, on both sides."""
        settings.STRIPE_WEBHOOK_SECRET, settings.STRIPE_THIN_WEBHOOK_SECRET = SECRET, THIN_SECRET
        self.office = office
        self.office.world.control.tell(
            snapshot={"url": f"http://console{ADDRESS}", "secret": SECRET},
            thin={"url": f"http://console{THIN_ADDRESS}", "secret": THIN_SECRET},
        )

    def waiting(self, **script: Any) -> list[dict[str, Any]]:
        """Return what waits to be told, signed now."""
        with self.office.now():
            return self.office.world.control.signed(**script)

    def bring(self, **script: Any) -> list[int]:
        """Bring what waits; return the answers."""
        return [answer.status_code for answer in self.bring_these(self.waiting(**script))]

    def bring_these(self, requests: Sequence[dict[str, Any]]) -> list[HttpResponse]:
        """Bring these requests."""
        return [
            self.send(one["body"], one["signature"], THIN_ADDRESS if one["style"] == "thin" else ADDRESS)
            for one in requests
        ]

    def send(self, body: str | bytes, signature: str, address: str = ADDRESS, **more: Any) -> HttpResponse:
        """Bring one."""
        with self.office.now(), self.office._commit(execute=True):
            return Client().post(
                address,
                data=body,
                content_type="application/json",
                headers={"stripe-signature": signature},
                **more,
            )

    def arrive(self, **script: Any) -> list[Any]:
        """Bring what waits and have it worked on; return what the worker says."""
        self.bring(**script)
        return self.office.work()
