"""Everything the console serves lives in Django admin."""

from django.contrib import admin
from django.urls import path

admin.autodiscover()

urlpatterns = [path("", admin.site.urls)]
