"""REST endpoints of the inference app."""

from django.urls import path

from apps.inference.api import (
    BatchViewSet,
    ChatAnswerViewSet,
    OnlineEmbedViewSet,
    OnlineExtractViewSet,
    OnlineRankViewSet,
    OnlineTagViewSet,
    OnlineViewSet,
)
from apps.inference.attribution_api import AttributionViewSet
from apps.inference.deployment_api import DeploymentViewSet, LoadedVersions
from apps.inference.explain_api import ExplanationViewSet
from apps.inference.feedback_api import FeedbackViewSet
from apps.inference.generation_api import GenerationViewSet
from apps.inference.guard_api import GuardDecisionViewSet, GuardPolicyViewSet
from apps.inference.installation_api import InstallationView
from apps.inference.sample_api import SampleView
from apps.inference.usage_api import UsageViewSet

urlpatterns = [
    path("predictions", BatchViewSet.as_view({"get": "list", "post": "create"})),
    path("predictions/<int:pk>", BatchViewSet.as_view({"get": "retrieve"})),
    path("predictions/<int:pk>/rows", BatchViewSet.as_view({"get": "rows"})),
    path("predictions/<int:pk>/export", BatchViewSet.as_view({"get": "export"})),
    path("classify", OnlineViewSet.as_view({"post": "create"})),
    path("classify/<int:pk>", OnlineViewSet.as_view({"get": "retrieve"})),
    path("tag", OnlineTagViewSet.as_view({"post": "create"})),
    path("tag/<int:pk>", OnlineTagViewSet.as_view({"get": "retrieve"})),
    path("embed", OnlineEmbedViewSet.as_view({"post": "create"})),
    path("embed/<int:pk>", OnlineEmbedViewSet.as_view({"get": "retrieve"})),
    path("rank", OnlineRankViewSet.as_view({"post": "create"})),
    path("rank/<int:pk>", OnlineRankViewSet.as_view({"get": "retrieve"})),
    path("extract", OnlineExtractViewSet.as_view({"post": "create"})),
    path("extract/<int:pk>", OnlineExtractViewSet.as_view({"get": "retrieve"})),
    path("answers", ChatAnswerViewSet.as_view({"post": "create"})),
    path("attributions", AttributionViewSet.as_view({"post": "create"})),
    path("attributions/<int:pk>", AttributionViewSet.as_view({"get": "retrieve"})),
    path("explanations", ExplanationViewSet.as_view({"post": "create"})),
    path("explanations/<int:pk>", ExplanationViewSet.as_view({"get": "retrieve"})),
    path("explanations/<int:pk>/attention", ExplanationViewSet.as_view({"get": "attention"})),
    path("usage", UsageViewSet.as_view({"get": "list"})),
    path("usage/export.<str:kind>", UsageViewSet.as_view({"get": "export"})),
    path("guard-policies", GuardPolicyViewSet.as_view({"get": "list", "post": "create"})),
    path(
        "guard-policies/<int:pk>",
        GuardPolicyViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
    ),
    path("guard-policies/<int:pk>/test", GuardPolicyViewSet.as_view({"post": "test"})),
    path("guard-decisions", GuardDecisionViewSet.as_view({"get": "list"})),
    path("samples", SampleView.as_view()),
    path("generations", GenerationViewSet.as_view({"get": "list"})),
    path("generations/<int:pk>", GenerationViewSet.as_view({"get": "retrieve"})),
    path("generations/<int:pk>/cancel", GenerationViewSet.as_view({"post": "cancel"})),
    path("generations/<int:pk>/events", GenerationViewSet.as_view({"get": "events"})),
    path("feedback", FeedbackViewSet.as_view({"get": "list", "post": "create"})),
    path("feedback/<int:pk>", FeedbackViewSet.as_view({"get": "retrieve"})),
    path("deployments", DeploymentViewSet.as_view({"get": "list", "post": "create"})),
    path(
        "deployments/<int:pk>",
        DeploymentViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
    ),
    path("deployments/<int:pk>/promote", DeploymentViewSet.as_view({"post": "promote"})),
    path("deployments/<int:pk>/rollback", DeploymentViewSet.as_view({"post": "rollback"})),
    path("deployments/<int:pk>/events", DeploymentViewSet.as_view({"get": "events"})),
    path("deployments/<int:pk>/figures", DeploymentViewSet.as_view({"get": "figures"})),
    path("installation", InstallationView.as_view()),
    path("loaded-versions", LoadedVersions.as_view()),
    path("answers/<int:pk>", ChatAnswerViewSet.as_view({"get": "retrieve"})),
]
