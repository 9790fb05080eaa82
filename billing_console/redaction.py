"""What hides keys, tokens and passwords wherever the console writes: its log, its error pages and e-mails.

Our own code never puts them there; this is for libraries, for exceptions, and for what a peer sends back.
"""

import html
import logging
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter

HIDDEN = "(hidden)"
SHORTEST = 6
"""What is shorter would hide ordinary words."""


def redact(text: str) -> str:
    """Return the text with every secret of the settings hidden, escaped for HTML or not."""
    for secret in _secrets():
        text = text.replace(secret, HIDDEN).replace(html.escape(secret), HIDDEN)
    return text


def _secrets() -> list[str]:
    known = [settings.STRIPE_KEY, settings.OPENMETER_TOKEN, settings.SECRET_KEY, settings.EMAIL_HOST_PASSWORD]
    known += [settings.STRIPE_WEBHOOK_SECRET, settings.STRIPE_THIN_WEBHOOK_SECRET]
    known += [str(database.get("PASSWORD") or "") for database in settings.DATABASES.values()]
    known.append(urlsplit(settings.REDIS_URL).password or "")
    # The longest first: one may be a part of another.
    return sorted((one.strip() for one in known if len(one.strip()) >= SHORTEST), key=len, reverse=True)


class RedactingFormatter(logging.Formatter):
    """Formats a log record, its exception too, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or lines."""
        return redact(super().format(record))


class RedactingReporter(ExceptionReporter):
    """Django's page and e-mail about an exception, with its local variables, but without secrets."""

    def get_traceback_html(self) -> SafeString:
        """Return the page."""
        return SafeString(redact(super().get_traceback_html()))

    def get_traceback_text(self) -> SafeString:
        """Return the e-mail."""
        return SafeString(redact(super().get_traceback_text()))
