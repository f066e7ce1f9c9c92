"""The form of a training job, made from the recipe's own options."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.datasets.models import DatasetVersion
from apps.registry.options import LABELS, VALUES
from apps.training.bases import base_choices
from core.access import Actor
from engine import specs
from engine.specs import FieldInfo

RECIPE_NAMES = {
    "classify": _("Classify texts: fine-tune a pretrained encoder"),
    "tag": _("Mark spans such as names, places and slots: fine-tune a pretrained encoder"),
    "extract": _("Answer questions from passages: fine-tune a pretrained encoder"),
    "few_shot": _("Few-shot: a classifier from 8 to 64 texts a class"),
    "embed": _("Text vectors for search and similarity: contrastive training on pairs or classes"),
    "rerank": _("Re-rank what a search found: read query and text together, on pairs or classes"),
    "distil": _("Distil: teach a smaller classifier by a larger version"),
    "distil_text": _("Distil: teach a smaller model that writes by a larger version"),
    "sft": _("Fine-tune a model that writes: chats, instructions, pairs, questions"),
    "prefer": _("Learn from preferences (DPO): of two answers, the chosen one"),
    "pretrain": _("Pretrain: a vocabulary and a GPT from plain texts"),
}
CONTINUED = (
    "keep",
    "replay_share",
    "earlier_data",
    "l2_sp_alpha",
    "l2_sp_beta",
    "ewc_lambda",
    "fisher_rows",
)
"""Shown while the base model is a version."""
NOT_OFFERED = {"distil": {*CONTINUED, "known_labels"}, "distil_text": {*CONTINUED, "vocabulary_size"}}
"""Options of a recipe that it refuses whatever is chosen."""
BASIC = {
    "classify": (
        "base_model",
        *CONTINUED,
        "known_labels",
        "method",
        "multi_label",
        "epochs",
        "learning_rate",
        "batch_size",
        "max_length_tokens",
        "seed",
    ),
    "few_shot": (
        "way",
        "base_model",
        *CONTINUED,
        "method",
        "shots",
        "curve",
        "label_names",
        "pattern",
        "label_words",
        "calibrate",
        "epochs",
        "learning_rate",
        "seed",
    ),
    "distil": (
        "teacher",
        "base_model",
        "student_layers",
        "student_weights",
        "temperature",
        "epochs",
        "learning_rate",
        "batch_size",
        "seed",
    ),
    "prefer": ("base_model", *CONTINUED, "method", "beta", "epochs", "learning_rate", "batch_size", "seed"),
    "distil_text": (
        "teacher",
        "base_model",
        "student_layers",
        "method",
        "instruction",
        "layers",
        "width",
        "heads",
        "context_tokens",
        "temperature",
        "hard_share",
        "epochs",
        "learning_rate",
        "batch_size",
        "seed",
    ),
    "sft": (
        "base_model",
        *CONTINUED,
        "method",
        "instruction",
        "layers",
        "width",
        "heads",
        "context_tokens",
        "epochs",
        "learning_rate",
        "batch_size",
        "seed",
    ),
    "pretrain": (
        "vocabulary",
        "base_model",
        "weights",
        *CONTINUED,
        "vocabulary_size",
        "layers",
        "width",
        "heads",
        "context_tokens",
        "layout",
        "epochs",
        "max_tokens",
        "learning_rate",
        "batch_size",
        "seed",
    ),
    "tag": (
        "base_model",
        *CONTINUED,
        "known_labels",
        "method",
        "unit",
        "case_features",
        "epochs",
        "learning_rate",
        "batch_size",
        "max_length_tokens",
        "seed",
    ),
    "embed": (
        "base_model",
        *CONTINUED,
        "method",
        "epochs",
        "learning_rate",
        "batch_size",
        "temperature",
        "max_length_tokens",
        "seed",
    ),
    "rerank": (
        "base_model",
        "method",
        "loss",
        "negatives",
        "negatives_from",
        "epochs",
        "learning_rate",
        "batch_size",
        "max_length_tokens",
        "candidates",
        "seed",
    ),
    "extract": (
        "base_model",
        *CONTINUED,
        "method",
        "epochs",
        "learning_rate",
        "batch_size",
        "max_length_tokens",
        "max_answer_tokens",
        "seed",
    ),
}


class TrainingForm(forms.Form):
    """Name, data and every option of one recipe; `basic` and `advanced` list the option fields."""

    version = forms.ModelChoiceField(DatasetVersion.objects.none(), label=_("Dataset version"))
    name = forms.CharField(
        label=_("Name"), max_length=120, required=False, help_text=_("Empty takes the dataset's name.")
    )
    family_name = forms.CharField(
        label=_("Model"),
        max_length=120,
        required=False,
        help_text=_("The finished version is registered under this name. Empty takes the dataset's name."),
    )

    def __init__(self, *args: Any, actor: Actor, recipe: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.recipe = recipe
        versions = DatasetVersion.objects.filter(
            dataset__workspace=actor.workspace, dataset__kind__in=specs.RECIPES[recipe].data_kinds
        ).select_related("dataset")
        version_field = self.fields["version"]
        assert isinstance(version_field, forms.ModelChoiceField)
        version_field.queryset = versions.order_by("-id")
        for info in _offered(recipe):
            field = _field(info, actor, recipe)
            if info.when is not None:
                field.shown_when = (f"spec-{info.when[0]}", " ".join(info.when[1]))  # type: ignore[attr-defined]
            self.fields[f"spec-{info.name}"] = field

    def spec(self) -> dict[str, Any]:
        """The options that were filled in."""
        filled: dict[str, Any] = {}
        for info in _offered(self.recipe):
            value = self.cleaned_data.get(f"spec-{info.name}")
            if value not in (None, ""):
                filled[info.name] = value
        return filled

    def basic(self) -> list[forms.BoundField]:
        """The options most people change."""
        return [self[f"spec-{name}"] for name in BASIC[self.recipe]]

    def advanced(self) -> list[forms.BoundField]:
        """All others."""
        basic = set(BASIC[self.recipe])
        return [self[f"spec-{info.name}"] for info in _offered(self.recipe) if info.name not in basic]


def _offered(recipe: str) -> list[FieldInfo]:
    """The options of the form."""
    return [info for info in specs.spec_fields(recipe) if info.name not in NOT_OFFERED.get(recipe, ())]


def _field(info: FieldInfo, actor: Actor, recipe: str) -> forms.Field:
    label = LABELS.get(info.name, info.name.replace("_", " ").capitalize())
    common: dict[str, Any] = {"label": label, "help_text": _(info.meaning), "required": False, "initial": info.default}
    if info.type == "base_model":
        return forms.ChoiceField(
            **{**common, "initial": str(info.default)},
            choices=base_choices(recipe=recipe, default=info.default, workspace=actor.workspace),
        )
    if info.type == "boolean":
        return forms.BooleanField(**common)
    if info.choices:
        return forms.ChoiceField(**common, choices=[(name, VALUES.get(name, name)) for name in info.choices])
    if info.type == "integer":
        return forms.IntegerField(**common, min_value=_whole(info.minimum), max_value=_whole(info.maximum))
    if info.type == "number":
        return forms.FloatField(
            **{**common, "initial": _written_out(info.default)},
            min_value=info.minimum,
            max_value=info.maximum,
            widget=forms.NumberInput(attrs={"step": "any"}),
        )
    return forms.CharField(**common)


def _written_out(value: float) -> str:
    """0.00001, not 1e-05: what a person would type."""
    return f"{value:.15f}".rstrip("0").rstrip(".")


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
