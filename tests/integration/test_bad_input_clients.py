"""Bad keys, addresses and peers: one sentence that says what to do, an exit code, no traceback, no key."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from sync.models import Meter, StripeAccount
from sync.operations.pin_account import pin_account
from sync.ports import Account, Misconfigured, SyncError
from sync.wiring import LIVE_KEYS_ACCEPTED, STRIPE_ADDRESS, connect, guard
from tests.integration.stub_server import HTML, Answer, running_stub, unused_url

ROOT = Path(__file__).resolve().parents[2]
SECRET = "9fQ2secret"
NOW = datetime(2026, 3, 10, tzinfo=UTC)
COMMANDS = ["set_up_stripe", "sync_stripe"]


@pytest.fixture
def peer():
    with running_stub() as stub:
        yield stub


@pytest.fixture
def env(settings, config, sandbox):
    settings.STRIPE_KEY = config.stripe_key
    settings.STRIPE_API_BASE = config.stripe_api_base
    settings.OPENMETER_URL = config.openmeter_url
    settings.OPENMETER_TOKEN = ""
    settings.ALLOW_LIVE = False
    return settings


def refusal(command, *options: str):
    """Return the sentence and the exit code that a command ends with."""
    with pytest.raises(CommandError) as caught:
        call_command(command, *options, stdout=StringIO())
    return str(caught.value), caught.value.returncode


def run_process(command, tmp_path, **variables: str):
    """Run a command as its users do, on a new and empty database."""
    env = {
        "PATH": os.environ["PATH"],
        "IGNORE_DOTENV": "1",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'new.sqlite3'}",
        **variables,
    }
    manage = [sys.executable, "manage.py", command]
    return subprocess.run(manage, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


class TestKeys:
    @pytest.mark.parametrize("command", COMMANDS)
    @pytest.mark.parametrize(
        ("key", "sentence"),
        [
            ("", "STRIPE_KEY is not set"),
            ("   ", "STRIPE_KEY is not set"),
            (SECRET, "no Stripe secret key"),
            (f"pk_test_{SECRET}", "no Stripe secret key"),
            (f"sk_test_{SECRET} x", "no Stripe secret key"),
            (f"sk_test_{SECRET}\n\tX-Evil: 1", "no Stripe secret key"),
            ("sk_test_", "no Stripe secret key"),
            (f"sk_live_{SECRET}", "a live key is never sent anywhere else"),
        ],
    )
    def test_are_refused_before_any_call(self, env, sandbox, command, key, sentence):
        env.STRIPE_KEY = key
        message, code = refusal(command)

        assert sentence in message
        assert code == 2
        assert SECRET not in message
        assert sandbox.requests() == []

    @pytest.mark.parametrize("prefix", ["sk_live_", "rk_live_"])
    @pytest.mark.parametrize("allow_live", [False, True])
    def test_of_live_mode_are_refused_whatever_is_allowed(self, config, prefix, allow_live):
        live = replace(
            config, stripe_key=prefix + SECRET, stripe_api_base=STRIPE_ADDRESS, allow_live=allow_live
        )

        with pytest.raises(Misconfigured, match="accepts test keys only, whatever ALLOW_LIVE says") as caught:
            guard(live)
        assert LIVE_KEYS_ACCEPTED is False
        assert f"…{SECRET[-4:]}" in str(caught.value)
        assert SECRET not in str(caught.value)

    def test_of_live_mode_will_need_to_be_allowed(self, config, monkeypatch):
        monkeypatch.setattr("sync.wiring.LIVE_KEYS_ACCEPTED", True)
        live = replace(config, stripe_key=f"sk_live_{SECRET}", stripe_api_base=STRIPE_ADDRESS)

        with pytest.raises(Misconfigured, match="ALLOW_LIVE=1"):
            guard(live)
        guard(replace(live, allow_live=True))
        with pytest.raises(Misconfigured, match="never sent anywhere else"):
            guard(replace(live, allow_live=True, stripe_api_base="http://127.0.0.1:8901/stripe"))

    @pytest.mark.parametrize("key", ["sk_test_a", "rk_test_51H_b"])
    def test_of_test_mode_are_taken(self, config, key):
        assert connect(config=replace(config, stripe_key=key)).config.stripe_key == key

    @pytest.mark.parametrize("name", ["config", "stripe", "openmeter"])
    def test_are_shown_nowhere(self, connections, name):
        assert connections.config.stripe_key not in repr(connections)
        assert connections.config.stripe_key not in repr(getattr(connections, name))

    @pytest.mark.django_db
    @pytest.mark.usefixtures("env")
    def test_that_stripe_does_not_know(self, sandbox):
        sandbox.fault("stripe", status=401)
        message, code = refusal("sync_stripe")

        assert message == "Stripe does not accept the key that ends in …0001; check STRIPE_KEY."
        assert code == 2


class TestAddresses:
    @pytest.mark.parametrize("name", ["STRIPE_API_BASE", "OPENMETER_URL"])
    @pytest.mark.parametrize(
        "address",
        [
            "",
            "localhost:8888",
            "ftp://localhost",
            "http://",
            "http://user:hunter2@localhost",
            "http://localhost:99999",
            "http://localhost?token=hunter2",
            "http://local host",
            "http://[::1",
        ],
    )
    def test_are_refused_before_any_call(self, env, name, address):
        setattr(env, name, address)
        message, code = refusal("sync_stripe")

        assert message.startswith(f"{name} is no usable address; write it like http")
        assert code == 2
        assert "hunter2" not in message

    @pytest.mark.django_db
    @pytest.mark.parametrize("command", COMMANDS)
    def test_where_nobody_answers_for_stripe(self, env, command):
        env.STRIPE_API_BASE = unused_url()
        message, code = refusal(command)

        assert message == (
            f"Stripe cannot be reached at {env.STRIPE_API_BASE}; check the network and STRIPE_API_BASE."
        )
        assert code == 1

    @pytest.mark.django_db
    @pytest.mark.parametrize("command", COMMANDS)
    def test_where_something_else_answers_for_stripe(self, env, peer, command):
        peer.will(Answer(HTML, kind="text/html"))
        env.STRIPE_API_BASE = peer.url
        message, _ = refusal(command)

        assert "not Stripe's JSON; check STRIPE_API_BASE" in message


@pytest.mark.django_db
class TestOpenMeter:
    @pytest.mark.parametrize(
        ("answer", "sentence"),
        [
            (Answer(HTML, kind="text/html"), "text/html instead of JSON"),
            (Answer({"detail": "no"}, status=401), "check OPENMETER_TOKEN"),
            (Answer({}, status=404), "check OPENMETER_URL"),
            (Answer({}, status=500), "try again later"),
            (Answer([{"id": "x"}]), "lists a meter without 'slug'"),
        ],
    )
    def test_that_misbehaves_stops_only_what_needs_it(self, env, peer, answer, sentence):
        peer.will(answer)
        env.OPENMETER_URL = peer.url
        message, code = refusal("sync_stripe")

        assert sentence in message
        assert message.startswith("Stripe was mirrored")
        assert code == 1

    def test_that_is_away(self, env):
        env.OPENMETER_URL = unused_url()
        message, code = refusal("sync_stripe")

        assert f"OpenMeter cannot be reached at {env.OPENMETER_URL}" in message
        assert code == 1

    def test_that_wants_a_token(self, env, sandbox):
        sandbox.settings(openmeter_token="right")
        assert "OPENMETER_TOKEN" in refusal("sync_stripe")[0]

        env.OPENMETER_TOKEN = "right"
        call_command("sync_stripe", stdout=StringIO())

    def test_that_has_no_such_meter(self, connections):
        end = timezone.now()
        with pytest.raises(SyncError, match="has no meter 'nope'"):
            connections.openmeter.query("nope", start=end - timedelta(hours=1), end=end, window=None)

    def test_is_asked_before_anything_is_created_for_a_named_meter(self, env, peer):
        peer.will(Answer(HTML, kind="text/html"))
        env.OPENMETER_URL = peer.url
        message, _ = refusal("set_up_stripe", "--openmeter-meter", "m1")

        assert "instead of JSON" in message
        assert not Meter.objects.exists()


@pytest.mark.django_db
class TestPinAccount:
    ONE = Account(id="acct_one", livemode=False)

    def test_pins_once(self):
        pin_account(self.ONE, now=NOW)
        pin_account(self.ONE, now=NOW + timedelta(hours=1))

        assert StripeAccount.objects.get().pinned_at == NOW

    @pytest.mark.parametrize(
        ("other", "named"),
        [
            (Account(id="acct_two", livemode=False), "acct_two (test mode)"),
            (Account(id="acct_one", livemode=True), "acct_one (live mode)"),
        ],
    )
    def test_refuses_any_other_with_both_names(self, other, named):
        pin_account(self.ONE, now=NOW)

        with pytest.raises(Misconfigured) as caught:
            pin_account(other, now=NOW)
        assert "acct_one (test mode)" in str(caught.value)
        assert named in str(caught.value)
        assert StripeAccount.objects.get().stripe_id == "acct_one"

    @pytest.mark.parametrize("command", COMMANDS)
    @pytest.mark.usefixtures("env")
    def test_stops_commands_before_they_write(self, command):
        StripeAccount.objects.create(stripe_id="acct_other", livemode=False, pinned_at=NOW)
        message, code = refusal(command)

        assert "This database belongs to Stripe account acct_other (test mode)" in message
        assert code == 2
        assert not Meter.objects.exists()


class TestCommands:
    def test_say_that_the_database_is_not_migrated(self, tmp_path, config):
        done = run_process(
            "sync_stripe", tmp_path, STRIPE_KEY=config.stripe_key, STRIPE_API_BASE=config.stripe_api_base
        )

        assert done.stderr == "CommandError: The database is not up to date; run manage.py migrate first.\n"
        assert done.returncode == 1

    @pytest.mark.usefixtures("env")
    def test_say_what_to_do_after_an_interruption(self, monkeypatch):
        def interrupt(**_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("sync.management.commands.sync_stripe.sync_stripe", interrupt)
        message, code = refusal("sync_stripe")

        assert message.startswith("Interrupted.")
        assert code == 128 + signal.SIGINT

    @pytest.mark.parametrize("command", COMMANDS)
    @pytest.mark.parametrize(("key", "code"), [("", 2), ("sk_test_a", 1)])
    def test_end_as_a_process_with_one_line_and_a_code(self, tmp_path, command, key, code):
        done = run_process(command, tmp_path, STRIPE_KEY=key, STRIPE_API_BASE=unused_url())

        assert done.returncode == code
        assert done.stdout == ""
        assert len(done.stderr.strip().splitlines()) == 1
        assert done.stderr.startswith("CommandError: ")
