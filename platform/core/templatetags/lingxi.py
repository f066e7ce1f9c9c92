"""Small filters and tags that every page may use."""

import json
from datetime import timedelta
from typing import Any

from django import template
from django.template.context import Context
from django.templatetags.static import static
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

register = template.Library()


@register.simple_tag(takes_context=True)
def wurl(context: Context, name: str, **kwargs: Any) -> str:
    """The address of a page in the current workspace: {% wurl "datasets:detail" pk=3 %}."""
    return reverse(name, kwargs={"workspace": context["workspace"].slug, **kwargs})


@register.simple_tag(takes_context=True)
def may(context: Context, permission: str) -> bool:
    """Whether the actor holds a permission: {% may "datasets.write" as can_write %}."""
    actor = context.get("actor")
    return bool(actor and actor.may(permission))


@register.simple_tag
def icon(name: str, size: int = 20) -> SafeString:
    """An icon of the sprite that the set-up makes."""
    return format_html(
        '<svg class="icon" width="{0}" height="{0}" aria-hidden="true"><use href="{2}#{1}"/></svg>',
        size,
        name,
        static("vendor/icons.svg"),
    )


@register.filter
def as_json(value: Any) -> str:
    """JSON for a data- attribute; the template escapes it."""
    return json.dumps(value, ensure_ascii=False, default=str)


@register.filter
def duration(value: timedelta | float | None) -> str:
    """A short span of time: 42 s, 3 min 5 s, 2 h 10 min."""
    if value is None:
        return "–"
    seconds = int(value.total_seconds() if isinstance(value, timedelta) else value)
    if seconds < 60:
        return _("%(s)d s") % {"s": seconds}
    if seconds < 3600:
        return _("%(m)d min %(s)d s") % {"m": seconds // 60, "s": seconds % 60}
    return _("%(h)d h %(m)d min") % {"h": seconds // 3600, "m": seconds % 3600 // 60}


@register.filter
def percent(value: float | None, digits: int = 1) -> str:
    """A share 0..1 in percent."""
    return "–" if value is None else f"{value * 100:.{digits}f} %"
