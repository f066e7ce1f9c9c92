"""Words of the registry for templates."""

from typing import Any

from django import template
from django.utils.translation import gettext as _

from apps.registry.options import FIGURES, LABELS, MAIN_FIGURES, NO_SHARES, PHASES, RECIPES, VALUES
from apps.registry.tasks import task_name
from engine import specs

register = template.Library()
register.filter("task_name", task_name)


@register.filter
def option_name(name: str) -> str:
    """The words for an option of a recipe, or for a phase of a run."""
    return str(LABELS.get(name) or PHASES.get(name, name))


@register.filter
def options_of(spec: dict[str, Any], recipe: str) -> list[tuple[str, Any]]:
    """(name, value) of a recipe's options as they are written in its form, without those that were not looked at."""
    if recipe not in specs.RECIPES:
        return list(spec.items())
    infos = {info.name: info for info in specs.spec_fields(recipe) if info.name in spec}
    plain = {name: _plain(spec, name) for name in spec}
    shown = [info.name for info in infos.values() if info.is_looked_at(plain, infos)]
    return [(name, spec[name]) for name in [*shown, *(name for name in spec if name not in infos)]]


def _plain(spec: dict[str, Any], name: str) -> str:
    value = spec.get(name)
    return f"{value['kind']}:{value['name']}" if isinstance(value, dict) else str(value)


@register.filter
def option_value(value: Any) -> str:
    """An option's value as people read it."""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, dict) and value.get("kind") == "scratch":
        return _("a new network")
    if isinstance(value, dict) and value.get("kind") == "version":
        return str(_("version %s") % value["name"])
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
def curve_chart(points: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The accuracy of a learning curve as the chart module draws bars, with their intervals; None without points."""
    if not points:
        return None
    found = [point["headline"]["accuracy"] for point in points]
    series = {
        "name": str(FIGURES["accuracy"]),
        "values": [one["value"] for one in found],
        "intervals": [[one["low"], one["high"]] for one in found],
    }
    return {"categories": [str(point["count"]) for point in points], "series": [series], "share": True}


@register.filter
def scientific(value: float) -> str:
    """A number with two digits: 2.4e-06, 3.1."""
    return f"{value:.2g}"


@register.filter
def figure_name(name: str) -> str:
    """The words for a figure."""
    return str(FIGURES.get(name, name))


@register.filter
def is_share(name: str) -> bool:
    """Whether a figure lies between 0 and 1."""
    return name not in NO_SHARES


@register.filter
def main_figures(headline: dict[str, Any]) -> list[tuple[str, Any]]:
    """The two figures that stand for a version in a list, with their names."""
    chosen: tuple[str, ...] = next((names for names in MAIN_FIGURES if names[0] in headline), ())
    return [(name, headline[name]) for name in chosen if headline.get(name)]
