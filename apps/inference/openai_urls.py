"""Inference's addresses below /v1."""

from django.urls import path

from apps.inference.openai.views import ChatDoor, CompletionDoor, answering

urlpatterns = [
    path("chat/completions", answering(ChatDoor)),
    path("completions", answering(CompletionDoor)),
]
