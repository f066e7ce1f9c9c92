"""Words of the registry for templates."""

from typing import Any

from django import template
from django.utils.translation import gettext as _

from apps.registry.options import LABELS, PHASES, RECIPES, VALUES

register = template.Library()


@register.filter
def option_name(name: str) -> str:
    """The words for an option of a recipe, or for a phase of a run."""
    return str(LABELS.get(name) or PHASES.get(name, name))


@register.filter
def option_value(value: Any) -> str:
    """An option's value as people read it."""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, dict) and "name" in value:
        return str(value["name"])
    if value in (None, ""):
        return "–"
    return str(VALUES.get(value, value)) if isinstance(value, str) else str(value)


@register.filter
def recipe_name(name: str) -> str:
    """The words for a recipe."""
    return str(RECIPES.get(name, name))


@register.filter
def scientific(value: float) -> str:
    """A number with two digits: 2.4e-06, 3.1."""
    return f"{value:.2g}"
