"""What a trend shows: the same question for page and API."""

from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.sentiment.forms_within import WithinForm
from apps.sentiment.markets import Market
from apps.sentiment.models import BucketSize, Clock, Dimension, Monitor
from apps.sentiment.trends import COUNTED, MOST_BUCKETS, MOST_SERIES, Asked, TrendMeasure
from apps.sentiment.within import NAMES

SPANS = {
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=30),
    "quarter": timedelta(days=90),
    "year": timedelta(days=365),
}
SPAN_NAMES = [
    ("day", _("24 hours")),
    ("week", _("7 days")),
    ("month", _("30 days")),
    ("quarter", _("90 days")),
    ("year", _("One year")),
    ("dates", _("From day to day")),
]


def _day() -> forms.DateInput:
    return forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")


class TrendForm(WithinForm):
    """What is not given has its default, so that an address may be short."""

    measure = forms.ChoiceField(label=_("Measure"), choices=TrendMeasure.choices, required=False)
    dimension = forms.ChoiceField(label=_("Split by"), choices=Dimension.choices, required=False)
    span = forms.ChoiceField(label=_("Span"), choices=SPAN_NAMES, required=False)
    since = forms.DateField(label=_("From day"), required=False, widget=_day())
    until = forms.DateField(label=_("To day"), required=False, widget=_day())
    seconds = forms.TypedChoiceField(
        label=_("Bucket"),
        choices=[("", _("By the span")), *BucketSize.choices],
        coerce=int,
        required=False,
    )
    clock = forms.ChoiceField(label=_("By which time"), choices=Clock.choices, required=False)
    market = forms.ChoiceField(label=_("Days"), choices=[("", _("All days")), *Market.choices], required=False)
    compare = forms.BooleanField(label=_("Compare with before"), required=False)
    voice = forms.BooleanField(label=_("Share of voice"), required=False)

    DEFAULTS = {
        "measure": TrendMeasure.ARTICLES,
        "dimension": Dimension.TOTAL,
        "span": "week",
        "clock": Clock.PUBLISHED,
    }

    def __init__(self, data: Any, *, monitor: Monitor) -> None:
        given = {**self.DEFAULTS, **{name: data.get(name) for name in self.base_fields if data.get(name)}}
        if data.get("since") and not data.get("span"):
            given["span"] = "dates"
        super().__init__(given)
        self.zone = ZoneInfo(monitor.time_zone)
        self.keys = tuple(dict.fromkeys(data.getlist("key")))
        market: Any = self.fields["market"]
        names = [(code, _("Trading days: %s") % name) for code, name in Market.choices]
        market.choices = [("", _("All days")), *names]
        self.offer(monitor)

    def asking(self) -> list[Any]:
        """What is drawn."""
        return [self[name] for name in self.fields if name not in NAMES]

    def clean(self) -> dict[str, Any]:
        """The span must be one, and hold no more buckets than can be drawn."""
        values: dict[str, Any] = super().clean() or {}
        if values.get("dimension") in NAMES and values.get(values["dimension"]):
            message = gettext("The trend is split by this: choose its series instead.")
            self.add_error(values["dimension"], message)
        if self.errors:
            return values
        if len(self.keys) > MOST_SERIES:
            raise forms.ValidationError(gettext("Choose at most %s series.") % MOST_SERIES)
        start_at, end_at = self._span(values)
        if start_at >= end_at:
            raise forms.ValidationError(gettext("The first day lies after the last one."))
        values["start_at"], values["end_at"] = start_at, end_at
        values["seconds"] = values["seconds"] or _size(end_at - start_at)
        if (end_at - start_at).total_seconds() > MOST_BUCKETS * values["seconds"]:
            raise forms.ValidationError(
                gettext("Choose a longer bucket or a shorter span: at most %s buckets.") % MOST_BUCKETS
            )
        return values

    def _span(self, values: dict[str, Any]) -> tuple[datetime, datetime]:
        now = timezone.now()
        if values["span"] != "dates":
            return now - SPANS[values["span"]], now
        last = values["until"] or now.astimezone(self.zone).date()
        first = values["since"] or last - timedelta(days=6)
        end = datetime.combine(last, time.max, self.zone) if last.year < 9999 else now
        return datetime.combine(first, time(), self.zone), min(now, end)

    def asked(self) -> Asked:
        """What was asked for, when it is valid."""
        values = self.cleaned_data
        is_total = values["dimension"] == Dimension.TOTAL
        return Asked(
            values["start_at"],
            values["end_at"],
            values["seconds"],
            self.zone,
            values["measure"],
            values["dimension"],
            ("",) if is_total else self.keys,
            values["clock"],
            values["market"],
            values["compare"],
            values["voice"] and not is_total and values["measure"] in COUNTED,
            self.within(),
        )


def _size(span: timedelta) -> int:
    if span <= timedelta(hours=6):
        return BucketSize.FIVE_MINUTES
    return BucketSize.HOUR if span <= timedelta(days=14) else BucketSize.DAY
