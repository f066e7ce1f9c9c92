"""What versions said of articles, stored once and counted once, together: how they are meant, their topics, their entities."""

from collections.abc import Sequence
from typing import NamedTuple

from django.db import transaction

from apps.registry.models import ModelVersion
from apps.sentiment.models import Article, Monitor, Score, ScoringState
from apps.sentiment.services import watching
from apps.sentiment.services.buckets import Count, add_counts, meant_as
from apps.sentiment.services.meaning import recounted
from apps.sentiment.services.scoring import DECIMALS, Said, meant
from apps.sentiment.services.targets import TargetSaid, give_targets
from apps.sentiment.services.topics import TopicSaid, give_topics


class Targets(NamedTuple):
    """What one version said of entities; `is_dedicated` when it was named for this alone."""

    version: ModelVersion
    said: Sequence[TargetSaid]
    is_dedicated: bool


def record_scores(version: ModelVersion, found: Sequence[Said]) -> int:
    """Store how a version found articles to be meant; an article that it has scored already is not counted again."""
    return record_understanding([each.article for each in found], version=version, said=found)


@transaction.atomic
def record_understanding(
    articles: Sequence[Article],
    *,
    version: ModelVersion | None = None,
    said: Sequence[Said] = (),
    topics: Sequence[TopicSaid] | None = None,
    targets: Targets | None = None,
) -> int:
    """Store and count what was said of articles of one monitor, which are read then; of how many `version` said it first.

    `topics` None: no topic version was asked.
    """
    locked = (
        Article.objects.filter(pk__in=[each.pk for each in articles]).select_for_update(of=("self",)).order_by("id")
    )
    rows = {row.pk: row for row in locked.select_related("monitor").defer("body", "search")}
    if not rows:
        return 0
    there = list(rows.values())
    monitor = there[0].monitor
    scores = _scores(monitor, version, said, rows) if version else []
    add_counts(Count(rows[score.article_id], score.model_version_id, meant_as(score.sentiment)) for score in scores)
    with recounted(there):
        Score.objects.bulk_create(scores)
        if topics is not None:
            give_topics(monitor, [each for each in topics if each.article.pk in rows], there)
        if targets is not None:
            here = [each for each in targets.said if each.article.pk in rows]
            give_targets(monitor, targets.version, here, is_dedicated=targets.is_dedicated)
    Article.objects.filter(pk__in=list(rows)).update(scoring=ScoringState.DONE, scoring_until=None)
    if monitor.scoring_error:
        Monitor.objects.filter(pk=monitor.pk).update(scoring_error="")
    watching.arrived(monitor.pk)
    return len(scores)


def _scores(monitor: Monitor, version: ModelVersion, said: Sequence[Said], rows: dict[int, Article]) -> list[Score]:
    """Rows for articles that are there and that the version has not scored."""
    done = set(Score.objects.filter(article__in=list(rows), model_version=version).values_list("article_id", flat=True))
    scores: dict[int, Score] = {}
    for article, probabilities in said:
        if article.pk in rows and article.pk not in done:
            sentiment, sure = meant(monitor, probabilities)
            told = {name: round(value, DECIMALS) for name, value in probabilities.items()}
            scores.setdefault(
                article.pk,
                Score(
                    article=rows[article.pk],
                    model_version=version,
                    sentiment=sentiment,
                    probability=sure,
                    probabilities=told,
                ),
            )
    return list(scores.values())
