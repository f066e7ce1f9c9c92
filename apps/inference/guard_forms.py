"""Forms of guard policies."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from django_filters import ChoiceFilter, FilterSet, ModelChoiceFilter

from apps.inference.guards.chain import KIND_NAMES
from apps.inference.guards.models import Action, Direction, Stage
from apps.inference.models import Deployment, GuardDecision, GuardPolicy
from apps.registry.models import ModelVersion, Task
from core.access import Actor

WHOLE = [choice for choice in Action.choices if choice[0] != Action.REDACT]
MOST_TESTED = 20_000


class GuardPolicyForm(forms.ModelForm):  # type: ignore[type-arg]
    """Everything about one policy."""

    terms = forms.CharField(
        label=_("Terms"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 6}),
        help_text=_("One a line. Other ways of writing them are found as well."),
    )
    personal_kinds = forms.MultipleChoiceField(
        label=_("Kinds"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None: all of them."),
    )
    classifier_labels = forms.CharField(
        label=_("Labels that count"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("One a line, as the version calls them."),
    )
    deployments = forms.ModelMultipleChoiceField(
        Deployment.objects.none(),
        label=_("Deployments"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("They are guarded by this policy instead of the default."),
    )

    class Meta:
        model = GuardPolicy
        fields = (
            "name", "is_default", "personal_input", "personal_output", "personal_kinds", "terms_input", "terms_output",
            "terms", "sounds_alike", "injection_input", "injection_threshold", "classifier", "classifier_labels",
            "classifier_threshold", "classifier_input", "classifier_output",
        )  # fmt: skip
        labels = {
            "name": _("Name"),
            "is_default": _("Default of the workspace"),
            "personal_input": _("In prompts"),
            "personal_output": _("In answers"),
            "terms_input": _("In prompts"),
            "terms_output": _("In answers"),
            "sounds_alike": _("Find Chinese terms by their sound too"),
            "injection_input": _("In prompts"),
            "injection_threshold": _("From this score on"),
            "classifier": _("Model version"),
            "classifier_threshold": _("From this probability on"),
            "classifier_input": _("In prompts"),
            "classifier_output": _("In answers"),
        }
        help_texts = {
            "is_default": _("It holds wherever a deployment names no other."),
            "injection_threshold": _("Between 0 and 1. These are heuristics: they find common phrasings only."),
            "classifier": _("A version that this platform trained to classify, for example for toxicity."),
        }

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: dict[str, Any] = self.fields
        fields["personal_kinds"].choices = [(kind, str(name)) for kind, name in KIND_NAMES.items()]
        for name in ("injection_input", "classifier_input", "classifier_output"):
            fields[name].choices = WHOLE
        versions = ModelVersion.objects.filter(workspace=actor.workspace, task=Task.CLASSIFICATION)
        fields["classifier"].queryset = versions.select_related("family").order_by("-id")
        fields["classifier"].empty_label = _("None")
        rows = Deployment.objects.filter(workspace=actor.workspace).select_related("alias__family")
        fields["deployments"].queryset = rows
        if not rows:
            del fields["deployments"]
        if self.instance.pk and not self.is_bound:
            self.initial["terms"] = "\n".join(self.instance.terms)
            self.initial["classifier_labels"] = "\n".join(self.instance.classifier_labels)
            self.initial["deployments"] = rows.filter(guard_policy=self.instance)
        for name in ("injection_threshold", "classifier_threshold"):
            fields[name].widget.attrs.update(min=0, max=1, step="0.01")

    def clean_terms(self) -> list[str]:
        """One term a line."""
        return str(self.cleaned_data["terms"]).splitlines()

    def clean_classifier_labels(self) -> list[str]:
        """One label a line."""
        return [line.strip() for line in str(self.cleaned_data["classifier_labels"]).splitlines() if line.strip()]

    def _post_clean(self) -> None:
        """The service checks and writes; the instance stays as it was."""


class GuardTestForm(forms.Form):
    """A text that is tried on a policy."""

    text = forms.CharField(
        label=_("Text"), max_length=MOST_TESTED, widget=forms.Textarea(attrs={"rows": 5}), strip=False
    )
    direction = forms.ChoiceField(label=_("Read as"), choices=Direction.choices, initial=Direction.INPUT)


class DecisionFilter(FilterSet):
    """By policy, direction, stage and action."""

    policy = ModelChoiceFilter(queryset=GuardPolicy.objects.none(), label=_("Policy"), empty_label=_("All policies"))
    direction = ChoiceFilter(choices=Direction.choices, label=_("Found in"), empty_label=_("Both"))
    stage = ChoiceFilter(choices=Stage.choices, label=_("Guard"), empty_label=_("All guards"))
    action = ChoiceFilter(choices=Action.choices[1:], label=_("Action"), empty_label=_("All actions"))

    class Meta:
        model = GuardDecision
        fields = ("policy", "direction", "stage", "action")

    def __init__(self, *args: Any, workspace: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        place = workspace or getattr(getattr(self.request, "auth", None), "workspace", None)
        policies: Any = self.filters["policy"]
        policies.queryset = GuardPolicy.objects.filter(workspace=place).order_by("name")
