"""Filters of requests, shared by page, API and what is sampled from them."""

from typing import Any, cast

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.forms import DateInput
from django.utils.translation import gettext_lazy as _
from django_filters import CharFilter, ChoiceFilter, DateFilter, FilterSet, ModelChoiceFilter

from apps.accounts.models import ApiKey
from apps.inference.models import (
    Arm,
    Deployment,
    Feedback,
    Generation,
    GenerationState,
    OnlineRequest,
    OnlineState,
    Thumb,
)
from apps.inference.selectors import deployment_choices
from apps.inference.templatetags.inference import ENDS
from apps.registry.models import ModelVersion, Task
from apps.registry.selectors import version_choices
from core.access import Actor

CORRECTED = ~Q(corrected_answer="") | Q(corrected_labels__isnull=False)


def _workspace(request: Any) -> Any:
    """The caller's workspace; a page carries its actor, a request of the API as its auth. None for nobody's."""
    actor = getattr(request, "actor", None) or getattr(request, "auth", None)
    return actor.workspace if isinstance(actor, Actor) else None


def _choice(*, writes: bool) -> Any:
    """The versions that write, or those that read, for whoever asks."""

    def found(request: Any) -> QuerySet[ModelVersion]:
        rows = version_choices(_workspace(request))
        return rows.filter(task=Task.GENERATION) if writes else rows.exclude(task=Task.GENERATION)

    return found


def _deployments(request: Any) -> QuerySet[Deployment]:
    return deployment_choices(_workspace(request))


def _keys(request: Any) -> QuerySet[ApiKey]:
    return ApiKey.objects.filter(workspace=_workspace(request)).only("name").order_by("name", "id")


def _day() -> DateInput:
    return DateInput(attrs={"type": "date"}, format="%Y-%m-%d")


class RequestFilter(FilterSet):
    """By deployment and its side, API key, day, thumb and correction; `target` is the foreign key of Feedback."""

    target = ""
    deployment = ModelChoiceFilter(
        queryset=cast(Any, _deployments), label=_("Deployment"), empty_label=_("Any or none")
    )
    arm = ChoiceFilter(
        choices=[(arm.value, arm.label) for arm in (Arm.STABLE, Arm.CANDIDATE)],
        method="with_arm",
        label=_("Side"),
        empty_label=_("Any side"),
    )
    api_key = ModelChoiceFilter(queryset=cast(Any, _keys), label=_("API key"), empty_label=_("Any or none"))
    since = DateFilter(field_name="created_at", lookup_expr="date__gte", label=_("From day"), widget=_day())
    until = DateFilter(field_name="created_at", lookup_expr="date__lte", label=_("To day"), widget=_day())
    thumb = ChoiceFilter(choices=Thumb.choices, method="with_thumb", label=_("Thumb"), empty_label=_("Any or none"))
    corrected = ChoiceFilter(
        choices=[("true", _("Corrected")), ("false", _("Not corrected"))],
        method="with_correction",
        label=_("Correction"),
        empty_label=_("Any or none"),
    )

    def with_arm(self, rows: QuerySet[Any], _name: str, value: str) -> QuerySet[Any]:
        """Rows that this side of a deployment answered; what came through none has no side."""
        return rows.filter(deployment__isnull=False, arm=value)

    def with_thumb(self, rows: QuerySet[Any], _name: str, value: str) -> QuerySet[Any]:
        """Rows with an answer that somebody gave this thumb."""
        return rows.filter(Exists(self._feedback().filter(thumb=value)))

    def with_correction(self, rows: QuerySet[Any], _name: str, value: str) -> QuerySet[Any]:
        """Rows with an answer that somebody corrected, or those without one."""
        found = Exists(self._feedback().filter(CORRECTED))
        return rows.filter(found if value == "true" else ~found)

    def _feedback(self) -> QuerySet[Feedback]:
        return Feedback.objects.filter(**{self.target: OuterRef("pk")})


class GenerationFilter(RequestFilter):
    """By version, state, end and end user as well."""

    target = "generation"
    model_version = ModelChoiceFilter(
        queryset=_choice(writes=True), label=_("Model version"), empty_label=_("Any version")
    )
    state = ChoiceFilter(choices=GenerationState.choices, label=_("State"), empty_label=_("Any state"))
    finish = ChoiceFilter(
        choices=list(ENDS.items()), method="with_finish", label=_("End of the answer"), empty_label=_("Any end")
    )
    end_user = CharFilter(label=_("End user"))

    class Meta:
        model = Generation
        fields = (
            "model_version", "deployment", "arm", "api_key", "state", "finish", "since", "until", "thumb", "corrected",
            "end_user",
        )  # fmt: skip

    def with_finish(self, rows: QuerySet[Any], _name: str, value: str) -> QuerySet[Any]:
        """Rows with an answer that ended like this."""
        return rows.filter(answers__contains=[{"finish": value}])


class OnlineFilter(RequestFilter):
    """By version and state as well."""

    target = "online_request"
    model_version = ModelChoiceFilter(
        queryset=_choice(writes=False), label=_("Model version"), empty_label=_("Any version")
    )
    state = ChoiceFilter(choices=OnlineState.choices, label=_("State"), empty_label=_("Any state"))

    class Meta:
        model = OnlineRequest
        fields = ("model_version", "deployment", "arm", "api_key", "state", "since", "until", "thumb", "corrected")
