"""The console's configuration for a sandbox that is not slowed by any rate limit."""

from datetime import timedelta

from sync.conf import Config
from sync.sandbox.server import SandboxServer
from tests.sandbox_client import TEST_KEY


def config_for(server: SandboxServer) -> Config:
    """Return the settings that a console has by default, with the sandbox's addresses."""
    return Config(
        stripe_key=TEST_KEY,
        stripe_api_base=server.stripe_url,
        stripe_rate_limit=5000,
        openmeter_url=server.openmeter_url,
        openmeter_token="",
        allow_live=False,
        tail=timedelta(hours=3),
        brake_percent=5,
        invoice_grace=timedelta(hours=1),
        confirm_amount=1000,
    )
