"""REST endpoints of sweeps."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import mixins, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.training import services
from apps.training.api import version_of
from apps.training.models import Sweep
from apps.training.selectors import sweeps
from apps.training.trials import Trial, best_of, trials_of
from core.access import fetch
from core.api.views import WorkspaceViewSet
from engine import specs
from engine.specs.search import STRATEGIES


class SweepSerializer(serializers.ModelSerializer[Sweep]):
    """A sweep with the state of its core job."""

    state = serializers.CharField(source="job.state", read_only=True)
    job = serializers.IntegerField(source="job_id", read_only=True)
    ended_count = serializers.IntegerField(source="job.done_count", read_only=True)
    error_code = serializers.CharField(source="job.error_code", read_only=True)
    error_message = serializers.CharField(source="job.error_message", read_only=True)
    best = serializers.JSONField(source="job.result", read_only=True, help_text="{} until the sweep has ended well.")

    class Meta:
        model = Sweep
        fields = (
            "id", "name", "recipe", "spec", "space", "strategy", "budget", "objective", "pruning", "parallel", "seed",
            "dataset_version", "family_name", "job", "state", "ended_count", "error_code", "error_message", "best",
            "created_at",
        )  # fmt: skip
        read_only_fields = fields


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Learning rate and epochs",
            {
                "recipe": "classify",
                "dataset_version": 1,
                "spec": {"seed": 17},
                "space": {"learning_rate": {"low": 1e-5, "high": 1e-3, "log": True}, "epochs": [3, 5]},
                "strategy": "tpe",
                "budget": 12,
                "objective": "accuracy",
            },
            request_only=True,
        )
    ]
)
class StartSweepSerializer(serializers.Serializer[Any]):
    """What starts a sweep."""

    recipe = serializers.ChoiceField(choices=list(specs.RECIPES))
    dataset_version = serializers.IntegerField(min_value=1)
    spec = serializers.DictField(required=False, default=dict, help_text="What all runs share.")
    space = serializers.DictField(help_text='Option: list of values, or {"low", "high", "log", "step"}.')
    strategy = serializers.ChoiceField(choices=list(STRATEGIES), required=False, default="tpe")
    budget = serializers.IntegerField(required=False, default=20, min_value=1, max_value=500)
    objective = serializers.CharField(
        required=False, default="", allow_blank=True, help_text="A dev metric; empty takes the recipe's first."
    )
    pruning = serializers.BooleanField(required=False, default=True, help_text="Stop runs that fall behind (ASHA).")
    parallel = serializers.IntegerField(required=False, default=1, min_value=1, max_value=16)
    seed = serializers.IntegerField(required=False, default=17, min_value=0, max_value=2**31 - 1)
    name = serializers.CharField(required=False, default="", allow_blank=True, max_length=120)
    family_name = serializers.CharField(required=False, default="", allow_blank=True, max_length=120)


class TrialSerializer(serializers.Serializer[Any]):
    """One run of a sweep."""

    number = serializers.IntegerField()
    training_job = serializers.IntegerField(source="run.pk")
    model_version = serializers.IntegerField(source="run.model_version_id", allow_null=True)
    options = serializers.DictField()
    state = serializers.CharField(help_text="The job's state, or pruned.")
    pruned_at_epoch = serializers.IntegerField(source="run.pruned_at_epoch", allow_null=True)
    value = serializers.FloatField(allow_null=True, help_text="The best value of the objective so far.")
    values = serializers.ListField(child=serializers.FloatField(), help_text="After each epoch.")
    is_best = serializers.SerializerMethodField()

    def get_is_best(self, trial: Trial) -> bool:
        """Whether it is the best that ran to its end."""
        return trial is self.context.get("best")


class SweepViewSet(mixins.ListModelMixin, WorkspaceViewSet):
    """Sweeps of the workspace."""

    queryset = Sweep.objects.select_related("job")
    serializer_class = SweepSerializer
    read_permission = "training.read"
    write_permission = "training.write"

    @extend_schema(summary="List sweeps")
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Newest first."""
        return super().list(request, *args, **kwargs)

    @extend_schema(summary="Start a sweep", request=StartSweepSerializer, responses={201: SweepSerializer})
    def create(self, request: Request) -> Response:
        """Validated in full before it is queued; all problems come at once."""
        asked = StartSweepSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        values = dict(asked.validated_data)
        version = version_of(self, values.pop("dataset_version"))
        sweep = services.start_sweep(actor=self.actor, version=version, **values)
        return Response(self.get_serializer(sweep).data, status=201)

    @extend_schema(summary="One sweep")
    def retrieve(self, request: Request, pk: int) -> Response:
        """State, progress and, at the end, the best run."""
        return self.etag_response(self._one(pk))

    @extend_schema(summary="Runs of a sweep", responses=TrialSerializer(many=True))
    def trials(self, request: Request, pk: int) -> Response:
        """Every run with its options and what came of it, in order; no pages, a sweep has at most 500."""
        found = trials_of(self._one(pk))
        return Response(TrialSerializer(found, many=True, context={"best": best_of(found)}).data)

    @extend_schema(summary="Cancel a sweep", request=None, responses=SweepSerializer)
    def cancel(self, request: Request, pk: int) -> Response:
        """Cancel it with every run that has not ended."""
        sweep = services.cancel_sweep(actor=self.actor, sweep=self._one(pk))
        return Response(self.get_serializer(self._fresh(sweep)).data)

    def _one(self, pk: int) -> Sweep:
        permission = self.read_permission if self.request.method in {"GET", "HEAD"} else self.write_permission
        return fetch(self.actor, sweeps(self.actor.workspace), permission, pk=pk)

    def _fresh(self, sweep: Sweep) -> Sweep:
        return Sweep.objects.select_related("job").get(pk=sweep.pk)
