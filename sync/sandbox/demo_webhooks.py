"""The demo's webhooks: the sandbox tells the console what happens, as Stripe would."""

import httpx

TIMEOUT_SECONDS = 30


def tell_console(base_url: str, *, console_url: str, secret: str, thin_secret: str) -> None:
    """What happens in the sandbox from now on is told to the console by itself."""
    endpoints = {
        "automatic": True,
        "snapshot": {"url": f"{console_url}webhooks/stripe", "secret": secret},
        "thin": {"url": f"{console_url}webhooks/stripe/thin", "secret": thin_secret},
    }
    with httpx.Client(base_url=base_url, timeout=TIMEOUT_SECONDS, trust_env=False) as http:
        http.put("/sandbox/webhooks", json=endpoints).raise_for_status()
