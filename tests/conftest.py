"""What every test may ask for: a clean sandbox over real HTTP, and the console's clients pointed at it."""

import gc
import os
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import connection
from xdist.scheduler import LoadScopeScheduling

import billing_console.urls  # noqa: F401 - where the admin finds its pages
from sync.conf import Config
from sync.sandbox.server import SandboxServer
from sync.wiring import Connections, connect
from tests.databases import Databases, connect_to
from tests.office import Office
from tests.sandbox_client import SandboxControl
from tests.scenes import Stage
from tests.world import World

TEST_KEY = "sk_test_tests_0001"


class SharedOut(LoadScopeScheduling):
    """Shares tests out one by one, but keeps those in a browser together: each process starts a console."""

    def _split_scope(self, nodeid: str) -> str:
        if not nodeid.startswith("tests/browser/"):
            return nodeid
        return "pages" if "/test_every_page.py" in nodeid else "flows"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log) -> SharedOut:
    """Two processes run all browser tests; they begin with them, as these take longest."""
    return SharedOut(config, log)


def pytest_collection_finish() -> None:
    """What is imported by now stays: the garbage collector need not look through it again and again."""
    gc.freeze()


@pytest.fixture(autouse=True)
def _quick_passwords(settings):
    """Let logins cost nothing; a real hash is slow on purpose."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _unpaced(monkeypatch):
    """Let calls to the sandbox follow at once; the pace has a test of its own."""
    monkeypatch.setattr("sync.clients.stripe_calls.READS_PER_SECOND", 10_000)


@pytest.fixture(scope="session")
def sandbox_server() -> Iterator[SandboxServer]:
    """One sandbox for the whole worker; `sandbox` empties it for each test."""
    with SandboxServer() as server:
        yield server


@pytest.fixture
def sandbox(sandbox_server) -> Iterator[SandboxControl]:
    """An empty sandbox in real time, and the means to look into it."""
    with SandboxControl(sandbox_server.base_url) as client:
        client.reset()
        yield client


@pytest.fixture
def config(sandbox_server) -> Config:
    """Return a configuration for the sandbox that is not slowed by any rate limit."""
    return Config(
        stripe_key=TEST_KEY,
        stripe_api_base=sandbox_server.stripe_url,
        stripe_rate_limit=5000,
        openmeter_url=sandbox_server.openmeter_url,
        openmeter_token="",
        allow_live=False,
        tail=timedelta(hours=3),
        brake_percent=5,
        invoice_grace=timedelta(hours=1),
        confirm_amount=1000,
    )


@pytest.fixture
def connections(sandbox, config) -> Connections:
    """Return the real clients, pointed at the clean sandbox."""
    return connect(config=config)


@pytest.fixture
def world(db, sandbox, sandbox_server, config) -> Iterator[World]:
    """Return an empty business: a sandbox, the console's tables, and one clock for all of them."""
    with World(sandbox, sandbox_server, config) as made:
        yield made


@pytest.fixture
def stage(world, sandbox_server) -> Stage:
    """Return where a scene that many tests begin with is played once."""
    return Stage(world, sandbox_server)


@pytest.fixture(scope="session")
def databases(tmp_path_factory) -> Iterator[Databases]:
    """Databases of the kind that the suite runs on."""
    database = settings.DATABASES["default"]
    server = ""
    if database["ENGINE"].endswith("postgresql"):
        who = ":".join(quote(database[key], safe="") for key in ("USER", "PASSWORD") if database[key])
        server = f"postgres://{who}@{database['HOST']}:{database['PORT'] or 5432}/postgres"
    folder = tmp_path_factory.getbasetemp()
    made = Databases(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder, server)
    yield made
    made.close()


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment, databases, django_db_blocker) -> Iterator[None]:
    """Give this process a copy of the migrated database: in memory, or on the server.

    It takes the place of pytest-django's fixture, which migrates a database for every process.
    """
    with databases.fresh() as url:
        with django_db_blocker.unblock():
            connect_to(url)
        yield
        with django_db_blocker.unblock():
            connection.close()


@pytest.fixture
def office(world, settings, django_capture_on_commit_callbacks) -> Office:
    """Return the console's pages against the world's sandbox, and the people who use them."""
    return Office(world, settings, django_capture_on_commit_callbacks)
