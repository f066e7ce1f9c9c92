"""A digest as words and shapes: the values that page, mail and PDF lay out, each in its own way."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.template.loader import render_to_string
from django.utils import formats, timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.sentiment.digests import TONES, Bar, Digest, Figure, Period

COLOURS = {
    "negative": "#c92a2a",
    "neutral": "#adb5bd",
    "positive": "#2b8a3e",
    "abstained": "#e8c15a",
    "unread": "#dee2e6",
}
NAMES = {
    "negative": gettext_lazy("Negative"),
    "neutral": gettext_lazy("Neutral"),
    "positive": gettext_lazy("Positive"),
    "abstained": gettext_lazy("Not sure"),
    "unread": gettext_lazy("Not scored"),
}
STATES = {
    "well": gettext_lazy("Well"),
    "failing": gettext_lazy("Fails"),
    "silent": gettext_lazy("Silent"),
    "off": gettext_lazy("Off"),
    "new": gettext_lazy("New"),
}
CHART_HEIGHT = 120  # pixels of the tallest bar in a mail, units in the drawing
WIDTH, GAP, FOOT = 560, 3, 22


@dataclass(frozen=True)
class Part:
    """A coloured part of a bar."""

    tone: str
    colour: str
    height: int
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0


@dataclass(frozen=True)
class DrawnBar:
    """A bar of the chart with its label; no parts where nothing was counted."""

    label: str
    x: float
    width: float
    parts: Sequence[Part]
    count: int | None


@dataclass(frozen=True)
class Fact:
    """A figure with how it changed; `is_bad` when the change is for the worse, None when it is neither."""

    name: str
    value: str
    change: str
    is_bad: bool | None


def title_of(digest: Digest) -> str:
    """In the language of the moment."""
    if digest.period == Period.WEEK:
        return _("Weekly digest: {name}").format(name=digest.monitor.name)
    return _("Daily digest: {name}").format(name=digest.monitor.name)


def span_words(digest: Digest) -> str:
    """From when to when, in the monitor's time zone."""
    begin, end = (_said(at) for at in (digest.start_at, digest.end_at))
    return f"{begin} – {end} ({digest.monitor.time_zone})"


def _said(moment: datetime) -> str:
    return formats.date_format(moment, "DATETIME_FORMAT")


def facts_of(digest: Digest) -> list[Fact]:
    """The figures at the top."""
    return [
        Fact(_("Articles"), f"{digest.articles.value:,}", _change(digest.articles), None),
        Fact(_("Stories"), f"{digest.stories.value:,}", _change(digest.stories), None),
        _negative(digest.negative_share),
    ]


def _change(figure: Figure) -> str:
    if figure.change is None:
        return _("nothing to compare with")
    return _("{change} against the period before").format(change=f"{figure.change:+.0%}".replace("%", " %"))


def _negative(share: Figure) -> Fact:
    """A share changes by points."""
    if share.value is None:
        return Fact(_("Negative share"), "–", _("no article was scored"), None)
    value = f"{share.value * 100:.1f} %"
    if share.before is None:
        return Fact(_("Negative share"), value, _("nothing to compare with"), None)
    points = (share.value - share.before) * 100
    change = _("{points} points against the period before").format(points=f"{points:+.1f}")
    return Fact(_("Negative share"), value, change, None if abs(points) < 0.05 else points > 0)


def drawn(digest: Digest) -> list[DrawnBar]:
    """The chart's bars, bottom up, in a box of WIDTH by CHART_HEIGHT."""
    most = max((sum(bar.counts.values()) for bar in digest.bars if bar.counts), default=0)
    step = WIDTH / max(len(digest.bars), 1)
    return [_drawn(bar, at * step, step - GAP, most, digest.period) for at, bar in enumerate(digest.bars)]


def _drawn(bar: Bar, x: float, width: float, most: int, period: str) -> DrawnBar:
    label = formats.date_format(bar.start_at, "D j" if period == Period.WEEK else "H")
    parts, top = [], float(CHART_HEIGHT)
    for tone in TONES:
        count = (bar.counts or {}).get(tone, 0)
        if count:
            height = max(1, round(count / most * CHART_HEIGHT))
            top -= height
            parts.append(Part(tone, COLOURS[tone], height, round(x, 1), top, round(width, 1)))
    return DrawnBar(label, round(x, 1), round(width, 1), parts, sum(bar.counts.values()) if bar.counts else None)


def legend(digest: Digest) -> list[tuple[str, str, int]]:
    """(name, colour, count) of the tones that occur."""
    sums = {tone: sum((bar.counts or {}).get(tone, 0) for bar in digest.bars) for tone in TONES}
    return [(str(NAMES[tone]), COLOURS[tone], count) for tone, count in sums.items() if count]


def context_of(digest: Digest, base_url: str) -> dict[str, Any]:
    """What templates and the PDF lay out, in the language of the moment; `base_url` is that of the workspace's pages."""
    return {
        "digest": digest,
        "title": title_of(digest),
        "span": span_words(digest),
        "facts": facts_of(digest),
        "bars": drawn(digest),
        "legend": legend(digest),
        "chart": {"width": WIDTH, "height": CHART_HEIGHT, "whole": CHART_HEIGHT + FOOT, "labels_at": CHART_HEIGHT + 16},
        "label_every": max(1, len(digest.bars) // 8),
        "states": {name: str(words) for name, words in STATES.items()},
        "source_lines": [(line, str(STATES[line.health.state])) for line in digest.sources],
        "base_url": base_url,
        "language": translation.get_language(),
    }


def html_of(digest: Digest, base_url: str) -> str:
    """The mail: one document, all styles inline, the chart of table cells, for mail programs drop drawings."""
    with timezone.override(ZoneInfo(digest.monitor.time_zone)):
        return render_to_string("sentiment/digest_mail.html", context_of(digest, base_url))
