"""The page on which articles appear as they arrive."""

from hashlib import sha256

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from apps.sentiment import selectors
from apps.sentiment.corrected import with_corrections
from apps.sentiment.filters import ArticleFilter
from apps.sentiment.models import Article, Monitor
from apps.sentiment.saved_bar import bar_of
from core.access import PageRequest, fetch, page
from core.pages import is_filtered

READ = "sentiment.read"
SHOWN = 40


@require_GET
@page(READ)
def live(request: PageRequest, pk: int) -> HttpResponse:
    """The newest articles. The page asks again with what it shows (`seen`), and gets 204 while that is still so."""
    found = fetch(request.actor, Monitor, READ, pk=pk)
    bar = None if "seen" in request.GET else bar_of(request, found, "live")  # the page asks on with plain filters
    filters = ArticleFilter(bar.data if bar else request.GET, selectors.articles_of(found), monitor=found)
    rows = list(filters.qs[:SHOWN]) if filters.is_valid() else []
    seen = _state(rows)
    if request.GET.get("seen") == seen:
        return HttpResponse(status=204)
    asked = request.GET.copy()
    for name in ("seen", "paused", "view"):
        asked.pop(name, None)
    context = {
        "monitor": found,
        "filter": filters,
        "filtered": bar.is_filtered if bar else is_filtered(request, filters),
        "bar": bar,
        "rows": with_corrections(request.actor.workspace, rows),
        "seen": seen,
        "is_paused": "paused" in request.GET,
        "query": bar.query if bar else asked.urlencode(),
    }
    name = "sentiment/live.html" if bar else "sentiment/_live.html"
    return render(request, name, context)


def _state(rows: list[Article]) -> str:
    """What is shown, in short: another one when an article arrives or is scored."""
    shown = ",".join(f"{row.pk} {row.scoring} {[score.pk for score in row.scores.all()][:1]}" for row in rows)
    return sha256(shown.encode()).hexdigest()[:16]
