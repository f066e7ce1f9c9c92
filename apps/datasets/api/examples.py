"""REST endpoints of examples."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.datasets import services
from apps.datasets.api.shared import DatasetPart, row_of, values_of
from apps.datasets.filters import ExampleFilter
from apps.datasets.models import Example
from apps.datasets.selectors import all_examples, history
from apps.datasets.serializers import (
    AddedListSerializer,
    AddExamplesSerializer,
    BulkSerializer,
    ChangedSerializer,
    ExampleChangeSerializer,
    ExampleSerializer,
    RestoreSerializer,
    RevisionSerializer,
)
from core.errors import Refused
from words import say


class ExampleViewSet(DatasetPart):
    """Examples of a dataset."""

    queryset = Example.objects.defer("search", "text")
    serializer_class = ExampleSerializer
    filterset_class = ExampleFilter

    @extend_schema(operation_id="examples_list", summary="List examples")
    def list(self, request: Request, pk: int) -> Response:
        """Newest first; search, label and split filters."""
        rows = self.filter_queryset(all_examples(self.dataset(pk)).defer("search", "text"))
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)

    @extend_schema(summary="Add examples", request=AddExamplesSerializer, responses={200: AddedListSerializer})
    def create(self, request: Request, pk: int) -> Response:
        """Up to 1,000 records at once; good ones go in, each is told what became of it."""
        dataset = self.dataset(pk)
        items = request.data.get("items") if isinstance(request.data, dict) else None
        if isinstance(items, list) and len(items) > 1_000:
            raise Refused("too_many_items", say("Send at most 1,000 examples at once."), field="items", status=413)
        results = services.add(
            actor=self.actor, dataset=dataset, items=values_of(AddExamplesSerializer, request)["items"]
        )
        return Response(AddedListSerializer({"results": results}).data)

    @extend_schema(summary="One example")
    def retrieve(self, request: Request, pk: int, example: int) -> Response:
        """The record with meta, labels, split and revision."""
        return self.etag_response(self._one(pk, example))

    @extend_schema(summary="Change an example", request=ExampleChangeSerializer)
    def partial_update(self, request: Request, pk: int, example: int) -> Response:
        """Its record, its split or both; what it was goes into the history."""
        found = self._one(pk, example)
        self.check_if_match(found)
        values = values_of(ExampleChangeSerializer, request)
        return self.etag_response(services.edit(actor=self.actor, example=found, source="api", **values))

    @extend_schema(summary="Delete an example", responses={204: None})
    def destroy(self, request: Request, pk: int, example: int) -> Response:
        """It can be restored."""
        services.remove(actor=self.actor, example=self._one(pk, example))
        return Response(status=204)

    @extend_schema(summary="Restore an example", request=RestoreSerializer, responses={200: ExampleSerializer})
    def restore(self, request: Request, pk: int, example: int) -> Response:
        """Bring it back, or make it what it was at an entry of its history."""
        found, values = self._one(pk, example), values_of(RestoreSerializer, request)
        revision = row_of(found.revisions.all(), pk=values["history"]) if "history" in values else None
        return self.etag_response(services.restore(actor=self.actor, example=found, revision=revision))

    @extend_schema(summary="History of an example", responses=RevisionSerializer(many=True))
    def history(self, request: Request, pk: int, example: int) -> Response:
        """What it was before, newest first; at most 200 entries."""
        rows = history(self._one(pk, example))[:200]
        return Response(RevisionSerializer(rows, many=True).data)

    @extend_schema(summary="Change many examples", request=BulkSerializer, responses={200: ChangedSerializer})
    def bulk(self, request: Request, pk: int) -> Response:
        """Relabel, split or delete by ids or by a filter."""
        dataset, values = self.dataset(pk), values_of(BulkSerializer, request)
        ids, wanted = values.pop("ids", None), values.pop("filter", {})
        if ids is not None:
            wanted = {"ids": ",".join(map(str, ids))}
        filters = ExampleFilter(wanted, queryset=all_examples(dataset))
        if unknown := set(wanted) - set(filters.filters):
            raise Refused(
                "unknown_filter", say("Unknown filters: {unknown}", unknown=", ".join(sorted(unknown))), field="filter"
            )
        if not filters.is_valid():
            raise Refused(
                "bad_filter", "; ".join(e for errors in filters.errors.values() for e in errors), field="filter"
            )
        changed = services.bulk_change(actor=self.actor, dataset=dataset, rows=filters.qs, **values)
        return Response({"changed": changed})

    def _one(self, pk: int, example: int) -> Example:
        found: Example = row_of(all_examples(self.dataset(pk)).select_related("dataset"), pk=example)
        return found
