"""An answer while it is written, for whoever waits for it: events first, the row when events stay away."""

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from asgiref.sync import sync_to_async

from apps.inference.looking import ENDED, looks
from apps.inference.models import Generation
from core.events import Event, hub
from core.limits import RENEW_SECONDS, renew
from core.streaming import releasing

PATIENCE_SECONDS = 1.0
LOOKS = frozenset({1, 2, 4})  # silent seconds after which the row is looked at, and then every SELDOM
SELDOM = 10


@dataclass(frozen=True)
class Begun:
    """Its prompt was taken."""

    prompt_tokens: int


@dataclass(frozen=True)
class Piece:
    """More text of one answer, which begins at character `begin` of it; logprobs, from token `first` on, where asked for."""

    answer: int
    begin: int
    text: str
    logprobs: Sequence[Any] | None = None
    first: int = 0


@dataclass(frozen=True)
class Ended:
    """One answer ended."""

    answer: int
    finish: str


@dataclass(frozen=True)
class Over:
    """The request is over; the row, as it is stored."""

    row: Generation


@dataclass(frozen=True)
class Still:
    """Nothing came for a while."""


class Lease:
    """A request's place among those of its key, kept while somebody follows it."""

    def __init__(self, slot: str) -> None:
        self._slot = slot
        self._next = time.monotonic() + RENEW_SECONDS

    async def keep(self) -> None:
        """Renew it when it is time."""
        if self._slot and time.monotonic() > self._next:
            self._next = time.monotonic() + RENEW_SECONDS
            await sync_to_async(renew)(self._slot)


Step = Begun | Piece | Ended | Over | Still


class Progress:
    """What was heard of a request so far: an answer that is written again by another worker is not told twice."""

    def __init__(self, row: Generation) -> None:
        self.row = row
        self._characters: dict[int, int] = {}
        self._tokens: dict[int, int] = {}
        self._ended: set[int] = set()
        self._begun = False
        self._wants_logprobs = row.sampling.get("logprobs") is not None

    async def steps(self) -> AsyncIterator[Step]:
        """Steps until it is over; Still every second in which nothing comes.

        The row is looked at when the last event is told, and in longer and longer silence less and less often.
        """
        silent, lease = 0, Lease(self.row.slot)
        async for event in hub().follow(f"generation:{self.row.pk}", patience=PATIENCE_SECONDS):
            silent = silent + 1 if event is None else 0
            await lease.keep()
            if event is not None and not event.get("last"):
                for step in self._steps_of(event):
                    yield step
                continue
            is_told, is_look = event is not None, silent in LOOKS or silent % SELDOM == 0
            row = None
            if is_told or (is_look and await looks().has_ended(self.row.pk)):
                row = await sync_to_async(releasing(self._stored))()
            if row is not None and row.state in ENDED:
                for step in self._rest(row):
                    yield step
                yield Over(row)
                return
            if event is None:
                yield Still()

    def _steps_of(self, event: Event) -> list[Step]:
        if event.get("begun"):
            if self._begun:
                return []
            self._begun = True
            return [Begun(event["prompt_tokens"])]
        at = event["answer"]
        found = self._piece(at, event["begin"], event["text"], event.get("logprobs"), event["tokens"])
        return [*found, *self._end(at, event["finish"])] if event.get("finish") else found

    def _rest(self, row: Generation) -> list[Step]:
        """What the row has beyond what was heard; an answer that failed or was cancelled may have none."""
        found: list[Step] = []
        for at, answer in enumerate(row.answers):
            logprobs = answer["logprobs"] if self._wants_logprobs else None
            found += self._piece(at, 0, answer["text"], logprobs, answer["tokens"])
            found += self._end(at, answer["finish"]) if answer["finish"] else []
        return found

    def _piece(self, at: int, begin: int, text: str, logprobs: Sequence[Any] | None, tokens: int) -> list[Step]:
        done, counted = self._characters.get(at, 0), self._tokens.get(at, 0)
        fresh = text[max(0, done - begin) :]
        told = (
            None
            if logprobs is None
            else logprobs[max(0, len(logprobs) - (tokens - counted)) :]
            if tokens > counted
            else []
        )
        self._characters[at] = max(done, begin + len(text))
        self._tokens[at] = max(counted, tokens)
        return [Piece(at, done, fresh, told, counted)] if fresh or told else []

    def _end(self, at: int, finish: str) -> list[Step]:
        if at in self._ended:
            return []
        self._ended.add(at)
        return [Ended(at, finish)]

    def _stored(self) -> Generation:
        return Generation.objects.select_related("model_version__family").get(pk=self.row.pk)
