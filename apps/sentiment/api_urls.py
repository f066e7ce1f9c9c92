"""API addresses of the sentiment app."""

from typing import Any

from django.urls import path

from apps.sentiment.api import ArticleViewSet, MonitorViewSet, SourceViewSet
from apps.sentiment.api_backfills import BackfillViewSet
from apps.sentiment.api_corrections import CorrectionViewSet, LessonViewSet
from apps.sentiment.api_digests import DigestView
from apps.sentiment.api_exports import AlertExportView, ArticleExportView, TrendExportView
from apps.sentiment.api_meaning import EntityViewSet, TopicViewSet
from apps.sentiment.api_rules import AlertViewSet, ReplayViewSet, RuleViewSet, SilenceViewSet
from apps.sentiment.api_saved import SavedViewViewSet
from apps.sentiment.api_trends import TrendView

ONE: dict[str, Any] = {"get": "retrieve", "patch": "partial_update", "delete": "destroy"}
OPENING: dict[str, Any] = {"put": "open_with", "delete": "open_without"}

urlpatterns = [
    path("monitors", MonitorViewSet.as_view({"get": "list", "post": "create"})),
    path("monitors/<int:pk>", MonitorViewSet.as_view(ONE)),
    path("monitors/<int:pk>/digest", DigestView.as_view()),
    path("monitors/<int:pk>/series", MonitorViewSet.as_view({"get": "series"})),
    path("monitors/<int:pk>/trend", TrendView.as_view()),
    path("monitors/<int:pk>/trend/export.<str:kind>", TrendExportView.as_view()),
    path("monitors/<int:pk>/articles", MonitorViewSet.as_view({"get": "articles"})),
    path("monitors/<int:pk>/articles/export.<str:kind>", ArticleExportView.as_view()),
    path("monitors/<int:monitor>/views", SavedViewViewSet.as_view({"get": "list", "post": "create"})),
    path("monitors/<int:monitor>/views/<int:pk>", SavedViewViewSet.as_view(ONE)),
    path("monitors/<int:monitor>/views/<int:pk>/opening", SavedViewViewSet.as_view(OPENING)),
    path("monitors/<int:monitor>/sources", SourceViewSet.as_view({"get": "list", "post": "create"})),
    path("sources/<int:pk>", SourceViewSet.as_view(ONE)),
    path("sources/<int:pk>/read", SourceViewSet.as_view({"post": "read"})),
    path("sources/<int:pk>/secret", SourceViewSet.as_view({"post": "rotate_secret"})),
    path("sources/<int:pk>/readings", SourceViewSet.as_view({"get": "readings"})),
    path("sources/<int:pk>/articles", SourceViewSet.as_view({"post": "push"})),
    path("monitors/<int:pk>/corrections", CorrectionViewSet.as_view({"get": "list"})),
    path("monitors/<int:pk>/backfills", BackfillViewSet.as_view({"post": "create"})),
    path("backfills/<int:pk>", BackfillViewSet.as_view({"get": "retrieve"})),
    path("backfills/<int:pk>/start", BackfillViewSet.as_view({"post": "start"})),
    path("monitors/<int:pk>/lessons", LessonViewSet.as_view({"get": "list", "post": "create"})),
    path("lessons/<int:pk>", LessonViewSet.as_view({"get": "retrieve"})),
    path("lessons/<int:pk>/train", LessonViewSet.as_view({"post": "train"})),
    path("articles/<int:pk>/corrections", CorrectionViewSet.as_view({"post": "create", "delete": "destroy"})),
    path("articles/<int:pk>", ArticleViewSet.as_view({"get": "retrieve"})),
    path("topics", TopicViewSet.as_view({"get": "list", "post": "create"})),
    path("topics/<int:pk>", TopicViewSet.as_view(ONE)),
    path("entities", EntityViewSet.as_view({"get": "list", "post": "create"})),
    path("entities/bulk", EntityViewSet.as_view({"post": "bulk"})),
    path("entities/file", EntityViewSet.as_view({"get": "file"})),
    path("entities/link", EntityViewSet.as_view({"post": "link"})),
    path("entities/relink", EntityViewSet.as_view({"post": "relink"})),
    path("entities/<int:pk>", EntityViewSet.as_view(ONE)),
    path("monitors/<int:monitor>/rules", RuleViewSet.as_view({"get": "list", "post": "create"})),
    path("monitors/<int:monitor>/rules/back-test", RuleViewSet.as_view({"post": "back_test"})),
    path("rules/<int:pk>", RuleViewSet.as_view(ONE)),
    path("monitors/<int:monitor>/silences", SilenceViewSet.as_view({"get": "list", "post": "create"})),
    path("silences/<int:pk>", SilenceViewSet.as_view({"delete": "destroy"})),
    path("alerts", AlertViewSet.as_view({"get": "list"})),
    path("alerts/export.<str:kind>", AlertExportView.as_view()),
    path("alerts/<int:pk>", AlertViewSet.as_view({"get": "retrieve"})),
    path("alerts/<int:pk>/acknowledge", AlertViewSet.as_view({"post": "acknowledge"})),
    path("alerts/<int:pk>/close", AlertViewSet.as_view({"post": "close"})),
    path("alerts/<int:pk>/assign", AlertViewSet.as_view({"post": "assign"})),
    path("alerts/<int:pk>/notes", AlertViewSet.as_view({"post": "note"})),
    path("alerts/<int:pk>/usefulness", AlertViewSet.as_view({"post": "judge"})),
    path("monitors/<int:monitor>/replays", ReplayViewSet.as_view({"get": "list", "post": "create"})),
    path("replays/<int:pk>", ReplayViewSet.as_view({"get": "retrieve"})),
]
