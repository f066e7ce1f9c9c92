"""The registry's addresses below /v1."""

from django.urls import path

from apps.registry.openai import ServedModels

urlpatterns = [
    path("models", ServedModels.as_view({"get": "list"})),
    path("models/<path:model>", ServedModels.as_view({"get": "retrieve", "delete": "destroy"})),
]
