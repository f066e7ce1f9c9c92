"""Rules that look at each article when it arrives, or as soon as it is scored: words, and stories of first-rate sources."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet

from apps.sentiment.alerting.phrases import holds_one
from apps.sentiment.alerting.rule_options import ArrivalOptions, arrival_of
from apps.sentiment.alerting.verdicts import Verdict
from apps.sentiment.models import Alert, Article, Rule, RuleHit, RuleKind, Score

OVERLAP = timedelta(minutes=10)  # what was stored while an earlier look was made is looked at again
NEWS_FOR = timedelta(days=1)  # an article that is scored later than this raises nobody
MOST_LOOKED_AT = 5_000  # articles of one look


def fresh_hits(rule: Rule, now: datetime) -> list[Article]:
    """The articles for which the rule holds and that were not counted before, the earliest first."""
    options = arrival_of(rule.options, rule.kind)
    since = max((rule.evaluated_at or rule.created_at) - OVERLAP, rule.created_at)
    rows = _candidates(rule, options, since, now).filter(
        ~Exists(RuleHit.objects.filter(rule=rule, article=OuterRef("pk")))
    )
    found = [each for each in rows[:MOST_LOOKED_AT] if holds_for(options, each)]
    return first_of_story(rule, options, found) if rule.kind == RuleKind.NEW_STORY else found


def _candidates(rule: Rule, options: ArrivalOptions, since: datetime, now: datetime) -> QuerySet[Article]:
    rows = fitting(rule, options, Article.objects.filter(monitor_id=rule.monitor_id, is_history=False))
    if not options.sentiment:
        return rows.filter(received_at__gte=since)
    scored = Score.objects.filter(article=OuterRef("pk"), created_at__gte=since)
    return rows.filter(Exists(scored), received_at__gte=max(now - NEWS_FOR, rule.created_at))


def fitting(rule: Rule, options: ArrivalOptions, rows: QuerySet[Article]) -> QuerySet[Article]:
    """Of these, articles of sources and with a sentiment that the rule asks for, in the order they came."""
    rows = rows.filter(source__weight__gte=options.least_weight).select_related("source", "story")
    if options.sentiment:
        newest = Score.objects.filter(article=OuterRef("pk")).order_by("-id")
        rows = rows.annotate(newest=newest.values("sentiment")[:1]).filter(newest=options.sentiment)
    return rows.defer("search").order_by("id")


def holds_for(options: ArrivalOptions, article: Article) -> bool:
    """Whether an article has a word that is looked for and none that must not be there."""
    text = article.text
    wanted = not options.words or holds_one(text, options.words)
    return wanted and not holds_one(text, options.without)


def first_of_story(rule: Rule, options: ArrivalOptions, found: Sequence[Article]) -> list[Article]:
    """Those with which a source of this weight tells its story for the first time."""
    stories = {each.story_id for each in found if each.story_id is not None}
    told = Article.objects.filter(story_id__in=stories, source__weight__gte=options.least_weight, is_history=False)
    first: dict[int | None, int] = {}
    for story, pk in told.order_by("id").values_list("story_id", "pk"):
        first.setdefault(story, pk)
    return [each for each in found if each.story_id is None or first.get(each.story_id) == each.pk]


def verdict_of(rule: Rule, hits: Sequence[Article]) -> list[Verdict]:
    """Hits as verdicts: words make one series, new stories each their own."""
    if rule.kind == RuleKind.NEW_STORY:
        return [Verdict(str(each.story_id or each.pk), True, 1.0, strength=1.0, method=rule.kind) for each in hits]
    if not hits:
        return []
    return [Verdict("", True, float(len(hits)), strength=float(len(hits)), method=rule.kind)]


def quiet_verdicts(rule: Rule, hits: Sequence[Article]) -> list[Verdict]:
    """Open alerts without a new hit: they no longer hold."""
    hit = {each.key for each in verdict_of(rule, hits)}
    rows = Alert.objects.filter(Q(state="firing") | Q(state="pending"), rule=rule).exclude(key__in=hit)
    return [Verdict(key, False) for key in rows.values_list("key", flat=True)]


def note_hits(rule: Rule, hits: Sequence[Article]) -> None:
    """Remember which articles were counted, with the alert they belong to."""
    alerts = dict(Alert.objects.filter(rule=rule, state__in=["pending", "firing"]).values_list("key", "pk"))
    rows = []
    for each in hits:
        key = str(each.story_id or each.pk) if rule.kind == RuleKind.NEW_STORY else ""
        if key in alerts:
            rows.append(RuleHit(rule=rule, article=each, alert_id=alerts[key]))
    RuleHit.objects.bulk_create(rows, ignore_conflicts=True)
