"""Forms of the evaluation pages."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.datasets.models import DatasetVersion
from apps.evaluation.services import LARGEST_ANSWER_TOKENS
from apps.evaluation.tasks import DATA_KINDS
from apps.registry.models import ModelVersion

SPLITS = [("test", _("Test")), ("dev", _("Dev")), ("train", _("Train")), ("", _("All rows"))]


class EvaluationForm(forms.Form):
    """What shall be measured on what; with `version` only data that it can be measured on."""

    model_version = forms.ModelChoiceField(queryset=ModelVersion.objects.none(), label=_("Model version"))
    dataset_version = forms.ModelChoiceField(queryset=DatasetVersion.objects.none(), label=_("Dataset version"))
    split = forms.ChoiceField(
        label=_("Split"),
        choices=SPLITS,
        required=False,
        help_text=_("Rows the model has not learned from give honest figures."),
    )

    max_new_tokens = forms.IntegerField(
        label=_("Longest answer in tokens"),
        min_value=1,
        max_value=LARGEST_ANSWER_TOKENS,
        required=False,
        help_text=_("Chat versions only; 128 when empty."),
    )

    def __init__(self, *args: Any, workspace: Any, version: ModelVersion | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        tasks = [version.task] if version else list(DATA_KINDS)
        kinds = [kind for task in tasks if task in DATA_KINDS for kind in DATA_KINDS[task]]
        versions = ModelVersion.objects.filter(workspace=workspace, task__in=tasks)
        data = DatasetVersion.objects.filter(dataset__workspace=workspace, dataset__kind__in=kinds)
        fields: Any = self.fields
        fields["model_version"].queryset = (
            versions.select_related("family").only("number", "family__name").order_by("-id")
        )
        fields["dataset_version"].queryset = (
            data.select_related("dataset").only("number", "dataset__name").order_by("-id")
        )

    def clean_max_new_tokens(self) -> int:
        """Empty takes the usual length."""
        return self.cleaned_data["max_new_tokens"] or 128


class ComparisonForm(forms.Form):
    """Two evaluations to test against each other."""

    first = forms.IntegerField(min_value=1)
    second = forms.IntegerField(min_value=1)
