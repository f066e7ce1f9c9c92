"""Doors: the part of a view below /v1 that checks and commits, after which the answer is waited for without a thread."""

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from core.openai.views import OpenAIMixin
from core.streaming import releasing


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
