"""Inference's addresses below /v1."""

from django.urls import path

from apps.inference.openai.batches import Batches
from apps.inference.openai.doors import waiting
from apps.inference.openai.encoders import ClassifyDoor, EmbeddingDoor, RerankDoor, ScoreDoor
from apps.inference.openai.moderations import ModerationDoor
from apps.inference.openai.views import ChatDoor, CompletionDoor

urlpatterns = [
    path("chat/completions", waiting(ChatDoor)),
    path("completions", waiting(CompletionDoor)),
    path("moderations", waiting(ModerationDoor)),
    path("embeddings", waiting(EmbeddingDoor)),
    path("classify", waiting(ClassifyDoor)),
    path("rerank", waiting(RerankDoor)),
    path("score", waiting(ScoreDoor)),
    path("batches", Batches.as_view({"get": "list", "post": "create"})),
    path("batches/<str:batch>", Batches.as_view({"get": "retrieve"})),
    path("batches/<str:batch>/cancel", Batches.as_view({"post": "cancel"})),
]
