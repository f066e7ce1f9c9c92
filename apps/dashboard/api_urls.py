"""REST endpoints of the dashboard app."""

from django.urls import path

from apps.dashboard.api import Jobs
from apps.dashboard.lineage_api import DataLineage, ModelLineage
from apps.dashboard.schedule_api import ScheduleViewSet

urlpatterns = [
    path("jobs", Jobs.as_view({"get": "list"}), name="api-jobs"),
    path("jobs/<int:pk>", Jobs.as_view({"get": "retrieve"}), name="api-job"),
    path("jobs/<int:pk>/logs", Jobs.as_view({"get": "logs"}), name="api-job-logs"),
    path("jobs/<int:pk>/transitions", Jobs.as_view({"get": "transitions"}), name="api-job-transitions"),
    path("jobs/<int:pk>/attempts", Jobs.as_view({"get": "attempts"}), name="api-job-attempts"),
    path("jobs/<int:pk>/place", Jobs.as_view({"get": "place"}), name="api-job-place"),
    path("jobs/<int:pk>/cancel", Jobs.as_view({"post": "cancel"}), name="api-job-cancel"),
    path("jobs/<int:pk>/pause", Jobs.as_view({"post": "pause"}), name="api-job-pause"),
    path("jobs/<int:pk>/resume", Jobs.as_view({"post": "resume"}), name="api-job-resume"),
    path("jobs/<int:pk>/retry", Jobs.as_view({"post": "retry"}), name="api-job-retry"),
    path("jobs/<int:pk>/priority", Jobs.as_view({"post": "priority"}), name="api-job-priority"),
    path("schedules", ScheduleViewSet.as_view({"get": "list", "post": "create"})),
    path(
        "schedules/<int:pk>",
        ScheduleViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
    ),
    path("schedules/<int:pk>/run", ScheduleViewSet.as_view({"post": "run"})),
    path("model-versions/<int:pk>/lineage", ModelLineage.as_view({"get": "retrieve"})),
    path("dataset-versions/<int:pk>/lineage", DataLineage.as_view({"get": "retrieve"})),
]
