"""The form of a sweep: the options that all runs share, and up to six that vary."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.registry.options import LABELS
from apps.training.charts import curve_name
from apps.training.forms import TrainingForm
from core.access import Actor
from engine import specs

ROWS = range(1, 7)
STRATEGIES = [
    ("tpe", _("Learn from earlier runs (TPE)")),
    ("random", _("At random")),
    ("grid", _("Every combination (grid)")),
]
WORDS = {"true": True, "yes": True, "false": False, "no": False}


class SweepForm(TrainingForm):
    """The training form, what varies, and how it is searched."""

    strategy = forms.ChoiceField(label=_("Strategy"), choices=STRATEGIES, initial="tpe")
    objective = forms.ChoiceField(label=_("Look for the best"))
    budget = forms.IntegerField(label=_("Runs at most"), min_value=1, max_value=500, initial=20)
    parallel = forms.IntegerField(label=_("Runs at once"), min_value=1, max_value=16, initial=1)
    pruning = forms.BooleanField(
        label=_("Stop runs that fall behind"),
        required=False,
        initial=True,
        help_text=_("After 1, 3, 9, … epochs about the best third goes on (ASHA)."),
    )
    sweep_seed = forms.IntegerField(
        label=_("Seed of the search"), min_value=0, max_value=2**31 - 1, initial=17, required=False
    )

    def __init__(self, *args: Any, actor: Actor, recipe: str, **kwargs: Any) -> None:
        super().__init__(*args, actor=actor, recipe=recipe, **kwargs)
        objective = self.fields["objective"]
        assert isinstance(objective, forms.ChoiceField)
        objective.choices = [(name, curve_name(f"dev_{name}")) for name in specs.RECIPES[recipe].dev_metrics]
        options = [(info.name, LABELS.get(info.name, info.name)) for info in specs.spec_fields(recipe)]
        for row in ROWS:
            self.fields[f"vary-{row}"] = forms.ChoiceField(
                label=_("Option"), required=False, choices=[("", "–"), *options]
            )
            self.fields[f"values-{row}"] = forms.CharField(
                label=_("Values, with commas"), required=False, max_length=500
            )
            self.fields[f"low-{row}"] = forms.FloatField(label=_("or from"), required=False, widget=_number())
            self.fields[f"high-{row}"] = forms.FloatField(label=_("to"), required=False, widget=_number())
            self.fields[f"log-{row}"] = forms.BooleanField(label=_("in equal ratios"), required=False)

    def rows(self) -> list[list[forms.BoundField]]:
        """The fields of what varies, row by row."""
        return [[self[f"{name}-{row}"] for name in ("vary", "values", "low", "high", "log")] for row in ROWS]

    def search(self) -> list[forms.BoundField]:
        """The fields of how it is searched."""
        names = ("strategy", "objective", "budget", "parallel", "sweep_seed", "pruning")
        return [self[name] for name in names]

    def space(self) -> dict[str, Any]:
        """What was filled in, as engine.specs.search takes it."""
        kinds = {info.name: info.type for info in specs.spec_fields(self.recipe)}
        found: dict[str, Any] = {}
        for row in ROWS:
            name, text = self.cleaned_data.get(f"vary-{row}"), self.cleaned_data.get(f"values-{row}", "")
            if not name:
                continue
            if text:
                found[name] = [_read(word.strip(), kinds[name]) for word in text.split(",") if word.strip()]
            else:
                wish = {key: self.cleaned_data.get(f"{key}-{row}") for key in ("low", "high")}
                found[name] = {**wish, "log": bool(self.cleaned_data.get(f"log-{row}"))}
        return found


def _number() -> forms.NumberInput:
    return forms.NumberInput(attrs={"step": "any"})


def _read(word: str, kind: str) -> Any:
    """A value as its option wants it; what cannot be read stays a text, and the check of the space says so."""
    try:
        if kind == "integer":
            return int(word)
        if kind == "number":
            return float(word)
    except ValueError:
        return word
    return WORDS.get(word.lower(), word) if kind == "boolean" else word
