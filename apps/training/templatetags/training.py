"""Words of training for templates."""

from collections.abc import Mapping
from typing import Any

from django import template
from django.utils.translation import gettext as _

from apps.training import charts
from apps.training.forms_sweeps import STRATEGIES
from apps.training.sights import sights_of
from apps.training.trials import Trial
from core.templatetags import lingxi
from engine.specs.recipes import LOWER_IS_BETTER

register = template.Library()
register.filter("curve_name", charts.curve_name)
register.filter("sights", sights_of)


@register.filter
def trainable_hint(found: Mapping[str, Any]) -> str:
    """Which share of all parameters is trained."""
    parameters = found["parameters"]
    share = lingxi.percent(parameters["trainable"] / max(1, parameters["total"]))
    return _("%(share)s of %(total)s") % {"share": share, "total": lingxi.quantity(parameters["total"])}


@register.filter
def rows_hint(found: Mapping[str, Any]) -> str:
    """How many rows are learnt from."""
    return _("from %(count)s rows") % {"count": lingxi.quantity(found["rows"]["train"])}


@register.filter
def lengths_hint(found: Mapping[str, Any]) -> str:
    """Half of the rows, and nearly all of them."""
    lengths = found["lengths"]
    values = {"half": lingxi.quantity(lengths["p50"]), "most": lingxi.quantity(lengths["p95"])}
    return _("half have up to %(half)s tokens, 95 %% up to %(most)s") % values


@register.filter
def length_chart(lengths: Mapping[str, Any]) -> dict[str, Any]:
    """The histogram of lengths as the chart module draws it."""
    bins = lengths["histogram"]
    edges = [bins[0]["from"], *(one["to"] for one in bins)]
    return {"edges": edges, "counts": [one["count"] for one in bins], "x": _("tokens")}


@register.filter
def estimate_name(name: str) -> str:
    """What is estimated, in words."""
    return {"memory_bytes": _("Memory at the peak"), "seconds": _("Time"), "steps": _("Steps")}[name]


@register.filter
def estimate_value(value: float, name: str) -> str:
    """An estimated or measured figure with its unit."""
    if name == "memory_bytes":
        return lingxi.filesize(int(value))
    return lingxi.duration(value) if name == "seconds" else lingxi.quantity(value)


@register.filter
def strategy_name(name: str) -> str:
    """How a sweep searches, in words."""
    return str(dict(STRATEGIES).get(name, name))


@register.filter
def objective_name(name: str) -> str:
    """What a sweep looks for, in words."""
    return charts.curve_name(f"dev_{name}")


@register.filter
def range_words(wish: Any) -> str:
    """The values or the range of an option."""
    if isinstance(wish, Mapping) and "values" not in wish:
        words = _("%(low)s to %(high)s") % {"low": short_value(wish["low"]), "high": short_value(wish["high"])}
        return words + (" " + _("in equal ratios") if wish.get("log") else "")
    values = wish["values"] if isinstance(wish, Mapping) else wish
    return ", ".join(short_value(value) for value in values)


@register.filter
def short_value(value: Any) -> str:
    """An option's value, numbers with the figures that matter."""
    if isinstance(value, bool):
        return _("Yes") if value else _("No")
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@register.filter
def values_of(trial: Trial, names: list[str]) -> list[Any]:
    """The options of a trial in the order of the columns."""
    return [trial.options.get(name) for name in names]


@register.filter
def add_number(value: float, more: float) -> float:
    """A sum; Django's own add knows whole numbers only."""
    return value + more


@register.filter
def short_count(value: float) -> str:
    """A large count in three figures: 22.6 M."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= limit:
            return f"{value / (1e3 if unit == 'k' else limit):.3g} {unit}"
    return lingxi.quantity(value)


@register.filter
def signed(delta: float, name: str) -> str:
    """A difference with its sign: shares in points of a hundred, losses as they are."""
    return f"{delta:+.4f}" if name in LOWER_IS_BETTER else _("%(points)s points") % {"points": f"{100 * delta:+.2f}"}
