"""What harms nobody: poisoned forms, callers that never read, and cases on which servers of others went wrong."""

import json
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from openai import BadRequestError, OpenAI

from apps.inference.models import Generation, GenerationState
from apps.registry.models import ModelVersion

ASK: Any = {"model": "bot", "messages": [{"role": "user", "content": "where is my card?"}]}
POISON: list[Any] = [
    {"structured_outputs": {"regex": "(a+)+b"}},
    {"structured_outputs": {"regex": "((a{0,1000}){0,1000}){0,1000}b"}},
    {"structured_outputs": {"regex": "(" * 20_000}},
    {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "integer", "multipleOf": 999_983}}}},
    {"structured_outputs": {"json": {"$ref": "#"}}},
    {"structured_outputs": {"regex": "a" * 60_000}},
]


@pytest.fixture
def bot(secret: str, chat_version: Callable[..., ModelVersion]) -> ModelVersion:
    return chat_version()


def test_a_poisoned_form_ends_and_the_answer_beside_it_goes_on(strict: OpenAI, writer: None, bot: ModelVersion) -> None:
    """The engine's tests hold what a form may cost; here another caller's stream runs all the while."""
    options: Any = {"max_tokens": 60, "seed": 3, "n": 16, "extra_body": {"ignore_eos": True}}
    plain = strict.chat.completions.create(**ASK, **options, stream=True)
    texts = [""] * 16

    chunks = iter(plain)
    next(chunks)
    for form in POISON:
        with suppress(BadRequestError):
            strict.chat.completions.create(**ASK, max_tokens=20, extra_body=form)
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""

    told = Generation.objects.earliest("pk")
    assert told.state == GenerationState.DONE and texts == [answer["text"] for answer in told.answers]
    poisoned = Generation.objects.exclude(pk=told.pk)
    assert {row.state for row in poisoned} <= {GenerationState.DONE, GenerationState.FAILED}
    assert {row.error_code for row in poisoned} <= {"", "invalid_grammar"}


def test_a_caller_that_never_reads_holds_up_nobody(server: str, secret: str, writer: None, bot: ModelVersion) -> None:
    """Its answers end, others are answered meanwhile, and what it did not read it can still read."""
    place = urlsplit(server)
    body = json.dumps(
        {**ASK, "max_tokens": 80, "n": 16, "ignore_eos": True, "stream": True, "logprobs": True, "top_logprobs": 20}
    )
    lazy = socket.socket()
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    lazy.connect((place.hostname or "", place.port or 0))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer {secret}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"

    lazy.sendall((head + body).encode())
    deadline = time.monotonic() + 60
    with OpenAI(base_url=f"{server}/v1", api_key=secret) as client:
        while not Generation.objects.filter(state=GenerationState.DONE, answers_per_prompt=16).exists():
            assert client.chat.completions.create(**ASK, max_tokens=2).choices
            assert time.monotonic() < deadline
    lazy.settimeout(30)
    heard = b"".join(iter(lambda: lazy.recv(65536), b""))
    lazy.close()

    assert len(heard) > 500_000 and b"data: [DONE]" in heard
    assert heard.count(b'"finish_reason": "length"') == 16


def test_instructions_alone_are_what_is_asked(strict: OpenAI, writer: None, bot: ModelVersion) -> None:
    found = strict.chat.completions.create(
        model="bot",
        messages=[{"role": "system", "content": "be kind"}, {"role": "developer", "content": "say hello"}],
        max_tokens=4,
    )

    assert found.choices[0].message.role == "assistant"
    roles = [message["role"] for message in Generation.objects.get().messages]
    assert roles == ["system", "user"]


@pytest.mark.parametrize(
    ("path", "change", "param"),
    [
        ("completions", {"prompt": []}, "prompt"),
        ("completions", {"prompt": [[]]}, "prompt"),
        ("completions", {"prompt": [["a"]]}, "prompt"),
        ("completions", {"prompt": ["a", [1]]}, "prompt"),
        ("completions", {"prompt": [-1]}, "prompt"),
        ("completions", {"prompt": [True]}, "prompt"),
        ("completions", {"prompt": [2**31]}, "prompt"),
        ("completions", {"prompt": ["a"] * 65}, "prompt"),
        ("completions", {"prompt": None}, "prompt"),
        ("completions", {"prompt": {"a": 1}}, "prompt"),
        ("completions", {"prompt": "a", "max_tokens": 0}, "max_tokens"),
        ("completions", {"prompt": "a", "max_tokens": -1}, "max_tokens"),
        ("completions", {"prompt": "a", "logprobs": 21}, "logprobs"),
        ("completions", {"prompt": "a", "logprobs": True}, "logprobs"),
        ("chat/completions", {**ASK, "top_logprobs": 21, "logprobs": True}, "logprobs"),
        ("chat/completions", {**ASK, "logit_bias": {"1": 101}}, "logit_bias"),
        ("chat/completions", {**ASK, "logit_bias": {"1": "2"}}, "logit_bias"),
        ("chat/completions", {**ASK, "logit_bias": {"-1": 2}}, "logit_bias"),
        ("chat/completions", {**ASK, "logit_bias": [1]}, "logit_bias"),
        ("chat/completions", {**ASK, "stop_token_ids": ["a"]}, "stop_token_ids"),
        ("chat/completions", {**ASK, "stop_token_ids": [1.5]}, "stop_token_ids"),
        ("chat/completions", {**ASK, "stop_token_ids": list(range(65))}, "stop_token_ids"),
        ("chat/completions", {**ASK, "stop": [""]}, "stop"),
        ("chat/completions", {**ASK, "stop": ["x"] * 17}, "stop"),
        ("chat/completions", {**ASK, "n": 2**70}, "n"),
        ("chat/completions", {**ASK, "seed": 2**64}, "seed"),
        ("chat/completions", {**ASK, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ("chat/completions", {**ASK, "response_format": "json"}, "response_format"),
        ("chat/completions", {**ASK, "structured_outputs": {"regex": "a", "choice": ["a"]}}, "structured_outputs"),
    ],
)
def test_values_that_cannot_be_are_refused_by_name(
    server: str, secret: str, writer: None, bot: ModelVersion, path: str, change: dict[str, Any], param: str
) -> None:
    headers = {"Authorization": f"Bearer {secret}"}

    answer = httpx.post(f"{server}/v1/{path}", json={"model": "bot", **change}, headers=headers, timeout=30)

    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["type"] == "invalid_request_error"
    assert str(error["param"]).startswith(param)


def test_the_counts_of_a_stream_and_of_several_prompts(strict: OpenAI, writer: None, bot: ModelVersion) -> None:
    """Prompts count once each, however many answers they get; without being asked a stream says nothing of tokens."""
    one = strict.completions.create(model="bot", prompt="where is", max_tokens=3, extra_body={"ignore_eos": True})
    two = strict.completions.create(
        model="bot", prompt=["where is", "where is"], n=3, max_tokens=3, extra_body={"ignore_eos": True}
    )
    chunks = list(strict.chat.completions.create(**ASK, max_tokens=3, stream=True))

    assert one.usage and two.usage and one.usage.completion_tokens == 3
    assert two.usage.prompt_tokens == 2 * one.usage.prompt_tokens and two.usage.completion_tokens == 18
    assert all("usage" not in chunk.model_fields_set and chunk.choices for chunk in chunks)
    assert one.system_fingerprint == chunks[0].system_fingerprint


def test_stop_token_ids_end_an_answer(strict: OpenAI, writer: None, bot: ModelVersion) -> None:
    free = strict.completions.create(
        model="bot", prompt="where is", max_tokens=8, temperature=0, extra_body={"ignore_eos": True}
    )
    row = Generation.objects.get()
    every = strict.completions.create(
        model="bot", prompt="where is", max_tokens=8, temperature=0, extra_body={"stop_token_ids": list(range(64))}
    )

    assert free.usage and free.usage.completion_tokens == row.answer_tokens == 8
    assert every.choices[0].finish_reason in ("stop", "length")
