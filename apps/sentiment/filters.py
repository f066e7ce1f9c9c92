"""Filters of articles, shared by page and API."""

from datetime import datetime
from typing import Any

from django import forms
from django.db.models import F, QuerySet
from django.utils.translation import gettext_lazy as _
from django_filters import BooleanFilter, CharFilter, ChoiceFilter, DateFilter, FilterSet, ModelChoiceFilter

from apps.datasets.models import Correction
from apps.notifications.models import Severity
from apps.sentiment.models import (
    Alert,
    AlertState,
    Article,
    AspectKind,
    Dimension,
    RuleKind,
    Sentiment,
    Source,
    Topic,
    Usefulness,
)
from apps.sentiment.selectors import meant_as, without_score
from apps.sentiment.selectors_alerts import in_language, is_id, of_series
from apps.sentiment.selectors_meaning import about, speaking_of, topics_of
from apps.sentiment.services.aspects import NO, YES, of_kind
from core.search import found_by

UNREAD = "unread"


def moments_of(span: str) -> tuple[datetime | None, datetime | None]:
    """Begin and end of a span as ISO 8601 writes it; (None, None) where it is none."""
    try:
        found = [datetime.fromisoformat(part) for part in span.split("/")]
    except ValueError:
        return None, None
    if len(found) != 2 or any(moment.tzinfo is None for moment in found):
        return None, None
    return found[0], found[1]


def _day() -> forms.DateInput:
    return forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")


class AlertFilter(FilterSet):
    """By where they stand, how grave they are, kind of rule and who answers for them."""

    state = ChoiceFilter(
        choices=[("open", _("Open")), *AlertState.choices],
        method="with_state",
        label=_("State"),
        empty_label=_("Any state"),
    )
    severity = ChoiceFilter(choices=Severity.choices, label=_("Severity"), empty_label=_("Any severity"))
    kind = ChoiceFilter(choices=RuleKind.choices, label=_("Kind"), empty_label=_("Any kind"))
    mine = ChoiceFilter(
        choices=[("me", _("Assigned to me")), ("nobody", _("Nobody has answered"))],
        method="with_answer",
        label=_("Who answers"),
        empty_label=_("Anybody"),
    )
    usefulness = ChoiceFilter(
        choices=[each for each in Usefulness.choices if each[0]], label=_("Judged"), empty_label=_("Any judgement")
    )

    class Meta:
        model = Alert
        fields = ("state", "severity", "kind", "mine", "usefulness")

    def __init__(self, *args: Any, user: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def with_state(self, rows: QuerySet[Alert], _name: str, value: str) -> QuerySet[Alert]:
        """Open ones are pending or firing."""
        return rows.filter(state__in=["pending", "firing"]) if value == "open" else rows.filter(state=value)

    def with_answer(self, rows: QuerySet[Alert], _name: str, value: str) -> QuerySet[Alert]:
        """Those a person answers for, or those that fire and nobody has looked at."""
        if value == "me":
            return rows.filter(assigned_to=self.user)
        return rows.filter(state=AlertState.FIRING, acknowledged_at=None)


class CorrectionFilter(FilterSet):
    """By words, aspect, what was said, whether the system had said otherwise, and who said it."""

    q = CharFilter(
        field_name="text",
        lookup_expr="icontains",
        label=_("Words"),
        widget=forms.TextInput(attrs={"type": "search", "data-search": ""}),
    )
    aspect = ChoiceFilter(
        choices=AspectKind.choices, method="with_aspect", label=_("What was corrected"), empty_label=_("Anything")
    )
    label = ChoiceFilter(
        choices=[
            *(each for each in Sentiment.choices if each[0] != Sentiment.ABSTAINED),
            (YES, _("About it")),
            (NO, _("Not about it")),
        ],
        label=_("What is right"),
        empty_label=_("Any"),
    )
    otherwise = ChoiceFilter(
        choices=[("yes", _("Said otherwise")), ("no", _("Confirmed"))],
        method="with_otherwise",
        label=_("Had been said"),
        empty_label=_("Any"),
    )
    author = CharFilter(lookup_expr="icontains", label=_("Said by"))

    class Meta:
        model = Correction
        fields = ("q", "aspect", "label", "otherwise", "author")

    def with_aspect(self, rows: QuerySet[Correction], _name: str, value: str) -> QuerySet[Correction]:
        """Corrections of articles, of their topics, or of the entities they speak of."""
        return rows.filter(of_kind(value))

    def with_otherwise(self, rows: QuerySet[Correction], _name: str, value: str) -> QuerySet[Correction]:
        """Corrections of which the system had said something else, or the same."""
        said = rows.exclude(previous_label="")
        return said.exclude(previous_label=F("label")) if value == "yes" else said.filter(previous_label=F("label"))


class ArticleFilter(FilterSet):
    """By words in any language, source, sentiment, topic, entity, language and day of publication."""

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
    topic = ModelChoiceFilter(
        queryset=Topic.objects.none(), method="with_topic", label=_("Topic"), empty_label=_("Any topic")
    )
    entity = CharFilter(
        method="with_entity", label=_("Entity"), widget=forms.TextInput(attrs={"size": 12, "placeholder": _("Any")})
    )
    alone = BooleanFilter(method="without_those_below", widget=forms.HiddenInput)
    story = CharFilter(method="with_story", widget=forms.HiddenInput)
    language = CharFilter(
        method="with_language", label=_("Language"), widget=forms.TextInput(attrs={"size": 4, "placeholder": "zh"})
    )
    since = DateFilter(field_name="published_at", lookup_expr="date__gte", label=_("From day"), widget=_day())
    until = DateFilter(field_name="published_at", lookup_expr="date__lte", label=_("To day"), widget=_day())
    published = CharFilter(method="within", widget=forms.HiddenInput)
    received = CharFilter(method="within", widget=forms.HiddenInput)

    class Meta:
        model = Article
        fields = (
            "q", "source", "sentiment", "topic", "alone", "entity", "story", "language", "since", "until", "published", "received",
        )  # fmt: skip

    def __init__(self, *args: Any, monitor: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if monitor is not None:
            sources: Any = self.filters["source"]
            sources.queryset = Source.objects.filter(monitor=monitor).order_by("name")
            topics: Any = self.filters["topic"]
            topics.queryset = topics_of(monitor.workspace_id, monitor)
            self.workspace_id = monitor.workspace_id

    def within(self, rows: QuerySet[Article], name: str, value: str) -> QuerySet[Article]:
        """Articles of a span of time: begin/end (ISO 8601), the end not with it."""
        begin, end = moments_of(value)
        if begin is None or end is None:
            return rows.none()
        return rows.filter(**{f"{name}_at__gte": begin, f"{name}_at__lt": end})

    def with_story(self, rows: QuerySet[Article], _name: str, value: str) -> QuerySet[Article]:
        """Articles that tell one story."""
        return rows.filter(story=int(value)) if is_id(value) else rows.none()

    def with_words(self, rows: QuerySet[Article], _name: str, value: str) -> QuerySet[Article]:
        """Articles that hold every word; Chinese from one character on."""
        return found_by(rows, value, "search")

    def with_sentiment(self, rows: QuerySet[Article], _name: str, value: str) -> QuerySet[Article]:
        """Articles whose newest score is this, or those that have none."""
        return without_score(rows) if value == UNREAD else meant_as(rows, value)

    def with_topic(self, rows: QuerySet[Article], _name: str, value: Topic) -> QuerySet[Article]:
        """Articles of this topic or, unless it is asked for alone, of one below it."""
        is_alone = self.form.cleaned_data.get("alone")
        return rows.filter(of_series(Dimension.TOPIC, [str(value.pk)])) if is_alone else about(rows, value)

    def without_those_below(self, rows: QuerySet[Article], _name: str, _value: bool) -> QuerySet[Article]:
        """It says how the topic is meant: charts count each topic by itself."""
        return rows

    def with_language(self, rows: QuerySet[Article], _name: str, value: str) -> QuerySet[Article]:
        """Articles in it, and in the ways it is written or spoken."""
        return rows.filter(in_language(value.strip()))

    def with_entity(self, rows: QuerySet[Article], _name: str, value: str) -> QuerySet[Article]:
        """Articles that speak of it: its id, name or an alias."""
        return speaking_of(rows, self.workspace_id, value.strip())
