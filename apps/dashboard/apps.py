"""The dashboard app."""

from django.apps import AppConfig


class DashboardConfig(AppConfig):
    """Label of the dashboard app."""

    name = "apps.dashboard"
