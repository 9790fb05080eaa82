"""One Chromium, one served console and one worker for all tests here; each test begins with no business."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.served_console import ServedConsole
from tests.browser.visitor import WIDE, Visitor
from tests.business import Business
from tests.world import World

CHROMIUM = shutil.which("chromium")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
PATIENCE_MS = 20_000
"""How long a page may take to show what a test waits for; other tests run beside it."""
HERE = Path(__file__).parent


def pytest_itemcollected(item: pytest.Item) -> None:
    """Everything here needs a browser."""
    if HERE not in item.path.parents:
        return
    item.add_marker(pytest.mark.browser)
    if not CHROMIUM:
        item.add_marker(pytest.mark.skip(reason="no Chromium: apt-get install chromium"))


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. It ends with this package: Playwright's event loop would irritate other tests."""
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_MS)
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield started
        started.close()


@pytest.fixture(scope="package")
def served(databases, sandbox_server, tmp_path_factory) -> Iterator[ServedConsole]:
    """Yield the console's server and worker, on a database of their own."""
    with (
        databases.fresh() as url,
        ServedConsole(
            database_url=url,
            stripe_url=sandbox_server.stripe_url,
            openmeter_url=sandbox_server.openmeter_url,
            log=tmp_path_factory.mktemp("served") / "log",
        ) as console,
    ):
        yield console


@pytest.fixture
def console(served, sandbox) -> Iterator[ServedConsole]:
    """Yield the served console, which knows no business yet."""
    served.empty()
    yield served
    assert served.faults() == ""


@pytest.fixture
def visit(browser, console) -> Iterator[Callable[[str], Visitor]]:
    """Return a function that lets somebody sit down at a browser of their own, logged in unless "" ."""
    contexts, visitors = [], []

    def sit_down(login: str = "ada", *, scheme: str = "light") -> Visitor:
        context = browser.new_context(viewport=WIDE, color_scheme=scheme, timezone_id="Europe/Berlin")
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        if login:
            cookie = {"name": "sessionid", "value": console.cookies[login], "url": console.address}
            context.add_cookies([cookie])
        visitors.append(Visitor(context.new_page(), console.address))
        return visitors[-1]

    yield sit_down
    faults = [fault for visitor in visitors for fault in visitor.faults]
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def start_business(sandbox, sandbox_server, config, console) -> Iterator[Callable[..., Business]]:
    """Return a function that sets a business up, which the console has mirrored."""
    with World(sandbox, sandbox_server, config) as world:
        yield lambda **options: Business(world, console, **options)


@pytest.fixture
def world_alone(sandbox, sandbox_server, config, console) -> Iterator[World]:
    """Yield a sandbox in real time that has a meter in OpenMeter and nothing in Stripe."""
    with World(sandbox, sandbox_server, config) as world:
        sandbox.set_clock(None)
        answer = world.openmeter_http.post(
            "/api/v1/meters",
            json={"slug": "tokens", "aggregation": "SUM", "eventType": "tokens", "valueProperty": "$.amount"},
        )
        assert answer.is_success, answer.text
        yield world
