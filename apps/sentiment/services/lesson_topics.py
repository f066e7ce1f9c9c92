"""Rows that corrections of topics become: of each corrected text all its topics, as far as the version is to learn them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from django.db.models import Exists, OuterRef

from apps.datasets.models import Correction
from apps.datasets.services.corrections import text_hash
from apps.registry.models import ModelVersion
from apps.sentiment.models import Article, ArticleTopic, Monitor
from apps.sentiment.services.aspects import NO, YES, kept_as
from apps.sentiment.services.learners import topic_labels
from apps.sentiment.services.lesson_rows import CONFIDENT, Rows, is_whole, record

SPARE = 100  # articles that are looked at besides, for some are corrected or without their texts


def topic_rows(monitor: Monitor, version: ModelVersion | None, corrections: Sequence[Correction], most: int) -> Rows:
    """A row has the topics that were said, and of those nobody spoke of what versions and words had given.

    The version is taught the topics it gives, and those that no version gives once somebody said that a text is about one;
    without a version all. A version of one label per text is taught by texts with exactly one of its topics.
    """
    labels, given = topic_labels(monitor, version)
    said = _said(corrections)
    new = {topic for about, _texts in said.values() for topic, word in about.items() if word == YES}
    taught = set(labels) & (given | new) if version is not None else set(labels)
    is_single = version is not None and not version.multi_label
    articles = set(
        Article.objects.filter(pk__in={int(each.number) for each in corrections}).values_list("pk", flat=True)
    )
    found = _current(articles, taught)
    there: dict[str, set[int]] = {}  # of texts whose articles are gone nobody knows what else they are about
    for each in corrections:
        if int(each.number) in articles:
            there.setdefault(each.text_hash, set()).update(found.get(int(each.number), ()))
    rows, count = {}, 0
    for digest, (about, text) in said.items():
        heard = {topic: word for topic, word in about.items() if topic in taught}
        names = _names(there.get(digest, ()), heard, labels)
        if heard and digest in there and (len(names) == 1 or not is_single):
            rows[f"text:{digest}"] = record(text, names, corrected=True)
            count += len(heard)
    samples = _samples(monitor, taught, set(said), most, is_single=is_single)
    for digest, (topics, text) in samples.items():
        rows[f"text:{digest}"] = record(text, _names(topics, {}, labels), corrected=False)
    return Rows(rows, count, len(samples))


def _said(corrections: Iterable[Correction]) -> dict[str, tuple[dict[int, str], str]]:
    """Text hash -> (topic -> yes or no, the text)."""
    found: dict[str, tuple[dict[int, str], str]] = {}
    for each in corrections:
        aspect = kept_as(each.aspect)
        if aspect is not None:
            found.setdefault(each.text_hash, ({}, each.text))[0][aspect.subject] = each.label
    return found


def _names(there: Iterable[int], said: Mapping[int, str], labels: Mapping[int, Sequence[str]]) -> list[str]:
    """Labels of a text: what is there and what was said, without what was said not to be."""
    about = {topic for topic in there if said.get(topic) != NO} | {topic for topic in said if said[topic] == YES}
    refused = {label for topic, word in said.items() if word == NO for label in labels[topic]}
    return sorted({labels[topic][0] for topic in about} - refused)


def _current(articles: Iterable[int], topics: Iterable[int]) -> dict[int, set[int]]:
    """Article -> those of the topics that it has."""
    found: dict[int, set[int]] = defaultdict(set)
    rows = ArticleTopic.objects.filter(article__in=list(articles), topic__in=list(topics), is_current=True)
    for article, topic in rows.values_list("article", "topic"):
        found[article].add(topic)
    return found


def _samples(
    monitor: Monitor, topics: set[int], corrected: set[str], most: int, *, is_single: bool
) -> dict[str, tuple[set[int], str]]:
    """Text hash -> (topics, text) of articles that nobody corrected and all of whose topics are sure: in turn of each topic,
    the newest first."""
    if not most:
        return {}
    rows = ArticleTopic.objects.filter(article=OuterRef("pk"), topic__in=topics, is_current=True)
    sure = Article.objects.filter(Exists(rows), ~Exists(rows.filter(probability__lt=CONFIDENT)), monitor=monitor)
    articles = {row.pk: row for row in sure.defer("search").order_by("-id")[: 2 * (most + len(corrected)) + SPARE]}
    about = _current(articles, topics)
    turns: dict[int, int] = defaultdict(int)  # topic -> articles of it that came before
    order: list[tuple[int, int]] = []
    for pk in articles:
        order.append((min(turns[topic] for topic in about[pk]), -pk))
        for topic in about[pk]:
            turns[topic] += 1
    found: dict[str, tuple[set[int], str]] = {}
    for _turn, number in sorted(order):
        article = articles[-number]
        digest = text_hash(article.text)
        fits = is_whole(article) and digest not in corrected and (not is_single or len(about[article.pk]) == 1)
        if fits and digest not in found and len(found) < most:
            found[digest] = (about[article.pk], article.text)
    return found
