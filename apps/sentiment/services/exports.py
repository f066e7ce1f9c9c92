"""Articles that leave the house: which ones are written down in the trail before the first of them is sent."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Count, Max, QuerySet

from apps.accounts.services import audit
from apps.sentiment.models import Article, Monitor
from core.access import Actor
from core.errors import Refused
from words import say

MOST_ARTICLES = 1_000_000  # of one file


@transaction.atomic
def export_articles(
    *, actor: Actor, monitor: Monitor, rows: QuerySet[Article], form: str, with_texts: bool, filters: Mapping[str, Any]
) -> QuerySet[Article]:
    """Those of `rows` that are there now: what arrives later is not waited for. Refused where they are too many."""
    known = rows.order_by()[: MOST_ARTICLES + 1].aggregate(count=Count("pk"), newest=Max("pk"))
    if known["count"] > MOST_ARTICLES:
        said = say("A file holds at most {most:,} articles. Choose fewer by filters, such as days.", most=MOST_ARTICLES)
        raise Refused("too_many_articles", said)
    audit(
        actor=actor, action="monitor.export", obj=monitor, format=form, count=known["count"], with_texts=with_texts,
        filters=dict(filters),
    )  # fmt: skip
    return rows.filter(pk__lte=known["newest"] or 0)
