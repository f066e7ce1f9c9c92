"""Filters of articles, shared by page and API."""

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _
from django_filters import CharFilter, ChoiceFilter, DateFilter, FilterSet, ModelChoiceFilter

from apps.sentiment.models import Article, Sentiment, Source
from apps.sentiment.selectors import meant_as, without_score
from core.search import found_by

UNREAD = "unread"


def _day() -> forms.DateInput:
    return forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")


class ArticleFilter(FilterSet):
    """By words in any language, source, sentiment, language and day of publication."""

    q = CharFilter(
        method="with_words",
        label=_("Words"),
        widget=forms.TextInput(
            attrs={"type": "search", "placeholder": _("Search titles and texts"), "data-search": ""}
        ),
    )
    source = ModelChoiceFilter(queryset=Source.objects.none(), label=_("Source"), empty_label=_("Any source"))
    sentiment = ChoiceFilter(
        choices=[*Sentiment.choices, (UNREAD, _("Not scored"))],
        method="with_sentiment",
        label=_("Sentiment"),
        empty_label=_("Any sentiment"),
    )
    language = CharFilter(label=_("Language"), widget=forms.TextInput(attrs={"size": 4, "placeholder": "zh"}))
    since = DateFilter(field_name="published_at", lookup_expr="date__gte", label=_("From day"), widget=_day())
    until = DateFilter(field_name="published_at", lookup_expr="date__lte", label=_("To day"), widget=_day())

    class Meta:
        model = Article
        fields = ("q", "source", "sentiment", "language", "since", "until")

    def __init__(self, *args: Any, monitor: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if monitor is not None:
            sources: Any = self.filters["source"]
            sources.queryset = Source.objects.filter(monitor=monitor).order_by("name")

    def with_words(self, rows: QuerySet[Article], _name: str, value: str) -> QuerySet[Article]:
        """Articles that hold every word; Chinese from one character on."""
        return found_by(rows, value, "search")

    def with_sentiment(self, rows: QuerySet[Article], _name: str, value: str) -> QuerySet[Article]:
        """Articles whose newest score is this, or those that have none."""
        return without_score(rows) if value == UNREAD else meant_as(rows, value)
