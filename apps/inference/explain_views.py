"""Pages of "How it works": ask for a sentence, and look at it from the first token to the loss."""

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from apps.inference import services
from apps.inference.explaining import picture
from apps.inference.forms import ExplainForm
from apps.inference.selectors import explanation_of, explanations
from core.access import PageRequest, fetch, page, require
from core.errors import Refused
from core.once import once
from core.pages import workspace_url

RECENT = 8


@require_http_methods(["GET", "POST"])
@page("inference.read")
@once(seconds=10)
def explain(request: PageRequest) -> HttpResponse:
    """Choose a version and write a sentence; below it the sentences of the last days."""
    chosen = {"model_version": request.GET["version"]} if "version" in request.GET else {}
    form = ExplainForm(request.POST or None, actor=request.actor, initial=chosen)
    if request.method == "POST":
        require(request.actor, "inference.write")
        if form.is_valid():
            values = form.cleaned_data
            try:
                made = services.ask_explanation(
                    actor=request.actor,
                    version=values["model_version"],
                    text=values["text"],
                    guarded=services.guard_texts(request.actor, None, [values["text"]]),
                )
            except Refused as refused:
                for problem in refused.problems:
                    form.add_error(problem.field if problem.field in form.fields else None, problem.message)
            else:
                return redirect(workspace_url(request.actor, "inference:explained", pk=made.pk))
    recent = explanations(request.actor.workspace).defer("results")[:RECENT]
    context = {"form": form, "recent": recent}
    return render(request, "inference/explain.html", context, status=422 if form.errors else 200)


@require_GET
@page("inference.read")
def explained(request: PageRequest, pk: int) -> HttpResponse:
    """The sentence as far as it is known; the page asks again until it is done."""
    asked = fetch(request.actor, explanations(request.actor.workspace), "inference.read", pk=pk)
    told = explanation_of(asked)
    initial = {"model_version": asked.model_version_id, "text": asked.texts[0]}
    context = {
        "asked": asked,
        "form": ExplainForm(actor=request.actor, initial=initial),
        "told": told,
        "picture": None if told is None else picture(told, request.GET),
    }
    return render(request, "inference/explained.html", context)
