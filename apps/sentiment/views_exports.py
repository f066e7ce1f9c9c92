"""Downloads of what a monitor's pages show."""

from django.http import HttpResponseBase
from django.views.decorators.http import require_GET

from apps.sentiment import downloads
from apps.sentiment.models import Monitor
from core.access import PageRequest, fetch, page

READ = "sentiment.read"


@require_GET
@page(READ)
def articles(request: PageRequest, pk: int, kind: str) -> HttpResponseBase:
    """The articles that the filters show, as a file."""
    found = fetch(request.actor, Monitor, READ, pk=pk)
    return downloads.articles_file(actor=request.actor, monitor=found, params=request.GET, form=kind)


@require_GET
@page(READ)
def trend(request: PageRequest, pk: int, kind: str) -> HttpResponseBase:
    """What the page of trends draws, as a file."""
    found = fetch(request.actor, Monitor, READ, pk=pk)
    return downloads.trend_file(actor=request.actor, monitor=found, params=request.GET, form=kind)
