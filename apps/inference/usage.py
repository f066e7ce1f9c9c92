"""What was used: the filtered rows with their sums, a chart by day, and the rows as a file."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from django import forms
from django.db.models import F, QuerySet, Sum
from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_filters import ChoiceFilter, DateFilter, FilterSet

from apps.inference.models import Usage, UsageKind
from core.rows_out import as_text

SHOWN_DAYS = 30
MOST_DAYS = 366
SUMS = ("requests", "errors", "prompt_tokens", "cached_tokens", "answer_tokens", "seconds")
COLUMNS = ("day", "key_id", "key_name", "version_id", "version_name", "kind", *SUMS)


class UsageFilter(FilterSet):
    """By days, key, model version and what used it."""

    since = DateFilter(
        field_name="day",
        lookup_expr="gte",
        label=gettext_lazy("From day"),
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    until = DateFilter(
        field_name="day",
        lookup_expr="lte",
        label=gettext_lazy("To day"),
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    key = ChoiceFilter(field_name="key_id", label=gettext_lazy("API key"), empty_label=gettext_lazy("All keys"))
    version = ChoiceFilter(
        field_name="version_id", label=gettext_lazy("Model version"), empty_label=gettext_lazy("All versions")
    )

    kind = ChoiceFilter(choices=UsageKind.choices, label=gettext_lazy("Kind"), empty_label=gettext_lazy("Everything"))

    class Meta:
        model = Usage
        fields = ("since", "until", "key", "version", "kind")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = self.queryset
        assert rows is not None
        keys = dict(rows.order_by("id").values_list("key_id", "key_name").distinct())
        versions = dict(rows.order_by("id").values_list("version_id", "version_name").distinct())
        self.filters["key"].extra["choices"] = [(pk, name or _("Pages")) for pk, name in sorted(keys.items())]
        self.filters["version"].extra["choices"] = sorted(versions.items(), key=lambda each: each[1])


def usage_of(workspace: Any) -> QuerySet[Usage]:
    """All rows of a workspace."""
    return Usage.objects.filter(workspace=workspace)


def totals(rows: QuerySet[Usage]) -> dict[str, Any]:
    """The sums of rows."""
    return {name: value or 0 for name, value in rows.aggregate(**{name: Sum(name) for name in SUMS}).items()}


def month_of(workspace: Any) -> dict[str, Any]:
    """Requests and tokens of this calendar month (UTC), beside the quotas."""
    first = timezone.now().date().replace(day=1)
    month = usage_of(workspace).filter(kind=UsageKind.REQUEST, day__gte=first)
    used = month.aggregate(requests=Sum("requests"), tokens=Sum(F("prompt_tokens") + F("answer_tokens")))
    return {
        "requests": used["requests"] or 0,
        "tokens": used["tokens"] or 0,
        "most_requests": workspace.requests_per_month,
        "most_tokens": workspace.tokens_per_month,
    }


def chart(rows: QuerySet[Usage]) -> dict[str, Any]:
    """Tokens read and written by day, of the days that the rows span, at most a year of them."""
    found = {
        each["day"]: (each["read"], each["written"])
        for each in rows.order_by("day").values("day").annotate(read=Sum("prompt_tokens"), written=Sum("answer_tokens"))
    }
    if not found:
        return {}
    last = max(found)
    first = max(min(min(found), last - timedelta(days=SHOWN_DAYS - 1)), last - timedelta(days=MOST_DAYS - 1))
    days = [first + timedelta(days=at) for at in range((last - first).days + 1)]
    return {
        "categories": [_day(day) for day in days],
        "series": [
            {"name": _("Tokens read"), "values": [found.get(day, (0, 0))[0] for day in days]},
            {"name": _("Tokens written"), "values": [found.get(day, (0, 0))[1] for day in days]},
        ],
        "stacked": True,
    }


def written(rows: QuerySet[Usage], form: str) -> Iterator[str]:
    """The rows as the pieces of a file."""
    return as_text(rows, form, COLUMNS, record)


def record(row: Usage) -> dict[str, Any]:
    """One row in plain values."""
    return {name: getattr(row, name) for name in COLUMNS} | {"day": row.day.isoformat()}


def _day(day: date) -> str:
    return formats.date_format(day, "MONTH_DAY_FORMAT")
