"""Pages of the notifications app."""

from django.urls import URLPattern

app_name = "notifications"

urlpatterns: list[URLPattern] = []
