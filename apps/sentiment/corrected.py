"""Corrections as pages and API show them: beside articles, and all those of a monitor with what was learnt from them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, F, Max, Q, QuerySet
from django.utils.translation import gettext as _

from apps.datasets import selectors as kept
from apps.datasets.models import Correction
from apps.datasets.services.corrections import text_hash
from apps.sentiment.models import Article, ArticleTopic, AspectKind, Entity, Lesson, Monitor, Sentiment, Topic
from apps.sentiment.selectors_meaning import Spoken, topics_in, topics_of
from apps.sentiment.services.aspects import BY_WORDS, NO, YES, Aspect, kept_as, of_kind
from apps.sentiment.services.corrections import SENTIMENT, SOURCE
from apps.sentiment.services.learners import learners
from apps.sentiment.services.lessons import WITHOUT

ICONS = {
    Sentiment.NEGATIVE.value: "mood-sad",
    Sentiment.NEUTRAL.value: "mood-empty",
    Sentiment.POSITIVE.value: "mood-smile",
    YES: "check",
    NO: "x",
}


def label_name(label: str) -> str:
    """What was said, in words."""
    if label in (YES, NO):
        return _("About it") if label == YES else _("Not about it")
    return str(Sentiment(label).label) if label in Sentiment.values else label


@dataclass(frozen=True)
class Choice:
    """What may be said of an aspect, and whether it was."""

    value: str
    name: str
    icon: str
    is_said: bool


@dataclass(frozen=True)
class Shown:
    """What a person said of one aspect of an article; without `correction` nothing was said. `choices` are what may be said."""

    aspect: Aspect
    correction: Correction | None

    @property
    def choices(self) -> list[Choice]:
        """In order."""
        said = self.correction.label if self.correction else ""
        return [Choice(each, label_name(each), ICONS[each], each == said) for each in self.aspect.labels]

    @property
    def name(self) -> str:
        """What was said, in words."""
        return label_name(self.correction.label) if self.correction else ""

    @property
    def place(self) -> str:
        """Tells its buttons from those of other aspects of the same article."""
        return "" if self.aspect.kind == AspectKind.SENTIMENT else f"-{self.aspect.name.replace(':', '-')}"


def shown(workspace: Any, articles: Sequence[Article]) -> dict[int, Shown]:
    """Article id -> what was said of how it is meant, in one query; of equal texts the same."""
    hashes = {article.pk: _hash(article) for article in articles}
    found = kept.corrected_texts(workspace, set(hashes.values()), SENTIMENT)
    return {pk: Shown(Aspect(AspectKind.SENTIMENT), found.get(digest)) for pk, digest in hashes.items()}


def _hash(article: Article) -> str:
    return article.text_hash or text_hash(article.text)


def with_corrections(workspace: Any, articles: Iterable[Article]) -> list[Article]:
    """The articles, each with `corrected`."""
    rows = list(articles)
    found = shown(workspace, rows)
    for article in rows:
        article.corrected = found[article.pk]  # type: ignore[attr-defined]
    return rows


# --- what one article speaks of ------------------------------------------------------------------------------


@dataclass(frozen=True)
class AboutTopic:
    """A topic that an article has or that somebody spoke of: by what it was given, and what was said."""

    topic: Topic
    given: Sequence[ArticleTopic]
    corrected: Shown

    @property
    def is_about(self) -> bool:
        """By what a person said, else because it was given."""
        said = self.corrected.correction
        return said.label == YES if said else True

    @property
    def told(self) -> str:
        """By whom it was given."""
        told = [
            f"{row.model_version} · {row.probability:.0%}" if row.model_version else _("By words") for row in self.given
        ]
        return ", ".join(told)


@dataclass(frozen=True)
class SpokenAspects:
    """What an article speaks of, as the system and people say: topics, entities, and the topics it could be said to be about."""

    topics: Sequence[AboutTopic] = ()
    entities: Sequence[tuple[Spoken, Shown]] = ()
    others: Sequence[tuple[str, str]] = field(default=())  # (aspect, the topic's name below its parent's)


def spoken_aspects(article: Article, spoken: Sequence[Spoken]) -> SpokenAspects:
    """Topics by name, those given before those only said; entities in the order of the text."""
    said = kept.aspects_of_text(article.monitor.workspace_id, _hash(article))
    given: dict[int, list[ArticleTopic]] = {}
    for row in topics_in(article):
        given.setdefault(row.topic_id, []).append(row)
    topics = {topic.pk: topic for topic in topics_of(article.monitor.workspace_id, article.monitor)}
    shown = {pk: Shown(found := Aspect(AspectKind.TOPIC, pk), said.get(found.name)) for pk in topics}
    about = [
        AboutTopic(topics.get(pk) or rows[0].topic, rows, shown.get(pk) or _unsaid(pk)) for pk, rows in given.items()
    ]
    about += [AboutTopic(topics[pk], (), each) for pk, each in shown.items() if each.correction and pk not in given]
    entities = [
        (each, Shown(found := Aspect(AspectKind.TARGET, each.link.entity_id), said.get(found.name))) for each in spoken
    ]
    there = {each.topic.pk for each in about}
    others = [
        (shown[pk].aspect.name, full_name(row)) for pk, row in topics.items() if row.is_enabled and pk not in there
    ]
    return SpokenAspects(about, entities, sorted(others, key=lambda each: each[1].lower()))


def _unsaid(topic: int) -> Shown:
    return Shown(Aspect(AspectKind.TOPIC, topic), None)


def full_name(topic: Topic) -> str:
    """With what it stands below: names need not differ, where parents do."""
    return f"{topic.parent.name} › {topic.name}" if topic.parent else topic.name


# --- all of a monitor ----------------------------------------------------------------------------------------


def corrections_of(monitor: Monitor) -> QuerySet[Correction]:
    """What counts of the corrections of a monitor's articles, newest first."""
    return kept.corrections_of(monitor.workspace, SOURCE, f"{monitor.pk}/")


def with_subjects(monitor: Monitor, corrections: Iterable[Correction]) -> list[Correction]:
    """The corrections, each with `kind` and `subject`: the topic's or entity's name, empty where it is gone from here."""
    rows = list(corrections)
    aspects = [kept_as(row.aspect) or Aspect(AspectKind.SENTIMENT) for row in rows]
    ids = {kind: {each.subject for each in aspects if each.kind == kind} for kind in AspectKind}
    topics = topics_of(monitor.workspace_id, monitor).filter(pk__in=ids[AspectKind.TOPIC])
    entities = Entity.objects.filter(workspace=monitor.workspace_id, pk__in=ids[AspectKind.TARGET])
    names = {
        AspectKind.TOPIC: {row.pk: full_name(row) for row in topics} if ids[AspectKind.TOPIC] else {},
        AspectKind.TARGET: dict(entities.values_list("pk", "name")) if ids[AspectKind.TARGET] else {},
    }
    for row, aspect in zip(rows, aspects, strict=True):
        row.kind = aspect.kind  # type: ignore[attr-defined]
        row.subject = names.get(aspect.kind, {}).get(aspect.subject, "")  # type: ignore[attr-defined]
        row.is_by_words = row.model_version == BY_WORDS  # type: ignore[attr-defined]
    return rows


def lessons_of(monitor: Monitor) -> QuerySet[Lesson]:
    """Lessons, newest first."""
    rows = Lesson.objects.filter(monitor=monitor).order_by("-id")
    return rows.select_related("dataset_version__dataset", "dataset_version__job", "training_job__job", "created_by")


@dataclass(frozen=True)
class Standing:
    """Of one aspect: all corrections that count, those the system had said otherwise, those it had said, too.

    People correct what they see to be wrong: the share of `otherwise_count` says nothing of how often the system is right.
    """

    aspect: AspectKind
    count: int
    otherwise_count: int
    confirmed_count: int


def standings_of(monitor: Monitor) -> list[Standing]:
    """Of each aspect, in one query."""
    otherwise = ~Q(previous_label="") & ~Q(previous_label=F("label"))
    counts = {}
    for kind in AspectKind:
        counts[f"{kind.value}_all"] = Count("pk", of_kind(kind))
        counts[f"{kind.value}_otherwise"] = Count("pk", of_kind(kind) & otherwise)
        counts[f"{kind.value}_confirmed"] = Count("pk", of_kind(kind) & Q(previous_label=F("label")))
    found = corrections_of(monitor).order_by().aggregate(**counts)
    parts = ("all", "otherwise", "confirmed")
    return [Standing(kind, *(found[f"{kind.value}_{part}"] for part in parts)) for kind in AspectKind]


@dataclass(frozen=True)
class Learning:
    """What one version may learn of one aspect: its newest lesson, and the corrections that no lesson of it holds yet."""

    aspect: AspectKind
    model: str  # as the monitor names it; empty where no version gives the aspect
    place: str  # tells its card from others
    count: int
    fresh_count: int
    lesson: Lesson | None

    @property
    def hindrance(self) -> str:
        """Why nothing can be trained; empty where it can."""
        return "" if self.model else str(WITHOUT[self.aspect])


def learnings_of(monitor: Monitor) -> list[Learning]:
    """For each aspect each version that gives it (one without, where none does), in two queries."""
    newest = Lesson.objects.filter(monitor=monitor).order_by().values("aspect", "model").annotate(last=Max("pk"))
    lessons = {(row.aspect, row.model): row for row in lessons_of(monitor).filter(pk__in=newest.values("last"))}
    learning = [(kind, name) for kind in AspectKind for name in learners(monitor, kind) or [""]]
    counts = {}
    for at, (kind, name) in enumerate(learning):
        lesson = lessons.get((kind.value, name))
        counts[f"all_{at}"] = Count("pk", of_kind(kind))
        counts[f"fresh_{at}"] = Count("pk", of_kind(kind) & Q(pk__gt=lesson.last_correction if lesson else 0))
    found = corrections_of(monitor).order_by().aggregate(**counts)
    return [
        Learning(
            kind, name, f"{kind.value}-{at}", found[f"all_{at}"], found[f"fresh_{at}"], lessons.get((kind.value, name))
        )
        for at, (kind, name) in enumerate(learning)
    ]
