"""Reading of what lies within a topic, an entity, a source or a language: cells, names and articles."""

from collections.abc import Sequence
from typing import Any

from django.db.models import CharField, F, Q, QuerySet, Value
from django.db.models.functions import Cast

from apps.sentiment.models import Cell, Dimension, Monitor
from apps.sentiment.selectors_alerts import in_language, is_id, of_series, series_names
from apps.sentiment.within import Within


def crossed(monitor: Monitor | int, within: Within, dimension: str, keys: Sequence[str] = ()) -> QuerySet[Any]:
    """Cells of a monitor within something, each with `key`: to which series of the dimension it belongs.

    `keys`: only these series. A sum over equal keys and begins is what a bucket would hold.
    """
    rows = Cell.objects.filter(monitor=monitor)
    for name in ("topic", "entity"):  # of these an article has many, and 0 counts it once
        rows = rows.filter(**({f"{name}__gt": 0} if dimension == name else {name: getattr(within, name)}))
    if within.source:
        rows = rows.filter(source=within.source)
    if within.language:
        rows = rows.filter(in_language(within.language))
    if dimension == Dimension.TOTAL:
        return rows.annotate(key=Value("", CharField()))
    if keys:
        known = keys if dimension == Dimension.LANGUAGE else [int(key) for key in keys if is_id(key)]
        rows = rows.filter(**{f"{dimension}__in": known})
    return rows.annotate(key=Cast(F(dimension), CharField()))


def articles_within(within: Within) -> Q:
    """Which articles lie within it."""
    found = Q()
    for dimension, value in within.plain().items():
        is_language = dimension == Dimension.LANGUAGE
        found &= in_language(str(value)) if is_language else of_series(dimension, [str(value)])
    return found


def names_within(monitor: Monitor, within: Within) -> dict[str, str]:
    """Dimension -> the name of what is asked for; what the monitor has not, or no more, is not among them."""
    asked = within.plain().items()
    found = {dimension: series_names(monitor, dimension, [str(value)]).get(str(value)) for dimension, value in asked}
    return {dimension: name for dimension, name in found.items() if name}
