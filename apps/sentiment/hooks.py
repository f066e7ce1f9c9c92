"""The public address of signed webhooks: whoever holds a source's secret may push articles, and nothing else."""

from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.sentiment import serializers as shapes
from apps.sentiment import services
from apps.sentiment.models import Source, SourceKind
from apps.sentiment.pushing import take_push
from core import limits
from core.api.throttle import LimitReached
from core.errors import Refused
from core.limits import Limits
from words import say

MOST_BYTES = 5_000_000
A_MINUTE = Limits(120)  # messages of one address


class HookView(APIView):
    """A message of articles, signed over id, time and body."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()

    @extend_schema(
        operation_id="hooks_take",
        summary="Send articles by a signed webhook",
        tags=["sentiment"],
        auth=[],
        request=shapes.PushSerializer,
        responses={207: shapes.PushedAnswerSerializer},
        parameters=[
            OpenApiParameter("webhook-id", str, OpenApiParameter.HEADER, required=True),
            OpenApiParameter("webhook-timestamp", str, OpenApiParameter.HEADER, required=True),
            OpenApiParameter("webhook-signature", str, OpenApiParameter.HEADER, required=True),
        ],
        examples=[
            OpenApiExample(
                "One article", {"items": [{"external_id": "a-1", "title": "Shares fall"}]}, request_only=True
            )
        ],
    )
    def post(self, request: Request, token: str) -> Response:
        """As the Standard Webhooks specification has it; a message of one id is taken once, and answered the same again."""
        entry = limits.enter(f"hook-{token[:60]}", A_MINUTE)
        if entry is not None and entry.refused:
            raise LimitReached(entry)
        if int(request.META.get("CONTENT_LENGTH") or 0) > MOST_BYTES:
            raise Refused("too_large", say("A message has at most {most:,} bytes.", most=MOST_BYTES), status=413)
        body: bytes = request._request.body
        source = _source(token)
        number = request.headers.get("webhook-id", "")[:200]
        services.require_signed(
            source,
            number=number,
            at=request.headers.get("webhook-timestamp", ""),
            signatures=request.headers.get("webhook-signature", ""),
            body=body,
        )
        data: Any = request.data
        answer, is_again = services.taken_once(source, number, body, lambda: take_push(source, data))
        return Response(answer, status=207, headers={"Idempotency-Replayed": "true"} if is_again else None)


def _source(token: str) -> Source:
    rows = Source.objects.select_related("monitor__workspace").filter(kind=SourceKind.WEBHOOK, hook=token)
    found = rows.first() if token else None
    if found is None:
        raise Http404
    return found
