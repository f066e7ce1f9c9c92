"""The notifications app."""

from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    """Label of the notifications app."""

    name = "apps.notifications"
