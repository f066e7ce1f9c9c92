"""Forms of deployments."""

from collections.abc import Iterator, Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.inference.gates import MOST_WINDOW_MINUTES
from apps.inference.models import Deployment, GuardPolicy, Sticky
from apps.inference.services.deployments import MOST_RETENTION_DAYS
from apps.registry.models import Alias, ModelVersion
from core.access import Actor

FIGURE_NAMES = {
    "error_share": _("Share of errors, at most"),
    "first_p95_seconds": _("p95 of the first token, at most"),
    "whole_p95_seconds": _("p95 of the whole answer, at most"),
    "thumbs_up_share": _("Share of thumbs up, at least"),
}

OPTION_NAMES = {
    "version": _("Version"),
    "candidate": _("Candidate"),
    "candidate_share": _("Share"),
    "is_shadow": _("Shadow"),
    "sticky": _("Who stays on one side"),
    "gates": _("Gates"),
    "retention_days": _("Texts are kept, days"),
    "is_pinned": _("Stays in memory"),
    "is_warm": _("Loaded and tried before traffic"),
    "guard_policy": _("Guard policy"),
}


def bound_of(gate: Mapping[str, Any]) -> str:
    """The bound of a gate with its unit."""
    if str(gate["figure"]).endswith("_share"):
        return f"{100 * gate['bound']:g} %"
    return f"{gate['bound']:g} s"


class DeploymentForm(forms.Form):
    """How an alias is answered."""

    sticky = forms.ChoiceField(
        label=OPTION_NAMES["sticky"],
        choices=Sticky.choices,
        help_text=_("So that nobody hears both versions in turn. Requests without such a name are drawn one by one."),
    )
    is_warm = forms.BooleanField(
        label=OPTION_NAMES["is_warm"],
        required=False,
        help_text=_("The next version gets traffic once it has answered one text; until then the earlier one answers."),
    )
    is_pinned = forms.BooleanField(
        label=OPTION_NAMES["is_pinned"], required=False, help_text=_("Its versions are never let go for want of room.")
    )
    retention_days = forms.IntegerField(
        label=OPTION_NAMES["retention_days"],
        required=False,
        min_value=0,
        max_value=MOST_RETENTION_DAYS,
        help_text=_("Prompts and answers go after so many days, counts stay. Empty keeps them, 0 stores none."),
    )
    guard_policy = forms.ModelChoiceField(
        GuardPolicy.objects.none(),
        label=OPTION_NAMES["guard_policy"],
        required=False,
        empty_label=_("The workspace's default"),
        help_text=_("What prompts and answers of this deployment are looked at for."),
    )
    reason = forms.CharField(label=_("Reason"), required=False, max_length=1000)

    def __init__(self, *args: Any, actor: Actor, deployment: Deployment | None = None, **kwargs: Any) -> None:
        given = kwargs.pop("initial", {})
        if deployment is not None:
            names = ("sticky", "is_warm", "is_pinned", "retention_days", "guard_policy")
            given = {name: getattr(deployment, name) for name in names} | given
        kwargs["initial"] = {"is_warm": True, **given}
        super().__init__(*args, **kwargs)
        policies = self.fields["guard_policy"]
        assert isinstance(policies, forms.ModelChoiceField)
        policies.queryset = GuardPolicy.objects.filter(workspace=actor.workspace).order_by("name")
        if not actor.may("workspace.manage"):
            del self.fields["guard_policy"]
        held = {gate["figure"]: gate for gate in (deployment.gates if deployment else [])}
        for figure, words in FIGURE_NAMES.items():
            gate = held.get(figure, {})
            share = figure.endswith("_share")
            self.fields[f"{figure}_bound"] = forms.FloatField(
                label=words, required=False, min_value=0, max_value=1 if share else None, initial=gate.get("bound"),
                help_text=_("Between 0 and 1.") if share else _("In seconds."),
            )  # fmt: skip
            self.fields[f"{figure}_minutes"] = forms.IntegerField(
                label=_("Of the last minutes"), min_value=1, max_value=MOST_WINDOW_MINUTES, required=False,
                initial=gate.get("window_minutes", 60),
            )  # fmt: skip
            self.fields[f"{figure}_count"] = forms.IntegerField(
                label=_("From so many answers on"), min_value=1, required=False, initial=gate.get("min_count", 50)
            )

    def plain(self) -> Iterator[Any]:
        """The fields before the gates."""
        return (field for field in self if not field.name.startswith(tuple(FIGURE_NAMES)))

    def gate_rows(self) -> list[tuple[Any, Any, Any]]:
        """Bound, minutes and count of each figure."""
        return [(self[f"{name}_bound"], self[f"{name}_minutes"], self[f"{name}_count"]) for name in FIGURE_NAMES]

    def options(self) -> dict[str, Any]:
        """As the service takes them."""
        given = self.cleaned_data
        plain = {name: value for name, value in given.items() if not name.startswith(tuple(FIGURE_NAMES))}
        return {
            **plain,
            "gates": [self._gate(figure) for figure in FIGURE_NAMES if given[f"{figure}_bound"] is not None],
        }

    def _gate(self, figure: str) -> dict[str, Any]:
        given = self.cleaned_data
        return {
            "figure": figure,
            "bound": given[f"{figure}_bound"],
            "window_minutes": given[f"{figure}_minutes"] or 60,
            "min_count": given[f"{figure}_count"] or 50,
        }


class NewDeploymentForm(DeploymentForm):
    """The same with the alias."""

    alias = forms.ModelChoiceField(
        Alias.objects.none(), label=_("Alias"), help_text=_("Requests for this name go through the deployment.")
    )
    field_order = ("alias",)

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, actor=actor, **kwargs)
        aliases = self.fields["alias"]
        assert isinstance(aliases, forms.ModelChoiceField)
        free = Alias.objects.filter(family__workspace=actor.workspace, deployment=None)
        aliases.queryset = free.select_related("family", "version__family").order_by("family__name", "name")


class RolloutForm(forms.Form):
    """The candidate and its share."""

    candidate = forms.ModelChoiceField(ModelVersion.objects.none(), label=OPTION_NAMES["candidate"], required=False)
    percent = forms.FloatField(label=_("Share of the requests, %"), min_value=0, max_value=100, initial=0)
    is_shadow = forms.BooleanField(
        label=OPTION_NAMES["is_shadow"],
        required=False,
        help_text=_("It answers too, unseen: the answers are kept, and nobody gets them."),
    )
    reason = forms.CharField(label=_("Reason"), required=False, max_length=1000)

    def __init__(self, *args: Any, deployment: Deployment, **kwargs: Any) -> None:
        kwargs["initial"] = {
            "candidate": deployment.candidate_id,
            "percent": f"{100 * deployment.candidate_share:g}",
            "is_shadow": deployment.is_shadow,
        }
        super().__init__(*args, **kwargs)
        versions = self.fields["candidate"]
        assert isinstance(versions, forms.ModelChoiceField)
        rows = ModelVersion.objects.filter(family=deployment.alias.family_id).exclude(pk=deployment.alias.version_id)
        versions.queryset = rows.select_related("family").only("number", "family__name").order_by("-number")
        versions.empty_label = str(_("None"))

    def options(self) -> dict[str, Any]:
        """As the service takes them."""
        given = dict(self.cleaned_data)
        return {"candidate_share": given.pop("percent") / 100, **given}
