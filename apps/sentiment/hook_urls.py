"""Public addresses of the sentiment app."""

from django.urls import path

from apps.sentiment.hooks import HookView

urlpatterns = [path("monitors/<slug:token>", HookView.as_view(), name="hook")]
