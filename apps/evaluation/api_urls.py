"""REST endpoints of the evaluation app."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
