"""REST endpoints of the dashboard app."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
