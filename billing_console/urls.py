"""Everything the console serves lives in Django admin, but the two addresses that machines ask."""

from django.contrib import admin
from django.urls import path

from sync.probes import healthz, readyz

admin.autodiscover()

urlpatterns = [
    # Before the admin, which takes every other address for its own.
    path("healthz", healthz),
    path("readyz", readyz),
    path("", admin.site.urls),
]
