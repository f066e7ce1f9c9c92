"""How articles are meant: claimed in batches, said by a version, counted once."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.sentiment.models import Article, Monitor, ScoringState, Sentiment
from words import say

LEASE = timedelta(seconds=60)
WAIT = timedelta(seconds=60)  # until a version that is missing is looked for again
DECIMALS = 6
SCORING_CHANNEL = "lingxi:scoring"


class Said(NamedTuple):
    """What a version said of one article: a probability for each of its labels."""

    article: Article
    probabilities: Mapping[str, float]


def claim_articles(most: int) -> list[Article]:
    """Waiting articles of one monitor, the oldest first, in the caller's hands for LEASE; empty when none waits."""
    now = timezone.now()
    with transaction.atomic():
        free = Article.objects.filter(scoring=ScoringState.WAITING).filter(
            Q(scoring_until=None) | Q(scoring_until__lt=now)
        )
        first = free.order_by("id").values_list("monitor_id", flat=True).first()
        if first is None:
            return []
        rows = free.filter(monitor_id=first).select_for_update(skip_locked=True, of=("self",)).order_by("id")
        found = list(rows.select_related("monitor__workspace")[:most])
        Article.objects.filter(pk__in=[each.pk for each in found]).update(scoring_until=now + LEASE)
    return found


def scoring_waits(monitor: Monitor, articles: Sequence[Article], reason: str) -> None:
    """Nothing can be said now; they are looked at again after WAIT, and the monitor says why."""
    Monitor.objects.filter(pk=monitor.pk).update(scoring_error=reason)
    waiting = Article.objects.filter(pk__in=[each.pk for each in articles], scoring=ScoringState.WAITING)
    waiting.update(scoring_until=timezone.now() + WAIT)


def scoring_failed(article: Article) -> None:
    """The version cannot read this one text; all others go on."""
    Article.objects.filter(pk=article.pk, scoring=ScoringState.WAITING).update(
        scoring=ScoringState.FAILED, scoring_until=None
    )


def labels_fit(monitor: Monitor, labels: Sequence[str]) -> str:
    """Why a version with these labels cannot say how articles are meant; empty when it can."""
    missing = [name for name in (monitor.negative_label, monitor.positive_label) if name and name not in labels]
    if not missing:
        return ""
    return say(
        "The version has no label “{label}”. It has: {labels}.", label=missing[0], labels=", ".join(sorted(labels)[:10])
    )


def meant(monitor: Monitor, probabilities: Mapping[str, float]) -> tuple[Sentiment, float]:
    """The likeliest of negative, positive and the rest, which is neutral, with its probability; below the monitor's bound
    nobody is sure."""
    negative = probabilities.get(monitor.negative_label, 0.0)
    positive = probabilities.get(monitor.positive_label, 0.0) if monitor.positive_label else 0.0
    ways = {
        Sentiment.NEGATIVE: negative,
        Sentiment.POSITIVE: positive,
        Sentiment.NEUTRAL: max(0.0, sum(probabilities.values()) - negative - positive),
    }
    best = max(ways, key=lambda way: ways[way])
    sure = min(1.0, ways[best])
    return (Sentiment.ABSTAINED if sure < monitor.abstain_below else best), sure


def score_again(monitor: Monitor, *, only_never: bool = False) -> int:
    """Let articles be read by the version that is named now; what earlier versions said stays. How many wait."""
    states = [ScoringState.NONE] if only_never else [ScoringState.NONE, ScoringState.DONE, ScoringState.FAILED]
    rows = Article.objects.filter(monitor=monitor, scoring__in=states)
    return rows.update(scoring=ScoringState.WAITING, scoring_until=None)
