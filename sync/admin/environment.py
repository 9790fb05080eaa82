"""What every page shows: which Stripe the console is connected to, and how much is open."""

from django.http import HttpRequest

from sync.conf import load_config
from sync.models import Finding

_COLOURS = {"SANDBOX": "success", "TEST": "warning", "LIVE": "danger"}


def badge(_request: HttpRequest) -> list[str]:
    """Return the words SANDBOX, TEST or LIVE and the badge's colour, for the head of every page."""
    name = load_config().environment
    return [name, _COLOURS[name]]


def title_prefix(_request: HttpRequest) -> str:
    """Return what the browser's tab begins with, so that two open consoles are told apart."""
    return f"[{load_config().environment}]"


def open_findings(request: HttpRequest) -> str:
    """Return how many findings are open, or nothing where there is none or the person may not see them."""
    if not request.user.has_perm("sync.view_finding"):
        return ""
    count = Finding.objects.filter(resolved_at=None).count()
    return f"{count:,}" if count else ""
