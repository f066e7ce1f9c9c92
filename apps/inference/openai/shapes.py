"""Rows and events in the shapes of chat completions and completions."""

from collections.abc import Mapping, Sequence
from typing import Any

from apps.inference.models import Generation, GenerationKind

FINISHES = {"stop": "stop", "length": "length", "content_filter": "content_filter"}


def finish_of(finish: str) -> str:
    """OpenAI's word; an answer that was cancelled from elsewhere stopped."""
    return FINISHES.get(finish, "stop")


def usage_of(counts: Mapping[str, int]) -> dict[str, Any]:
    """Token counts from a row's or an event's."""
    return {
        "prompt_tokens": counts["prompt_tokens"],
        "completion_tokens": counts["answer_tokens"],
        "total_tokens": counts["prompt_tokens"] + counts["answer_tokens"],
        "prompt_tokens_details": {"cached_tokens": counts["cached_tokens"]},
    }


def counts_of(row: Generation) -> dict[str, int]:
    """The counts of a finished row."""
    return {name: getattr(row, name) for name in ("prompt_tokens", "answer_tokens", "cached_tokens")}


class Shape:
    """How one request is answered."""

    def __init__(self, row: Generation, *, echo: bool = False, shows_nothing: bool = False) -> None:
        self.row = row
        self.is_chat = row.kind == GenerationKind.CHAT
        self.echo = echo
        self.shows_nothing = shows_nothing  # max_tokens 0: the prompt alone
        self.id = row.public_id

    def whole(self, answers: Sequence[Mapping[str, Any]], counts: Mapping[str, int]) -> dict[str, Any]:
        """The answer of a request that does not stream."""
        choices = [
            self._chat(at, answer) if self.is_chat else self._text(at, answer) for at, answer in enumerate(answers)
        ]
        if self.shows_nothing:
            counts = {**counts, "answer_tokens": 0}
        return {**self._head(streams=False), "choices": choices, "usage": usage_of(counts)}

    def chunk(self, choices: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
        """One piece of a stream."""
        return {**self._head(streams=True), "choices": list(choices), **more}

    def first(self, at: int) -> dict[str, Any]:
        """The choice that says who speaks."""
        return self._choice(at, {"role": "assistant", "content": ""}, None)

    def piece(self, at: int, text: str, logprobs: Sequence[Any] | None, begin: int) -> dict[str, Any]:
        """A choice with more text."""
        if self.is_chat:
            return self._choice(at, {"content": text}, chat_logprobs(logprobs))
        return {"index": at, "text": text, "finish_reason": None, "logprobs": text_logprobs(logprobs, begin)}

    def last(self, at: int, finish: str) -> dict[str, Any]:
        """A choice that ended."""
        if self.is_chat:
            return {**self._choice(at, {}, None), "finish_reason": finish_of(finish)}
        return {"index": at, "text": "", "finish_reason": finish_of(finish), "logprobs": None}

    def prompt(self, at: int) -> str:
        """What stands before an echoed answer, where it was given as a text."""
        given = self.row.prompts[at // self.row.answers_per_prompt]
        return given if isinstance(given, str) else ""

    def _head(self, *, streams: bool) -> dict[str, Any]:
        kind = "text_completion" if not self.is_chat else "chat.completion.chunk" if streams else "chat.completion"
        return {
            "id": self.id,
            "object": kind,
            "created": int(self.row.created_at.timestamp()),
            "model": self.row.reference,
            "system_fingerprint": f"fp_{self.row.model_version.content_hash[:12]}",
        }

    def _choice(self, at: int, delta: Mapping[str, Any], logprobs: Any) -> dict[str, Any]:
        return {"index": at, "delta": dict(delta), "finish_reason": None, "logprobs": logprobs}

    def _chat(self, at: int, answer: Mapping[str, Any]) -> dict[str, Any]:
        logprobs = answer["logprobs"] if self.row.sampling["logprobs"] is not None else None
        return {
            "index": at,
            "message": {"role": "assistant", "content": answer["text"], "refusal": None, "annotations": []},
            "finish_reason": finish_of(answer["finish"]),
            "logprobs": chat_logprobs(logprobs),
        }

    def _text(self, at: int, answer: Mapping[str, Any]) -> dict[str, Any]:
        wants = self.row.sampling["logprobs"] is not None
        told = [] if self.shows_nothing else list(answer["logprobs"])
        text = "" if self.shows_nothing else answer["text"]
        if self.echo:
            text = (self.prompt(at) or "".join(each[1] for each in answer["prompt"])) + text
            told = [*answer["prompt"], *told]
        return {
            "index": at,
            "text": text,
            "finish_reason": finish_of(answer["finish"]),
            "logprobs": text_logprobs(told) if wants else None,
        }


def chat_logprobs(told: Sequence[Any] | None) -> dict[str, Any] | None:
    """Log-probabilities of tokens as chats have them: [[token, text, log p, [[token, text, log p], ...]], ...]."""
    if told is None:
        return None
    return {
        "content": [{**_one(each), "top_logprobs": [_one(top) for top in each[3]]} for each in told],
        "refusal": None,
    }


def text_logprobs(told: Sequence[Any] | None, begin: int = 0) -> dict[str, Any] | None:
    """The same as completions have them; the first token of a prompt has none."""
    if told is None:
        return None
    offsets, place = [], begin
    for each in told:
        offsets.append(place)
        place += len(each[1])
    return {
        "tokens": [each[1] for each in told],
        "token_logprobs": [each[2] for each in told],
        "top_logprobs": [{top[1]: top[2] for top in each[3]} if each[2] is not None else None for each in told],
        "text_offset": offsets,
    }


def _one(told: Sequence[Any]) -> dict[str, Any]:
    return {"token": told[1], "logprob": told[2], "bytes": list(str(told[1]).encode())}
