"""REST endpoints of topics and entities."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import mixins
from rest_framework.request import Request
from rest_framework.response import Response

from apps.sentiment import selectors_meaning as selectors
from apps.sentiment import serializers_meaning as shapes
from apps.sentiment import services, tables
from apps.sentiment.models import Entity, Monitor, Topic
from core.access import fetch
from core.api.problems import flatten
from core.api.views import WorkspaceViewSet
from core.streaming import streamed

TAG = ["sentiment"]
READ, WRITE = "sentiment.read", "sentiment.write"


class EntityViewSet(WorkspaceViewSet):
    """The table of entities of the workspace."""

    queryset = selectors.with_aliases(Entity.objects.order_by("id"))
    serializer_class = shapes.EntitySerializer
    read_permission = READ
    write_permission = WRITE
    action_permissions: ClassVar = {"link": READ}

    @extend_schema(
        summary="List entities",
        tags=TAG,
        parameters=[OpenApiParameter("q", str, description="Part of a name, an alias or a ticker.")],
    )
    def list(self, request: Request) -> Response:
        """The oldest first, with their aliases."""
        words = request.query_params.get("q", "").strip()[:100]
        rows = selectors.named(self.get_queryset(), words) if words else self.get_queryset()
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)

    @extend_schema(
        summary="Create an entity",
        tags=TAG,
        responses={201: shapes.EntitySerializer},
        examples=[
            OpenApiExample(
                "A company with an ambiguous short name",
                {
                    "name": "Orchard Devices",
                    "tickers": ["ORCH"],
                    "aliases": [
                        {"text": "Orchard Devices"},
                        {"text": "Orchard", "is_ambiguous": True, "required": ["phone", "shares"]},
                    ],
                },
                request_only=True,
            )
        ],
    )
    def create(self, request: Request) -> Response:
        """Articles that come from now on are linked to it."""
        made = services.create_entity(actor=self.actor, **self._values(request.data))
        return Response(self.get_serializer(made).data, status=201)

    @extend_schema(summary="Get an entity", tags=TAG)
    def retrieve(self, request: Request, pk: int) -> Response:
        """With its aliases."""
        return self.etag_response(fetch(self.actor, self.queryset, READ, pk=pk))

    @extend_schema(
        summary="Change an entity",
        tags=TAG,
        examples=[OpenApiExample("Its tickers", {"tickers": ["ORCH", "ORCH.L"]}, request_only=True)],
    )
    def partial_update(self, request: Request, pk: int) -> Response:
        """Only what is given changes; aliases are replaced as a whole."""
        entity = fetch(self.actor, self.queryset, WRITE, pk=pk)
        self.check_if_match(entity)
        services.change_entity(actor=self.actor, entity=entity, **self._values(request.data, partial=True))
        return self.etag_response(fetch(self.actor, self.queryset, WRITE, pk=pk))

    @extend_schema(summary="Delete an entity", tags=TAG, responses={204: None})
    def destroy(self, request: Request, pk: int) -> Response:
        """With its links and figures."""
        entity = fetch(self.actor, self.queryset, WRITE, pk=pk)
        self.check_if_match(entity)
        services.delete_entity(actor=self.actor, entity=entity)
        return Response(status=204)

    @extend_schema(
        operation_id="entities_bulk",
        summary="Create or change many entities",
        tags=TAG,
        request=shapes.EntityBulkSerializer,
        responses={207: shapes.EntityBulkAnswerSerializer},
        examples=[OpenApiExample("Two", {"items": [{"name": "Acme", "tickers": ["ACME"]}, {"name": "Beta"}]})],
    )
    def bulk(self, request: Request) -> Response:
        """Each by its name; one that is refused takes no other with it."""
        asked = shapes.EntityBulkSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return Response({"results": self._upserted(asked.validated_data["items"])}, status=207)

    @extend_schema(
        operation_id="entities_file",
        summary="The table as CSV",
        tags=TAG,
        responses={(200, "text/csv"): OpenApiTypes.STR},
    )
    def file(self, request: Request) -> HttpResponseBase:
        """Exact: a row for each alias, lists parted by semicolons."""
        rows = self.get_queryset().order_by("name", "id").iterator(chunk_size=500)
        lines = tables.csv_lines(rows, for_spreadsheets=False)
        return streamed(lines, filename="entities.csv", content_type="text/csv; charset=utf-8")

    @extend_schema(
        operation_id="entities_link",
        summary="Try the tables on a text",
        tags=TAG,
        request=shapes.TriedTextSerializer,
        responses=shapes.TriedSerializer,
        examples=[OpenApiExample("A sentence", {"text": "Acme (NYSE: ACME) falls"}, request_only=True)],
    )
    def link(self, request: Request) -> Response:
        """Every mention with its confidence and what speaks for it; nothing is stored."""
        asked = shapes.TriedTextSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        tried = services.try_text(self.actor.workspace, asked.validated_data["text"])
        mentions = [
            {
                "entity": each.entity,
                "name": name,
                "start": each.start,
                "end": each.end,
                "surface": tried.text[each.start : each.end],
                "confidence": round(each.confidence, 3),
                "evidence": each.evidence.value,
            }
            for name, each in tried.mentions
        ]
        topics = shapes.TopicNameSerializer(tried.topics, many=True).data
        return Response({"mentions": mentions, "topics": topics})

    @extend_schema(
        operation_id="entities_relink",
        summary="Link earlier articles anew",
        tags=TAG,
        request=shapes.RelinkSerializer,
        responses={202: shapes.RelinkAnswerSerializer},
        examples=[OpenApiExample("Of one monitor", {"monitor": 1}, request_only=True)],
    )
    def relink(self, request: Request) -> Response:
        """With topics by words and entities as the tables are now; figures follow."""
        asked = shapes.RelinkSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        pk = asked.validated_data.get("monitor")
        monitor = fetch(self.actor, Monitor, WRITE, pk=pk) if pk else None
        count = services.link_again(workspace=self.actor.workspace, monitor=monitor)
        return Response({"monitor_count": count}, status=202)

    def _upserted(self, items: Sequence[Mapping[str, Any]]) -> Sequence[dict[str, Any]]:
        """A result for each; those that are no entity by their shape are refused before the others are stored."""
        read = [self.get_serializer(data=item) for item in items]
        good = [serializer for serializer in read if serializer.is_valid()]
        values = [serializer.validated_data for serializer in good]
        done = dict(zip(map(id, good), services.upsert_entities(actor=self.actor, items=values), strict=True))
        return [
            self._result(str(item.get("name", ""))[:200], serializer, done.get(id(serializer)))
            for item, serializer in zip(items, read, strict=True)
        ]

    def _result(self, name: str, serializer: Any, done: services.Upserted | None) -> dict[str, Any]:
        if done is None:
            problems = [problem.as_dict() for problem in flatten(serializer.errors)]
            return {"name": name, "state": "refused", "entity": None, "problems": problems}
        told = [each.as_dict() for each in done.problem.problems] if done.problem else []
        return {"name": name, "state": done.state, "entity": done.entity.pk if done.entity else None, "problems": told}

    def _values(self, data: Any, *, partial: bool = False) -> dict[str, Any]:
        serializer = self.get_serializer(data=data, partial=partial)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)


class TopicViewSet(mixins.ListModelMixin, WorkspaceViewSet):
    """Topics of the workspace."""

    queryset = Topic.objects.order_by("id")
    serializer_class = shapes.TopicSerializer
    read_permission = READ
    write_permission = WRITE

    @extend_schema(summary="List topics", tags=TAG)
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The oldest first."""
        return super().list(request, *args, **kwargs)

    @extend_schema(
        summary="Create a topic",
        tags=TAG,
        responses={201: shapes.TopicSerializer},
        examples=[
            OpenApiExample(
                "By words", {"name": "Recalls", "key": "recall", "words": ["recall", "召回"]}, request_only=True
            )
        ],
    )
    def create(self, request: Request) -> Response:
        """Articles that come from now on get it."""
        made = services.create_topic(actor=self.actor, **self._values(request))
        return Response(self.get_serializer(made).data, status=201)

    @extend_schema(summary="Get a topic", tags=TAG)
    def retrieve(self, request: Request, pk: int) -> Response:
        """With an ETag."""
        return self.etag_response(fetch(self.actor, Topic, READ, pk=pk))

    @extend_schema(
        summary="Change a topic",
        tags=TAG,
        examples=[OpenApiExample("Its words", {"words": ["recall", "召回"]}, request_only=True)],
    )
    def partial_update(self, request: Request, pk: int) -> Response:
        """Only what is given changes."""
        topic = fetch(self.actor, Topic, WRITE, pk=pk)
        self.check_if_match(topic)
        values = self._values(request, partial=True)
        return self.etag_response(services.change_topic(actor=self.actor, topic=topic, **values))

    @extend_schema(summary="Delete a topic", tags=TAG, responses={204: None})
    def destroy(self, request: Request, pk: int) -> Response:
        """With its figures; topics below it stand alone."""
        topic = fetch(self.actor, Topic, WRITE, pk=pk)
        self.check_if_match(topic)
        services.delete_topic(actor=self.actor, topic=topic)
        return Response(status=204)

    def _values(self, request: Request, *, partial: bool = False) -> dict[str, Any]:
        serializer = self.get_serializer(data=request.data, partial=partial)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)
