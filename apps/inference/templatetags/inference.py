"""Words of inference for templates."""

from django import template
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.inference.models import Finish

register = template.Library()

ENDS: dict[str, str | Promise] = {
    **dict(Finish.choices),
    "cancelled": _("Cancelled"),
    "content_filter": _("Blocked by a guard"),
    "error": _("Went wrong"),
}


@register.filter
def finish_name(value: str) -> str:
    """How an answer ended, in words; a dash for one that has not."""
    return str(ENDS.get(value, value)) or "–"


ROLES: dict[str, str | Promise] = {
    "system": _("System"),
    "user": _("User"),
    "assistant": _("Assistant"),
    "tool": _("Tool"),
}


@register.filter
def role_name(role: str) -> str:
    """Who says a message of a chat, in words."""
    return str(ROLES.get(role, role))


BADGES = {"waiting": "queued", "done": "succeeded"}


@register.filter
def badge(state: str) -> str:
    """The colour of a request's state: that of the job's state it is like."""
    return BADGES.get(state, state)


@register.filter
def milliseconds(seconds: float) -> str:
    """A short time in milliseconds, with one figure behind the point below ten."""
    value = seconds * 1000
    return f"{value:,.1f}" if value < 10 else f"{value:,.0f}"
