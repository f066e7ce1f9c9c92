"""REST endpoints of the datasets app."""

from django.urls import path

from apps.datasets.api.datasets import DatasetViewSet
from apps.datasets.api.examples import ExampleViewSet
from apps.datasets.api.imports import ImportViewSet
from apps.datasets.api.outputs import ExportViewSet, VersionViewSet

ONE = "datasets/<int:pk>"

urlpatterns = [
    path("datasets", DatasetViewSet.as_view({"get": "list", "post": "create"})),
    path(ONE, DatasetViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"})),
    path(f"{ONE}/archive", DatasetViewSet.as_view({"post": "archive"})),
    path(f"{ONE}/unarchive", DatasetViewSet.as_view({"post": "unarchive"})),
    path(f"{ONE}/profile", DatasetViewSet.as_view({"get": "profile", "post": "request_profile"})),
    path(f"{ONE}/split", DatasetViewSet.as_view({"post": "split"})),
    path(f"{ONE}/examples", ExampleViewSet.as_view({"get": "list", "post": "create"})),
    path(f"{ONE}/examples/bulk", ExampleViewSet.as_view({"post": "bulk"})),
    path(
        f"{ONE}/examples/<int:example>",
        ExampleViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
    ),
    path(f"{ONE}/examples/<int:example>/restore", ExampleViewSet.as_view({"post": "restore"})),
    path(f"{ONE}/examples/<int:example>/history", ExampleViewSet.as_view({"get": "history"})),
    path(f"{ONE}/imports", ImportViewSet.as_view({"get": "list", "post": "create"})),
    path(f"{ONE}/imports/<int:number>", ImportViewSet.as_view({"get": "retrieve"})),
    path(f"{ONE}/imports/<int:number>/start", ImportViewSet.as_view({"post": "start"})),
    path(f"{ONE}/imports/<int:number>/preview", ImportViewSet.as_view({"get": "preview"})),
    path(f"{ONE}/imports/<int:number>/errors", ImportViewSet.as_view({"get": "errors"})),
    path(f"{ONE}/versions", VersionViewSet.as_view({"get": "list", "post": "create"})),
    path(f"{ONE}/versions/<int:number>", VersionViewSet.as_view({"get": "retrieve", "delete": "destroy"})),
    path(f"{ONE}/versions/<int:number>/diff", VersionViewSet.as_view({"get": "diff"})),
    path(f"{ONE}/exports", ExportViewSet.as_view({"get": "list", "post": "create"})),
    path(f"{ONE}/exports/<int:number>", ExportViewSet.as_view({"get": "retrieve"})),
    path(f"{ONE}/exports/<int:number>/file", ExportViewSet.as_view({"get": "file"})),
]
