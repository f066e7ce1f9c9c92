"""The resident role's writing: claims requests, lets the engine answer all of them together, tells and stores answers."""

import json
import logging
import shutil
import threading
import time
import uuid
from dataclasses import dataclass, field, replace
from typing import Any

from django.conf import settings
from django.db import OperationalError, close_old_connections
from django.utils import timezone

from apps.inference.models import Generation, GenerationKind, GenerationState
from apps.inference.services import (
    GENERATION_CHANNEL,
    OutputGuard,
    beat_generations,
    claim_generations,
    finish_generation,
    hand_back_generations,
    output_guard,
    sampling_of,
)
from apps.registry.models import ModelVersion
from core.events import Event, Teller
from words import join, say
from workers.bell import Bell
from workers.memory import WRITING, Models, graphs_folder
from workers.meter import Meter

logger = logging.getLogger(__name__)

IDLE_SECONDS = 1.0
LISTEN_SECONDS = 0.01  # between two looks at what other servers have written
CONTENT_FILTER = "content_filter"  # the end of an answer that a guard blocked
YOUNG_SECONDS = 3600.0
TOGETHER = 64  # requests in the engine's hands, running or waiting for a seat
PATIENT = 32  # of them such that nobody waits for: a full house of those would keep others at the door


@dataclass
class Answer:
    """One of a request's answers while it is written."""

    text: str = ""
    finish: str = ""
    stopped_by: str | int | None = None
    tokens: int = 0  # written, the end token included
    logprobs: list[Any] = field(default_factory=list)  # [[token, text, log p, [[token, text, log p], ...]], ...]
    prompt: list[Any] = field(default_factory=list)

    def as_mapping(self) -> dict[str, Any]:
        """As the row keeps it."""
        return dict(self.__dict__)


@dataclass
class Work:
    """A claimed row with the answers that are being written for it."""

    row: Generation
    writer: Any  # engine.generate.opening.Writer
    answers: list[Answer]
    open: int
    prompt_tokens: int = 0
    cached_tokens: int = 0  # that a server found in its cache
    added: list[int] = field(
        default_factory=list
    )  # of each answer: first tokens of the prompt that the caller did not give
    requests: list[Any] = field(default_factory=list)
    told: int = 0
    first_token_at: Any = None
    guard: OutputGuard | None = None
    closed: set[int] = field(default_factory=set)  # answers of which everything was told

    def count(self, at: int, usage: Any) -> None:
        """Take a server's own counts of an answer; answers to one prompt share its tokens."""
        self.answers[at].tokens = usage.answer_tokens
        if at % self.row.answers_per_prompt == 0:
            self.prompt_tokens += usage.prompt_tokens
            self.cached_tokens += usage.cached_tokens

    def event(self, **values: Any) -> tuple[str, Event]:
        """The next event of this row, under this claim."""
        self.told += 1
        return f"generation:{self.row.pk}", {"id": f"{self.row.token}.{self.told}", **values}


class Desk:
    """One process's claimed rows and the writers that answer them."""

    def __init__(self, models: Models | None = None, teller: Teller | None = None) -> None:
        self.models = models or Models()
        self.teller = teller or Teller()
        self.meter = Meter()
        self._works: dict[int, Work] = {}
        self._keys: dict[str, tuple[Work, int]] = {}
        self._let_go: set[str] = set()  # answers of requests that failed, whose last word is still to come
        self._beat_at = 0.0

    @property
    def is_busy(self) -> bool:
        """Whether something is being written."""
        return bool(self._works)

    @property
    def only_listens(self) -> bool:
        """Whether nothing is computed here: all that is open is written by other servers or waits for a classifier."""
        return all(work.writer.is_elsewhere or not work.writer.is_busy for work in self._works.values())

    def turn(self, *, look: bool = True, unwanted: set[int] | None = None) -> bool:
        """Claim what waits, write one step of everything, store what ended; False when there was nothing to do."""
        for pk in unwanted or ():
            self._cancel(pk)
        if self._works and time.monotonic() > self._beat_at:
            self._beat()  # before looking: after a slow step its own rows would be there for the taking
        claimed = self._claimed() if look and len(self._works) < TOGETHER else []
        for row in claimed:
            self._begin(row)
        for writer in self._busy():
            try:
                self._step(writer)
            except OperationalError:
                raise
            except Exception:  # noqa: BLE001 - logged by _unexpected
                self._give_up(writer)
        self._release()
        self.meter.tell([(work.row, work.writer, work.requests[at]) for work, at in self._keys.values()])
        return bool(claimed or self._works)

    def leave(self) -> None:
        """Give back what is not finished, for another process to take at once."""
        hand_back_generations({pk: work.row.token for pk, work in self._works.items()})
        self._works.clear()
        self.teller.close()
        self.meter.leave()

    def _busy(self) -> list[Any]:
        """Writers with something to write, also those that were let go meanwhile: answers in flight end on them."""
        busy = [work.writer for work in self._works.values() if work.writer.is_busy]
        return list({id(writer.backend): writer for writer in busy}.values())

    def _claimed(self) -> list[Generation]:
        patient = sum(work.row.priority > 0 for work in self._works.values())
        return claim_generations(TOGETHER - len(self._works), patient=PATIENT - patient)

    def _begin(self, row: Generation) -> None:
        from engine.failures import RunFailed
        from engine.generate.grammar import BadGrammar
        from engine.generate.unfit import Unfit

        try:
            writer = self.models.get(row.model_version, WRITING)
            work = self._work(row, writer)
            for request in work.requests:
                writer.backend.add(request)
        except Unfit as unfit:
            self._fail(row, unfit.code, unfit.message)
        except BadGrammar as error:
            message = say("The form that was asked for cannot be read: {problem}", problem=str(error))
            self._fail(row, "invalid_grammar", message)
        except RunFailed as failure:
            self._fail(row, failure.code, join([failure.message, failure.hint]))
        except Exception:  # noqa: BLE001 - logged by _unexpected
            # One version that cannot be opened, for whatever reason, must not silence all others.
            self._fail(row, *_unexpected(f"generation {row.pk} could not begin"))
        else:
            self._works[row.pk] = work
            self.meter.began(row)
            self._keys.update({request.key: (work, at) for at, request in enumerate(work.requests)})
            self.teller.tell([work.event(begun=True, prompt_tokens=work.prompt_tokens)])

    def _work(self, row: Generation, writer: Any) -> Work:
        sampling = sampling_of(row)
        prompts = self._prompts(row, writer)
        work = Work(row, writer, [], 0, sum(len(prompt) for prompt, _added in prompts))
        for prompt, added in prompts:
            for _ in range(row.answers_per_prompt):
                at = len(work.requests)
                own = replace(sampling, seed=row.seed + at)
                key = f"{row.pk}.{row.token}.{at}"
                tenant = str(row.workspace_id)
                work.requests.append(writer.request(key, prompt, own, tenant=tenant, priority=row.priority))
                work.answers.append(Answer())
                work.added.append(added)
        work.open = len(work.answers)
        work.guard = output_guard(row, work.open)
        return work

    def _prompts(self, row: Generation, writer: Any) -> list[tuple[Any, int]]:
        """(tokens, or what a server makes them of, how many of the first the caller did not give) of each prompt."""
        if row.kind == GenerationKind.CHAT:
            return [(writer.chat_tokens(row.messages), 0)]
        return [writer.text_tokens(each) for each in row.prompts]

    def _step(self, writer: Any) -> None:
        from engine.generate.request import Finish

        events = []
        ended: list[Work] = []
        failed: dict[int, tuple[Work, Any]] = {}
        began = time.monotonic()
        deltas = writer.backend.step()
        served = [work.row for work in self._works.values() if work.writer.backend is writer.backend]
        self.meter.stepped(writer, served, time.monotonic() - began)
        for delta in deltas:
            if delta.key in self._let_go:
                self._let_go.discard(delta.key)
                continue
            work, at = self._keys[delta.key]
            answer = work.answers[at]
            if work.first_token_at is None and delta.tokens:
                work.first_token_at = timezone.now()
            if delta.tokens:
                self.meter.drew(work.row, delta.key, len(delta.tokens))
            begin, tokens = len(answer.text), [self._told(writer, drawn) for drawn in delta.tokens]
            text = delta.text.replace("\0", "")  # which no database keeps
            answer.tokens += len(delta.tokens)
            wants = work.row.sampling.get("logprobs") is not None
            answer.logprobs += tokens if wants else []
            if delta.prompt:
                first = work.requests[at].prompt[writer.virtual_tokens]
                told = [[*_told(writer, first, None), []], *(self._told(writer, drawn) for drawn in delta.prompt)]
                answer.prompt = told[work.added[at] :]
            if delta.usage is not None:
                work.count(at, delta.usage)
            if delta.finish is not None:
                answer.finish, answer.stopped_by = str(delta.finish), delta.stopped_by
                del self._keys[delta.key]
            if delta.finish == Finish.ERROR:
                failed.setdefault(work.row.pk, (work, delta))
            if work.guard is not None:
                work.guard.feed(at, text, is_last=delta.finish is not None)
                continue
            answer.text += text
            work.open -= delta.finish is not None
            is_last = not work.open
            if text or delta.finish or (wants and tokens):
                value: dict[str, Any] = {"answer": at, "begin": begin, "text": text, "tokens": answer.tokens}
                if wants:
                    value["logprobs"] = tokens
                if delta.finish is not None:
                    value |= {"finish": answer.finish, "stopped_by": answer.stopped_by}
                events.append(work.event(**value))
            if is_last:
                ended.append(work)
        self.teller.tell(events)
        for work, delta in failed.values():
            self._end_with(work, delta.code, delta.message)
        self._end_all([work for work in ended if work.row.pk not in failed])

    def _release(self) -> None:
        """Tell what the guards let through; without a step of the engine too, when a classifier was waited for."""
        events: list[tuple[str, Event]] = []
        ended: list[Work] = []
        for work in [work for work in self._works.values() if work.guard is not None]:
            for at, answer in enumerate(work.answers):
                if at not in work.closed:
                    self._release_one(work, at, answer, events)
            if not work.open:
                ended.append(work)
        self.teller.tell(events)
        self._end_all(ended)

    def _release_one(self, work: Work, at: int, answer: Answer, events: list[tuple[str, Event]]) -> None:
        assert work.guard is not None
        begin = len(answer.text)
        text, is_blocked, is_over = work.guard.released(at)
        answer.text += text
        if is_blocked and not answer.finish:
            work.writer.backend.cancel(work.requests[at].key)
        value: dict[str, Any] = {"answer": at, "begin": begin, "text": text, "tokens": answer.tokens}
        if is_over:
            answer.finish = CONTENT_FILTER if is_blocked else answer.finish
            value |= {"finish": answer.finish, "stopped_by": answer.stopped_by}
            work.closed.add(at)
            work.open -= 1
        if text or is_over:
            events.append(work.event(**value))

    def _end_all(self, works: list[Work]) -> None:
        from engine.generate.request import Finish

        for work in works:
            is_cancelled = all(answer.finish == Finish.CANCELLED for answer in work.answers)
            self._end(work, GenerationState.CANCELLED if is_cancelled else GenerationState.DONE)

    def _told(self, writer: Any, drawn: Any) -> list[Any]:
        """[token, its text, log p, [[token, text, log p], ...]]"""
        return [*_told(writer, drawn.token, drawn.logprob), [_told(writer, token, value) for token, value in drawn.top]]

    def _end(self, work: Work, state: GenerationState) -> None:
        """Store first, then say that it is over: who hears it finds the row."""
        del self._works[work.row.pk]
        counts = {
            "prompt_tokens": work.prompt_tokens,
            "cached_tokens": work.cached_tokens + sum(request.cached for request in work.requests),
            "answer_tokens": sum(answer.tokens for answer in work.answers),
        }
        answers = [answer.as_mapping() for answer in work.answers]
        columns = {"answers": answers, "first_token_at": work.first_token_at, **counts}
        if finish_generation(work.row, state=state, guard=work.guard, **columns):
            self.meter.ended(work.row, work.answers, counts, work.first_token_at)
        self.teller.tell([work.event(last=True, state=str(state), **counts)])

    def _fail(self, row: Generation, code: str, message: str) -> None:
        if finish_generation(row, state=GenerationState.FAILED, error_code=code, error_message=message):
            self.meter.failed(row)
        event = {"id": f"{row.token}.1", "last": True, "state": str(GenerationState.FAILED)}
        self.teller.tell([(f"generation:{row.pk}", event)])

    def _give_up(self, writer: Any) -> None:
        """A step went wrong: its requests fail, and the version is loaded anew for the next ones."""
        code, message = _unexpected("a step of answers went wrong")
        for work in [work for work in self._works.values() if work.writer.backend is writer.backend]:
            self._end_with(work, code, message)
        self.models.drop(writer)

    def _end_with(self, work: Work, code: str, message: str) -> None:
        """A request fails as a whole, whatever became of its other answers; what is written of them stays."""
        del self._works[work.row.pk]
        for request in work.requests:
            if self._keys.pop(request.key, None) is not None:
                work.writer.backend.cancel(request.key)
                self._let_go.add(request.key)
        answers = [answer.as_mapping() for answer in work.answers]
        failed = GenerationState.FAILED
        if finish_generation(
            work.row, state=failed, guard=work.guard, answers=answers, error_code=code, error_message=message
        ):
            self.meter.failed(work.row)
        self.teller.tell([work.event(last=True, state=str(failed))])

    def _cancel(self, pk: int) -> None:
        work = self._works.get(pk)
        if work is not None:
            for request in work.requests:
                work.writer.backend.cancel(request.key)

    def _beat(self) -> None:
        self._beat_at = time.monotonic() + settings.GENERATION_LEASE_SECONDS / 4
        for pk in beat_generations({pk: work.row.token for pk, work in self._works.items()}):
            self._cancel(pk)


def drop_old_graphs() -> list[str]:
    """Remove what was converted from versions that are gone, and what no longer says from which."""
    dropped = []
    known = set(ModelVersion.objects.values_list("content_hash", flat=True))
    for place in graphs_folder().glob("*"):
        try:
            origin = json.loads((place / "lingxi.json").read_text(encoding="utf-8")).get("content_hash")
        except (OSError, ValueError):
            origin = None
        is_young = time.time() - place.stat().st_mtime < YOUNG_SECONDS  # may be in the making
        if origin not in known and not is_young:
            shutil.rmtree(place, ignore_errors=True)
            dropped.append(place.name)
    return dropped


def _unexpected(what: str) -> tuple[str, str]:
    """(code, sentence) of an error that nobody foresaw, logged under a number."""
    number = uuid.uuid4().hex[:12]
    logger.exception("%s, %s", what, number)
    return "unexpected", say("Something went wrong on our side. Its number in the log is {number}.", number=number)


def _told(writer: Any, token: int, logprob: float | None) -> list[Any]:
    return [token, writer.token_text(token).replace("\0", ""), None if logprob is None else round(logprob, 6)]


def write(stop: threading.Event, desk: Desk | None = None) -> None:
    """Answer requests until `stop`; Redis wakes and cancels, the rows are looked at every second anyway."""
    desk = desk or Desk()
    looked_at = 0.0
    with Bell(GENERATION_CHANNEL) as bell:
        while not stop.is_set():
            try:
                close_old_connections()
                pause = LISTEN_SECONDS if desk.only_listens else 0
                messages = bell.heard(pause if desk.is_busy else IDLE_SECONDS)
                unwanted = {int(text.split()[1]) for text in messages if text.startswith("cancel ")}
                look = bool(messages) or time.monotonic() - looked_at > IDLE_SECONDS
                if look:
                    looked_at = time.monotonic()
                desk.turn(look=look, unwanted=unwanted)
            except OperationalError as error:
                logger.warning("database unreachable: %s", error)
                stop.wait(IDLE_SECONDS)
    desk.leave()
