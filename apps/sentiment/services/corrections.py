"""What people say is right about articles: one word for each aspect, said and taken back."""

from apps.datasets import selectors as kept
from apps.datasets import services as datasets
from apps.datasets.models import Correction
from apps.datasets.services.corrections import text_hash
from apps.sentiment.models import Article, AspectKind
from apps.sentiment.services.aspects import Aspect, aspect_of, kept_as, said_before
from core.access import Actor, require
from core.errors import Refused, conflict
from words import say

SOURCE = "sentiment"
SENTIMENT = AspectKind.SENTIMENT.value


def correct_article(
    *, actor: Actor, article: Article, label: str, aspect: str = SENTIMENT, note: str = ""
) -> Correction:
    """Say how an article is meant, whether it is about a topic, or how it speaks of an entity; the newest word counts."""
    require(actor, "sentiment.write")
    found = aspect_of(article.monitor, aspect)
    if label not in found.labels:
        raise Refused("unknown_value", say("Choose one of: {values}", values=", ".join(found.labels)), field="label")
    return _correct(actor, article, label, found, note)


def take_back(*, actor: Actor, article: Article, aspect: str = SENTIMENT) -> None:
    """What was said of an article does not count any more; it stays in the history."""
    require(actor, "sentiment.write")
    found = kept_as(aspect) or aspect_of(article.monitor, aspect)
    if found.name in kept.aspects_of_text(actor.workspace, text_hash(article.text)):
        _correct(actor, article, "", found, "")


def _correct(actor: Actor, article: Article, label: str, aspect: Aspect, note: str) -> Correction:
    if article.text_hash not in ("", text_hash(article.text)):
        raise conflict(
            "text_gone", say("The text of this article is not kept any more, so nothing can be learnt from it.")
        )
    before = said_before(article, aspect)
    return datasets.correct(
        actor=actor,
        text=article.text,
        label=label,
        aspect=aspect.name,
        previous_label=before.label,
        model_version=before.by,
        model_version_id=before.version_id,
        source=SOURCE,
        source_id=f"{article.monitor_id}/{article.pk}",
        note=note,
    )
