"""What corrections became: a frozen dataset version, and the training that learns from it."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.datasets.models import DatasetVersion
from apps.sentiment.models.monitors import Monitor
from apps.training.models import TrainingJob


class AspectKind(models.TextChoices):
    """What of an article people correct, and a version learns by itself."""

    SENTIMENT = "sentiment", _("How articles are meant")
    TOPIC = "topic", _("Topics")
    TARGET = "target", _("How entities are spoken of")


class Lesson(models.Model):
    """The corrections of one kind up to one of them, frozen as a dataset version; at most one training job learns from it.

    `model` is how the monitor named the version whose labels its rows carry and that goes on learning: "family@alias" or the
    like; empty where no version gives what was corrected, as with topics that are given by words alone.
    """

    monitor = models.ForeignKey(Monitor, models.CASCADE, related_name="lessons", db_index=False)
    aspect = models.CharField(
        max_length=10, choices=AspectKind.choices, default=AspectKind.SENTIMENT, db_default=AspectKind.SENTIMENT.value
    )
    model = models.CharField(max_length=160, blank=True, default="", db_default="")
    dataset_version = models.OneToOneField(DatasetVersion, models.CASCADE, related_name="+")
    training_job = models.ForeignKey(TrainingJob, models.SET_NULL, null=True, related_name="+")
    last_correction = models.BigIntegerField()  # its id; later ones are for the next lesson
    correction_count = models.PositiveIntegerField()  # of those its rows hold
    left_count = models.PositiveIntegerField(default=0, db_default=0)  # corrections that could not become rows
    sample_count = models.PositiveIntegerField()  # confident articles that nobody corrected
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("lesson")
        indexes: ClassVar = [models.Index(fields=["monitor", "-id"], name="lesson_monitor")]

    def __str__(self) -> str:
        return f"{self.monitor_id} {self.aspect} {self.created_at:%Y-%m-%d %H:%M}"
