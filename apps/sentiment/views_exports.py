"""Downloads of what a monitor's pages show."""

from django.http import HttpResponseBase
from django.views.decorators.http import require_GET

from apps.sentiment import downloads, selectors_alerts
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


@require_GET
@page(READ)
def alerts_everywhere(request: PageRequest, kind: str) -> HttpResponseBase:
    """Alerts of all monitors, as a file."""
    rows = selectors_alerts.alerts_everywhere(request.actor)
    return downloads.alerts_file(actor=request.actor, rows=rows, params=request.GET, form=kind)


@require_GET
@page(READ)
def alerts(request: PageRequest, pk: int, kind: str) -> HttpResponseBase:
    """Alerts of a monitor, as a file."""
    rows = selectors_alerts.alerts_of(fetch(request.actor, Monitor, READ, pk=pk))
    return downloads.alerts_file(actor=request.actor, rows=rows, params=request.GET, form=kind)
