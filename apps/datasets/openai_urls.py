"""The datasets room's addresses below /v1."""

from django.urls import path

from apps.datasets.openai import Files

urlpatterns = [
    path("files", Files.as_view({"get": "list", "post": "create"})),
    path("files/<str:file>", Files.as_view({"get": "retrieve", "delete": "destroy"})),
    path("files/<str:file>/content", Files.as_view({"get": "content"})),
]
