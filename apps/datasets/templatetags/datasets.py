"""Words of datasets for templates."""

from django import template
from django.utils.translation import gettext as _

from apps.datasets.models import Split

register = template.Library()


@register.filter
def split_name(value: str) -> str:
    """A split's word for people; a dash for all examples."""
    if value == "none":
        return _("No split")
    return str(Split(value).label) if value and value in Split.values else value or "–"
