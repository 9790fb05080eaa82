"""Addresses for machines that ask whether the console lives and usage is reported. No login, no customer."""

from typing import Any

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from sync.operations.watch_reporting import watch_reporting
from sync.queries.health_facts import health_facts
from sync.queries.reporting_health import reporting_health

UNAVAILABLE = 503


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Whether the console itself works: 503 only where its database does not answer.

    The body says how reporting stands all the same, but a console must not be restarted because a report
    waits for a person.
    """
    del request
    try:
        return JsonResponse(health_facts(reporting_health(now=timezone.now())))
    except DatabaseError:
        return _no_database()


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Whether usage is being reported: 503 where anything keeps it from being billed in time.

    Whoever asks also has ADMINS told, since a dead worker cannot tell of itself.
    """
    del request
    try:
        health = watch_reporting(now=timezone.now())
    except DatabaseError:
        return _no_database()
    return JsonResponse(health_facts(health), status=200 if health.is_well else UNAVAILABLE)


def _no_database() -> HttpResponse:
    sentence = "The database does not answer, or is not up to date: run manage.py migrate."
    said: dict[str, Any] = {"status": "problem", "problems": [{"kind": "database", "sentence": sentence}]}
    return JsonResponse(said, status=UNAVAILABLE)
