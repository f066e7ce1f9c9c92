"""REST endpoints of lineage: the graph around a model version or a dataset version."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.dashboard.lineage import KIND_CODES, Graph, lineage_of_data, lineage_of_model, used_by
from apps.dashboard.selectors import dataset_versions, model_versions
from apps.datasets.models import DatasetVersion
from apps.registry.models import ModelVersion
from core.access import fetch
from core.api.views import WorkspaceViewSet


class NodeSerializer(serializers.Serializer[Any]):
    """One thing of the graph."""

    id = serializers.CharField(help_text="Kind and id, e.g. model_version:12.")
    kind = serializers.ChoiceField(choices=KIND_CODES)
    title = serializers.CharField()
    detail = serializers.CharField(help_text="The first digits of its hash, or its number.")
    side = serializers.ChoiceField(choices=["upstream", "focus", "downstream"])
    layer = serializers.IntegerField(help_text="Every edge leads to a later layer.")


class EdgeSerializer(serializers.Serializer[Any]):
    """`target` was made from `source`."""

    source = serializers.CharField()  # type: ignore[assignment]
    target = serializers.CharField()


class LineageSerializer(serializers.Serializer[Any]):
    """Everything around one version."""

    focus = serializers.CharField()
    nodes = NodeSerializer(many=True)
    edges = EdgeSerializer(many=True)
    left_out = serializers.DictField(
        child=serializers.IntegerField(), help_text="Kind -> how many more there are than are shown."
    )
    used_by = serializers.ListField(child=serializers.CharField(), help_text="What forbids deleting the version.")


class ModelLineage(WorkspaceViewSet):
    """Around a model version."""

    read_permission = write_permission = "registry.read"
    queryset = ModelVersion.objects.all()
    serializer_class = LineageSerializer

    @extend_schema(summary="Get the lineage of a model version", tags=["models"])
    def retrieve(self, request: Request, pk: int) -> Response:
        """What it was made from (data, imports, training, base model, parents), and what was made from it."""
        version = fetch(self.actor, model_versions(), "registry.read", pk=pk)
        return Response(answer(lineage_of_model(self.actor, version), used_by(self.actor, version)))


class DataLineage(WorkspaceViewSet):
    """Around a dataset version."""

    read_permission = write_permission = "datasets.read"
    queryset = DatasetVersion.objects.all()
    within = "dataset__workspace"
    serializer_class = LineageSerializer

    @extend_schema(summary="Get the lineage of a dataset version", tags=["datasets"])
    def retrieve(self, request: Request, pk: int) -> Response:
        """The imports before it, and trainings, versions, evaluations and predictions behind it."""
        version = fetch(self.actor, dataset_versions(), "datasets.read", within=self.within, pk=pk)
        return Response(answer(lineage_of_data(self.actor, version), used_by(self.actor, version)))


def answer(graph: Graph, users: list[str]) -> dict[str, Any]:
    """The graph in plain values; ids are kind and number."""

    def name(key: tuple[str, int]) -> str:
        return f"{key[0]}:{key[1]}"

    nodes = [
        {
            "id": name(node.key),
            "kind": node.kind,
            "title": node.title,
            "detail": node.detail,
            "side": node.side,
            "layer": at,
        }
        for at, layer in enumerate(graph.layers())
        for node in layer
    ]
    edges = [{"source": name(one), "target": name(two)} for one, two in graph.edges]
    data = {"focus": name(graph.focus), "nodes": nodes, "edges": edges, "left_out": graph.left_out, "used_by": users}
    return dict(LineageSerializer(data).data)
