"""REST endpoints of the evaluation app."""

from django.urls import path

from apps.evaluation import api, api_remembering, api_suites

urlpatterns = [
    path("evaluations", api.Evaluations.as_view({"get": "list", "post": "create"})),
    path("evaluations/<int:pk>", api.Evaluations.as_view({"get": "retrieve", "delete": "destroy"})),
    path("evaluations/<int:pk>/results", api.Evaluations.as_view({"get": "results"})),
    path("evaluations/<int:pk>/results.<slug:form>", api.Evaluations.as_view({"get": "download"})),
    path("comparisons", api.Comparisons.as_view({"get": "list", "post": "create"})),
    path("comparisons/<int:pk>", api.Comparisons.as_view({"get": "retrieve"})),
    path("comparisons/<int:pk>/flips", api.Comparisons.as_view({"get": "flips"})),
    path("suites", api_suites.Suites.as_view({"get": "list", "post": "create"})),
    path("suites/<int:pk>", api_suites.Suites.as_view({"get": "retrieve", "delete": "destroy"})),
    path("suites/<int:pk>/checks", api_suites.Suites.as_view({"put": "checks"})),
    path("suites/<int:pk>/revisions", api_suites.Suites.as_view({"post": "revise"})),
    path("suites/<int:pk>/runs", api_suites.Suites.as_view({"get": "runs", "post": "run"})),
    path(
        "model-versions/<int:pk>/remembering",
        api_remembering.VersionTasks.as_view({"get": "retrieve", "post": "measure"}),
    ),
    path("model-versions/<int:pk>/suites", api_suites.VersionSuites.as_view({"get": "list"})),
    path(
        "models/<int:pk>/gate",
        api_suites.Gates.as_view({"get": "retrieve", "put": "update", "delete": "destroy"}),
    ),
    path("models/<int:pk>/aliases", api_suites.AliasMoves.as_view({"post": "create"})),
    path("approvals/<int:pk>/decision", api_suites.Decisions.as_view({"post": "decide"})),
]
