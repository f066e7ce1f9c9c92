"""Which versions of a monitor say what people correct, and what they call it."""

from collections.abc import Sequence

from apps.registry.models import ModelVersion
from apps.registry.selectors import resolve_version
from apps.sentiment.meaning.folding import half_width, lowered
from apps.sentiment.models import AspectKind, Monitor, Sentiment, Topic
from apps.sentiment.selectors_meaning import topics_of
from core.errors import Refused


def learners(monitor: Monitor, aspect: str) -> list[str]:
    """As the monitor names them: those that give topics; the one for entities, else the one for articles."""
    if aspect == AspectKind.TOPIC:
        return list(monitor.topic_models)
    named = monitor.target_model if aspect == AspectKind.TARGET else ""
    return [name for name in [named or monitor.sentiment_model] if name]


def version_of(monitor: Monitor, name: str) -> ModelVersion | None:
    """None where there is none by this name; the page of the monitor says why."""
    try:
        return resolve_version(monitor.workspace, name) if name else None
    except Refused:
        return None


def label_names(monitor: Monitor, version: ModelVersion | None) -> dict[str, str]:
    """Sentiment -> what the version calls it; its third label, where it has one, is the neutral one."""
    named = {
        Sentiment.NEGATIVE.value: monitor.negative_label,
        Sentiment.POSITIVE.value: monitor.positive_label or "positive",
    }
    others = [name for name in (version.labels if version else []) if name not in named.values()]
    return {**named, Sentiment.NEUTRAL.value: others[0] if len(others) == 1 else "neutral"}


def labels_of_topic(topic: Topic, labels: Sequence[str]) -> list[str]:
    """Those of a version's labels that give this topic, its key first."""
    known = {folded(label): label for label in labels}
    wanted = dict.fromkeys(folded(each) for each in (topic.key, *topic.labels))
    return [known[name] for name in wanted if name in known]


def topic_labels(monitor: Monitor, version: ModelVersion | None) -> tuple[dict[int, list[str]], set[int]]:
    """(topic -> the labels that mean it, the topics the version gives). A topic that no version of the monitor gives has
    its key as label; one that only another version gives is left to that."""
    others = [version_of(monitor, name) for name in learners(monitor, AspectKind.TOPIC)]
    elsewhere = [label for each in others if each is not None and each != version for label in each.labels]
    labels: dict[int, list[str]] = {}
    given: set[int] = set()
    for topic in topics_of(monitor.workspace_id, monitor):
        own = labels_of_topic(topic, version.labels) if version else []
        if own:
            given.add(topic.pk)
        if own or not labels_of_topic(topic, elsewhere):
            labels[topic.pk] = own or [topic.key]
    return labels, given


def folded(label: str) -> str:
    """A label as it is compared with others."""
    return lowered(half_width(label)).strip()
