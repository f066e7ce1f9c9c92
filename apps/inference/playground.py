"""The playground: talk to one or two versions, watch the answers come, see how sure each token was."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from django.http import HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from apps.inference import services
from apps.inference.following import Begun, Ended, Over, Piece, Progress, Step
from apps.inference.forms import PlaygroundForm
from apps.inference.guards.models import Direction
from apps.inference.models import Arm, Generation, GenerationState
from core.access import PageRequest, fetch, page
from core.errors import Refused
from core.streaming import event_stream, need_room
from words import spoken

HEARTBEAT = ": still here\n\n"
HEARTBEATS = 15  # silent seconds after which a comment tells that the line is alive


@require_GET
@page("inference.read")
def playground(request: PageRequest) -> HttpResponse:
    """The page; everything else happens in its module."""
    form = PlaygroundForm(actor=request.actor, initial={"model_version": request.GET.get("version", "")})
    names = {str(version.pk): f"{version.family.name}:{version.number}" for version in form.versions}
    names |= {str(deployment): str(deployment) for deployment in form.deployments}
    address = request.build_absolute_uri("/v1")
    return render(request, "inference/playground.html", {"form": form, "names": names, "address": address})


@require_POST
@page("inference.write")
def ask(request: PageRequest) -> JsonResponse:
    """Commit one request; says where its events are."""
    form = PlaygroundForm(request.POST, actor=request.actor)
    if not form.is_valid():
        name, found = next(iter(form.errors.items()))
        label = form.fields[name].label if name in form.fields else ""
        return JsonResponse({"error": f"{label}: {found[0]}" if label else str(found[0])}, status=422)
    found = form.cleaned_data["model_version"]
    version = found.version
    try:
        made = services.generate_chat(
            actor=request.actor,
            version=version,
            route=found,
            reference=str(found.deployment or f"{version.family.name}:{version.number}"),
            **_guarded(request, form),
        )
    except Refused as refused:
        return JsonResponse({"error": str(refused.message)}, status=422)
    return JsonResponse({"id": made.pk})


def _guarded(request: PageRequest, form: PlaygroundForm) -> dict[str, Any]:
    """Messages, sampling and extras, as the workspace's guards let them through."""
    messages, sampling = form.cleaned_data["messages"], form.sampling()
    passed, found = services.guard_messages(request.actor, form.cleaned_data["model_version"].deployment, messages)
    if found is not None and found.policy.rules(Direction.OUTPUT).looks:
        sampling = replace(sampling, logprobs=None)  # of what was not let through nobody hears
    return {"messages": passed, "sampling": sampling, "extras": services.Extras(guarded=found)}


@require_GET
@page("inference.read")
def events(request: PageRequest, pk: int) -> HttpResponseBase:
    """The answer as server-sent events, from its first character on whenever it is asked for."""
    row = fetch(request.actor, Generation.objects.exclude(arm=Arm.SHADOW), "inference.read", pk=pk)
    need_room()
    return event_stream(told_events(row))


@require_POST
@page("inference.write")
def stop(request: PageRequest, pk: int) -> HttpResponse:
    """Enough: what was written stays."""
    row = fetch(request.actor, Generation.objects.all(), "inference.write", pk=pk)
    services.cancel_generation(row.pk)
    return HttpResponse(status=204)


async def told_events(row: Generation) -> AsyncIterator[str]:
    """The steps of an answer as server-sent events."""
    silent = 0
    async for step in Progress(row).steps():
        told = _told(step)
        silent = 0 if told else silent + 1
        if told:
            yield f"data: {json.dumps(told, ensure_ascii=False)}\n\n"
        elif silent % HEARTBEATS == 0:
            yield HEARTBEAT


def _told(step: Step) -> dict[str, Any]:
    if isinstance(step, Begun):
        return {"type": "begun", "prompt_tokens": step.prompt_tokens}
    if isinstance(step, Piece):
        return {"type": "piece", "begin": step.begin, "text": step.text, "tokens": step.logprobs, "first": step.first}
    if isinstance(step, Ended):
        return {"type": "ended", "finish": step.finish}
    if isinstance(step, Over):
        return _over(step.row)
    return {}


def _over(row: Generation) -> dict[str, Any]:
    """How it ended, and the times of its parts in seconds."""
    first, end, begun = row.first_token_at, row.finished_at, row.created_at
    writing = (end - first).total_seconds() if first and end else None
    return {
        "type": "over",
        "state": row.state,
        "by": str(row.model_version) if row.deployment_id else "",
        "error": spoken(row.error_message) if row.state == GenerationState.FAILED else "",
        "prompt_tokens": row.prompt_tokens,
        "cached_tokens": row.cached_tokens,
        "answer_tokens": row.answer_tokens,
        "first": (first - begun).total_seconds() if first else None,
        "rate": (row.answer_tokens - 1) / writing if writing and row.answer_tokens > 1 else None,
    }
