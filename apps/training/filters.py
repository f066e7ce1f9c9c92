"""Filters of training jobs, shared by page and API."""

from django.forms import HiddenInput
from django.utils.translation import gettext_lazy as _
from django_filters import CharFilter, ChoiceFilter, FilterSet, NumberFilter

from apps.registry.options import RECIPES
from apps.training.models import TrainingJob
from core.jobs.states import State
from engine import specs


class TrainingJobFilter(FilterSet):
    """By state, recipe, dataset and name."""

    state = ChoiceFilter(field_name="job__state", choices=State.choices, label=_("State"), empty_label=_("Any state"))
    recipe = ChoiceFilter(
        choices=[(name, RECIPES.get(name, name)) for name in specs.RECIPES],
        label=_("Recipe"),
        empty_label=_("Any recipe"),
    )
    dataset = NumberFilter(field_name="dataset_version__dataset_id", label=_("Dataset id"), widget=HiddenInput)
    name = CharFilter(lookup_expr="icontains", label=_("Name contains"))

    class Meta:
        model = TrainingJob
        fields = ("state", "recipe", "dataset", "name")
