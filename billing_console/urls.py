"""Everything the console serves lives in Django admin, but the addresses for machines."""

from django.contrib import admin
from django.urls import path

from sync.probes import healthz, readyz
from sync.webhooks import take_snapshot, take_thin

admin.autodiscover()

urlpatterns = [
    # Before the admin, which takes every other address for its own.
    path("healthz", healthz),
    path("readyz", readyz),
    path("webhooks/stripe", take_snapshot),
    path("webhooks/stripe/thin", take_thin),
    path("", admin.site.urls),
]
