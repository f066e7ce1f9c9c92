"""Rules that look at each article when it arrives, or as soon as it is scored: words, and stories of first-rate sources."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, QuerySet

from apps.sentiment.alerting.phrases import holds_one
from apps.sentiment.alerting.rule_options import ArrivalOptions, arrival_of
from apps.sentiment.alerting.verdicts import Verdict
from apps.sentiment.models import Alert, Article, Clock, Rule, RuleHit, RuleKind, Score
from apps.sentiment.selectors_cells import articles_within
from apps.sentiment.within import Within

OVERLAP = timedelta(minutes=1)  # scores that were stored while an earlier look was made are looked at again
NEWS_FOR = timedelta(days=1)  # an article that is scored later than this raises nobody
LOOKED_AT_ONCE = 2_000  # articles


@dataclass(frozen=True)
class Look:
    """Articles for which a rule holds and that were not counted before, the earliest first, and how far was looked."""

    hits: list[Article]
    seen_article: int
    is_all: bool


def look(rule: Rule, now: datetime) -> Look:
    """The next articles that came or were scored.

    Those of a monitor are stored one after the other (services.ingest), so none with a smaller number comes later. Scores
    are stored side by side: there the time counts, and a hit is counted once whatever is looked at again.
    """
    options = arrival_of(rule.options, rule.kind)
    rows = fitting(rule, options, Article.objects.filter(monitor_id=rule.monitor_id, is_history=False))
    if options.sentiment:
        since = max((rule.evaluated_at or rule.created_at) - OVERLAP, rule.created_at)
        scored = Score.objects.filter(article=OuterRef("pk"), created_at__gte=since)
        rows = rows.filter(Exists(scored), received_at__gte=max(now - NEWS_FOR, rule.created_at))
        found, seen, is_all = list(rows), rule.seen_article, True
    else:
        found = list(rows.filter(pk__gt=rule.seen_article)[:LOOKED_AT_ONCE])
        seen = found[-1].pk if found else rule.seen_article
        is_all = len(found) < LOOKED_AT_ONCE
    counted = set(RuleHit.objects.filter(rule=rule, article__in=found).values_list("article_id", flat=True))
    hits = [each for each in found if each.pk not in counted and holds_for(options, each)]
    if rule.kind == RuleKind.NEW_STORY:
        hits = first_of_story(options, hits)
    return Look(hits, seen, is_all)


def fitting(rule: Rule, options: ArrivalOptions, rows: QuerySet[Article]) -> QuerySet[Article]:
    """Of these, articles that the rule is limited to, of sources and with a sentiment that it asks for, in the order they came."""
    rows = rows.filter(articles_within(Within.of(rule.within)), source__weight__gte=options.least_weight)
    rows = rows.select_related("source", "story")
    if options.sentiment:
        newest = Score.objects.filter(article=OuterRef("pk")).order_by("-id")
        rows = rows.annotate(newest=newest.values("sentiment")[:1]).filter(newest=options.sentiment)
    return rows.defer("search").order_by("id")


def holds_for(options: ArrivalOptions, article: Article) -> bool:
    """Whether an article has a word that is looked for and none that must not be there."""
    text = article.text
    wanted = not options.words or holds_one(text, options.words)
    return wanted and not holds_one(text, options.without)


def first_of_story(options: ArrivalOptions, found: Sequence[Article], *, clock: str = Clock.RECEIVED) -> list[Article]:
    """Those with which a source of this weight tells its story for the first time."""
    stories = {each.story_id for each in found if each.story_id is not None}
    told = Article.objects.filter(story_id__in=stories, source__weight__gte=options.least_weight)
    told = (
        told.order_by("published_at", "id")
        if clock == Clock.PUBLISHED
        else told.filter(is_history=False).order_by("id")
    )
    first: dict[int | None, int] = {}
    for story, pk in told.values_list("story_id", "pk"):
        first.setdefault(story, pk)
    return [each for each in found if each.story_id is None or first.get(each.story_id) == each.pk]


def series_of_hit(kind: str, article: Article) -> str:
    """The series that a hit belongs to: words make one, new stories each their own."""
    return str(article.story_id or article.pk) if kind == RuleKind.NEW_STORY else ""


def verdict_of(rule: Rule, hits: Sequence[Article]) -> list[Verdict]:
    """Hits as verdicts, one for each series."""
    counted = Counter(series_of_hit(rule.kind, each) for each in hits)
    return [Verdict(key, True, float(count), strength=float(count), method=rule.kind) for key, count in counted.items()]


def quiet_verdicts(rule: Rule, now: datetime) -> list[Verdict]:
    """Open alerts without a hit at this moment: they no longer hold."""
    rows = Alert.objects.filter(rule=rule, state__in=["pending", "firing"], last_true_at__lt=now)
    return [Verdict(key, False) for key in rows.values_list("key", flat=True)]


def note_hits(rule: Rule, hits: Sequence[Article]) -> None:
    """Remember which articles were counted, with the alert they belong to."""
    alerts = dict(Alert.objects.filter(rule=rule, state__in=["pending", "firing"]).values_list("key", "pk"))
    rows = [
        RuleHit(rule=rule, article=each, alert_id=alerts[key])
        for each in hits
        if (key := series_of_hit(rule.kind, each)) in alerts
    ]
    RuleHit.objects.bulk_create(rows, ignore_conflicts=True)
