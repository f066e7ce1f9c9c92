"""REST endpoints of "How it works": a sentence through a GPT, and what one of its heads looks at."""

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.inference import services
from apps.inference.explain_serializers import (
    AskExplanationSerializer,
    AttentionSerializer,
    ExplanationSerializer,
    HeadSerializer,
)
from apps.inference.models import OnlineKind, OnlineRequest
from apps.inference.selectors import attention_rows, explanation_of
from apps.registry.selectors import resolve_version
from core.access import fetch
from core.api.views import WorkspaceViewSet
from core.errors import conflict
from words import say


class ExplanationViewSet(WorkspaceViewSet):
    """Everything a GPT computes on the way from a sentence to its next token."""

    queryset = OnlineRequest.objects.filter(kind=OnlineKind.EXPLAIN)
    serializer_class = ExplanationSerializer
    read_permission = "inference.read"
    write_permission = "inference.write"
    spends_tokens = True

    @extend_schema(
        summary="Explain a sentence now", request=AskExplanationSerializer, responses={202: ExplanationSerializer}
    )
    def create(self, request: Request) -> Response:
        """The numbers are ready within a moment: read them by the returned id."""
        serializer = AskExplanationSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        version = resolve_version(self.actor.workspace, serializer.validated_data["model"])
        text = serializer.validated_data["text"]
        passed = services.guard_texts(self.actor, None, [text])
        made = services.ask_explanation(actor=self.actor, version=version, text=text, guarded=passed)
        return Response(self.get_serializer(made).data, status=202)

    @extend_schema(summary="An explained sentence")
    def retrieve(self, request: Request, pk: int) -> Response:
        """State and, once done, tokens, shapes, vectors, layers, next tokens and losses."""
        return Response(self.get_serializer(self._one(pk)).data)

    @extend_schema(
        operation_id="explanations_attention",
        summary="The attention of one head",
        parameters=[
            OpenApiParameter("layer", int, description="From 0; the last layer kept by default."),
            OpenApiParameter("head", int, description="From 0, which is the default."),
        ],
        responses=AttentionSerializer,
    )
    def attention(self, request: Request, pk: int) -> Response:
        """Scores before the softmax and the weights after it, one row for each position."""
        told = explanation_of(self._one(pk))
        if told is None:
            raise conflict("not_done", say("The sentence is not explained yet."), hint=say("Ask again in a moment."))
        asked = HeadSerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        layer, head = asked.validated_data.get("layer", told["scores"]["layers"][-1]), asked.validated_data["head"]
        rows = attention_rows(told, layer, head)
        answer = {"layer": layer, "head": head, "tokens": told["tokens"], "rows": rows}
        return Response(AttentionSerializer(answer).data)

    def _one(self, pk: int) -> OnlineRequest:
        return fetch(self.actor, self.queryset.all(), self.read_permission, pk=pk)
