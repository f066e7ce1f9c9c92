"""The part of an article's page that says which words its sentiment comes from."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from apps.inference import services as inference
from apps.inference.models import OnlineRequest
from apps.inference.selectors import attribution_picture, attributions
from apps.sentiment.models import Score
from core.access import PageRequest, fetch, page, require
from core.errors import Refused

READ = "sentiment.read"


@require_POST
@page(READ)
def ask(request: PageRequest, pk: int) -> HttpResponse:
    """Ask why a version found an article to be meant like this; the part asks for itself until it is there."""
    rows = Score.objects.select_related("article", "model_version__family")
    score = fetch(request.actor, rows, READ, pk=pk, within="article__monitor__workspace")
    require(request.actor, "inference.write")
    text = score.article.text[: inference.MOST_ATTRIBUTED_CHARACTERS]
    label = max(score.probabilities, key=lambda name: score.probabilities[name], default="")
    try:
        made = inference.ask_attribution(
            actor=request.actor,
            version=score.model_version,
            text=text,
            label=label,
            guarded=inference.guard_texts(request.actor, None, [text]),
        )
    except Refused as refused:
        return render(request, "sentiment/_why.html", {"refused": refused}, status=422)
    return render(request, "sentiment/_why.html", _told(made, score.article.language))


@require_GET
@page(READ)
def told(request: PageRequest, pk: int) -> HttpResponse:
    """The answer as far as it is known."""
    mine = attributions(request.actor.workspace).filter(
        requested_by=request.actor.user
    )  # others may not see the article
    found = fetch(request.actor, mine, READ, pk=pk)
    return render(request, "sentiment/_why.html", _told(found, request.GET.get("lang", "")[:10]))


def _told(asked: OnlineRequest, language: str) -> dict[str, Any]:
    return {"asked": asked, "language": language, "picture": attribution_picture(asked)}
