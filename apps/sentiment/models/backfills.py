"""Files of articles that bring history in."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.sentiment.models.monitors import Source
from core.jobs.models import Job
from core.words import WordsJSONField


class Backfill(models.Model):
    """A file of articles of the past, read by a job from where it stopped last; its articles alarm nobody."""

    source = models.ForeignKey(Source, models.CASCADE, related_name="backfills")
    job = models.OneToOneField(Job, models.SET_NULL, null=True, related_name="backfill")  # null until it is started
    file_name = models.CharField(max_length=255)
    file_path = models.CharField(max_length=500, blank=True)  # below HOME; empty once it is read
    options = models.JSONField(default=dict)  # how the file is read
    columns = models.JSONField(default=list)  # names in the file
    mapping = models.JSONField(default=dict)  # field -> column
    position = models.JSONField(default=list)  # of the last row that was dealt with
    row_count = models.PositiveIntegerField(default=0)
    new_count = models.PositiveIntegerField(default=0)
    seen_count = models.PositiveIntegerField(default=0)
    refused_count = models.PositiveIntegerField(default=0)
    problems = WordsJSONField(default=list)  # the first few: {"row", "message"}
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("back-fill")
        indexes: ClassVar = [models.Index(fields=["source", "-id"], name="backfill_source")]

    def __str__(self) -> str:
        return self.file_name
