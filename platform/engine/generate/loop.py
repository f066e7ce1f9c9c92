"""The engine's own loop on torch: plan a step, read its pieces, draw tokens, tell what became text.

It is the reference back end: every option of `Sampling`, many requests at once, a bounded cache, on CPU and GPU.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

from engine.generate.grammar import BadGrammar, Grammars, Guide
from engine.generate.network import Reading
from engine.generate.request import Finish, Request
from engine.generate.sampler import Drawn, Wish, draw, with_logprobs
from engine.generate.scheduler import Piece, Scheduler
from engine.generate.text import TextStream
from words import say


@dataclass(frozen=True)
class Usage:
    """Tokens of an answer as the server that wrote it counts them."""

    prompt_tokens: int
    cached_tokens: int
    answer_tokens: int


@dataclass(frozen=True)
class Delta:
    """What one step added to an answer: text that became certain, tokens, and at last why it ended.

    `prompt` holds, once and only if asked for, a `Drawn` for each token of the prompt but the first.
    """

    key: str
    text: str = ""
    tokens: tuple[Drawn, ...] = ()
    finish: Finish | None = None
    stopped_by: str | int | None = None
    prompt: tuple[Drawn, ...] = ()
    code: str = ""  # of an error
    message: str = ""
    usage: Usage | None = None  # with the end, where only the back end can count


@dataclass(frozen=True)
class Load:
    """How busy a back end is."""

    running: int
    waiting: int
    cache_share: float
    prompt_tokens: int
    cached_tokens: int
    preemptions: int
    capacity_tokens: int = 0  # of the memory; 0 where it is another server's


class Backend(Protocol):
    """The seam: the loop, on torch or OpenVINO, or a remote server."""

    def add(self, request: Request) -> None:
        """Let a request wait for its answer."""

    def cancel(self, key: str) -> None:
        """End a request; the next step tells so."""

    def waits_for(self, adapter: str) -> bool:
        """Whether anybody waits for an answer by this adapter."""

    def step(self) -> list[Delta]:
        """Go on with all requests by one step."""

    def load(self) -> Load:
        """How busy it is."""


class Reader(Protocol):
    """What multiplies: the network on torch or OpenVINO's."""

    def logits(self, readings: Sequence[Reading], wanted: Sequence[int]) -> torch.Tensor:
        """Logits [len(wanted), V] behind the tokens of these numbers, counted over all readings; float32."""


@dataclass
class _Writing:
    """What the loop keeps of a request beside its tokens."""

    request: Request
    seed: int
    text: TextStream
    guide: Guide | None
    prompt: list[Drawn] = field(default_factory=list)
    is_cancelled: bool = False


class TorchLoop:
    """Answers on one network; one thread calls it."""

    def __init__(
        self,
        network: Reader,
        scheduler: Scheduler,
        *,
        decode: Callable[[Sequence[int]], str],
        ends: Sequence[int],
        grammars: Grammars | None = None,
    ) -> None:
        self.network = network
        self.scheduler = scheduler
        self._decode = decode
        self._ends = frozenset(ends)
        self._grammars = grammars
        self._writings: dict[str, _Writing] = {}

    def add(self, request: Request) -> None:
        """Let a request wait; ValueError for a grammar that cannot be read or a prompt that does not fit."""
        sampling = request.sampling
        guide = None
        if sampling.grammar is not None:
            if self._grammars is None:
                raise ValueError("this back end knows no grammars")
            guide = self._grammars.guide(sampling.grammar)
        if sampling.prompt_logprobs is not None:
            request.root = secrets.token_hex(16)  # every token must be read for its logits
        self.scheduler.add(request)
        seed = secrets.randbits(63) if sampling.seed is None else sampling.seed
        self._writings[request.key] = _Writing(request, seed, TextStream(self._decode, sampling.stop), guide)

    def cancel(self, key: str) -> None:
        """End a request before the next step."""
        if key in self._writings:
            self._writings[key].is_cancelled = True

    def waits_for(self, adapter: str) -> bool:
        """Whether anybody waits for an answer by this adapter."""
        return any(one.request.adapter == adapter for one in list(self._writings.values()))

    def step(self) -> list[Delta]:
        """One step; what it added to whom."""
        deltas = [self._end(one, Finish.CANCELLED) for one in list(self._writings.values()) if one.is_cancelled]
        pieces = self.scheduler.plan()
        if not pieces:
            return deltas
        logits, rows = self._read(pieces)
        for piece in pieces:
            self.scheduler.computed(piece)
        writings: list[_Writing] = []
        wishes: list[Wish] = []
        places: list[int] = []
        for row, piece in zip(rows, (piece for piece in pieces if piece.completes), strict=True):
            one = self._writings[piece.request.key]
            try:
                wish = self._wish(one)
            except BadGrammar as error:
                deltas.append(self._misled(one, error))
                continue
            writings.append(one)
            wishes.append(wish)
            places.append(row)
        drawn = draw(logits[places], wishes) if places else []
        return deltas + [self._written(one, token) for one, token in zip(writings, drawn, strict=True)]

    def load(self) -> Load:
        """How busy it is."""
        scheduler = self.scheduler
        return Load(
            len(scheduler.running),
            len(scheduler.waiting),
            scheduler.memory.used_share,
            scheduler.prompt_tokens,
            scheduler.cached_tokens,
            scheduler.preemptions,
            scheduler.memory.capacity_tokens,
        )

    def _read(self, pieces: Sequence[Piece]) -> tuple[torch.Tensor, list[int]]:
        """(logits, the rows of them behind which a token is drawn)"""
        readings: list[Reading] = []
        wanted: list[int] = []  # tokens whose logits are made
        rows: list[int] = []
        first = 0
        told: list[tuple[_Writing, list[int], int]] = []
        for piece in pieces:
            request = piece.request
            place = self.scheduler.memory.place(request.key)
            end = piece.start + piece.count
            tokens = request.tokens(piece.start, end)
            readings.append(Reading(place, piece.start, tokens, len(request.prompt), request.adapter))
            if request.sampling.prompt_logprobs is not None and piece.start < len(request.prompt) - 1:
                inside = range(piece.start, min(end, len(request.prompt) - 1))
                told.append((self._writings[request.key], [request.prompt[at + 1] for at in inside], len(wanted)))
                wanted += [first + at - piece.start for at in inside]
            if piece.completes:
                rows.append(len(wanted))
                wanted.append(first + piece.count - 1)
            first += piece.count
        logits = self.network.logits(readings, wanted)
        for writing, tokens, begin in told:
            count = writing.request.sampling.prompt_logprobs or 0
            for at, token in enumerate(tokens):
                writing.prompt.append(with_logprobs(token, logits[begin + at].log_softmax(-1), count))
        return logits, rows

    def _wish(self, writing: _Writing) -> Wish:
        request = writing.request
        forbidden: frozenset[int] = frozenset()
        if request.sampling.ignore_end or len(request.output) < request.sampling.min_tokens:
            forbidden = self._ends
        allowed = writing.guide.allowed() if writing.guide is not None else None
        return Wish(request.sampling, writing.seed, request.prompt, request.output, allowed, forbidden)

    def _written(self, writing: _Writing, drawn: Drawn) -> Delta:
        """Add a token to an answer and see whether it ends."""
        request = writing.request
        sampling = request.sampling
        prompt, writing.prompt = tuple(writing.prompt), []
        if drawn.token in self._ends or drawn.token in sampling.stop_token_ids:
            by = None if drawn.token in self._ends else drawn.token
            return self._end(writing, Finish.STOP, tokens=(drawn,), prompt=prompt, stopped_by=by)
        request.output.append(drawn.token)
        if writing.guide is not None:
            try:
                writing.guide.accept(drawn.token)
            except BadGrammar as error:
                return self._misled(writing, error)
        found = writing.text.add(drawn.token)
        if found.stop is not None:
            return self._end(
                writing, Finish.STOP, text=found.text, tokens=(drawn,), prompt=prompt, stopped_by=found.stop
            )
        is_complete = writing.guide is not None and writing.guide.is_complete
        if is_complete:
            return self._end(writing, Finish.STOP, text=found.text, tokens=(drawn,), prompt=prompt)
        if len(request.output) >= sampling.max_tokens or request.length >= self.scheduler.limits.context_tokens:
            return self._end(writing, Finish.LENGTH, text=found.text, tokens=(drawn,), prompt=prompt)
        return Delta(request.key, found.text, (drawn,), prompt=prompt)

    def _misled(self, writing: _Writing, error: BadGrammar) -> Delta:
        """A grammar that grew beyond its limits on the way fails its own answer and no other."""
        message = say("No answer keeps to the form that was asked for: {problem}", problem=str(error))
        return self._end(writing, Finish.ERROR, code="invalid_grammar", message=message)

    def _end(
        self,
        writing: _Writing,
        finish: Finish,
        *,
        text: str = "",
        tokens: tuple[Drawn, ...] = (),
        prompt: tuple[Drawn, ...] = (),
        stopped_by: str | int | None = None,
        code: str = "",
        message: str = "",
    ) -> Delta:
        request = writing.request
        if not isinstance(stopped_by, str):
            rest = writing.text.end()
            text += rest.text
            stopped_by = rest.stop or stopped_by
        self.scheduler.finish(request, finish)
        del self._writings[request.key]
        return Delta(request.key, text, tokens, finish, stopped_by, prompt, code, message)
