"""Topics of a workspace: made, changed, taken away, and given to articles by what versions say."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django.db import IntegrityError, transaction

from apps.accounts.services import audit
from apps.datasets.services import forget_aspect
from apps.registry.models import ModelVersion
from apps.sentiment.models import Article, ArticleTopic, AspectKind, Bucket, Cell, Dimension, Monitor, Topic
from apps.sentiment.services.learners import folded
from apps.sentiment.services.linking import tables_changed
from core.access import Actor
from core.errors import Refused, conflict
from words import say

FIELDS = ("name", "key", "description", "parent", "monitor", "labels", "words", "is_enabled")
MOST_TOPICS = 2_000
MOST_WORDS = 500  # and labels, of one topic
LONGEST_WORD = 100


class TopicSaid(NamedTuple):
    """Labels that one topic version gave one article, with their probabilities; of a single-label version the likeliest."""

    article: Article
    model_version: ModelVersion
    probabilities: Mapping[str, float]


@transaction.atomic
def create_topic(*, actor: Actor, **columns: Any) -> Topic:
    """A topic; the key stands for it in labels and in the API."""
    if Topic.objects.filter(workspace=actor.workspace).count() >= MOST_TOPICS:
        raise conflict("too_many_topics", say("There are at most {most} topics in a workspace.", most=MOST_TOPICS))
    topic = Topic(workspace=actor.workspace)
    _set(topic, columns)
    _check_name(topic)
    _save(topic)
    audit(actor=actor, action="topic.create", obj=topic, after=_told(topic))
    return topic


@transaction.atomic
def change_topic(*, actor: Actor, topic: Topic, **columns: Any) -> Topic:
    """Change what is given; articles that have it keep it until they are linked anew."""
    found = Topic.objects.select_for_update().get(pk=topic.pk)
    before = _told(found)
    _set(found, columns)
    after = _told(found)
    if after == before:
        return found
    if any(after[name] != before[name] for name in ("name", "parent", "monitor")):
        _check_name(found)
    _save(found)
    audit(actor=actor, action="topic.change", obj=found, before=before, after=after)
    return found


@transaction.atomic
def delete_topic(*, actor: Actor, topic: Topic) -> None:
    """With its figures; what people said of it does not count any more."""
    audit(actor=actor, action="topic.delete", obj=topic, before=_told(topic))
    forget_aspect(actor=actor, aspect=f"{AspectKind.TOPIC.value}:{topic.pk}")
    Bucket.objects.filter(monitor__workspace=topic.workspace_id, dimension=Dimension.TOPIC, key=str(topic.pk)).delete()
    Cell.objects.filter(monitor__workspace=topic.workspace_id, topic=topic.pk).delete()
    topic.delete()
    tables_changed(actor.workspace)


def give_topics(monitor: Monitor, said: Sequence[TopicSaid], articles: Sequence[Article]) -> None:
    """Store the topics that versions gave these locked articles. What versions said that were not asked this time stays,
    but is not current. The caller counts (`recounted`)."""
    by_label = _labels(monitor)
    given: dict[tuple[int, int, int | None], float] = {}
    for article, version, probabilities in said:
        for label, probability in probabilities.items():
            if probability < monitor.topic_threshold:
                continue
            for topic in by_label.get(folded(label), ()):
                place = (article.pk, topic, version.pk)
                given[place] = max(probability, given.get(place, 0.0))
    current: list[int] = []
    old: list[int] = []
    for row in ArticleTopic.objects.filter(article__in=articles, model_version__isnull=False):
        is_said = given.pop((row.article_id, row.topic_id, row.model_version_id), None) is not None
        (current if is_said else old).append(row.pk)
    ArticleTopic.objects.filter(pk__in=current, is_current=False).update(is_current=True)
    ArticleTopic.objects.filter(pk__in=old, is_current=True).update(is_current=False)
    ArticleTopic.objects.bulk_create(
        ArticleTopic(article_id=article, topic_id=topic, model_version_id=version, probability=round(probability, 6))
        for (article, topic, version), probability in given.items()
    )


def _labels(monitor: Monitor) -> dict[str, list[int]]:
    """Label -> the topics of this monitor that it means."""
    found: dict[str, list[int]] = {}
    topics = Topic.objects.filter(workspace=monitor.workspace_id, is_enabled=True)
    for topic in topics:
        if topic.monitor_id in (None, monitor.pk):
            for label in {folded(each) for each in (topic.key, *topic.labels)}:
                found.setdefault(label, []).append(topic.pk)
    return found


def _set(topic: Topic, columns: Mapping[str, Any]) -> None:
    for name, value in columns.items():
        if name not in FIELDS:
            raise TypeError(name)
        setattr(topic, name, value)
    topic.name, topic.key = topic.name.strip(), topic.key.strip() or topic.name.strip()[:60]
    if not topic.name:
        raise Refused("no_name", say("Give it a name."), field="name")
    for field in ("labels", "words"):
        setattr(topic, field, words_of(getattr(topic, field), field))
    parent = topic.parent
    while parent is not None:
        if parent.pk == topic.pk:
            raise Refused("own_parent", say("A topic cannot stand below itself."), field="parent")
        parent = parent.parent


def _check_name(topic: Topic) -> None:
    """Two of one name beside one another cannot be told apart in lists and charts."""
    beside = Topic.objects.filter(workspace=topic.workspace, monitor=topic.monitor, parent=topic.parent)
    if beside.filter(name__iexact=topic.name).exclude(pk=topic.pk).exists():
        raise conflict("name_taken", say("There is a topic of this name in this place already."))


def words_of(words: Sequence[str], field: str) -> list[str]:
    """Each once, without blanks around it; Refused for what is too long or too many."""
    found = list(dict.fromkeys(text for word in words if (text := word.strip())))
    if len(found) > MOST_WORDS:
        raise Refused("too_many_words", say("Give at most {most} words.", most=MOST_WORDS), field=field)
    if any(len(word) > LONGEST_WORD or "\0" in word for word in found):
        raise Refused("long_word", say("A word has at most {most} characters.", most=LONGEST_WORD), field=field)
    return found


def _save(topic: Topic) -> None:
    try:
        with transaction.atomic():
            topic.save()
    except IntegrityError as error:
        raise conflict("key_taken", say("There is a topic of this key already.")) from error
    tables_changed(topic.workspace)


def _told(topic: Topic) -> dict[str, Any]:
    told = {name: getattr(topic, name) for name in FIELDS}
    return {**told, "parent": topic.parent_id, "monitor": topic.monitor_id}
