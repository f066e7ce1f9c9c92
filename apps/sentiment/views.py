"""Pages of the sentiment room."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.sentiment import corrected, selectors, selectors_alerts, services, trend_charts
from apps.sentiment import selectors_meaning as meaning
from apps.sentiment.corrected import with_corrections
from apps.sentiment.downloads import CONTENT_TYPES, menu
from apps.sentiment.filters import ArticleFilter
from apps.sentiment.forms import MonitorForm, SourceForm
from apps.sentiment.models import Article, BucketSize, Dimension, Monitor, Source
from apps.sentiment.saved_bar import bar_of
from apps.sentiment.services import hosts
from core.access import PageRequest, fetch, page
from core.errors import Refused
from core.once import once
from core.pages import keyset, show_refusal, workspace_url

READ, WRITE = "sentiment.read", "sentiment.write"
SPANS = {
    "day": (timedelta(days=1), BucketSize.HOUR, gettext_lazy("24 hours")),
    "week": (timedelta(days=7), BucketSize.HOUR, gettext_lazy("7 days")),
    "month": (timedelta(days=30), BucketSize.DAY, gettext_lazy("30 days")),
    "quarter": (timedelta(days=90), BucketSize.DAY, gettext_lazy("90 days")),
}
UNREAD_SHOWN = 50
SHOWN = 8  # articles and stories of the overview


@require_GET
@page(READ)
def index(request: PageRequest) -> HttpResponse:
    """All monitors."""
    return render(request, "sentiment/list.html", {"monitors": selectors.monitors_of(request.actor)})


@require_http_methods(["GET", "HEAD", "POST"])
@page(WRITE)
@once(seconds=30)
def edit(request: PageRequest, pk: int | None = None) -> HttpResponse:
    """A monitor's form, empty for a new one."""
    found = fetch(request.actor, Monitor, WRITE, pk=pk) if pk else None
    form = MonitorForm(request.POST or None, instance=found, workspace=request.actor.workspace)
    if request.method == "POST" and form.is_valid():
        try:
            if found is None:
                saved = services.create_monitor(actor=request.actor, **form.cleaned_data)
            else:
                saved = services.change_monitor(actor=request.actor, monitor=found, **form.cleaned_data)
        except Refused as refused:
            show_refusal(form, refused)
        else:
            messages.success(request, _("Saved."))
            if found and saved.sentiment_model and saved.sentiment_model != found.sentiment_model:
                messages.info(
                    request, _("Articles that come from now on are read so; the settings let all be scored again.")
                )
            name = "sentiment:monitor" if found else "sentiment:new_source"
            return redirect(workspace_url(request.actor, name, pk=saved.pk))
    return render(request, "sentiment/edit.html", {"form": form, "monitor": found}, status=422 if form.errors else 200)


@require_GET
@page(READ)
def monitor(request: PageRequest, pk: int) -> HttpResponse:
    """How much was written, how it is meant, the newest articles and stories, and how sources are."""
    found = fetch(request.actor, Monitor, READ, pk=pk)
    name = request.GET.get("span", "week")
    span, seconds, _words = SPANS.get(name, SPANS["week"])
    now = timezone.now()
    series = selectors.series_of(found, start_at=now - span, end_at=now, seconds=seconds.value)
    sources = list(selectors.sources_of(found))
    healths = selectors.healths_of(sources)
    context = {
        "monitor": found,
        "spans": [(key, words) for key, (_span, _seconds, words) in SPANS.items()],
        "span": name if name in SPANS else "week",
        "series": series,
        "chart": _chart(series),
        "top_entities": meaning.most_written(found, Dimension.ENTITY, since=now - span, most=SHOWN),
        "top_topics": meaning.most_written(found, Dimension.TOPIC, since=now - span, most=SHOWN),
        "waiting": selectors.waiting_count(found),
        "articles": with_corrections(found.workspace, selectors.articles_of(found)[:SHOWN]),
        "stories": selectors.stories_of(found)[:SHOWN],
        "sources": [(source, healths[source.pk]) for source in sources],
    }
    return render(request, "sentiment/monitor.html", context)


@require_GET
@page(READ)
def arrivals(request: PageRequest, pk: int) -> HttpResponse:
    """The part of the overview that comes afterwards: alerts that fire, and what arrived beside what was expected where
    more than hardly anything was."""
    found = fetch(request.actor, Monitor, READ, pk=pk)
    span, seconds, _words = SPANS.get(request.GET.get("span", ""), SPANS["week"])
    address = workspace_url(request.actor, "sentiment:articles", pk=found.pk)
    chart = trend_charts.arrivals(found, address, span=span, seconds=seconds)
    context = {"monitor": found, "chart": chart, "firing": selectors_alerts.gravest_of(found, SHOWN)}
    return render(request, "sentiment/_arrivals.html", context)


TONES = (
    ("negative_count", gettext_lazy("Negative"), "bad"),
    ("neutral_count", gettext_lazy("Neutral"), "plain"),
    ("positive_count", gettext_lazy("Positive"), "good"),
    ("abstained_count", gettext_lazy("Not sure"), "unsure"),
    ("unread_count", gettext_lazy("Not scored"), "none"),
)
"""Count of a point, its name, and how the chart paints it."""


def _chart(series: selectors.Series) -> dict[str, Any]:
    """Articles by span of time and how they are meant. A span in which nothing was counted has no bar, and no zero either."""
    found = {
        point["start_at"]: {**point, "unread_count": max(0, point["article_count"] - point["scored_count"])}
        for point in series.points
    }
    if not found:
        return {}
    form = _("M j") if series.seconds == BucketSize.DAY else _("M j, H:i")
    times = selectors.spans_of(series)
    shown = [each for each in TONES if any(point[each[0]] for point in found.values())]
    return {
        "categories": [formats.date_format(timezone.localtime(at), form) for at in times],
        "series": [
            {"name": str(words), "tone": tone, "values": [found[at][name] if at in found else None for at in times]}
            for name, words, tone in shown
        ],
        "stacked": True,
        "counts": True,
    }


@require_POST
@page(WRITE)
def delete(request: PageRequest, pk: int) -> HttpResponse:
    """Take a monitor away with all it has read."""
    found = fetch(request.actor, Monitor, WRITE, pk=pk)
    services.delete_monitor(actor=request.actor, monitor=found)
    messages.success(request, _("“%s” is deleted.") % found.name)
    return redirect(workspace_url(request.actor, "sentiment:list"))


@require_POST
@page(WRITE)
def again(request: PageRequest, pk: int) -> HttpResponse:
    """Let the version that is named now read all articles; earlier scores stay."""
    found = fetch(request.actor, Monitor, WRITE, pk=pk)
    count = services.score_again(found)
    messages.success(request, _("Articles that will be read again: %s") % formats.number_format(count))
    return redirect(workspace_url(request.actor, "sentiment:monitor", pk=found.pk))


@require_GET
@page(READ)
def articles(request: PageRequest, pk: int) -> HttpResponse:
    """Articles of a monitor, newest first."""
    found = fetch(request.actor, Monitor, READ, pk=pk)
    bar = bar_of(request, found, "articles")
    filters = ArticleFilter(bar.data, selectors.articles_of(found), monitor=found)
    rows = filters.qs if filters.is_valid() else Article.objects.none()
    shown = keyset(request, rows, size=50)
    with_corrections(request.actor.workspace, shown.rows)
    context = {"monitor": found, "filter": filters, "bar": bar, "page": shown, "has_texts": True}
    if shown.rows:
        context["downloads"] = menu(request.actor, "sentiment:articles_export", CONTENT_TYPES, pk=found.pk)
    return render(request, "sentiment/articles.html", context)


@require_GET
@page(READ)
def article(request: PageRequest, pk: int) -> HttpResponse:
    """One article with what versions said of it and who told the same story."""
    rows = Article.objects.select_related("monitor", "source", "story").defer("search")
    found = fetch(request.actor, rows, READ, pk=pk, within="monitor__workspace")
    spoken = meaning.spoken_of(found)
    title, body = meaning.marked_parts(found, spoken)
    context = {
        "article": found,
        "title": title,
        "body": body,
        "speaks": corrected.spoken_aspects(found, spoken),
        "monitor": found.monitor,
        "scores": found.scores.select_related("model_version__family").order_by("-id"),
        "others": selectors.others_of(found)[:50],
        "revisions": found.revisions.order_by("-id"),
        "corrected": corrected.shown(request.actor.workspace, [found])[found.pk],
    }
    return render(request, "sentiment/article.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@page(WRITE)
@once(seconds=30)
def new_source(request: PageRequest, pk: int) -> HttpResponse:
    """Add a source to a monitor."""
    found = fetch(request.actor, Monitor, WRITE, pk=pk)
    form = SourceForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = services.add_source(actor=request.actor, monitor=found, **form.cleaned_data)
        except Refused as refused:
            show_refusal(form, refused)
        else:
            return redirect(workspace_url(request.actor, "sentiment:source", pk=made.pk))
    context = {"form": form, "monitor": found}
    return render(request, "sentiment/new_source.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@page(READ)
def source(request: PageRequest, pk: int) -> HttpResponse:
    """How a source is, its readings, and its form."""
    rows = Source.objects.select_related("monitor")
    permission = WRITE if request.method == "POST" else READ
    found = fetch(request.actor, rows, permission, pk=pk, within="monitor__workspace")
    form = SourceForm(request.POST or None, instance=found)
    if request.method == "POST" and form.is_valid():
        try:
            services.change_source(actor=request.actor, source=found, **form.cleaned_data)
        except Refused as refused:
            show_refusal(form, refused)
        else:
            messages.success(request, _("Saved."))
            return redirect(workspace_url(request.actor, "sentiment:source", pk=found.pk))
    shown = keyset(request, selectors.readings_of(found), size=25)
    context = {
        "source": found,
        "monitor": found.monitor,
        "health": selectors.health_of(found),
        "figures": selectors.figures_of(found),
        "waits_until": hosts.waits_until(found),
        "form": form,
        "page": shown,
        "repeats": selectors.repeats(shown.rows),
        "unread": selectors.unread_pages_of(found)[:UNREAD_SHOWN],
    }
    return render(request, "sentiment/source.html", context, status=422 if form.errors else 200)


@require_POST
@page(WRITE)
def read_now(request: PageRequest, pk: int) -> HttpResponse:
    """Read a feed as soon as a worker is free."""
    found = fetch(request.actor, Source, WRITE, pk=pk, within="monitor__workspace")
    services.fetch_now(source=found)
    messages.success(request, _("It is read as soon as a worker is free."))
    return redirect(workspace_url(request.actor, "sentiment:source", pk=found.pk))


@require_POST
@page(WRITE)
def rotate_secret(request: PageRequest, pk: int) -> HttpResponse:
    """Another secret of a webhook, shown this once."""
    rows = Source.objects.select_related("monitor")
    found = fetch(request.actor, rows, WRITE, pk=pk, within="monitor__workspace")
    secret = services.rotate_hook_secret(actor=request.actor, source=found)
    return render(request, "sentiment/hook_secret.html", {"source": found, "monitor": found.monitor, "secret": secret})


@require_POST
@page(WRITE)
def try_pages(request: PageRequest, pk: int) -> HttpResponse:
    """Every page that could not be read is tried at the next reading."""
    found = fetch(request.actor, Source, WRITE, pk=pk, within="monitor__workspace")
    services.try_pages_again(found)
    messages.success(request, _("They are tried at the next reading."))
    return redirect(workspace_url(request.actor, "sentiment:source", pk=found.pk))


@require_POST
@page(WRITE)
def remove_source(request: PageRequest, pk: int) -> HttpResponse:
    """Take a source away with its articles."""
    rows = Source.objects.select_related("monitor")
    found = fetch(request.actor, rows, WRITE, pk=pk, within="monitor__workspace")
    services.remove_source(actor=request.actor, source=found)
    messages.success(request, _("“%s” is deleted.") % found.name)
    return redirect(workspace_url(request.actor, "sentiment:monitor", pk=found.monitor_id))
