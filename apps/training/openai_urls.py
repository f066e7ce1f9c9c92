"""The training room's addresses below /v1."""

from django.urls import path

from apps.training.openai import FineTuningJobs

ONE = "fine_tuning/jobs/<str:job>"

urlpatterns = [
    path("fine_tuning/jobs", FineTuningJobs.as_view({"get": "list", "post": "create"})),
    path(ONE, FineTuningJobs.as_view({"get": "retrieve"})),
    path(f"{ONE}/cancel", FineTuningJobs.as_view({"post": "cancel"})),
    path(f"{ONE}/pause", FineTuningJobs.as_view({"post": "pause"})),
    path(f"{ONE}/resume", FineTuningJobs.as_view({"post": "resume"})),
    path(f"{ONE}/events", FineTuningJobs.as_view({"get": "events"})),
    path(f"{ONE}/checkpoints", FineTuningJobs.as_view({"get": "checkpoints"})),
]
