"""Forms of the evaluation pages."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.datasets.models import DatasetVersion
from apps.registry.models import ModelVersion

SPLITS = [("test", _("Test")), ("dev", _("Dev")), ("train", _("Train")), ("", _("All rows"))]


class EvaluationForm(forms.Form):
    """What shall be measured on what."""

    model_version = forms.ModelChoiceField(queryset=ModelVersion.objects.none(), label=_("Model version"))
    dataset_version = forms.ModelChoiceField(queryset=DatasetVersion.objects.none(), label=_("Dataset version"))
    split = forms.ChoiceField(
        label=_("Split"),
        choices=SPLITS,
        required=False,
        help_text=_("Rows the model has not learned from give honest figures."),
    )

    def __init__(self, *args: Any, workspace: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        versions = ModelVersion.objects.filter(workspace=workspace, task="classification")
        data = DatasetVersion.objects.filter(dataset__workspace=workspace, dataset__kind="classification")
        fields: Any = self.fields
        fields["model_version"].queryset = (
            versions.select_related("family").only("number", "family__name").order_by("-id")
        )
        fields["dataset_version"].queryset = (
            data.select_related("dataset").only("number", "dataset__name").order_by("-id")
        )


class ComparisonForm(forms.Form):
    """Two evaluations to test against each other."""

    first = forms.IntegerField(min_value=1)
    second = forms.IntegerField(min_value=1)
