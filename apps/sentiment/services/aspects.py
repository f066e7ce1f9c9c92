"""What of an article a person corrects: how it is meant, whether it is about a topic, how it speaks of an entity."""

from typing import Any, NamedTuple

from django.db.models import F, Q, QuerySet

from apps.sentiment.models import (
    Article,
    ArticleTopic,
    AspectKind,
    Entity,
    Monitor,
    Score,
    ScoringState,
    Sentiment,
    Topic,
)
from apps.sentiment.selectors_alerts import is_id
from apps.sentiment.selectors_meaning import score_towards, topics_of
from apps.sentiment.services.learners import labels_of_topic, learners, version_of
from core.errors import Refused
from words import say

YES, NO = "yes", "no"
SAID = (Sentiment.NEGATIVE, Sentiment.NEUTRAL, Sentiment.POSITIVE)  # what a person says; whoever is unsure says nothing
BY_WORDS = "words"  # stands where a version's name would
FORMS = "sentiment, topic:<key>, target:<name>"


class Aspect(NamedTuple):
    """`subject` is the id of the topic or entity: a name may change, and what was said stays said of the same thing."""

    kind: AspectKind
    subject: int = 0

    @property
    def name(self) -> str:
        """As corrections keep it: sentiment, topic:12, target:7."""
        return f"{self.kind.value}:{self.subject}" if self.subject else self.kind.value

    @property
    def labels(self) -> tuple[str, ...]:
        """What may be said."""
        return (YES, NO) if self.kind == AspectKind.TOPIC else tuple(each.value for each in SAID)


class SaidBefore(NamedTuple):
    """What the system had said: a label, by whom, and by which version; all empty where nobody looked."""

    label: str = ""
    by: str = ""
    version_id: int | None = None


def of_kind(kind: str) -> Q:
    """Corrections of one kind of aspect."""
    return Q(aspect=kind) if kind == AspectKind.SENTIMENT else Q(aspect__startswith=f"{kind}:")


def kept_as(name: str) -> Aspect | None:
    """The aspect of a correction that is kept by this name, whether or not its topic or entity is still there."""
    found = _halves(name)
    if found is None or (found[1] and not is_id(found[1])):
        return None
    return Aspect(found[0], int(found[1] or 0))


def aspect_of(monitor: Monitor, name: str) -> Aspect:
    """By a topic's id or key, by an entity's id or name; digits are an id. Refused where there is no such thing here."""
    halves = _halves(name)
    if halves is None:
        raise Refused("unknown_value", say("Choose one of: {values}", values=FORMS), field="aspect")
    kind, subject = halves
    if kind == AspectKind.SENTIMENT:
        return Aspect(kind)
    if kind == AspectKind.TOPIC:
        found = _number(topics_of(monitor.workspace_id, monitor), "key", subject)
        missing = Refused("unknown_topic", say("This monitor looks for no such topic."), field="aspect")
    else:
        found = _number(Entity.objects.filter(workspace=monitor.workspace_id), "name", subject)
        missing = Refused("unknown_entity", say("There is no such entity."), field="aspect")
    if found is None:
        raise missing
    return Aspect(kind, found)


def _halves(name: str) -> tuple[AspectKind, str] | None:
    """(kind, of what); only how the article is meant is of nothing."""
    kind, _colon, subject = (part.strip() for part in name.partition(":"))
    if kind not in AspectKind.values or bool(subject) == (kind == AspectKind.SENTIMENT) or "\0" in subject:
        return None
    return AspectKind(kind), subject


def _number(rows: QuerySet[Any], column: str, subject: str) -> int | None:
    wanted = {"pk": int(subject)} if is_id(subject) else {f"{column}__iexact": subject}
    return rows.filter(**wanted).values_list("pk", flat=True).first()


def said_before(article: Article, aspect: Aspect) -> SaidBefore:
    """What versions or words say of this aspect of an article now."""
    if aspect.kind == AspectKind.TOPIC:
        return _about(article, Topic.objects.get(pk=aspect.subject))
    is_target = aspect.kind == AspectKind.TARGET
    score = score_towards(article, aspect.subject) if is_target else newest_score(article)
    return SaidBefore(score.sentiment, str(score.model_version), score.model_version_id) if score else SaidBefore()


def newest_score(article: Article) -> Score | None:
    """What was said last of how an article is meant."""
    return Score.objects.filter(article=article).select_related("model_version__family").order_by("-id").first()


def _about(article: Article, topic: Topic) -> SaidBefore:
    """A topic that an article has not got was looked for by a version that has a label for it, or by the topic's words."""
    rows = ArticleTopic.objects.filter(article=article, topic=topic, is_current=True)
    row = rows.select_related("model_version__family").order_by(F("model_version").desc(nulls_last=True)).first()
    if row is not None:
        return SaidBefore(YES, str(row.model_version) if row.model_version else BY_WORDS, row.model_version_id)
    monitor = article.monitor
    if article.scoring == ScoringState.DONE:
        for name in learners(monitor, AspectKind.TOPIC):
            version = version_of(monitor, name)
            if version is not None and labels_of_topic(topic, version.labels):
                return SaidBefore(NO, str(version), version.pk)
    return SaidBefore(NO, BY_WORDS) if topic.words and topic.is_enabled else SaidBefore()
