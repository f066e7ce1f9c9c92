"""Small filters and tags that every page may use."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zlib import crc32

from django import forms, template
from django.forms import BoundField
from django.forms.boundfield import BoundWidget
from django.http import HttpRequest
from django.template.context import Context
from django.templatetags.static import static
from django.urls import reverse
from django.utils import formats, timezone
from django.utils.html import escape, format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from core.jobs.states import State

register = template.Library()

UNITS = {
    "rows": gettext_lazy("rows"),
    "texts": gettext_lazy("texts"),
    "examples": gettext_lazy("examples"),
    "steps": gettext_lazy("steps"),
    "tokens": gettext_lazy("tokens"),
    "files": gettext_lazy("files"),
    "bytes": gettext_lazy("bytes"),
    "batches": gettext_lazy("batches"),
    "checks": gettext_lazy("checks"),
    "datasets": gettext_lazy("datasets"),
    "answers": gettext_lazy("answers"),
    "sequences": gettext_lazy("sequences"),
    "programs": gettext_lazy("programs"),
}
"""What jobs count, in words for people; an unknown unit speaks for itself."""


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


@register.filter
def quantity(value: float | None) -> str:
    """A count with thousands grouped: 12,345."""
    return "–" if value is None else f"{value:,}"


@register.filter
def rate(value: float | None) -> str:
    """A speed with two or three figures that matter: 0.42, 7.3, 1,250."""
    if value is None:
        return "–"
    digits = 0 if value >= 100 else 1 if value >= 1 else 2
    return f"{value:,.{digits}f}"


@register.filter
def filesize(value: int | None) -> str:
    """Bytes for people: 3.4 MB (powers of 1000, as disks are sold)."""
    if value is None:
        return "–"
    size, unit = float(value), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"


@register.simple_tag
def ago(value: datetime | None) -> str | SafeString:
    """A moment that the browser keeps saying in relative words: {% ago job.created_at %}."""
    if value is None:
        return "–"
    local = timezone.localtime(value)
    return format_html(
        '<time datetime="{}" data-relative title="{}">{}</time>',
        local.isoformat(timespec="seconds"),
        formats.date_format(local, "DATETIME_FORMAT"),
        formats.date_format(local, "SHORT_DATETIME_FORMAT"),
    )


@register.simple_tag(takes_context=True)
def page_link(context: Context, cursor: str) -> str:
    """This page's address at another cursor, its filters kept."""
    query = context["request"].GET.copy()
    for name in ("before", "after"):
        query.pop(name, None)
    name, _equals, value = cursor.partition("=")
    query[name] = value
    return f"?{query.urlencode()}"


@register.filter
def back_here(referer: str | None, request: HttpRequest) -> str:
    """The page a person came from if it is ours, else the start page."""
    if referer and url_has_allowed_host_and_scheme(referer, {request.get_host()}):
        return referer
    return "/"


@register.filter
def is_check(field: BoundField) -> bool:
    """Whether a field is a single check box."""
    return isinstance(field.field.widget, forms.CheckboxInput)


@register.filter
def is_optional(field: BoundField) -> bool:
    """Whether a field may stay empty: it has no value of its own and no choice that says so."""
    says_so = isinstance(field.field, forms.ChoiceField) and not isinstance(field.field, forms.ModelChoiceField)
    return not field.field.required and field.initial in (None, "") and not says_so


@register.filter
def styled(field: BoundField) -> SafeString:
    """The field's widget in the look of the house."""
    widget = field.field.widget
    if isinstance(field.field, forms.ModelChoiceField) and field.field.empty_label == "---------":
        field.field.empty_label = _("Choose…")
    if isinstance(widget, forms.CheckboxInput):
        wanted = "form-check-input"
    elif isinstance(widget, forms.Select):
        wanted = "form-select"
    else:
        wanted = "form-control"
    own = str(widget.attrs.get("class", ""))
    return field.as_widget(attrs={"class": f"{own} {wanted}".strip()})


@register.filter
def boxes(field: BoundField) -> list[BoundWidget]:
    """The choices of a field of boxes, each in the look of the house: what `styled` gives goes to the list around them."""
    field.field.widget.attrs["class"] = "form-check-input"
    return list(field)


@register.filter
def unlocalized(value: object) -> str:
    """A number as programs write it: no grouping, a point for fractions."""
    return "" if value is None else str(value)


@register.filter
def state_name(value: str) -> str:
    """A state's word for people, e.g. of a transition."""
    return str(State(value).label) if value in State.values else value


@register.filter
def as_text(value: Any) -> str:
    """A text as it is, anything else as JSON."""
    return value if isinstance(value, str) else as_json(value)


@register.filter
def unit_name(value: str) -> str:
    """The word for what a job counts."""
    return str(UNITS.get(value, value))


AROUND_CHARACTERS = 160


@register.filter
def around(text: str, place: Mapping[str, Any]) -> SafeString:
    """A part of a text ({"start", "end"}, code points) marked, with what stands around it."""
    start, end = place["start"], place["end"]
    first, last = max(0, start - AROUND_CHARACTERS), min(len(text), end + AROUND_CHARACTERS)
    before, behind = "…" if first else "", "…" if last < len(text) else ""
    return format_html("{}{}<mark>{}</mark>{}{}", before, text[first:start], text[start:end], text[end:last], behind)


MARKED_CHARACTERS = 600
MARK_COLOURS = 7


@register.filter
def marked(text: str, spans: Sequence[Mapping[str, Any]] | None) -> SafeString:
    """The beginning of a text with its spans ({"start", "end", "label"}, code points) marked and named."""
    more = "…" if len(text) > MARKED_CHARACTERS else ""
    return mark_safe(_marked(text[:MARKED_CHARACTERS], spans) + more)  # noqa: S308 - every piece is escaped


@register.filter
def marked_whole(text: str, spans: Sequence[Mapping[str, Any]] | None) -> SafeString:
    """The whole text, marked like this."""
    return mark_safe(_marked(text, spans))  # noqa: S308 - every piece is escaped


def _marked(shown: str, spans: Sequence[Mapping[str, Any]] | None) -> str:
    pieces, at = [], 0
    for span in sorted(spans or (), key=lambda span: (span["start"], span["end"])):
        if span["start"] < at or span["start"] >= len(shown):
            continue
        pieces.append(escape(shown[at : span["start"]]))
        colour = crc32(span["label"].encode()) % MARK_COLOURS + 1
        at = span["end"]
        pieces.append(
            format_html(
                '<mark class="lx-span" data-colour="{}">{}<span>{}</span></mark>',
                colour,
                shown[span["start"] : at],
                span["label"],
            )
        )
    pieces.append(escape(shown[at:]))
    return "".join(pieces)
