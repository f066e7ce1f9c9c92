"""Why an alert was raised, as plain values that are stored with it and never changed: numbers, stories, terms, sources, texts."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from apps.registry.models import ModelVersion
from apps.sentiment.alerting.terms import standing_out
from apps.sentiment.alerting.verdicts import Verdict
from apps.sentiment.models import (
    Alert,
    Article,
    ArticleEntity,
    ArticleTopic,
    Dimension,
    Rule,
    Score,
    Sentiment,
    TargetScore,
)
from apps.sentiment.models.rules import ON_ARRIVAL
from apps.sentiment.selectors_alerts import lately_similar, of_series
from apps.sentiment.selectors_cells import articles_within, names_within
from apps.sentiment.within import Within

FORMAT = 1
MOST_ARTICLES = 1_000  # of the span, the newest
MOST_BEFORE = 500  # articles that terms are compared with
BEFORE = timedelta(days=14)
STORIES, TERMS, SOURCES, SAMPLES, NAMED = 5, 15, 8, 5, 8
EXCERPT = 280  # characters
SPREADING = 0.6  # share of one story from which on an alert is one story that spreads


def explain(
    alert: Alert,
    verdict: Verdict,
    begin: datetime,
    end: datetime,
    *,
    moved: dict[str, Any] | None = None,
    articles: Sequence[Any] = (),
) -> dict[str, Any]:
    """Everything that is known of the span [begin, end) of an alert's series; `articles`: those that raised it, if they are known."""
    rule = alert.rule
    assert rule is not None
    found = list(articles) or list(_written(alert, begin, end))
    reading = _reading(rule, found)
    return {
        **_frame(rule, verdict, begin, end),
        "moved": moved,
        "article_count": len(found),
        "syndication": _syndication(found),
        "sentiments": dict(Counter(each.newest for each in found if each.newest)),
        "stories": _stories(reading or found),
        "terms": _terms(alert, reading or found, begin),
        "sources": _shares(
            Counter((each.source_id, each.source.name, each.source.weight) for each in reading or found)
        ),
        "entities": _entities(found),
        "topics": _topics(found),
        "languages": dict(Counter(each.language for each in found).most_common(SOURCES)),
        "samples": [_sample(each) for each in _telling(reading or found)[:SAMPLES]],
        "versions": _versions(found),
        "similar": [_past(each) for each in lately_similar(alert)],
    }


def brief(alert: Alert, verdict: Verdict, begin: datetime, end: datetime) -> dict[str, Any]:
    """The figures alone."""
    assert alert.rule is not None
    return {
        **_frame(alert.rule, verdict, begin, end),
        "is_brief": True,
        "article_count": None,
        "syndication": {"story_count": None},
    }


def _frame(rule: Rule, verdict: Verdict, begin: datetime, end: datetime) -> dict[str, Any]:
    """What was asked and what was said."""
    names = ("name", "kind", "measure", "seconds", "within", "options", "hold_minutes", "keep_minutes")
    return {
        "format": FORMAT,
        "rule": {**{name: getattr(rule, name) for name in names}, "revision": rule.updated_at.isoformat()},
        "within": names_within(rule.monitor, Within.of(rule.within)),
        "begin": begin.isoformat(),
        "end": end.isoformat(),
        "verdict": verdict.plain(),
    }


def articles_of_series(alert: Alert, begin: datetime, end: datetime) -> QuerySet[Article]:
    """The articles that were counted in the series of an alert in a span, by their arrival."""
    rows = Article.objects.filter(monitor_id=alert.monitor_id, is_history=False)
    rows = rows.filter(articles_within(Within.of(alert.within)), of_series(alert.dimension, [alert.key]))
    rows = rows.filter(received_at__gte=begin, received_at__lt=end)
    return rows.select_related("source", "story").defer("search")


def with_newest(rows: QuerySet[Article], *, entity: str = "") -> QuerySet[Article]:
    """Articles with `newest`, `newest_probability` and `newest_version`: how they were found to be meant last; of the series of an
    entity, how it is spoken of where that is known."""
    scores: QuerySet[Any] = Score.objects.filter(article=OuterRef("pk")).order_by("-id")
    names = ("sentiment", "probability", "model_version")
    if not entity:
        return rows.annotate(**{_NEWEST[name]: Subquery(scores.values(name)[:1]) for name in names})
    towards = TargetScore.objects.filter(article=OuterRef("pk"), entity_id=int(entity))
    towards = towards.order_by("-is_dedicated", "-id")
    return rows.annotate(
        **{
            _NEWEST[name]: Coalesce(Subquery(towards.values(name)[:1]), Subquery(scores.values(name)[:1]))
            for name in names
        }
    )


_NEWEST = {"sentiment": "newest", "probability": "newest_probability", "model_version": "newest_version"}


def _written(alert: Alert, begin: datetime, end: datetime) -> QuerySet[Article]:
    """The newest articles of a span, the last first."""
    entity = alert.key if alert.dimension == Dimension.ENTITY else str(alert.within.get("entity", ""))
    return with_newest(articles_of_series(alert, begin, end), entity=entity).order_by("-id")[:MOST_ARTICLES]


def _reading(rule: Rule, found: Sequence[Any]) -> list[Any]:
    """The articles that the rule counts of these; what is looked at on arrival counts however it is meant."""
    if rule.kind in ON_ARRIVAL:
        return list(found)
    if rule.needs_scores:
        return [each for each in found if each.newest == Sentiment.NEGATIVE]
    return list(found)


def _syndication(found: Sequence[Any]) -> dict[str, Any]:
    """How far it is one text that many print."""
    stories = Counter(each.story_id or -each.pk for each in found)
    largest = max(stories.values(), default=0)
    share = largest / len(found) if found else 0.0
    return {
        "story_count": len(stories),
        "repeated_share": round(1 - len(stories) / len(found), 4) if found else 0.0,
        "largest_share": round(share, 4),
        "is_one_story": len(found) > 1 and share > SPREADING,
    }


def _stories(found: Sequence[Any]) -> list[dict[str, Any]]:
    counted = Counter(each.story_id for each in found if each.story_id)
    stories = {each.story_id: each.story for each in found if each.story}
    return [
        {"id": pk, "title": stories[pk].title[:300], "count": count, "first_at": stories[pk].first_at.isoformat()}
        for pk, count in counted.most_common(STORIES)
    ]


def _terms(alert: Alert, found: Sequence[Any], begin: datetime) -> list[dict[str, Any]]:
    """Terms against what was written before; each story counts once."""
    before = articles_of_series(alert, begin - BEFORE, begin).order_by("-id")[:MOST_BEFORE]
    terms = standing_out(_once(found), _once(list(before)), most=TERMS)
    return [
        {"text": each.text, "count": each.count, "before": each.before, "deviations": each.deviations} for each in terms
    ]


def _once(found: Sequence[Any]) -> list[str]:
    return [each.text for each in {each.story_id or -each.pk: each for each in found}.values()]


def _shares(counted: Counter[tuple[int, str, int]]) -> list[dict[str, Any]]:
    total = sum(counted.values())
    return [
        {"id": pk, "name": name, "weight": weight, "count": count, "share": round(count / total, 4)}
        for (pk, name, weight), count in counted.most_common(SOURCES)
    ]


def _entities(found: Sequence[Any]) -> list[dict[str, Any]]:
    """Whom the articles speak of, and in how many negatively: as a version said of it, else as the article is meant."""
    meant = {each.pk: each.newest for each in found}
    towards = TargetScore.objects.filter(article__in=meant).order_by("is_dedicated", "id")
    said = {(pk, entity): sentiment for pk, entity, sentiment in towards.values_list("article", "entity", "sentiment")}
    rows = ArticleEntity.objects.filter(article__in=meant).values_list("article", "entity", "entity__name")
    return _named([(entity, name, said.get((pk, entity), meant[pk])) for pk, entity, name in rows])


def _topics(found: Sequence[Any]) -> list[dict[str, Any]]:
    """What the articles are about, and how many of these are negative."""
    meant = {each.pk: each.newest for each in found}
    rows = ArticleTopic.objects.filter(article__in=meant, is_current=True).distinct()
    return _named([(topic, name, meant[pk]) for pk, topic, name in rows.values_list("article", "topic", "topic__name")])


def _named(said: Sequence[tuple[int, str, str | None]]) -> list[dict[str, Any]]:
    """(id, name, meaning) of each article, counted; the most frequent first. `negative` is None where nobody has read any."""
    read = {pk for pk, _name, meaning in said if meaning is not None}
    negative = Counter(pk for pk, _name, meaning in said if meaning == Sentiment.NEGATIVE)
    counted = Counter((pk, name) for pk, name, _meaning in said)
    return [
        {"id": pk, "name": name, "count": count, "negative": negative[pk] if pk in read else None}
        for (pk, name), count in sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:NAMED]
    ]


def _telling(found: Sequence[Any]) -> list[Any]:
    """One article of each story: those of the larger stories and weightier sources first."""
    size = Counter(each.story_id or -each.pk for each in found)
    ordered = sorted(found, key=lambda each: (-size[each.story_id or -each.pk], -each.source.weight, each.pk))
    return list({each.story_id or -each.pk: each for each in reversed(ordered)}.values())[::-1]


def _sample(article: Any) -> dict[str, Any]:
    probability = article.newest_probability
    return {
        "id": article.pk,
        "title": article.title[:300],
        "excerpt": article.body[:EXCERPT],
        "url": article.url,
        "source": article.source.name,
        "published_at": article.published_at.isoformat(),
        "sentiment": article.newest or "",
        "probability": None if probability is None else round(probability, 4),
    }


def _versions(found: Sequence[Any]) -> list[dict[str, Any]]:
    """Which versions read these articles."""
    counted = Counter(each.newest_version for each in found if each.newest_version)
    names = {row.pk: str(row) for row in ModelVersion.objects.filter(pk__in=counted).select_related("family")}
    return [{"id": pk, "name": names.get(pk, ""), "count": count} for pk, count in counted.most_common()]


def _past(alert: Alert) -> dict[str, Any]:
    assert alert.fired_at is not None
    return {"id": alert.pk, "name": str(alert), "fired_at": alert.fired_at.isoformat(), "usefulness": alert.usefulness}
