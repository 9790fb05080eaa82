"""Fixtures of the sandbox tests: `from tests.integration.sandbox_fixtures import *` in a test module."""

import datetime as dt
from collections.abc import Iterator

import pytest
import stripe

from sync.sandbox.server import SandboxServer
from tests.sandbox_client import SandboxControl, stripe_client

__all__ = ["client", "control", "running_sandbox", "sandbox"]

NOW = dt.datetime(2026, 1, 31, 10, 30, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def running_sandbox() -> Iterator[SandboxServer]:
    """One sandbox for the module; take `sandbox`, which is empty at the start of each test."""
    with SandboxServer() as server:
        yield server


@pytest.fixture
def sandbox(running_sandbox: SandboxServer) -> SandboxServer:
    with SandboxControl(running_sandbox.base_url) as control:
        control.reset()
        control.set_clock(NOW)
    return running_sandbox


@pytest.fixture
def control(sandbox: SandboxServer) -> Iterator[SandboxControl]:
    with SandboxControl(sandbox.base_url) as control:
        yield control


@pytest.fixture
def client(sandbox: SandboxServer) -> Iterator[stripe.StripeClient]:
    with stripe_client(sandbox.stripe_url) as client:
        yield client
