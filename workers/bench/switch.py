"""Requests over HTTP while aliases move between two versions: each is answered, by a version that was current meanwhile."""

import http.client
import json
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from apps.inference.models import Deployment
from apps.inference.services import create_deployment
from apps.registry.models import ModelVersion
from apps.registry.services import move_alias, register_version
from core.access import Actor
from workers.bench.measure import Measure

REQUESTS, SWITCHES, CALLERS = 6000, 20, 8
NEW_TOKENS = 12
WAIT_SECONDS = 120.0  # for one switch, and for one request
LOOK_SECONDS = 0.02
WORDS = 256
QUESTION, TEXT = "w7 w11 w13", "card of mine"
KINDS = ("stream", "chat", "classify")


@dataclass(frozen=True)
class Reply:
    """One answered request: when it was sent and answered, and what was said."""

    kind: str
    begun: float
    ended: float
    said: str
    problem: str = ""


@dataclass
class Reign:
    """Which version of a family was current: (from when it may answer, version) and until when each may."""

    begins: list[tuple[float, int]] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)  # of each but the last: when the next one was seen to be current

    def allowed(self, begun: float, ended: float) -> set[int]:
        """Versions that were current at some moment between the two."""
        starts = [at for at, _version in self.begins]
        found = range(bisect_right(starts, ended))
        return {self.begins[at][1] for at in found if at >= len(self.ends) or self.ends[at] >= begun}


@dataclass(frozen=True)
class Outcome:
    """What became of all requests."""

    replies: Sequence[Reply]
    problems: Sequence[str]  # of requests that were not answered
    strays: int  # answers by a version that was not current
    switches: int
    seconds: float
    longest: float  # of a switch, seconds from the move of the alias to the traffic


def measures(actor: Actor, address: str, keys: Sequence[str], place: Path, *, small: bool) -> Iterator[Measure]:
    """The load test; it needs a web process and a resident role at work."""
    count, switches = (300, 3) if small else (REQUESTS, SWITCHES)
    found = hammer(actor, address, keys, make_versions(actor, place), count=count, switches=switches)
    kinds = ", ".join(f"{sum(one.kind == kind for one in found.replies)} {kind}" for kind in KINDS)
    detail = f"{len(found.replies)} requests ({kinds}) in {found.seconds:.0f} s, {found.switches} switches"
    first = f"; first: {found.problems[0]}" if found.problems else ""
    yield Measure("requests that failed while aliases moved", len(found.problems), "", at_most=0, detail=detail + first)
    yield Measure("answers by a version that was not current", found.strays, "", at_most=0, detail=detail)
    yield Measure("longest way from a moved alias to its traffic", found.longest, "s")


def hammer(
    actor: Actor,
    address: str,
    keys: Sequence[str],
    versions: Mapping[str, Sequence[ModelVersion]],
    *,
    count: int,
    switches: int,
) -> Outcome:
    """At least `count` requests by one caller a key, while the champions of both families move `switches` times.

    Callers go on for as long as aliases move, and a share of the requests is sent after each switch was seen.
    `versions` are two of "writer" and two of "labels". What each says is asked of it by number first, so that an answer
    tells who gave it.
    """
    deployments = [_deployed(actor, pair[0]) for pair in versions.values()]
    voices = {name: _voices(address, keys[0], pair) for name, pair in versions.items()}
    names = {family: pair[0].family.name for family, pair in versions.items()}
    reigns = {name: Reign([(0.0, pair[0].pk)]) for name, pair in versions.items()}
    taken, share = _Counter(), count // (switches + 1)
    replies: list[Reply] = []
    longest = 0.0

    def caller(key: str) -> None:
        with closing(_Line(address, key)) as line:
            while (number := taken.next()) is not None:
                kind = KINDS[number % len(KINDS)]
                replies.append(line.ask(kind, names["labels" if kind == "classify" else "writer"]))

    begun = time.perf_counter()
    with ThreadPoolExecutor(len(keys)) as callers:
        running = [callers.submit(caller, key) for key in keys]
        try:
            taken.wait_for(share + count % (switches + 1))
            for turn in range(1, switches + 1):
                for deployment, (name, pair) in zip(deployments, versions.items(), strict=True):
                    longest = max(longest, _switch(actor, deployment, pair[turn % 2], reigns[name]))
                taken.wait_for(share)
        finally:
            taken.end()
        for one in running:
            one.result()
    seconds = time.perf_counter() - begun
    problems = [f"{one.kind}: {one.problem}" for one in replies if one.problem]
    strays = sum(_is_stray(one, voices, reigns) for one in replies if not one.problem)
    return Outcome(replies, problems, strays, switches, seconds, longest)


class _Counter:
    """Numbers for callers until the end is said."""

    def __init__(self) -> None:
        self._given, self._ended = 0, False
        self._changed = threading.Condition()

    def next(self) -> int | None:
        """The next number; None after the end."""
        with self._changed:
            if self._ended:
                return None
            self._given += 1
            self._changed.notify_all()
            return self._given - 1

    def wait_for(self, more: int) -> None:
        """Until so many more were given; RuntimeError when callers stopped asking."""
        with self._changed:
            until = self._given + more
            while self._given < until:
                if not self._changed.wait(WAIT_SECONDS):
                    raise RuntimeError(f"nobody asked for {WAIT_SECONDS:g} s")

    def end(self) -> None:
        """Give no more."""
        with self._changed:
            self._ended = True


class _Line:
    """One caller's connection."""

    def __init__(self, address: str, key: str) -> None:
        self._place = urlsplit(address)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._line = self._open()

    def _open(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._place.hostname or "", self._place.port, timeout=120)

    def ask(self, kind: str, model: str) -> Reply:
        """One request; what went wrong stands in the reply."""
        begun = time.time()
        try:
            said, problem = SAYS[kind](self._post(*BODIES[kind](model))), ""
        except (OSError, http.client.HTTPException, ValueError, KeyError, IndexError) as error:
            said, problem = "", f"{type(error).__name__}: {error}"
            self.close()
            self._line = self._open()
        return Reply(kind, begun, time.time(), said, problem)

    def close(self) -> None:
        """Let go of the connection."""
        self._line.close()

    def _post(self, path: str, body: Mapping[str, Any]) -> str:
        self._line.request("POST", path, json.dumps(body), self._headers)
        answer = self._line.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            raise ValueError(f"{answer.status} {text[:300]}")
        return text


def _chat(model: str, **more: Any) -> tuple[str, dict[str, Any]]:
    body = {"model": model, "messages": [{"role": "user", "content": QUESTION}], "max_tokens": NEW_TOKENS}
    return "/v1/chat/completions", {**body, "temperature": 0, "ignore_eos": True, **more}


def _whole(text: str) -> str:
    return str(json.loads(text)["choices"][0]["message"]["content"])


def _streamed(text: str) -> str:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    if lines[-1] != "[DONE]":
        raise ValueError(f"the stream broke: {lines[-1][:200]}")
    return "".join(json.loads(line)["choices"][0]["delta"].get("content", "") for line in lines[:-1])


BODIES: dict[str, Callable[[str], tuple[str, dict[str, Any]]]] = {
    "stream": lambda model: _chat(model, stream=True),
    "chat": _chat,
    "classify": lambda model: ("/v1/classify", {"model": model, "input": TEXT}),
}
SAYS: dict[str, Callable[[str], str]] = {
    "stream": _streamed,
    "chat": _whole,
    "classify": lambda text: json.dumps(json.loads(text)["data"][0]["probs"]),
}


def _voices(address: str, key: str, pair: Sequence[ModelVersion]) -> dict[str, int]:
    """What each of two versions says -> its id; RuntimeError when they cannot be told apart."""
    kind = "classify" if pair[0].task == "classification" else "chat"
    found = {}
    with closing(_Line(address, key)) as line:
        for version in pair:
            reply = line.ask(kind, f"{version.family.name}:{version.number}")
            if reply.problem:
                raise RuntimeError(reply.problem)
            found[reply.said] = version.pk
    if len(found) != len(pair):
        raise RuntimeError("the versions cannot be told apart")
    return found


def _is_stray(reply: Reply, voices: Mapping[str, Mapping[str, int]], reigns: Mapping[str, Reign]) -> bool:
    name = "labels" if reply.kind == "classify" else "writer"
    return voices[name].get(reply.said) not in reigns[name].allowed(reply.begun, reply.ended)


def _deployed(actor: Actor, version: ModelVersion) -> Deployment:
    alias = move_alias(actor=actor, family=version.family, name="champion", version=version)
    return create_deployment(actor=actor, alias=alias)


def _switch(actor: Actor, deployment: Deployment, version: ModelVersion, reign: Reign) -> float:
    """Move the alias and wait until traffic goes to the version; seconds it took."""
    begun = time.time()
    move_alias(actor=actor, family=version.family, name="champion", version=version)
    while not Deployment.objects.filter(pk=deployment.pk, serving=version).exists():
        if time.time() - begun > WAIT_SECONDS:
            raise RuntimeError(f"{version} got no traffic in {WAIT_SECONDS:g} s")
        time.sleep(LOOK_SECONDS)
    reign.begins.append((begun, version.pk))
    reign.ends.append(time.time())
    return time.time() - begun


def make_versions(actor: Actor, place: Path) -> dict[str, list[ModelVersion]]:
    """Two tiny versions that write and two that label, with random weights."""
    made = {"writer": [], "labels": []}  # type: dict[str, list[ModelVersion]]
    for seed in (1, 2):
        for name, folder, recipe, task in (
            ("writer", _writer(place / f"writer {seed}", seed), "sft", "generation"),
            ("labels", _classifier(place / f"labels {seed}", seed), "classify", "classification"),
        ):
            columns = {"name": name, "recipe": recipe, "task": task, "by": actor.user}
            made[name].append(register_version(workspace=actor.workspace, folder=folder, **columns))
    return made


def _writer(folder: Path, seed: int) -> Path:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({f"w{at}": at for at in range(WORDS)}, unk_token="w0"))  # noqa: S106
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {"unk_token": "w0", "eos_token": "w1"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=96, **names)
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] + ' ' }}{% endfor %}"
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=WORDS, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=96, eos_token_id=1, bos_token_id=None, initializer_range=0.6,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def _classifier(folder: Path, seed: int) -> Path:
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *TEXT.split()]
    vocabulary = {name: at for at, name in enumerate(names)}
    BertTokenizerFast(vocab=vocabulary, model_max_length=32).save_pretrained(folder)
    torch.manual_seed(seed)
    labels = dict(enumerate("abc"))
    config = BertConfig(
        vocab_size=len(names), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32, id2label=labels, label2id={name: at for at, name in labels.items()},
        initializer_range=0.5,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder
