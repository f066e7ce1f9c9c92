"""Pages of the accounts app inside a workspace: settings, members, keys, audit trail."""

from django.urls import URLPattern

app_name = "accounts"

urlpatterns: list[URLPattern] = []
