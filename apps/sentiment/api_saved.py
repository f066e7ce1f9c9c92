"""REST endpoints of saved views."""

from dataclasses import replace
from typing import Any, TypeVar

from django.http import HttpResponseBase, QueryDict
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.sentiment import services
from apps.sentiment.forms_saved import FIELDS, Gone, Kept, kept_of, opened, query_of
from apps.sentiment.models import Monitor, SavedView, ViewKind
from apps.sentiment.selectors_saved import is_opening, views_of
from core.access import Actor, fetch
from core.api.views import WorkspaceViewSet
from core.errors import Refused
from words import say

A = TypeVar("A", bound=HttpResponseBase)
TAG = ["sentiment"]
READ = "sentiment.read"
GONE_HEADER = "X-Lingxi-Gone"
VIEW = OpenApiParameter(
    "view",
    int,
    description="Filters of a saved view, without others beside them; X-Lingxi-Gone names what is gone of it.",
)
VALUES = {
    "type": "object",
    "additionalProperties": {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
}


@extend_schema_field(VALUES)
class FiltersField(serializers.Field[Any, Any, Any, Any]):
    """Filters by the names that addresses have: texts, numbers and yes or no, or lists of them."""

    default_error_messages = {"bad_filters": _("Give an object of filters, each a text or a list of texts.")}

    def to_internal_value(self, data: Any) -> QueryDict:
        """As an address has them."""
        if not isinstance(data, dict):
            self.fail("bad_filters")
        return query_of({str(name): self._values(value) for name, value in data.items()})

    def to_representation(self, value: Any) -> Any:
        """As they are kept."""
        return value

    def _values(self, value: Any) -> list[str]:
        each = value if isinstance(value, list) else [value]
        if not all(isinstance(one, str | int) for one in each):
            self.fail("bad_filters")
        return [("on" if one else "") if isinstance(one, bool) else str(one) for one in each]


class GoneSerializer(serializers.Serializer[Any]):
    """A value that means nothing any more."""

    filter = serializers.CharField(source="field")
    value = serializers.CharField()
    name = serializers.CharField(help_text="What it was called when the view was saved.")


class SavedViewSerializer(serializers.ModelSerializer[SavedView]):
    """Filters of a monitor's page under a name."""

    monitor = serializers.IntegerField(source="monitor_id", read_only=True)
    owner = serializers.CharField(source="owner.user.email", read_only=True)
    kind = serializers.ChoiceField(ViewKind.choices, help_text="Whose filters it keeps; it stays as it is.")
    name = serializers.CharField(max_length=100)
    filters = FiltersField(help_text="As the endpoint of the kind takes them: /articles or /trend of the monitor.")
    is_opening = serializers.BooleanField(
        read_only=True, default=False, help_text="Whether the caller's page of this kind opens with it."
    )

    class Meta:
        model = SavedView
        fields = (
            "id", "monitor", "kind", "name", "owner", "is_shared", "is_opening", "filters", "created_at", "updated_at"
        )  # fmt: skip
        read_only_fields = ("id", "created_at", "updated_at")


class OneSavedViewSerializer(SavedViewSerializer):
    """The same with what is gone of it, and what is left as the query of an address."""

    gone = serializers.SerializerMethodField()
    query = serializers.SerializerMethodField(help_text="What is left of the filters, to be passed on as it is.")

    class Meta(SavedViewSerializer.Meta):
        fields = (*SavedViewSerializer.Meta.fields, "gone", "query")  # type: ignore[assignment]

    @extend_schema_field(GoneSerializer(many=True))
    def get_gone(self, view: SavedView) -> Any:
        """Rows that were deleted, and what the software knows no more."""
        return GoneSerializer(opened(view).gone, many=True).data

    def get_query(self, view: SavedView) -> str:
        """URL-encoded."""
        return opened(view).data.urlencode()


class SavedViewViewSet(WorkspaceViewSet):
    """Saved views of a monitor: the caller's own and those that are shared."""

    within = "monitor__workspace"
    queryset = SavedView.objects.all()
    serializer_class = OneSavedViewSerializer
    read_permission = write_permission = READ  # they are their owner's; `services` asks more for those of others

    @extend_schema(
        operation_id="monitors_views_list",
        summary="List saved views of a monitor",
        tags=TAG,
        parameters=[OpenApiParameter("kind", str, enum=ViewKind.values)],
        responses=SavedViewSerializer(many=True),
    )
    def list(self, request: Request, monitor: int) -> Response:
        """Newest first: own ones and those that are shared."""
        rows = views_of(self.actor, self._monitor(monitor))
        if kind := request.query_params.get("kind"):
            rows = rows.filter(kind=kind) if kind in ViewKind.values else rows.none()
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(SavedViewSerializer(page, many=True).data)

    @extend_schema(
        operation_id="monitors_views_create",
        summary="Save a view",
        tags=TAG,
        request=SavedViewSerializer,
        responses={201: OneSavedViewSerializer},
        examples=[
            OpenApiExample(
                "Negative articles in Chinese",
                {"kind": "articles", "name": "Negative", "filters": {"sentiment": "negative", "language": "zh"}},
                request_only=True,
            )
        ],
    )
    def create(self, request: Request, monitor: int) -> Response:
        """Private unless `is_shared`; its filters are checked as the endpoint of its kind checks them."""
        found = self._monitor(monitor)
        values = self._values(request)
        kept = _kept(found, values["kind"], values.pop("filters"))
        made = services.save_view(actor=self.actor, monitor=found, filters=kept.values, names=kept.names, **values)
        return Response(self.get_serializer(made).data, status=201)

    @extend_schema(operation_id="monitors_views_retrieve", summary="Get a saved view", tags=TAG)
    def retrieve(self, request: Request, monitor: int, pk: int) -> Response:
        """With what of its filters is gone, and an ETag."""
        return self.etag_response(view_of(self.actor, self._monitor(monitor), pk))

    @extend_schema(
        operation_id="monitors_views_partial_update",
        summary="Change a saved view",
        tags=TAG,
        request=SavedViewSerializer,
        examples=[OpenApiExample("Shared", {"is_shared": True}, request_only=True)],
    )
    def partial_update(self, request: Request, monitor: int, pk: int) -> Response:
        """Only what is given changes. Somebody else's takes `sentiment.write`."""
        view = view_of(self.actor, self._monitor(monitor), pk)
        self.check_if_match(view)
        values = self._values(request, partial=True)
        if values.pop("kind", view.kind) != view.kind:
            raise Refused("kind_stays", say("A view keeps its kind."), field="kind")
        if "filters" in values:
            kept = _kept(view.monitor, view.kind, values.pop("filters"))
            values |= {"filters": kept.values, "names": kept.names}
        changed = services.change_view(actor=self.actor, view=view, **values)
        changed.is_opening = is_opening(self.actor, changed)  # type: ignore[attr-defined]
        return self.etag_response(changed)

    @extend_schema(
        operation_id="monitors_views_destroy", summary="Delete a saved view", tags=TAG, responses={204: None}
    )
    def destroy(self, request: Request, monitor: int, pk: int) -> Response:
        """Nothing but the view."""
        view = view_of(self.actor, self._monitor(monitor), pk)
        self.check_if_match(view)
        services.delete_view(actor=self.actor, view=view)
        return Response(status=204)

    @extend_schema(
        operation_id="monitors_views_open_with",
        summary="Let a page open with a saved view",
        tags=TAG,
        request=None,
        responses=OneSavedViewSerializer,
    )
    def open_with(self, request: Request, monitor: int, pk: int) -> Response:
        """The page of its kind, for the caller alone, in place of another view."""
        return self._opening(monitor, pk, is_wanted=True)

    @extend_schema(
        operation_id="monitors_views_open_without",
        summary="Let a page open without a saved view",
        tags=TAG,
        request=None,
        responses=OneSavedViewSerializer,
    )
    def open_without(self, request: Request, monitor: int, pk: int) -> Response:
        """Where it opened with this one; another stays."""
        return self._opening(monitor, pk, is_wanted=False)

    def _opening(self, monitor: int, pk: int, *, is_wanted: bool) -> Response:
        view = view_of(self.actor, self._monitor(monitor), pk)
        services.open_with(actor=self.actor, view=view, is_wanted=is_wanted)
        view.is_opening = is_wanted  # type: ignore[attr-defined]
        return Response(self.get_serializer(view).data)

    def _monitor(self, pk: int) -> Monitor:
        return fetch(self.actor, Monitor, READ, pk=pk)

    def _values(self, request: Request, *, partial: bool = False) -> dict[str, Any]:
        serializer = SavedViewSerializer(data=request.data, partial=partial)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)


def view_of(actor: Actor, monitor: Monitor, pk: int | str) -> SavedView:
    """A view of a monitor that the actor may see, else 404."""
    found: SavedView = fetch(actor, views_of(actor, monitor), READ, within="monitor__workspace", pk=pk)
    return found


def filters_of(actor: Actor, monitor: Monitor, kind: str, params: QueryDict) -> tuple[QueryDict, list[Gone]]:
    """What a listing is asked by: its own parameters, or those of the view that it names, with what is gone of it.

    Raises:
        Refused: a view and filters beside it, or a view of another kind.
    """
    named = params.get("view", "")
    if not named:
        return params, []
    if any(name in params for name in FIELDS[kind]):
        said = say("Name a view or filters, not both; `query` of the view holds its filters.")
        raise Refused("view_and_filters", said, field="view")
    view = view_of(actor, monitor, named)
    if view.kind != kind:
        raise Refused("other_kind", say("This view is of another page."), field="view")
    found = opened(view)
    return found.data, found.gone


def told_what_is_gone(answer: A, gone: list[Gone]) -> A:
    """The answer with a header that names the filters that were left out."""
    if gone:
        answer[GONE_HEADER] = ",".join(dict.fromkeys(each.field for each in gone))
    return answer


def _kept(monitor: Monitor, kind: str, filters: QueryDict) -> Kept:
    """The filters checked; what is wrong is named as a part of `filters`."""
    try:
        return kept_of(monitor, kind, filters)
    except Refused as refused:
        problems = [replace(each, field=f"filters.{each.field}".rstrip(".")) for each in refused.problems]
        raise Refused(refused.code, refused.message, problems=problems) from refused
