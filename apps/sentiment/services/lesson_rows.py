"""Rows that corrections of sentiment become: of whole articles, and of what is read of an entity in them."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery

from apps.datasets.models import Correction
from apps.datasets.services.corrections import text_hash
from apps.registry.models import ModelVersion
from apps.sentiment.models import Article, ArticleEntity, Monitor, Score, TargetScore
from apps.sentiment.services.aspects import SAID, kept_as
from apps.sentiment.services.learners import label_names
from apps.sentiment.services.targets import links_of, read_of

CONFIDENT = 0.9  # a probability


class Rows(NamedTuple):
    """External id -> record; of how many corrections they came, and of how many articles that nobody corrected."""

    records: Mapping[str, Mapping[str, Any]]
    correction_count: int
    sample_count: int


def record(text: str, labels: Sequence[str], *, corrected: bool) -> dict[str, Any]:
    """A row of a dataset of kind classification."""
    return {"text": text, "labels": list(labels), "meta": {"corrected": corrected}}


def is_whole(article: Article) -> bool:
    """Whether its text is still the one that was read."""
    return article.text_hash in ("", text_hash(article.text))


# --- how articles are meant ----------------------------------------------------------------------------------


def sentiment_rows(
    monitor: Monitor, version: ModelVersion | None, corrections: Sequence[Correction], most: int
) -> Rows:
    """Each corrected text under the version's label, and at most `most` articles it was sure about."""
    names = label_names(monitor, version)
    corrected = {each.text_hash for each in corrections}
    rows = {f"text:{each.text_hash}": record(each.text, [names[each.label]], corrected=True) for each in corrections}
    count = 0
    for said, left in _alike(most):
        for article in _sure(monitor, said)[: left + len(corrected) + count]:
            name = f"text:{text_hash(article.text)}"
            if left and name not in rows and is_whole(article):
                rows[name] = record(article.text, [names[said]], corrected=False)
                count, left = count + 1, left - 1
    return Rows(rows, len(corrections), count)


def _alike(most: int) -> Iterator[tuple[str, int]]:
    """Each sentiment with its part of `most`."""
    for at, said in enumerate(SAID):
        yield said.value, most * (at + 1) // len(SAID) - most * at // len(SAID)


def _sure(monitor: Monitor, said: str) -> QuerySet[Article]:
    """Articles whose newest score is this, with confidence; the newest first."""
    newest = Score.objects.filter(article=OuterRef("pk")).order_by("-id")
    rows = Article.objects.filter(monitor=monitor).annotate(
        newest=Subquery(newest.values("sentiment")[:1]), sure=Subquery(newest.values("probability")[:1])
    )
    return rows.filter(newest=said, sure__gte=CONFIDENT).defer("search").order_by("-id")


# --- how entities are spoken of ------------------------------------------------------------------------------


def target_rows(monitor: Monitor, version: ModelVersion | None, corrections: Sequence[Correction], most: int) -> Rows:
    """What the version reads of each corrected entity in its article, all of it under the label that was said.

    A correction whose article is gone, or does not speak of the entity any more, has nothing to be read.
    """
    names, reads = label_names(monitor, version), _Reads(is_dedicated=bool(monitor.target_model))
    links = links_of({int(each.number) for each in corrections})
    corrected, count = set(), 0
    for each in corrections:
        aspect, there = kept_as(each.aspect), links.get(int(each.number), [])
        link = next((link for link in there if aspect and link.entity_id == aspect.subject), None)
        corrected.add((each.text_hash, aspect.subject if aspect else 0))
        if link is not None and reads.add(each.text, link, there, names[each.label], corrected=True):
            count += 1
    samples = 0
    for said, left in _alike(most):
        sure = list(_sure_towards(monitor, said, is_dedicated=reads.is_dedicated)[: left + len(corrected)])
        there_by_article = links_of({score.article_id for score in sure})
        for score in sure:
            there, text = there_by_article.get(score.article_id, []), score.article.text
            link = next((link for link in there if link.entity_id == score.entity_id), None)
            if not left or link is None or (text_hash(text), score.entity_id) in corrected:
                continue
            if is_whole(score.article) and reads.add(text, link, there, names[said], corrected=False):
                samples, left = samples + 1, left - 1
    return Rows(reads.rows, count, samples)


class _Reads:
    """Rows by what is read; of equal ones the first counts. Those of one text share its hash, so that no split divides them."""

    def __init__(self, *, is_dedicated: bool) -> None:
        self.is_dedicated = is_dedicated
        self.rows: dict[str, dict[str, Any]] = {}
        self._seen: set[str] = set()

    def add(
        self, text: str, link: ArticleEntity, links: Sequence[ArticleEntity], label: str, *, corrected: bool
    ) -> bool:
        """Whether there was something to read."""
        found = read_of(text, link, links, is_dedicated=self.is_dedicated)
        for window in found:
            if window not in self._seen:
                self._seen.add(window)
                digest = hashlib.sha256(window.encode("utf-8", "surrogatepass")).hexdigest()
                self.rows[f"text:{text_hash(text)}:{digest[:16]}"] = record(window, [label], corrected=corrected)
        return bool(found)


def _sure_towards(monitor: Monitor, said: str, *, is_dedicated: bool) -> QuerySet[TargetScore]:
    """What was said last of an entity in an article, if it is this with confidence; the newest first."""
    rows = TargetScore.objects.filter(article__monitor=monitor, is_dedicated=is_dedicated)
    later = rows.filter(article=OuterRef("article"), entity=OuterRef("entity"), pk__gt=OuterRef("pk"))
    found = rows.filter(Q(sentiment=said, probability__gte=CONFIDENT), ~Exists(later))
    return found.select_related("article").defer("article__search").order_by("-id")
