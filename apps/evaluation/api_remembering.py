"""REST endpoints of what versions still know of the tasks of their lineage."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.evaluation import services
from apps.evaluation.remembering import remembering
from apps.evaluation.serializers_remembering import RememberingSerializer
from apps.registry.models import ModelVersion
from core.access import fetch
from core.api.views import WorkspaceViewSet
from core.errors import Refused
from words import say

TAG = ["evaluations"]


class VersionTasks(WorkspaceViewSet):
    """The accuracy matrix of a version's lineage."""

    read_permission = "evaluation.read"
    write_permission = "evaluation.write"
    queryset = ModelVersion.objects.select_related("family", "dataset_version__dataset").defer(
        "samples", "metrics", "files"
    )
    serializer_class = RememberingSerializer

    @extend_schema(summary="Get the accuracy matrix of a version's lineage", tags=TAG, responses=RememberingSerializer)
    def retrieve(self, request: Request, pk: int) -> Response:
        """With ACC, AIA, BWT, FWT and forgetting, each with its interval or the reason why it has no value."""
        return self._shown(fetch(self.actor, self.queryset, "evaluation.read", pk=pk))

    @extend_schema(
        summary="Measure what the accuracy matrix lacks", tags=TAG, request=None, responses={202: RememberingSerializer}
    )
    def measure(self, request: Request, pk: int) -> Response:
        """Start the missing evaluations; 202 with the matrix as it is now."""
        version = fetch(self.actor, self.queryset, "evaluation.write", pk=pk)
        services.measure_tasks(actor=self.actor, version=version)
        return self._shown(version, status=202)

    def _shown(self, version: ModelVersion, *, status: int = 200) -> Response:
        found = remembering(version)
        if found is None:
            raise Refused(
                "no_lineage", say("{version} learnt no task that can be measured here.", version=version), status=404
            )
        return Response(RememberingSerializer(found).data, status=status)
