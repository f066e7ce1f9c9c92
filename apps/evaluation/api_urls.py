"""REST endpoints of the evaluation app."""

from django.urls import path

from apps.evaluation import api

urlpatterns = [
    path("evaluations", api.Evaluations.as_view({"get": "list", "post": "create"})),
    path("evaluations/<int:pk>", api.Evaluations.as_view({"get": "retrieve", "delete": "destroy"})),
    path("evaluations/<int:pk>/results", api.Evaluations.as_view({"get": "results"})),
    path("evaluations/<int:pk>/results.<slug:form>", api.Evaluations.as_view({"get": "download"})),
    path("comparisons", api.Comparisons.as_view({"get": "list", "post": "create"})),
    path("comparisons/<int:pk>", api.Comparisons.as_view({"get": "retrieve"})),
    path("comparisons/<int:pk>/flips", api.Comparisons.as_view({"get": "flips"})),
]
