"""The Celery application: tasks live in workers, schedules in the settings."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.embedded")

app = Celery("lingxi", include=["workers.tasks"])
app.config_from_object("django.conf:settings", namespace="CELERY")
