"""Addresses at which Stripe tells of events: signed, kept before the answer, and worked on afterwards."""

from collections.abc import Callable
from http import HTTPStatus

from django.db import DatabaseError, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.request import UnreadablePostError
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from sync.domain.notices import Notification
from sync.enqueue import enqueue_notices
from sync.operations.keep_notice import keep_notice
from sync.ports import InvalidInput, Misconfigured
from sync.wiring import snapshot_reader, thin_reader

LARGEST_BODY = 1_000_000
"""Bytes; Stripe's largest events are far smaller, and nobody has shown yet who they are."""

Reader = Callable[[bytes, str], Notification]


@csrf_exempt
@never_cache
@require_POST
def take_snapshot(request: HttpRequest) -> HttpResponse:
    """The event of a changed object is kept, or refused: nothing of a refused one is."""
    return _take(request, snapshot_reader)


@csrf_exempt
@never_cache
@require_POST
def take_thin(request: HttpRequest) -> HttpResponse:
    """The thin event is kept, or refused."""
    return _take(request, thin_reader)


def _take(request: HttpRequest, reader: Callable[[], Reader]) -> HttpResponse:
    """Anything but a 2xx makes Stripe come again, for up to three days."""
    try:
        read = reader()
        body = _body(request)
        if body is None:
            return _say("This is larger than any event.", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        notification = read(body, request.headers.get("Stripe-Signature", ""))
        with transaction.atomic():
            if keep_notice(notification, now=timezone.now()):
                enqueue_notices()
    except Misconfigured as error:
        return _say(str(error), HTTPStatus.SERVICE_UNAVAILABLE)
    except (InvalidInput, UnreadablePostError) as error:
        return _say(str(error), HTTPStatus.BAD_REQUEST)
    except DatabaseError:
        return _say("This could not be kept; send it again.", HTTPStatus.SERVICE_UNAVAILABLE)
    return _say("Kept.", HTTPStatus.OK)


def _body(request: HttpRequest) -> bytes | None:
    """Return the body, or None where it is too large; it is not read then."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal() or int(length) > LARGEST_BODY:
        return None
    return request.body


def _say(sentence: str, status: HTTPStatus) -> HttpResponse:
    return JsonResponse({"message": sentence}, status=status)
