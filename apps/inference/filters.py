"""Filters of batches and of their rows, shared by page and API."""

from django.forms import HiddenInput
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _
from django_filters import CharFilter, ChoiceFilter, FilterSet, NumberFilter

from apps.inference.models import ApiBatch, BatchJob, BatchState, Finish, Prediction
from apps.registry.models import Task
from core.jobs.states import State


class BatchFilter(FilterSet):
    """By state and model version."""

    state = ChoiceFilter(field_name="job__state", choices=State.choices, label=_("State"), empty_label=_("Any state"))
    model_version = NumberFilter(field_name="model_version_id", label=_("Model version id"), widget=HiddenInput)

    class Meta:
        model = BatchJob
        fields = ("state", "model_version")


class ApiBatchFilter(FilterSet):
    """By state and by a part of the file's name."""

    state = ChoiceFilter(choices=BatchState.choices, label=_("State"), empty_label=_("Any state"))
    name = CharFilter(field_name="input_name", lookup_expr="icontains", label=_("Part of the file's name"))

    class Meta:
        model = ApiBatch
        fields = ("state", "name")


class PredictionFilter(FilterSet):
    """By label and by how sure the model was."""

    label = CharFilter(field_name="label", label=_("Label"))
    max_probability = NumberFilter(
        field_name="probability", lookup_expr="lte", min_value=0, max_value=1, label=_("Probability at most")
    )

    class Meta:
        model = Prediction
        fields = ("label", "max_probability")


class FoundFilter(FilterSet):
    """By a part of the answer and by how sure the reader was."""

    answer = CharFilter(lookup_expr="icontains", label=_("Part of the answer"))
    max_probability = NumberFilter(
        field_name="probability", lookup_expr="lte", min_value=0, max_value=1, label=_("Probability at most")
    )

    class Meta:
        model = Prediction
        fields = ("answer", "max_probability")


class TextFilter(FilterSet):
    """By a part of the text."""

    text = CharFilter(lookup_expr="icontains", label=_("Part of the text"))

    class Meta:
        model = Prediction
        fields = ("text",)


class ScoreFilter(FilterSet):
    """By a part of the query, of the text, and by the score."""

    text = CharFilter(lookup_expr="icontains", label=_("Part of the query"))
    context = CharFilter(lookup_expr="icontains", label=_("Part of the text"))
    max_probability = NumberFilter(
        field_name="probability", lookup_expr="lte", min_value=0, max_value=1, label=_("Score at most")
    )

    class Meta:
        model = Prediction
        fields = ("text", "context", "max_probability")


class AnswerFilter(FilterSet):
    """By how the answer ended and by a part of it."""

    finish = ChoiceFilter(choices=Finish.choices, label=_("End of the answer"), empty_label=_("Any end"))
    answer = CharFilter(lookup_expr="icontains", label=_("Part of the answer"))

    class Meta:
        model = Prediction
        fields = ("finish", "answer")


ROW_FILTERS: dict[str, type[FilterSet]] = {
    Task.CLASSIFICATION: PredictionFilter,
    Task.TAGGING: PredictionFilter,
    Task.EXTRACTION: FoundFilter,
    Task.EMBEDDING: TextFilter,
    Task.RERANKING: ScoreFilter,
    Task.GENERATION: AnswerFilter,
}
"""By what the batch's version says."""


def row_filter(query: QueryDict, batch_job: BatchJob) -> FilterSet:
    """The filter that fits what the batch's version says."""
    kind = ROW_FILTERS.get(batch_job.model_version.task, ROW_FILTERS[Task.CLASSIFICATION])
    return kind(query, queryset=Prediction.objects.filter(batch_job=batch_job))
