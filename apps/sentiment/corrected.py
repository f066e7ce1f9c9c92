"""Corrections as pages and API show them: beside articles, and all those of a monitor with what was learnt from them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, Q, QuerySet

from apps.datasets import selectors as kept
from apps.datasets.models import Correction
from apps.datasets.services.corrections import text_hash
from apps.sentiment.models import Article, Lesson, Monitor, Sentiment
from apps.sentiment.services.corrections import SAID, SENTIMENT, SOURCE


@dataclass(frozen=True)
class Shown:
    """What a person said of one aspect of an article; without `correction` nothing was said. `choices` are what may be said."""

    aspect: str
    correction: Correction | None

    @property
    def choices(self) -> list[tuple[str, str, bool]]:
        """(value, name, whether it was said)"""
        said = self.correction.label if self.correction else ""
        return [(each.value, str(each.label), each.value == said) for each in SAID]

    @property
    def name(self) -> str:
        """What was said, in words."""
        return str(Sentiment(self.correction.label).label) if self.correction else ""


def shown(workspace: Any, articles: Sequence[Article], *, aspect: str = SENTIMENT) -> dict[int, Shown]:
    """Article id -> what was said of it, in one query; of equal texts the same."""
    hashes = {article.pk: article.text_hash or text_hash(article.text) for article in articles}
    found = kept.corrected_texts(workspace, set(hashes.values()), aspect)
    return {pk: Shown(aspect, found.get(digest)) for pk, digest in hashes.items()}


def with_corrections(workspace: Any, articles: Iterable[Article]) -> list[Article]:
    """The articles, each with `corrected`."""
    rows = list(articles)
    found = shown(workspace, rows)
    for article in rows:
        article.corrected = found[article.pk]  # type: ignore[attr-defined]
    return rows


def corrections_of(monitor: Monitor) -> QuerySet[Correction]:
    """What counts of the corrections of a monitor's articles, newest first."""
    return kept.corrections_of(monitor.workspace, SOURCE, f"{monitor.pk}/")


def lessons_of(monitor: Monitor) -> QuerySet[Lesson]:
    """Lessons, newest first."""
    rows = Lesson.objects.filter(monitor=monitor).order_by("-id")
    return rows.select_related("dataset_version__dataset", "dataset_version__job", "training_job__job", "created_by")


@dataclass(frozen=True)
class Standing:
    """How far corrections are: of all that count, those the version had said otherwise, and those no lesson holds yet.

    People correct what they see to be wrong: the share of `otherwise_count` says nothing of how often the version is right.
    """

    count: int
    otherwise_count: int
    confirmed_count: int
    fresh_count: int
    article_count: int


def standing_of(monitor: Monitor) -> Standing:
    """Of corrections of sentiment."""
    last = Lesson.objects.filter(monitor=monitor).order_by("-id").values_list("last_correction", flat=True).first()
    rows = corrections_of(monitor).filter(aspect=SENTIMENT).order_by()
    said = ~Q(previous_label="")
    found = rows.aggregate(
        count=Count("pk"),
        otherwise=Count("pk", said & ~Q(previous_label=F("label"))),
        confirmed=Count("pk", said & Q(previous_label=F("label"))),
        fresh=Count("pk", Q(pk__gt=last or 0)),
    )
    articles = Article.objects.filter(monitor=monitor).count()
    return Standing(found["count"], found["otherwise"], found["confirmed"], found["fresh"], articles)
