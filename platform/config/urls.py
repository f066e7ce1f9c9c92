"""All addresses: pages below /w/<workspace>/, the API below /api/v1/, OpenAI's below /v1/, health outside."""

from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from apps.inference import installation_views
from apps.inference.metrics import metrics
from config import health

API = [
    path("", include("apps.accounts.api_urls")),
    path("", include("apps.notifications.api_urls")),
    path("", include("apps.datasets.api_urls")),
    path("", include("apps.registry.api_urls")),
    path("", include("apps.training.api_urls")),
    path("", include("apps.evaluation.api_urls")),
    path("", include("apps.inference.api_urls")),
    path("", include("apps.sentiment.api_urls")),
    path("", include("apps.dashboard.api_urls")),
]

OPENAI = [
    path("", include("apps.registry.openai_urls")),
    path("", include("apps.inference.openai_urls")),
    path("", include("apps.datasets.openai_urls")),
    path("", include("apps.training.openai_urls")),
]

PAGES = [
    path("settings/", include("apps.accounts.workspace_urls", namespace="accounts")),
    path("notices/", include("apps.notifications.urls", namespace="notifications")),
    path("receivers/", include("apps.notifications.receiver_urls", namespace="receivers")),
    path("datasets/", include("apps.datasets.urls", namespace="datasets")),
    path("models/", include("apps.registry.urls", namespace="registry")),
    path("training/", include("apps.training.urls", namespace="training")),
    path("evaluations/", include("apps.evaluation.urls", namespace="evaluation")),
    path("deployments/", include("apps.inference.deployment_urls", namespace="deployments")),
    path("predictions/", include("apps.inference.urls", namespace="inference")),
    path("monitors/", include("apps.sentiment.urls", namespace="sentiment")),
    path("", include("apps.dashboard.urls", namespace="dashboard")),
]

urlpatterns = [
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", metrics),
    path("installation", installation_views.index, name="installation"),
    path("api/v1/", include(API)),
    path("v1/", include(OPENAI)),
    path("api/v1/schema", SpectacularAPIView.as_view(), name="api-schema"),
    path(
        "api/docs",
        SpectacularSwaggerSplitView.as_view(url_name="api-schema", template_name="core/api_docs.html"),
        name="api-docs",
    ),
    path("hooks/", include("apps.sentiment.hook_urls")),
    path("w/<slug:workspace>/", include(PAGES)),
    path("", include("apps.accounts.urls")),
]

handler403 = "config.health.not_allowed"
handler404 = "config.health.not_found"
handler500 = "config.health.server_error"
