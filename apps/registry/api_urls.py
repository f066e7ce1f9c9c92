"""REST endpoints of the registry app."""

from django.urls import path

from apps.registry import api

urlpatterns = [
    path("models", api.Models.as_view({"get": "list"})),
    path("models/<int:pk>", api.Models.as_view({"get": "retrieve"})),
    path("models/<int:pk>/aliases/<slug:name>", api.Models.as_view({"delete": "remove"})),
    path("models/<int:pk>/aliases/<slug:name>/rollback", api.Models.as_view({"post": "rollback"})),
    path("models/<int:pk>/alias-moves", api.Models.as_view({"get": "moves"})),
    path("model-versions", api.ModelVersions.as_view({"get": "list"})),
    path(
        "model-versions/<int:pk>",
        api.ModelVersions.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
    ),
    path("model-versions/compare", api.ModelVersions.as_view({"get": "compare"})),
    path("model-versions/<int:pk>/samples", api.ModelVersions.as_view({"get": "samples"})),
    path("model-versions/<int:pk>/export", api.ModelVersions.as_view({"post": "export"})),
    path("model-versions/<int:pk>/exports", api.ModelVersions.as_view({"get": "exports"})),
    path("model-versions/<int:pk>/verify", api.ModelVersions.as_view({"post": "verify"})),
    path("model-versions/<int:pk>/card", api.ModelVersions.as_view({"get": "card", "post": "edit_card"})),
    path(
        "model-versions/<int:pk>/approvals",
        api.ModelVersions.as_view({"get": "approvals", "post": "request_approval"}),
    ),
    path("model-connections", api.ModelConnections.as_view({"post": "create"})),
    path("model-imports", api.ModelImports.as_view({"get": "list", "post": "create"})),
    path("model-imports/<int:pk>", api.ModelImports.as_view({"get": "retrieve"})),
    path("model-exports/<int:pk>", api.ModelExports.as_view({"get": "retrieve"})),
    path("model-exports/<int:pk>/file", api.ModelExports.as_view({"get": "file"})),
    path("model-checks/<int:pk>", api.ModelChecks.as_view({"get": "retrieve"})),
    path("base-models", api.BaseModels.as_view({"get": "list", "post": "create"})),
    path("base-models/<int:pk>", api.BaseModels.as_view({"delete": "destroy"})),
]
