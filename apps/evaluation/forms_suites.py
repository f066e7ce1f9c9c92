"""Forms of suites, gates, aliases and approvals."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.datasets.models import DatasetVersion
from apps.evaluation.forms import SPLITS
from apps.evaluation.models import FORGETTING, Bound, Direction, Suite
from apps.evaluation.selectors import figures_known
from apps.evaluation.services import LARGEST_ANSWER_TOKENS
from apps.evaluation.tasks import DATA_KINDS
from apps.registry.models import ModelFamily, ModelVersion, Task
from apps.registry.options import FIGURES


class SuiteForm(forms.Form):
    """A new suite."""

    name = forms.CharField(label=_("Name"), max_length=80, help_text=_("For example Release of the intent model."))
    task = forms.ChoiceField(
        label=_("Task"), choices=[(task, words) for task, words in Task.choices if Task(task) in DATA_KINDS]
    )
    description = forms.CharField(
        label=_("Description"), required=False, max_length=5000, widget=forms.Textarea(attrs={"rows": 2})
    )


class CheckForm(forms.Form):
    """One more check of a draft."""

    dataset_version = forms.ModelChoiceField(
        queryset=DatasetVersion.objects.none(),
        label=_("Dataset version"),
        required=False,
        help_text=_("Not asked for what is forgotten: that is measured on the tasks of each version's lineage."),
    )
    split = forms.ChoiceField(label=_("Split"), choices=SPLITS, required=False, initial="test")
    figure = forms.ChoiceField(label=_("Figure"))
    direction = forms.ChoiceField(label=_("Must be"), choices=Direction.choices)
    threshold = forms.FloatField(label=_("Threshold"), help_text=_("Shares are written from 0 to 1, for example 0.9."))
    bound = forms.ChoiceField(
        label=_("Held against it"),
        choices=Bound.choices,
        help_text=_("The worse end of the interval also keeps out what was lucky on few rows."),
    )
    max_new_tokens = forms.IntegerField(
        label=_("Longest answer in tokens"), min_value=1, max_value=LARGEST_ANSWER_TOKENS, initial=128
    )

    def __init__(self, *args: Any, suite: Suite, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        data = DatasetVersion.objects.filter(
            dataset__workspace=suite.workspace_id, dataset__kind__in=DATA_KINDS.get(suite.task, ())
        )
        fields["dataset_version"].queryset = (
            data.select_related("dataset").only("number", "dataset__name", "counts").order_by("-id")
        )
        known = figures_known(suite.workspace_id, suite.task)
        if known:
            names = [name for name in known if name != FORGETTING]
            fields["figure"].choices = [(name, FIGURES.get(name, name)) for name in [*names, FORGETTING]]
        else:
            fields["figure"] = forms.CharField(
                label=_("Figure"), max_length=60, help_text=_("Its name in an evaluation, such as accuracy.")
            )
        if suite.task != Task.GENERATION:
            del fields["max_new_tokens"]


class SuiteRunForm(forms.Form):
    """On which version a suite is run."""

    model_version = forms.ModelChoiceField(queryset=ModelVersion.objects.none(), label=_("Model version"))

    def __init__(self, *args: Any, suite: Suite, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = ModelVersion.objects.filter(workspace=suite.workspace_id, task=suite.task)
        fields: Any = self.fields
        fields["model_version"].queryset = rows.select_related("family").only("number", "family__name").order_by("-id")


class GateForm(forms.Form):
    """Which suite a model requires, and for which aliases."""

    suite = forms.ModelChoiceField(
        queryset=Suite.objects.none(), label=_("Required suite"), required=False, empty_label=_("None")
    )
    aliases = forms.CharField(
        label=_("Protected aliases"),
        max_length=420,
        required=False,
        help_text=_("With commas. They can only be moved to versions that passed the suite, or rolled back."),
    )

    def __init__(self, *args: Any, family: ModelFamily, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        fields["suite"].queryset = Suite.objects.filter(workspace=family.workspace_id, task=family.task).order_by("-id")

    def clean_aliases(self) -> list[str]:
        """As a list of names."""
        return [part.strip() for part in self.cleaned_data["aliases"].split(",") if part.strip()]


class AliasForm(forms.Form):
    """Which version an alias names."""

    name = forms.CharField(
        label=_("Alias"), max_length=40, help_text=_("For example champion or candidate. Small letters and hyphens.")
    )
    version = forms.ModelChoiceField(queryset=ModelVersion.objects.none(), label=_("Version"))
    reason = forms.CharField(label=_("Reason"), required=False, max_length=1000)

    def __init__(self, *args: Any, family: ModelFamily, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = ModelVersion.objects.filter(family=family).select_related("family")
        fields: Any = self.fields
        fields["version"].queryset = rows.only("number", "family__name").order_by("-number")


class ApprovalForm(forms.Form):
    """What approval is asked for."""

    alias = forms.CharField(
        label=_("Alias to move"),
        required=False,
        max_length=40,
        help_text=_("It names this version as soon as somebody approves. Empty: approve only."),
    )
    reason = forms.CharField(label=_("Reason"), required=False, max_length=1000)


class DecisionForm(forms.Form):
    """The answer to a request for approval."""

    decision = forms.ChoiceField(choices=[("approve", _("Approve")), ("reject", _("Decline"))], label=_("Decision"))
    note = forms.CharField(label=_("Remark"), required=False, max_length=1000)
