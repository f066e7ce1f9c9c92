"""POST /v1/chat/completions and /v1/completions: the door checks and commits, then the answer is waited for or streamed."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpResponseBase, JsonResponse
from rest_framework.request import Request

from apps.inference import services
from apps.inference.arms import CALLERS_FAULTS
from apps.inference.following import Begun, Ended, Over, Piece, Progress, Still
from apps.inference.models import Generation, GenerationState
from apps.inference.openai.bodies import (
    ChatBody,
    CompletionBody,
    extras_of,
    messages_of,
    prompts_of,
    sampling_of_chat,
    sampling_of_completion,
)
from apps.inference.openai.doors import Committed, Door
from apps.inference.openai.guarded import guarded
from apps.inference.openai.shapes import Shape, counts_of, usage_of
from apps.inference.services import Guarded
from apps.inference.services.guarding import contents_of, with_contents
from core.errors import Refused
from core.openai.body import read_body
from core.openai.shape import error_body
from core.streaming import event_stream, need_room, releasing
from words import say, spoken

HEARTBEATS = 15  # silent seconds after which a comment tells that the line is alive


@dataclass(frozen=True)
class Pending:
    """What was committed, and how the caller wants to hear of it."""

    shape: Shape
    tells_usage: bool


class ChatDoor(Door):
    """Checks a chat and commits it."""

    def post(self, request: Request) -> Committed:
        """Ask for answers."""
        asked = read_body(request, ChatBody)
        _need_listener(asked)
        route = self.route_of(asked)
        messages = messages_of(asked)

        def commit(found: Guarded | None) -> Committed:
            row = services.generate_chat(
                actor=self.actor,
                version=route.version,
                route=route,
                reference=asked["model"],
                messages=messages if found is None else with_contents(messages, found.texts),
                sampling=sampling_of_chat(asked),
                extras=extras_of(asked, found),
            )
            return _committed(Shape(row), asked)

        contents, trusted = contents_of(messages)
        return guarded(self.actor, route.deployment, contents, commit, trusted=trusted)


class CompletionDoor(Door):
    """Checks prompts and commits them."""

    def post(self, request: Request) -> Committed:
        """Ask for continuations."""
        asked = read_body(request, CompletionBody)
        _need_listener(asked)
        route = self.route_of(asked)
        prompts = prompts_of(asked)

        def commit(found: Guarded | None) -> Committed:
            row = services.generate_texts(
                actor=self.actor,
                version=route.version,
                route=route,
                reference=asked["model"],
                prompts=prompts if found is None else found.texts,
                sampling=sampling_of_completion(asked),
                extras=extras_of(asked, found),
            )
            shows_nothing = asked["echo"] and asked.get("max_tokens") == 0
            return _committed(Shape(row, echo=asked["echo"], shows_nothing=shows_nothing), asked)

        texts = [prompt for prompt in prompts if isinstance(prompt, str)]
        if len(texts) < len(prompts) and services.is_guarded(self.actor, route.deployment):
            raise Refused("unsupported_parameter", say("Guards read texts, not token ids."), field="prompt")
        return guarded(self.actor, route.deployment, texts, commit)


def _need_listener(asked: Mapping[str, Any]) -> None:
    if asked["stream"]:
        need_room()


def _committed(shape: Shape, asked: dict[str, Any]) -> Committed:
    pending = Pending(shape, bool(asked.get("stream_options", {}).get("include_usage")))
    return Committed(partial(_streamed if asked["stream"] else _whole, pending))


async def _whole(pending: Pending) -> HttpResponseBase:
    """The answer in one piece; a caller that goes away cancels it."""
    shape = pending.shape
    over = None
    try:
        async for step in Progress(shape.row).steps():
            if isinstance(step, Over):
                over = step.row
    finally:
        if over is None:
            await _cancel(shape.row)
    assert over is not None
    if over.state != GenerationState.DONE:
        return _failed(over)
    document = shape.whole(over.answers, counts_of(over))
    await sync_to_async(releasing(services.forget_texts))(over.pk)
    return JsonResponse(document)


async def _streamed(pending: Pending) -> HttpResponseBase:
    """Server-sent events, once it is sure that there is something to send."""
    steps = Progress(pending.shape.row).steps()
    try:
        async for step in steps:
            if isinstance(step, Begun | Piece | Ended):
                break
            if isinstance(step, Over):
                if step.row.state != GenerationState.DONE:
                    return _failed(step.row)
                break
    except BaseException:
        await _cancel(pending.shape.row)
        raise
    return event_stream(_events(pending, step, steps))


async def _events(pending: Pending, first: Any, steps: AsyncIterator[Any]) -> AsyncIterator[str]:
    shape, over, silent = pending.shape, None, 0
    blank: dict[str, Any] = {"usage": None} if pending.tells_usage else {}
    spoke: set[int] = set()

    def written(step: Piece | Ended) -> list[dict[str, Any]]:
        choices = []
        if step.answer not in spoke:
            spoke.add(step.answer)
            if shape.is_chat:
                choices.append(shape.first(step.answer))
            elif shape.echo:
                choices.append(shape.piece(step.answer, shape.prompt(step.answer), None, 0))
        if isinstance(step, Ended):
            choices.append(shape.last(step.answer, step.finish))
        elif not shape.shows_nothing:
            choices.append(shape.piece(step.answer, step.text, step.logprobs, step.begin))
        return choices

    try:
        step = first
        while True:
            silent = silent + 1 if isinstance(step, Still) else 0
            if isinstance(step, Piece | Ended):
                for choice in written(step):
                    yield _event(shape.chunk([choice], **blank))
            elif isinstance(step, Over):
                over = step.row
                break
            elif silent and silent % HEARTBEATS == 0:
                yield ": still here\n\n"
            step = await anext(steps)
        await sync_to_async(releasing(services.forget_texts))(over.pk)
        if over.state == GenerationState.FAILED:
            yield _event(_error(over))
        else:
            if pending.tells_usage:
                yield _event(shape.chunk([], usage=usage_of(counts_of(over))))
            yield "data: [DONE]\n\n"
    finally:
        if over is None:
            await _cancel(shape.row)


def _event(document: Any) -> str:
    return f"data: {json.dumps(document, ensure_ascii=False)}\n\n"


def _failed(row: Generation) -> JsonResponse:
    if row.state == GenerationState.CANCELLED:
        return JsonResponse(error_body(409, "The request was cancelled.", code="cancelled"), status=409)
    return JsonResponse(_error(row), status=400 if row.error_code in CALLERS_FAULTS else 503)


def _error(row: Generation) -> dict[str, Any]:
    status = 400 if row.error_code in CALLERS_FAULTS else 503
    return error_body(status, spoken(row.error_message), code=row.error_code)


async def _cancel(row: Generation) -> None:
    await sync_to_async(releasing(services.cancel_generation))(row.pk)
