"""Pages that cannot be read are tried again after a growing pause and then given up; texts that change are noticed."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from apps.datasets.services.corrections import text_hash
from apps.sentiment.collecting.items import Item
from apps.sentiment.models import Article, ArticleRevision, Source, UnreadPage
from apps.sentiment.services.identities import identity_of

FIRST_PAUSE = timedelta(hours=1)  # doubled by each further failure
MOST_FAILURES = 5
MOST_REVISIONS = 20  # of one article


def without_waiting(source: Source, items: Sequence[Item], *, now: datetime | None = None) -> list[Item]:
    """The items whose pages may be tried: those that failed wait for their time, or for ever."""
    now = now or timezone.now()
    identities = [identity_of(item) for item in items]
    waiting = UnreadPage.objects.filter(source=source, identity__in=identities).filter(
        Q(next_at=None) | Q(next_at__gt=now)
    )
    known = set(waiting.values_list("identity", flat=True))
    return [item for item, identity in zip(items, identities, strict=True) if identity not in known]


def page_failed(source: Source, item: Item, reason: str, *, now: datetime | None = None) -> None:
    """A page could not be read this time."""
    now = now or timezone.now()
    row, _is_new = UnreadPage.objects.get_or_create(
        source=source, identity=identity_of(item), defaults={"url": item.url[:2_000], "last_at": now}
    )
    count = row.failure_count + 1
    due = None if count >= MOST_FAILURES else now + FIRST_PAUSE * 2 ** (count - 1)
    UnreadPage.objects.filter(pk=row.pk).update(failure_count=count, reason=reason, last_at=now, next_at=due)


def page_was_read(source: Source, item: Item) -> None:
    """Its failures are forgotten."""
    UnreadPage.objects.filter(source=source, identity=identity_of(item)).delete()


def try_pages_again(source: Source) -> int:
    """Every page that failed is tried at the next reading, those that were given up as well; how many there are."""
    return UnreadPage.objects.filter(source=source).update(next_at=timezone.now(), failure_count=0)


def keep_changes(source: Source, seen: Mapping[str, Item], *, now: datetime) -> int:
    """Of items that came before (by identity) keep the texts that are other now; how many articles changed.

    An item that says nothing but its title says nothing of a body that was read elsewhere.
    """
    told = {key: item for key, item in seen.items() if item.body}
    if not told:
        return 0
    rows = Article.objects.filter(source=source, identity__in=told).exclude(text_hash="")
    found = []
    for pk, identity, first in rows.values_list("pk", "identity", "text_hash"):
        item = told[identity]
        digest = text_hash(f"{item.title}\n{item.body}".strip())
        if digest != first:
            found.append(ArticleRevision(article_id=pk, text_hash=digest, title=item.title, body=item.body, at=now))
    rows_of: dict[int, set[str]] = {}
    for article, digest in ArticleRevision.objects.filter(article__in=[each.article_id for each in found]).values_list(
        "article", "text_hash"
    ):
        rows_of.setdefault(article, set()).add(digest)
    fresh = [
        each
        for each in found
        if each.text_hash not in (known := rows_of.get(each.article_id, set())) and len(known) < MOST_REVISIONS
    ]
    ArticleRevision.objects.bulk_create(fresh, ignore_conflicts=True)
    Article.objects.filter(pk__in=[each.article_id for each in fresh]).update(changed_at=now)
    return len(fresh)
