"""Pages on which people say what is right about articles, and make versions learn it."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from apps.datasets.models import Correction
from apps.sentiment import corrected, services
from apps.sentiment.filters import CorrectionFilter
from apps.sentiment.models import Article, Lesson, Monitor
from core.access import PageRequest, fetch, page
from core.once import once
from core.pages import is_filtered, keyset, workspace_url

READ, WRITE = "sentiment.read", "sentiment.write"


@require_POST
@page(WRITE)
def correct(request: PageRequest, pk: int) -> HttpResponse:
    """Say how an article is meant, or take it back; the part that was clicked comes again."""
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
    shown = corrected.shown(request.actor.workspace, [article], aspect=aspect)[article.pk]
    return render(request, "sentiment/_correct.html", {"row": article, "corrected": shown})


@require_GET
@page(READ)
def corrections(request: PageRequest, pk: int) -> HttpResponse:
    """What people said is right about the articles of a monitor, and what was learnt from it."""
    monitor = fetch(request.actor, Monitor, READ, pk=pk)
    rows = corrected.corrections_of(monitor)
    filters = CorrectionFilter(request.GET, rows)
    context = {
        "monitor": monitor,
        "filter": filters,
        "filtered": is_filtered(request, filters),
        "page": keyset(request, filters.qs if filters.is_valid() else Correction.objects.none(), size=50),
        **_standing(monitor),
    }
    return render(request, "sentiment/corrections.html", context)


@require_GET
@page(READ)
def lesson(request: PageRequest, pk: int) -> HttpResponse:
    """The newest lesson as it stands; asks for itself while its version is being frozen."""
    monitor = fetch(request.actor, Monitor, READ, pk=pk)
    return render(request, "sentiment/_lesson.html", {"monitor": monitor, **_standing(monitor)})


def _standing(monitor: Monitor) -> dict[str, Any]:
    return {
        "standing": corrected.standing_of(monitor),
        "lesson": corrected.lessons_of(monitor).first(),
        "shares": services.SAMPLE_SHARES,
    }


@require_POST
@page(WRITE)
@once(seconds=10)
def make_lesson(request: PageRequest, pk: int) -> HttpResponse:
    """Freeze what was corrected as a dataset version; asked twice it is the same one."""
    monitor = fetch(request.actor, Monitor, WRITE, pk=pk)
    share = request.POST.get("sample_share", "1")
    services.make_lesson(actor=request.actor, monitor=monitor, sample_share=int(share) if share.isdecimal() else -1)
    return redirect(workspace_url(request.actor, "sentiment:corrections", pk=monitor.pk))


@require_POST
@page(WRITE)
@once(seconds=10)
def train(request: PageRequest, pk: int) -> HttpResponse:
    """Let the monitor's version learn from a lesson, and go to the training."""
    rows = Lesson.objects.select_related("monitor__workspace")
    found = fetch(request.actor, rows, WRITE, pk=pk, within="monitor__workspace")
    started = services.train_lesson(actor=request.actor, lesson=found)
    return redirect(workspace_url(request.actor, "training:detail", pk=started.pk))
