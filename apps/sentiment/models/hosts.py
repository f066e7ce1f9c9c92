"""Whom is asked for news: hosts, each by one reader at a time and with a pause between readings."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Host(models.Model):
    """A host of the installation's sources, whichever workspace they are of. Whoever reads one of them holds it."""

    name = models.CharField(max_length=300, unique=True)  # with its port
    busy_until = models.DateTimeField(null=True)  # null: nobody reads it
    token = models.BigIntegerField(default=0)  # grows with every reader; an older one cannot let go of it
    next_at = models.DateTimeField(default=timezone.now)  # not asked before
    failure_count = models.PositiveIntegerField(default=0)  # in a row, of the host itself
    crawl_delay_seconds = models.FloatField(default=0)  # as its robots.txt asked last

    class Meta:
        verbose_name = _("host")

    def __str__(self) -> str:
        return self.name
