"""API addresses of the sentiment app."""

from typing import Any

from django.urls import path

from apps.sentiment.api import ArticleViewSet, MonitorViewSet, SourceViewSet
from apps.sentiment.api_backfills import BackfillViewSet
from apps.sentiment.api_corrections import CorrectionViewSet, LessonViewSet
from apps.sentiment.api_digests import DigestView
from apps.sentiment.api_meaning import EntityViewSet, TopicViewSet

ONE: dict[str, Any] = {"get": "retrieve", "patch": "partial_update", "delete": "destroy"}

urlpatterns = [
    path("monitors", MonitorViewSet.as_view({"get": "list", "post": "create"})),
    path("monitors/<int:pk>", MonitorViewSet.as_view(ONE)),
    path("monitors/<int:pk>/digest", DigestView.as_view()),
    path("monitors/<int:pk>/series", MonitorViewSet.as_view({"get": "series"})),
    path("monitors/<int:pk>/articles", MonitorViewSet.as_view({"get": "articles"})),
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
]
