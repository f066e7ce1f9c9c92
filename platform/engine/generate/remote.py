"""A back end that answers on another server: whatever speaks OpenAI's streaming HTTP (vLLM, SGLang, llama.cpp, Ollama, Lingxi).

Each answer is one request in one thread; `step` hands over what has come since. What a server is asked is decided here, how
it is reached by the caller: `Open` takes a path and a body and gives the lines of the answer.
"""

import json
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from engine.failures import RunFailed
from engine.generate.loop import Delta, Load, Usage
from engine.generate.request import Finish
from engine.generate.sampler import Drawn
from engine.generate.unfit import Unfit
from engine.specs.remote import DIALECTS
from engine.specs.sampling import Grammar, Sampling
from words import say

RUNNING = 32  # answers asked for at once
TRIES = 3  # of a request that was not begun
PAUSE_SECONDS = 0.5
MOST_PAUSE_SECONDS = 10.0
FINISHES = {"length": Finish.LENGTH, "content_filter": Finish.FILTERED}
BUSY = frozenset({429, 502, 503, 504})  # a server that may answer a little later
REFUSALS = frozenset({400, 413, 422})  # of what the caller asked, not of us
MORE = {  # fields of `Sampling` that only the second dialect knows, with the value that asks for nothing
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "min_tokens": 0,
    "stop_token_ids": (),
    "ignore_end": False,
}


class Reply(Protocol):
    """An answer that is being read."""

    status: int
    retry_after: float | None  # seconds, where the server says so

    def lines(self) -> Iterator[bytes]:
        """Its lines; OSError when it breaks off."""

    def close(self) -> None:
        """End it, also from another thread: whoever reads gets an OSError or the end."""


Open = Callable[[str, Mapping[str, Any]], Reply]
"""POST a body to a path below the server's address; OSError when it cannot be reached."""


@dataclass(frozen=True)
class Server:
    """Where answers come from: an address up to /v1, a model there, and what the server knows."""

    address: str
    model: str
    dialect: str = "openai"
    context_tokens: int = 0  # 0: only the server knows


@dataclass(frozen=True)
class Asked:
    """A prompt as the server will read it; its tokens are not known here."""

    messages: Sequence[Mapping[str, str]] = ()
    prompt: str | Sequence[int] = ""

    def __len__(self) -> int:
        return 0


@dataclass(eq=False)
class RemoteRequest:
    """One answer that is asked for."""

    key: str
    path: str
    body: dict[str, Any]
    prompt: Sequence[int] = ()
    cached: int = 0


@dataclass(eq=False)
class _Listening:
    """A request in its thread."""

    request: RemoteRequest
    reply: Reply | None = None
    is_cancelled: bool = False


class RemoteLoop:
    """Many requests to one server; one thread calls add, cancel, step and load."""

    def __init__(self, open_: Open, names: "Names", *, running: int = RUNNING) -> None:
        self._open = open_
        self._names = names
        self._running = running
        self._waiting: deque[RemoteRequest] = deque()
        self._listening: dict[str, _Listening] = {}
        self._heard: queue.SimpleQueue[tuple[_Listening, Delta]] = queue.SimpleQueue()
        self._cancelled: list[str] = []
        self._tokens = [0, 0]  # of prompts, and of those found in the server's cache

    def add(self, request: RemoteRequest) -> None:
        """Let a request wait for a free line."""
        self._waiting.append(request)

    def cancel(self, key: str) -> None:
        """End a request; the next step tells so."""
        self._cancelled.append(key)

    def waits_for(self, adapter: str) -> bool:
        """Never: which adapters a server has is its own affair."""
        return False

    def step(self) -> list[Delta]:
        """What has come since the last step; never waits."""
        deltas = [found for key in self._cancelled if (found := self._end(key)) is not None]
        self._cancelled.clear()
        while self._waiting and len(self._listening) < self._running:
            request = self._waiting.popleft()
            listening = self._listening[request.key] = _Listening(request)
            threading.Thread(target=self._listen, args=(listening,), name="remote", daemon=True).start()
        for _ in range(self._heard.qsize()):
            listening, delta = self._heard.get()
            if listening.is_cancelled:
                continue
            if delta.usage is not None:
                self._tokens[0] += delta.usage.prompt_tokens
                self._tokens[1] += delta.usage.cached_tokens
            if delta.finish is not None:
                del self._listening[delta.key]
            deltas.append(delta)
        return deltas

    def load(self) -> Load:
        """How busy it is; what the server's memory holds is the server's."""
        return Load(len(self._listening), len(self._waiting), 0.0, self._tokens[0], self._tokens[1], 0)

    def _end(self, key: str) -> Delta | None:
        listening = self._listening.pop(key, None)
        if listening is not None:
            listening.is_cancelled = True
            if listening.reply is not None:
                listening.reply.close()
        elif not any(request.key == key for request in self._waiting):
            return None
        self._waiting = deque(request for request in self._waiting if request.key != key)
        return Delta(key, finish=Finish.CANCELLED)

    def _listen(self, listening: _Listening) -> None:
        """The thread of one answer: everything it hears goes to the queue, an end always."""
        key = listening.request.key
        try:
            reply = self._begun(listening)
            with_end = False
            for delta in _Told(key, self._names).deltas(reply.lines()):
                self._heard.put((listening, delta))
                with_end = with_end or delta.finish is not None
            if not with_end:
                self._heard.put((listening, _failed(key, "remote_cut", say("The server broke the answer off."))))
        except _Said as error:
            self._heard.put((listening, _failed(key, error.code, error.message)))
        except OSError as error:
            message = say("The server behind this model cannot be reached: {error}", error=str(error))
            self._heard.put((listening, _failed(key, "remote_unreachable", message)))
        except Exception as error:  # noqa: BLE001 - a thread has no caller: whatever went wrong is the answer's end
            message = say("The server's answer cannot be read: {error}", error=repr(error)[:200])
            self._heard.put((listening, _failed(key, "remote_unreadable", message)))
        finally:
            if listening.reply is not None:
                listening.reply.close()

    def _begun(self, listening: _Listening) -> Reply:
        """The reply, once a server that is busy for the moment lets us in."""
        for turn in range(TRIES):
            is_last = turn == TRIES - 1
            try:
                reply = self._open(listening.request.path, listening.request.body)
            except OSError:
                if is_last or listening.is_cancelled:
                    raise
                time.sleep(PAUSE_SECONDS)
                continue
            listening.reply = reply
            if reply.status == 200:
                return reply
            if reply.status not in BUSY or is_last or listening.is_cancelled:
                raise _refusal(reply)
            reply.close()
            time.sleep(min(reply.retry_after or PAUSE_SECONDS, MOST_PAUSE_SECONDS))
        raise AssertionError("the last turn returns or raises")


class _Said(Exception):
    """What the server answered instead."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def _refusal(reply: Reply) -> _Said:
    text = b"".join(reply.lines())[:20_000].decode(errors="replace")
    try:
        given = json.loads(text)
        given = given.get("error", given)
        words, code = str(given.get("message") or given), given.get("code")
    except (ValueError, AttributeError):
        words, code = text, None
    message = say("The server answers with {status}: {words}", status=reply.status, words=words[:500])
    if code == "context_length_exceeded":
        return _Said("context_length_exceeded", message)
    if reply.status in REFUSALS:
        return _Said("remote_refused", message)
    return _Said("remote_busy" if reply.status in BUSY else "remote_failed", message)


def _failed(key: str, code: str, message: str) -> Delta:
    return Delta(key, finish=Finish.ERROR, code=code, message=message)


class Names:
    """Numbers for the texts of tokens, which are all that a server tells of them: below 0, so no token id is meant."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._texts: list[str] = []
        self._lock = threading.Lock()

    def number(self, text: str) -> int:
        """The number of a text."""
        with self._lock:
            if text not in self._numbers:
                self._texts.append(text)
                self._numbers[text] = -len(self._texts)
            return self._numbers[text]

    def text(self, number: int) -> str:
        """The text of a number."""
        return self._texts[-number - 1]


@dataclass
class _Told:
    """One answer as it is read."""

    key: str
    names: Names
    finish: Finish | None = None
    usage: Usage | None = None

    def deltas(self, lines: Iterator[bytes]) -> Iterator[Delta]:
        """Server-sent events to deltas; the end comes last, with the server's own counts where it tells them."""
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                break
            event = json.loads(data)
            if error := event.get("error"):
                words = error.get("message") if isinstance(error, dict) else error
                raise _Said("remote_failed", say("The server failed: {words}", words=str(words)[:500]))
            self._count(event.get("usage"))
            for choice in event.get("choices") or ():
                yield from self._delta(choice)
        if self.finish is not None:
            yield Delta(self.key, finish=self.finish, usage=self.usage)

    def _delta(self, choice: Mapping[str, Any]) -> Iterator[Delta]:
        said = choice.get("delta") or {}
        text = str(said.get("content") or choice.get("text") or "")
        tokens = tuple(self._tokens(choice.get("logprobs") or {}))
        if text or tokens:
            yield Delta(self.key, text, tokens)
        if reason := choice.get("finish_reason"):
            self.finish = FINISHES.get(reason, Finish.STOP)

    def _tokens(self, logprobs: Mapping[str, Any]) -> Iterator[Drawn]:
        for each in logprobs.get("content") or ():  # of a chat
            top = [(one["token"], one["logprob"]) for one in each.get("top_logprobs") or ()]
            yield self._drawn(each["token"], each["logprob"], top)
        texts = logprobs.get("tokens") or ()  # of a text
        tops = logprobs.get("top_logprobs") or [{}] * len(texts)
        for text, value, top in zip(texts, logprobs.get("token_logprobs") or (), tops, strict=False):
            yield self._drawn(text, value, list((top or {}).items()))

    def _drawn(self, text: str, value: float | None, top: Sequence[tuple[str, float]]) -> Drawn:
        return Drawn(self.names.number(text), value, tuple((self.names.number(one), p) for one, p in top))

    def _count(self, usage: Mapping[str, Any] | None) -> None:
        if usage:
            cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
            self.usage = Usage(usage.get("prompt_tokens") or 0, cached, usage.get("completion_tokens") or 0)


@dataclass
class RemoteWriter:
    """What `engine.generate.opening.Writer` is for a loaded version, for one that is elsewhere."""

    server: Server
    backend: RemoteLoop
    names: Names
    context_tokens: int
    virtual_tokens: int = 0
    memory_bytes: int = 0
    is_elsewhere = True
    adapter = ""
    way = "remote"
    equal_share: float | None = None

    @property
    def is_busy(self) -> bool:
        """Whether anybody waits for an answer."""
        load = self.backend.load()
        return bool(load.running or load.waiting)

    def chat_tokens(self, messages: Sequence[Mapping[str, str]]) -> Asked:
        """A chat; the server has the template."""
        return Asked(messages=messages)

    def text_tokens(self, text: str | Sequence[int]) -> tuple[Asked, int]:
        """A text, or its token ids, to be continued."""
        return Asked(prompt=text), 0

    def token_text(self, token: int) -> str:
        """One token as the server wrote it."""
        return self.names.text(token)

    def request(self, key: str, prompt: Asked, sampling: Sampling, *, tenant: str, priority: int = 0) -> RemoteRequest:
        """A request for the back end; Unfit when it asks for more than the server knows."""
        _require_known(self.server, sampling)
        body: dict[str, Any] = {
            "model": self.server.model,
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
        }
        for name in ("presence_penalty", "frequency_penalty"):
            if value := getattr(sampling, name):
                body[name] = value
        if sampling.seed is not None:
            body["seed"] = sampling.seed % 2**31  # servers differ in how long a seed may be
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if sampling.logit_bias:
            body["logit_bias"] = {str(token): value for token, value in sampling.logit_bias.items()}
        for name, neutral in MORE.items():
            if (value := getattr(sampling, name)) != neutral:
                body[{"ignore_end": "ignore_eos"}.get(name, name)] = list(value) if isinstance(value, tuple) else value
        if sampling.grammar is not None:
            body |= _form(sampling.grammar)
        if prompt.messages:
            if sampling.logprobs is not None:
                body |= {"logprobs": True, "top_logprobs": sampling.logprobs}
            return RemoteRequest(key, "chat/completions", {**body, "messages": list(prompt.messages)})
        if sampling.logprobs is not None:
            body["logprobs"] = sampling.logprobs
        given = prompt.prompt if isinstance(prompt.prompt, str) else list(prompt.prompt)
        return RemoteRequest(key, "completions", {**body, "prompt": given})


def open_remote(server: Server, open_: Open, *, running: int = RUNNING) -> RemoteWriter:
    """The writer of a server; RunFailed for a dialect that is not known."""
    if server.dialect not in DIALECTS:
        raise RunFailed("unknown_dialect", say("“{dialect}” is no dialect of a server.", dialect=server.dialect), "")
    names = Names()
    return RemoteWriter(server, RemoteLoop(open_, names, running=running), names, server.context_tokens or 2**31)


def _require_known(server: Server, sampling: Sampling) -> None:
    asked = [name for name, neutral in MORE.items() if getattr(sampling, name) != neutral]
    if server.dialect == "vllm":
        asked = []
    elif sampling.grammar is not None and sampling.grammar.kind not in ("json_object", "json_schema"):
        asked.append(sampling.grammar.kind)
    if sampling.prompt_logprobs is not None:
        asked.append("prompt_logprobs")
    if asked:
        raise Unfit(
            "unsupported_by_server",
            say("The server behind this model does not know: {names}", names=", ".join(asked)),
        )


def _form(grammar: Grammar) -> dict[str, Any]:
    """What an answer must look like, as servers are told."""
    if grammar.kind == "json_object":
        return {"response_format": {"type": "json_object"}}
    if grammar.kind == "json_schema":
        schema = {"name": "answer", "schema": grammar.source, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    return {"structured_outputs": {grammar.kind: grammar.source}}
