"""REST endpoints of the training app."""

from django.urls import path

from apps.training.api import PreflightViewSet, RecipesView, TrainingJobViewSet
from apps.training.api_sweeps import SweepViewSet

urlpatterns = [
    path("recipes", RecipesView.as_view()),
    path("training-preflights", PreflightViewSet.as_view({"post": "create"})),
    path("training-preflights/<int:pk>", PreflightViewSet.as_view({"get": "retrieve"})),
    path("sweeps", SweepViewSet.as_view({"get": "list", "post": "create"})),
    path("sweeps/<int:pk>", SweepViewSet.as_view({"get": "retrieve"})),
    path("sweeps/<int:pk>/trials", SweepViewSet.as_view({"get": "trials"})),
    path("sweeps/<int:pk>/cancel", SweepViewSet.as_view({"post": "cancel"})),
    path("training-jobs", TrainingJobViewSet.as_view({"get": "list", "post": "create"})),
    path("training-jobs/validate", TrainingJobViewSet.as_view({"post": "validate"})),
    path("training-jobs/compare", TrainingJobViewSet.as_view({"get": "compare"})),
    path("training-jobs/<int:pk>", TrainingJobViewSet.as_view({"get": "retrieve"})),
    path("training-jobs/<int:pk>/curves", TrainingJobViewSet.as_view({"get": "curves"})),
    path("training-jobs/<int:pk>/seen", TrainingJobViewSet.as_view({"get": "seen"})),
    path("training-jobs/<int:pk>/events", TrainingJobViewSet.as_view({"get": "events"})),
    path("training-jobs/<int:pk>/checkpoints", TrainingJobViewSet.as_view({"get": "checkpoints"})),
    path("training-jobs/<int:pk>/reproduce", TrainingJobViewSet.as_view({"post": "reproduce"})),
]
