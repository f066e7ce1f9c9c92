"""Doors: the part of a view below /v1 that checks and commits, after which the answer is waited for without a thread."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from apps.inference.services import Route, StickyKey, route
from apps.registry.models import VersionState
from core.errors import Refused
from core.openai.errors import unknown_model
from core.openai.views import OpenAIMixin
from core.streaming import releasing

CONVERSATION_HEADER = "X-Lingxi-Conversation"


class Committed(HttpResponse):
    """What a door answers when a row is committed: how its answer is waited for."""

    streaming = True  # nothing to keep for an Idempotency-Key

    def __init__(self, answer: Callable[[], Awaitable[HttpResponseBase]]) -> None:
        super().__init__()
        self.answer = answer


class Door(OpenAIMixin):
    """Checks a request and commits it."""

    read_permission = "inference.read"
    write_permission = "inference.write"
    spends_tokens = True

    def route_of(self, asked: Mapping[str, Any]) -> Route:
        """Who answers; 404 as OpenAI says it for a name that means nothing, or a version whose files are damaged."""
        metadata = asked.get("metadata") or {}
        conversation = self.request.headers.get(CONVERSATION_HEADER) or metadata.get("conversation_id", "")
        try:
            found = route(self.actor, asked["model"], StickyKey(asked.get("user", ""), conversation))
        except Refused as error:
            raise unknown_model(asked["model"]) from error
        if found.version.state == VersionState.DAMAGED:
            raise unknown_model(asked["model"])
        return found


def waiting(door: type[Door]) -> Callable[..., Any]:
    """The view of a door: what it refuses, or the answer once there is one, with the headers the door has set."""
    enter = releasing(door.as_view())

    @csrf_exempt
    async def view(request: HttpRequest) -> HttpResponseBase:
        found = await sync_to_async(enter)(request)
        if not isinstance(found, Committed):
            return found
        response = await found.answer()
        for name, value in found.headers.items():
            if name.lower() not in ("content-type", "content-length"):
                response[name] = value
        return response

    return view
