"""Which evaluations, and which example rows, a page or an API call shows."""

import django_filters
from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from apps.datasets.models import Split
from apps.evaluation.models import EvaluationJob, ExampleResult
from core.jobs.states import State


class EvaluationFilter(django_filters.FilterSet):
    """Filters of evaluations."""

    model_version = django_filters.NumberFilter(
        field_name="model_version_id", label=_("Model version"), widget=forms.HiddenInput
    )
    dataset_version = django_filters.NumberFilter(
        field_name="dataset_version_id", label=_("Dataset version"), widget=forms.HiddenInput
    )
    split = django_filters.ChoiceFilter(choices=Split.choices[1:], label=_("Split"), empty_label=_("Any split"))
    state = django_filters.ChoiceFilter(
        field_name="job__state", choices=State.choices, label=_("State"), empty_label=_("Any state")
    )

    class Meta:
        model = EvaluationJob
        fields = ("model_version", "dataset_version", "split", "state")


class ResultFilter(django_filters.FilterSet):
    """Filters of example rows."""

    gold = django_filters.CharFilter(method="having", label=_("Gold label"))
    predicted = django_filters.CharFilter(method="having", label=_("Predicted label"))
    correct = django_filters.BooleanFilter(
        label=_("Correct"),
        widget=forms.Select(choices=[("", _("Right and wrong")), ("false", _("Wrong")), ("true", _("Right"))]),
    )
    text = django_filters.CharFilter(lookup_expr="icontains", label=_("Text"))
    answer = django_filters.CharFilter(
        field_name="predicted_text", lookup_expr="icontains", label=_("Part of the written answer")
    )

    class Meta:
        model = ExampleResult
        fields = ("gold", "predicted", "correct", "text", "answer")

    def having(self, rows: QuerySet[ExampleResult], name: str, value: str) -> QuerySet[ExampleResult]:
        """Rows whose labels hold `value`."""
        return rows.filter(**{f"{name}__contains": [value]})
