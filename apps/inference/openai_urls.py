"""Inference's addresses below /v1."""

from django.urls import path

from apps.inference.openai.encoders import ClassifyDoor, EmbeddingDoor, RerankDoor, ScoreDoor, answered
from apps.inference.openai.views import ChatDoor, CompletionDoor, answering

urlpatterns = [
    path("chat/completions", answering(ChatDoor)),
    path("completions", answering(CompletionDoor)),
    path("embeddings", answered(EmbeddingDoor)),
    path("classify", answered(ClassifyDoor)),
    path("rerank", answered(RerankDoor)),
    path("score", answered(ScoreDoor)),
]
