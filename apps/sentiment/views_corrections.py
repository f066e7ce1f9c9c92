"""Pages on which people say what is right about articles, and make versions learn it."""

from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from apps.datasets.models import Correction
from apps.sentiment import corrected, services
from apps.sentiment import selectors_meaning as meaning
from apps.sentiment.filters import CorrectionFilter
from apps.sentiment.models import Article, Lesson, Monitor
from core.access import PageRequest, fetch, page
from core.once import once
from core.pages import is_filtered, keyset, workspace_url

READ, WRITE = "sentiment.read", "sentiment.write"


@require_POST
@page(WRITE)
def correct(request: PageRequest, pk: int) -> HttpResponse:
    """Say what is right of one aspect, or take it back; the part that was clicked comes again, without JavaScript the article."""
    rows = Article.objects.select_related("monitor").defer("search")
    article = fetch(request.actor, rows, WRITE, pk=pk, within="monitor__workspace")
    aspect = request.POST.get("aspect") or services.SENTIMENT
    if request.POST.get("undo"):
        services.take_back(actor=request.actor, article=article, aspect=aspect)
    else:
        services.correct_article(
            actor=request.actor, article=article, label=request.POST.get("label", ""), aspect=aspect,
            note=request.POST.get("note", ""),
        )  # fmt: skip
    if request.headers.get("HX-Request") != "true":
        return redirect(workspace_url(request.actor, "sentiment:article", pk=article.pk))
    if aspect == services.SENTIMENT:
        shown = corrected.shown(request.actor.workspace, [article])[article.pk]
        return render(request, "sentiment/_correct.html", {"row": article, "corrected": shown})
    speaks = corrected.spoken_aspects(article, meaning.spoken_of(article))
    context = {"article": article, "monitor": article.monitor, "speaks": speaks}
    return render(request, "sentiment/_spoken.html", context)


@require_GET
@page(READ)
def corrections(request: PageRequest, pk: int) -> HttpResponse:
    """What people said is right about the articles of a monitor, and what was learnt from it."""
    monitor = fetch(request.actor, Monitor, READ, pk=pk)
    rows = corrected.corrections_of(monitor)
    filters = CorrectionFilter(request.GET, rows)
    shown = keyset(request, filters.qs if filters.is_valid() else Correction.objects.none(), size=50)
    corrected.with_subjects(monitor, shown.rows)
    standings = corrected.standings_of(monitor)
    context = {
        "monitor": monitor,
        "filter": filters,
        "filtered": is_filtered(request, filters),
        "page": shown,
        "standings": standings,
        "count": sum(each.count for each in standings),
        "article_count": Article.objects.filter(monitor=monitor).count(),
        "learnings": [each for each in corrected.learnings_of(monitor) if each.count or each.lesson],
        "shares": services.SAMPLE_SHARES,
    }
    return render(request, "sentiment/corrections.html", context)


@require_GET
@page(READ)
def lesson(request: PageRequest, pk: int) -> HttpResponse:
    """The newest lesson of one aspect and version as it stands; asks for itself while its version is being frozen."""
    monitor = fetch(request.actor, Monitor, READ, pk=pk)
    aspect, model = request.GET.get("aspect", services.SENTIMENT), request.GET.get("model", "")
    found = [each for each in corrected.learnings_of(monitor) if each.aspect.value == aspect]
    learning = next((each for each in found if model in ("", each.model)), None)
    if learning is None:
        raise Http404
    context: dict[str, Any] = {"monitor": monitor, "learning": learning, "shares": services.SAMPLE_SHARES}
    return render(request, "sentiment/_lesson.html", context)


@require_POST
@page(WRITE)
@once(seconds=10)
def make_lesson(request: PageRequest, pk: int) -> HttpResponse:
    """Freeze what was corrected as a dataset version; asked twice it is the same one."""
    monitor = fetch(request.actor, Monitor, WRITE, pk=pk)
    share = request.POST.get("sample_share", "1")
    services.make_lesson(
        actor=request.actor,
        monitor=monitor,
        aspect=request.POST.get("aspect") or services.SENTIMENT,
        model=request.POST.get("model", ""),
        sample_share=int(share) if share.isdecimal() and len(share) < 9 else -1,
    )
    return redirect(workspace_url(request.actor, "sentiment:corrections", pk=monitor.pk))


@require_POST
@page(WRITE)
@once(seconds=10)
def train(request: PageRequest, pk: int) -> HttpResponse:
    """Let a version learn from a lesson, and go to the training."""
    rows = Lesson.objects.select_related("monitor__workspace")
    found = fetch(request.actor, rows, WRITE, pk=pk, within="monitor__workspace")
    started = services.train_lesson(actor=request.actor, lesson=found)
    return redirect(workspace_url(request.actor, "training:detail", pk=started.pk))
