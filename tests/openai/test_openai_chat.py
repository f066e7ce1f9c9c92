"""Chats and completions by OpenAI's own client against a live server, and a worker that writes with the real engine."""

import asyncio
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError, OpenAI

from apps.inference.models import Generation, GenerationState
from apps.registry.models import ModelVersion
from tests.serving import ROOT, environment, in_a_loop_of_its_own

Version = Callable[..., ModelVersion]
ASK: Any = {"model": "bot", "messages": [{"role": "user", "content": "where is my card?"}]}


@pytest.fixture
def bot(secret: str, chat_version: Version) -> ModelVersion:
    return chat_version()


def test_a_chat_is_answered_in_openais_types(strict: OpenAI, writer: None, bot: ModelVersion) -> None:
    found = strict.chat.completions.create(**ASK, max_tokens=8, seed=4, n=2, metadata={"case": "7"}, user="u-1")
    row = Generation.objects.get()
    assert found.id == f"chatcmpl-{row.pk}" and found.object == "chat.completion" and found.model == "bot"
    assert [choice.index for choice in found.choices] == [0, 1]
    assert [choice.message.content for choice in found.choices] == [answer["text"] for answer in row.answers]
    assert found.choices[0].message.role == "assistant" and found.choices[0].logprobs is None
    assert {choice.finish_reason for choice in found.choices} <= {"stop", "length"}
    assert found.usage is not None
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (row.prompt_tokens, row.answer_tokens)
    assert found.usage.total_tokens == row.prompt_tokens + row.answer_tokens
    assert (row.metadata, row.end_user, row.api_key.name) == ({"case": "7"}, "u-1", "client")
    again = strict.chat.completions.create(**ASK, max_tokens=8, seed=4, n=2)
    assert [choice.message for choice in again.choices] == [choice.message for choice in found.choices]
    assert again.usage is not None and again.usage.prompt_tokens_details is not None


def test_a_stream_says_the_same_as_the_whole_answer(strict: OpenAI, writer: None, bot: ModelVersion) -> None:
    options: Any = {"max_tokens": 30, "seed": 5, "n": 2, "logprobs": True, "top_logprobs": 2}
    whole = strict.chat.completions.create(**ASK, **options)
    chunks = list(strict.chat.completions.create(**ASK, **options, stream=True, stream_options={"include_usage": True}))
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"} and len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].choices == [] and chunks[-1].usage is not None and whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert all(chunk.usage is None for chunk in chunks[:-1])
    for at, choice in enumerate(whole.choices):
        mine = [each for chunk in chunks for each in chunk.choices if each.index == at]
        assert (mine[0].delta.role, mine[0].delta.content) == ("assistant", "")
        assert "".join(each.delta.content or "" for each in mine) == choice.message.content
        assert [each.finish_reason for each in mine if each.finish_reason] == [choice.finish_reason]
        assert mine[-1].finish_reason and mine[-1].delta.content is None
        assert choice.logprobs is not None
        told = [token for each in mine if each.logprobs for token in each.logprobs.content or []]
        assert told == choice.logprobs.content
        assert all(len(token.top_logprobs) == 2 and token.logprob < 0 for token in told)


def test_the_streaming_helper_assembles_the_answer(strict: OpenAI, writer: None, bot: ModelVersion) -> None:
    form = {"structured_outputs": {"choice": ["it is on its way"]}}  # an answer that is cut is an error to the helper
    with strict.chat.completions.stream(**ASK, extra_body=form) as stream:
        for _event in stream:
            pass
        found = stream.get_final_completion()
    assert found.choices[0].message.content == "it is on its way"


def test_the_asynchronous_client_hears_many_answers_at_once(
    server: str, secret: str, writer: None, bot: ModelVersion
) -> None:
    async def ask_all() -> list[str]:
        async with AsyncOpenAI(base_url=f"{server}/v1", api_key=secret, _strict_response_validation=True) as client:

            async def ask(seed: int) -> str:
                stream = await client.chat.completions.create(**ASK, max_tokens=20, seed=seed, stream=True)
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

            return await asyncio.gather(*(ask(seed) for seed in range(12)))

    texts = in_a_loop_of_its_own(ask_all())
    stored = {row.seed: row.answers[0]["text"] for row in Generation.objects.all()}
    assert texts == [stored[seed] for seed in range(12)]
    assert len(set(texts)) > 6


def test_answers_keep_to_a_schema(strict: OpenAI, writer: None, bot: ModelVersion) -> None:
    schema = {
        "type": "object",
        "properties": {"label": {"enum": ["card", "loan"]}},
        "required": ["label"],
        "additionalProperties": False,
    }
    form: Any = {"type": "json_schema", "json_schema": {"name": "label", "schema": schema, "strict": True}}
    found = strict.chat.completions.create(**ASK, max_tokens=60, response_format=form)
    assert json.loads(found.choices[0].message.content or "")["label"] in {"card", "loan"}
    choice = strict.chat.completions.create(**ASK, extra_body={"structured_outputs": {"choice": ["是", "否"]}})
    assert choice.choices[0].message.content in {"是", "否"}


def test_completions_continue_texts_and_token_ids(strict: OpenAI, writer: None, bot: ModelVersion) -> None:
    found = strict.completions.create(model="bot", prompt=["where is", "我的卡"], n=2, max_tokens=6, seed=1, logprobs=2)
    assert [choice.index for choice in found.choices] == [0, 1, 2, 3]
    logprobs = found.choices[0].logprobs
    assert logprobs is not None and logprobs.tokens is not None and logprobs.text_offset is not None
    assert logprobs.text_offset[0] == 0 and len(logprobs.tokens) == len(logprobs.token_logprobs or [])
    # The type of a choice knows no answer that goes on, which OpenAI's own streams do not heed either.
    loose = OpenAI(base_url=strict.base_url, api_key=strict.api_key)
    streamed = list(loose.completions.create(model="bot", prompt="where is", max_tokens=6, seed=1, stream=True))
    assert "".join(chunk.choices[0].text for chunk in streamed) == found.choices[0].text
    ids = strict.completions.create(model="bot", prompt=[5, 6, 7], max_tokens=3, temperature=0)
    assert ids.usage is not None and ids.usage.prompt_tokens == 3


def test_an_echo_scores_the_prompt_itself(strict: OpenAI, writer: None, bot: ModelVersion) -> None:
    """What evaluation harnesses ask for: log-probabilities of a given text, nothing written."""
    found = strict.completions.create(model="bot", prompt="where is my card?", max_tokens=0, echo=True, logprobs=1)
    choice = found.choices[0]
    assert choice.text == "where is my card?"
    assert choice.logprobs is not None and choice.logprobs.tokens is not None
    assert "".join(choice.logprobs.tokens) == "where is my card?"
    assert all(math.isfinite(value) and value <= 0 for value in choice.logprobs.token_logprobs or [])
    assert found.usage is not None and found.usage.completion_tokens == 0


def test_a_client_that_goes_away_cancels_its_answer(server: str, secret: str, writer: None, bot: ModelVersion) -> None:
    """Both while it streams and while it waits for the whole; and the next request is answered."""
    body = {**ASK, "max_tokens": 80, "ignore_eos": True, "temperature": 0, "n": 16}
    headers = {"Authorization": f"Bearer {secret}"}
    with httpx.Client(base_url=server, headers=headers, timeout=20) as client:
        with client.stream("POST", "/v1/chat/completions", json={**body, "stream": True}) as response:
            next(response.iter_lines())
        with pytest.raises(httpx.ReadTimeout):
            client.post("/v1/chat/completions", json=body, timeout=0.15)
        deadline = time.monotonic() + 20
        while Generation.objects.exclude(state=GenerationState.CANCELLED).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert {row.state for row in Generation.objects.all()} <= {GenerationState.CANCELLED, GenerationState.DONE}
        assert client.post("/v1/chat/completions", json={**ASK, "max_tokens": 2}).status_code == 200


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"messages": []}, "messages", None),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages", None),
        ({"messages": [{"role": "wizard", "content": "x"}]}, None, None),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content",
            "unsupported_parameter",
        ),
        ({"messages": ["x"]}, "messages[0]", "invalid_type"),
        ({"temperature": 3}, "temperature", "out_of_range"),
        ({"n": 1000}, "n", None),
        ({"max_tokens": 0}, "max_tokens", "out_of_range"),
        ({"stop": 5}, "stop", "invalid_type"),
        ({"logit_bias": {"x": 1}}, "logit_bias", "invalid_type"),
        ({"logit_bias": {"99999": 1}}, None, "unknown_token"),
        ({"tools": [{"type": "function"}]}, "tools", "unsupported_parameter"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "missing_required_parameter"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "x"}}}},
            None,
            "invalid_grammar",
        ),
        ({"structured_outputs": {"regex": "["}}, None, "invalid_grammar"),
        ({"messages": [{"role": "user", "content": "long " * 300}]}, None, "context_length_exceeded"),
        ({"unheard_of": 1}, "unheard_of", "unknown_parameter"),
        ({"top_logprobs": 2}, "top_logprobs", "not_together"),
        ({"stream": "yes"}, "stream", None),
    ],
)
def test_bad_requests_are_answered_by_name_streaming_or_not(
    strict: OpenAI, writer: None, bot: ModelVersion, change: dict[str, Any], param: str | None, code: str | None
) -> None:
    for stream in (False, True):
        with pytest.raises(BadRequestError) as caught:
            strict.chat.completions.create(**{"extra_body": {"stream": stream, **change}, **ASK})
        assert isinstance(caught.value.body, dict)
        assert caught.value.body["type"] == "invalid_request_error" and caught.value.body["message"]
        if param:
            assert str(caught.value.param).startswith(param)
        if code:
            assert caught.value.code == code


def test_unknown_models_and_models_that_do_not_write(strict: OpenAI, bot: ModelVersion) -> None:
    with pytest.raises(NotFoundError) as caught:
        strict.chat.completions.create(**{**ASK, "model": "nobody"})
    assert caught.value.code == "model_not_found"


def test_the_text_of_a_request_that_is_not_stored_goes(strict: OpenAI, writer: None, bot: ModelVersion) -> None:
    found = strict.chat.completions.create(**ASK, max_tokens=4, store=False)
    streamed = list(strict.chat.completions.create(**ASK, max_tokens=4, store=False, stream=True))
    assert found.choices and streamed
    for row in Generation.objects.all():
        assert (row.messages, row.answers) == ([], []) and row.answer_tokens > 0


@contextmanager
def role() -> Iterator[subprocess.Popen[bytes]]:
    """The resident role as a process of its own, with short leases."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "generation"],
        env=environment(LINGXI_GENERATION_LEASE_SECONDS="2", LINGXI_GENERATION_CACHE_BYTES="10000000"),
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_an_answer_goes_on_where_it_was_when_its_writer_is_killed(server: str, secret: str, bot: ModelVersion) -> None:
    """kill -9 in the middle of sixteen answers: the open stream ends with the very texts that were begun."""
    client = OpenAI(base_url=f"{server}/v1", api_key=secret, max_retries=0)
    options: Any = {"max_tokens": 80, "n": 16, "seed": 3, "logprobs": True, "top_logprobs": 20}
    texts = [""] * 16
    with role() as first:
        stream = client.chat.completions.create(**ASK, **options, stream=True, extra_body={"ignore_eos": True})
        chunk = next(iter(stream))
        first.kill()
    assert Generation.objects.get().state == GenerationState.RUNNING
    with role():
        for chunk in stream:
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
    row = Generation.objects.get()
    assert (row.state, row.token, row.attempt_count) == (GenerationState.DONE, 2, 2)
    assert texts == [answer["text"] for answer in row.answers]
