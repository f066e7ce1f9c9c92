"""What was expected of the counts of a bucket when it closed."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.sentiment.models.monitors import Monitor
from apps.sentiment.models.scores import BucketSize, Dimension


class Expectation(models.Model):
    """A bucket by the clock of arrival: its expected count, and between which lines ordinary counts lie.

    Null where there was too little history to say. The row of the total says that a bucket was looked at.
    """

    monitor = models.ForeignKey(Monitor, models.CASCADE, related_name="expectations", db_index=False)
    dimension = models.CharField(max_length=10, choices=Dimension.choices)
    key = models.CharField(max_length=60, blank=True)
    seconds = models.PositiveIntegerField(choices=BucketSize.choices)
    measure = models.CharField(max_length=20)  # article_count or negative_count
    start_at = models.DateTimeField()
    expected = models.FloatField(null=True)
    low = models.FloatField(null=True)
    high = models.FloatField(null=True)

    class Meta:
        verbose_name = _("expectation")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["monitor", "dimension", "key", "seconds", "measure", "start_at"], name="expectation_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.dimension} {self.key} {self.start_at:%Y-%m-%d %H:%M}"
