"""Who is told, and by which mail server, comes from the environment."""

import os
import subprocess
import sys

from tests.console import ROOT

SHOW = """
import django; django.setup()
from django.conf import settings as s
print(s.ADMINS, s.EMAIL_BACKEND.rsplit(".")[-2], s.EMAIL_HOST, s.EMAIL_PORT, s.EMAIL_USE_TLS, s.SERVER_EMAIL)
"""


def settings_of(**env: str) -> subprocess.CompletedProcess[str]:
    setup = {"IGNORE_DOTENV": "1", "DJANGO_SETTINGS_MODULE": "billing_console.settings"}
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SHOW],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]} | setup | env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_names_people_and_a_server():
    shown = settings_of(
        ADMINS="ada@example.com, Ops <ops@example.com>",
        EMAIL_URL="smtp+tls://me:secret@mail.example.com:587",
        SERVER_EMAIL="console@example.com",
    )
    people = "[('ada@example.com', 'ada@example.com'), ('Ops', 'ops@example.com')]"
    assert shown.stdout == f"{people} smtp mail.example.com 587 True console@example.com\n", shown.stderr


def test_prints_where_nothing_is_set():
    assert settings_of(EMAIL_URL="").stdout.startswith("[] console ")


def test_a_wrong_server_is_a_sentence():
    wrong = settings_of(EMAIL_URL="mail.example.com")
    assert "EMAIL_URL is no mail server's address; write it like smtp+tls://" in wrong.stderr
