"""WSGI entry point for a production server."""

import os

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_console.settings")
application = get_wsgi_application()

if settings.SECRET_KEY.startswith("insecure-") and not settings.DEBUG:
    # Every process would sign sessions with a key of its own.
    message = "Set DJANGO_SECRET_KEY before serving pages: manage.py check --deploy says what is missing."
    raise ImproperlyConfigured(message)
