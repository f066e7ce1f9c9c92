"""Words and figures of monitors and alerts for templates."""

from datetime import datetime
from typing import Any

from django import template
from django.utils import formats, timezone
from django.utils.translation import gettext as _

from apps.sentiment.models import Sentiment, Usefulness
from apps.sentiment.selectors_alerts import Precision

register = template.Library()
TINIEST = 1e-6


@register.filter
def figure(value: float | None, kind: str = "") -> str:
    """A count, or a mean with one digit; of a rule about shares in percent."""
    if value is None:
        return "–"
    if kind == "share":
        return f"{value * 100:.1f} %"
    return formats.number_format(value, 0 if value == int(value) else 1 if value >= 1 else 2, force_grouping=True)


@register.filter
def tiny(value: float | None) -> str:
    """A probability that may be very small."""
    if value is None:
        return "–"
    return _("below one in a million") if value < TINIEST else f"{value:.2g}" if value < 0.001 else f"{value:.4f}"


@register.filter
def moment(value: str) -> str:
    """A time of JSON where the reader is."""
    return formats.date_format(timezone.localtime(datetime.fromisoformat(value)), "SHORT_DATETIME_FORMAT")


@register.filter
def sentiment_name(value: str) -> str:
    """How it is meant."""
    return str(Sentiment(value).label) if value in Sentiment.values else value


@register.filter
def step_detail(value: str) -> str:
    """What was said with a step of an alert; codes in words."""
    words = {"silenced": _("silenced"), "muted": _("muted"), "inhibited": _("inhibited by another rule")}
    if value in words:
        return words[value]
    return str(Usefulness(value).label) if value and value in Usefulness.values else value


@register.filter
def precision(rule: Any) -> float | None:
    """Useful alerts of a rule among those that people judged."""
    return Precision(rule.name, rule.fired_count, rule.useful_count, rule.noise_count).share
