"""How far a full sync has come that is not finished yet."""

from datetime import datetime, timedelta

from django.db import models

WORTH_GOING_ON = 1000
"""Fewer objects are read again from the beginning: ten calls."""
OLDEST = timedelta(days=7)
"""What changed since a list was begun is read by Stripe's events afterwards, which are kept for 30 days."""


class Listing(models.Model):
    """One of Stripe's lists that is being read: all up to `after` was stored since `began_at`.

    There is a row only while the full sync that it belongs to is not finished.
    """

    kind = models.CharField(max_length=30, unique=True)
    """What is listed, like customers."""
    began_at = models.DateTimeField()
    after = models.CharField(max_length=255, blank=True)
    """Stripe id of the last object that was stored; Stripe lists the newest first."""
    seen = models.PositiveIntegerField(default=0)
    read_at = models.DateTimeField(null=True, blank=True)
    """When its end was reached."""

    class Meta:
        ordering = ["began_at", "id"]
        default_permissions = ()

    def __str__(self) -> str:
        """Say how far it is."""
        return f"{self.kind}: {self.seen:,}"

    def goes_on(self, *, now: datetime) -> bool:
        """Whether the next full sync goes on from here, rather than from the beginning."""
        return self.seen >= WORTH_GOING_ON and self.began_at > now - OLDEST
