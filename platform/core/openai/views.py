"""The base of views below /v1: a key and nothing else opens them, errors come in OpenAI's shape."""

from typing import Any, ClassVar

from django.conf import settings
from django.utils.module_loading import import_string
from rest_framework import viewsets
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response

from core.api.idempotency import IdempotencyKey
from core.api.views import Replay, WorkspaceMixin
from core.openai import repeats
from core.openai.errors import openai_response


class OpenAIMixin(WorkspaceMixin):
    """A view below /v1; like those of our own API it names its `read_permission` and `write_permission`.

    The description at /api/v1/schema leaves /v1 out: its clients exist, and docs/openai-compatibility.md lists it.
    """

    schema = None
    once: ClassVar[tuple[str, ...]] = ()  # actions that make something: an equal POST sent again is answered alone
    _repeated: IdempotencyKey | None = None

    def get_authenticators(self) -> list[BaseAuthentication]:
        """The API key alone: a page's session would need a form's token as well."""
        return [import_string(settings.KEY_AUTHENTICATION)()]

    def get_exception_handler(self) -> Any:
        """Errors in OpenAI's shape."""
        return openai_response

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[Any, str]:
        """JSON, or what a view sends itself, whatever Accept says: clients ask for application/binary or event streams."""
        renderer = self.get_renderers()[0]
        return renderer, renderer.media_type

    def is_gone(self, body: Any) -> bool:
        """Whether what an earlier answer shows does not exist any more."""
        return False

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """As in our own API, then look for an equal create that was answered before."""
        super().initial(request, *args, **kwargs)
        if getattr(self, "action", None) in self.once and self._idempotent is None:
            self._repeated, earlier = repeats.begin(request, self.actor, self.is_gone)
            if earlier is not None:
                raise Replay(earlier)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep the answer for a repetition."""
        if self._repeated is not None:
            repeats.finish(self._repeated, response)
            self._repeated = None
        return super().finalize_response(request, response, *args, **kwargs)


class OpenAIViewSet(OpenAIMixin, viewsets.ViewSet):
    """A set of views below /v1."""


def deleted(kind: str, public: str) -> Response:
    """The answer of a DELETE."""
    return Response({"id": public, "object": kind, "deleted": True})
