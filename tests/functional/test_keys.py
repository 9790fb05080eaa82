"""Keys, tokens and passwords are nowhere to be read: not in pages, logs, output, tables or e-mails."""

import logging
import sys

import httpx
import pytest
from django.views.debug import technical_500_response

from billing_console.redaction import HIDDEN, RedactingFormatter
from tests.browser.served_console import ServedConsole
from tests.business import Business
from tests.world import World

STRIPE_KEY = "sk_test_northwind_WITNESSstripeWITNESS4321"
OPENMETER_TOKEN = "WITNESSopenmeterWITNESS"
SECRET_KEY = "WITNESSdjangoWITNESS<&>0123456789-abcdefghijklmnopqrstuvwxyz"
REDIS_URL = "redis://user:WITNESSredis@127.0.0.1"
WITNESSES = ("WITNESSredis", "WITNESSstripe", "WITNESSopenmeter", "WITNESSdjango")
EVENTS = "POST /v1/billing/meter_events"

# What a server could repeat of what it was sent.
STRIPES_ECHO = {"error": {"type": "invalid_request_error", "message": f"Refused: Bearer {STRIPE_KEY}"}}
OPENMETERS_ECHO = {"title": "Unauthorized", "detail": f"Refused: Bearer {OPENMETER_TOKEN}", "status": 400}

_QUEUE_TASKS = """
from django.utils import timezone
from django_q.tasks import async_task
from sync.enqueue import enqueue_run
from sync.models import ReportRun
for kind in ("report", "sync"):
    enqueue_run(ReportRun(kind=kind, trigger="admin", requested_by="ada", queued_at=timezone.now()))
async_task("sync.tasks.carry_out_run", 999999)
async_task("sync.wiring.connect", config="no configuration")
"""
_SHOW_TASKS = """
from django_q.models import Task
for task in Task.objects.all():
    print(task.func, task.args, task.kwargs, task.result)
"""
_ADDRESSES = """
import billing_console.urls
from django.contrib import admin
from tests.functional.pages import opened_dialogs, page
for model in admin.site._registry:
    print(page(model, "changelist"))
    for pk in model._default_manager.values_list("pk", flat=True)[:1]:
        print(page(model, "change", pk))
for _, address in opened_dialogs():
    print(address)
"""


@pytest.fixture
def console(databases, sandbox, sandbox_server, tmp_path):
    """Yield a console that says all it can, with keys that are easily found again."""
    with databases.fresh() as url:
        served = ServedConsole(
            database_url=url,
            stripe_url=sandbox_server.stripe_url,
            openmeter_url=sandbox_server.openmeter_url,
            log=tmp_path / "log",
        )
        served.env |= {
            "STRIPE_KEY": STRIPE_KEY,
            "OPENMETER_TOKEN": OPENMETER_TOKEN,
            "DJANGO_SECRET_KEY": SECRET_KEY,
            "LOG_LEVEL": "DEBUG",
        }
        with served:
            yield served


@pytest.fixture
def world(sandbox, sandbox_server, config):
    """Yield a sandbox that asks for the token."""
    with World(sandbox, sandbox_server, config) as made:
        made.openmeter_http.headers["Authorization"] = f"Bearer {OPENMETER_TOKEN}"
        sandbox.settings(openmeter_token=OPENMETER_TOKEN)
        yield made


class TestKeys:
    def test_are_nowhere_whatever_goes_wrong(self, console, world):
        everything = [*self.commands(console, world)]
        self.background(console, world)
        everything += self.pages(console)
        everything += [console.manage("dumpdata").stdout, console.script(_SHOW_TASKS), console.said()]
        for text in everything:
            for witness in WITNESSES:
                where = text.find(witness)
                assert where < 0, text[max(0, where - 1500) : where + 200]
        assert "999999" in everything[-2], "the task that fails was not shown"
        assert "httpcore" in everything[-1], "the log was not as talkative as it can be"

    def commands(self, console, world):
        """Yield what commands say that work, are refused, cut off, and answered with their own key."""
        Business(world, console, customers=2)
        world.control.fault(EVENTS, status=400, body=STRIPES_ECHO)
        world.control.fault(EVENTS, cut="after")
        world.control.fault("GET /v1/prices", status=403, body=STRIPES_ECHO)
        world.control.fault("openmeter", status=400, body=OPENMETERS_ECHO)
        for arguments in (
            ["report_usage"],
            ["report_usage"],
            ["set_up_stripe", "--meter-only", "--openmeter-meter", "tokens"],
            ["held_reports"],
        ):
            said = console.manage(*arguments)
            yield said.stdout
            yield said.stderr

    def background(self, console, world):
        """Tasks work and fail."""
        world.control.fault("openmeter", status=400, times=3, body=OPENMETERS_ECHO)
        console.script(_QUEUE_TASKS)
        console.wait_for("SELECT 1 FROM django_q_task WHERE func = 'sync.wiring.connect'")
        console.wait_for("SELECT 1 FROM sync_reportrun GROUP BY trigger HAVING count(finished_at) = 2")

    def pages(self, console):
        """Return what every page says, and those that say that something went wrong."""
        cookies = {"sessionid": console.cookies["root"]}
        with httpx.Client(base_url=console.address, cookies=cookies, timeout=30) as browser:
            found = [browser.get(address) for address in ["/", *console.script(_ADDRESSES).split()]]
            assert {answer.status_code for answer in found} == {200}
            found.append(browser.get("/sync/price/nothing/here/"))
            console.query("ALTER TABLE sync_price RENAME TO lost")
            found.append(browser.get("/sync/price/"))
            assert found[-1].status_code == 500
        return [answer.text for answer in found]


class TestErrorPage:
    def test_shows_variables_without_secrets_even_while_developing(self, rf, settings):
        settings.DEBUG, settings.STRIPE_KEY = True, STRIPE_KEY
        settings.SECRET_KEY, settings.REDIS_URL = SECRET_KEY, REDIS_URL
        settings.Q_CLUSTER = {"redis": settings.REDIS_URL}
        for headers in ({}, {"headers": {"Accept": "text/plain"}}):
            page = technical_500_response(rf.get("/", **headers), *self.fault()).content.decode()
            assert "headers" in page
            assert HIDDEN in page
            assert not [witness for witness in WITNESSES if witness in page]

    def fault(self):
        headers = {"Authorization": f"Bearer {STRIPE_KEY}"}
        try:
            headers[SECRET_KEY]
        except KeyError:
            return sys.exc_info()


class TestLog:
    def test_hides_secrets_in_messages_and_tracebacks(self, settings):
        settings.STRIPE_KEY, settings.EMAIL_HOST_PASSWORD = STRIPE_KEY, "WITNESSmail"
        record = logging.LogRecord("x", logging.ERROR, "", 1, "sent %s", (STRIPE_KEY,), None)
        try:
            {}[settings.EMAIL_HOST_PASSWORD]
        except KeyError:
            record.exc_info = sys.exc_info()
        line = RedactingFormatter("{message}", style="{").format(record)
        assert line.startswith(f"sent {HIDDEN}")
        assert f"KeyError: '{HIDDEN}'" in line
