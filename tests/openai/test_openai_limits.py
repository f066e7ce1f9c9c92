"""Limits of a key as OpenAI's own client meets them: headers, its own retries, quotas, places that come free."""

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from django.test import Client
from openai import APIStatusError, OpenAI, RateLimitError
from rest_framework.test import APIClient

from apps.accounts.models import ApiKey, Workspace
from apps.inference.models import Generation, Usage
from apps.registry.models import ModelVersion
from core import limits

Version = Callable[..., ModelVersion]
ASK: Any = {"model": "bot", "messages": [{"role": "user", "content": "where is my card?"}]}


@pytest.fixture
def bot(secret: str, chat_version: Version) -> ModelVersion:
    return chat_version()


def limit(**columns: Any) -> ApiKey:
    ApiKey.objects.update(**columns)
    return ApiKey.objects.get()


def test_every_answer_says_what_is_left(strict: OpenAI, writer: None, bot: ModelVersion) -> None:
    limit(requests_per_minute=60, tokens_per_minute=6000)

    found = strict.chat.completions.with_raw_response.create(**ASK, max_tokens=4)
    after = strict.models.with_raw_response.list()

    assert found.headers["x-ratelimit-limit-requests"] == "60"
    assert found.headers["x-ratelimit-remaining-requests"] == "59"
    assert found.headers["x-ratelimit-limit-tokens"] == "6000"
    assert int(found.headers["x-ratelimit-remaining-tokens"]) < 6000
    assert found.headers["x-ratelimit-reset-requests"].endswith("s")
    assert found.headers["x-ratelimit-reset-tokens"].endswith("ms")
    assert after.headers["x-ratelimit-remaining-requests"] == "58"
    with strict.chat.completions.with_streaming_response.create(**ASK, max_tokens=4, stream=True) as stream:
        assert stream.headers["x-ratelimit-remaining-requests"] == "57"


def test_the_client_waits_and_tries_again_by_itself(strict: OpenAI, writer: None, bot: ModelVersion) -> None:
    limit(requests_per_minute=120)
    for _ in range(120):  # half a second refills one
        if (entry := limits.enter(f"key-{ApiKey.objects.get().pk}", limits.Limits(120))) and entry.refused:
            break

    with pytest.raises(RateLimitError) as refused:
        strict.with_options(max_retries=0).chat.completions.create(**ASK, max_tokens=2)
    found = strict.with_options(max_retries=2).chat.completions.create(**ASK, max_tokens=2)

    assert refused.value.code == "rate_limit_exceeded" and refused.value.type == "rate_limit_error"
    assert int(refused.value.response.headers["retry-after"]) == 1
    assert found.choices[0].message.role == "assistant"


def test_tokens_are_settled_with_what_was_read_and_written(strict: OpenAI, writer: None, bot: ModelVersion) -> None:
    limit(tokens_per_minute=100_000)
    said: Any = {"model": "bot", "messages": [{"role": "user", "content": "where? " * 6}], "metadata": {"a": "x" * 500}}

    found = strict.chat.completions.with_raw_response.create(**said, max_tokens=4)

    usage = found.parse().usage
    entry = limits.enter(f"key-{ApiKey.objects.get().pk}", limits.Limits(1000, tokens=100_000), tokens=0)
    assert usage is not None and entry is not None
    assert 100_000 - int(found.headers["x-ratelimit-remaining-tokens"]) > usage.total_tokens  # as reserved by bytes
    assert entry.tokens_left >= 100_000 - usage.total_tokens - 1
    row = Usage.objects.get()
    assert (row.requests, row.prompt_tokens + row.answer_tokens, row.key_name) == (1, usage.total_tokens, "client")


def test_a_request_beyond_the_whole_limit_is_not_tried_again(strict: OpenAI, bot: ModelVersion) -> None:
    limit(tokens_per_minute=10)

    with pytest.raises(RateLimitError) as refused:
        strict.chat.completions.create(**ASK)

    assert refused.value.response.headers["x-should-retry"] == "false"
    assert not Generation.objects.exists()


def test_a_caller_that_goes_away_gives_its_place_back(
    strict: OpenAI, server: str, secret: str, writer: None, bot: ModelVersion
) -> None:
    limit(concurrent_requests=1)
    headers = {"Authorization": f"Bearer {secret}"}
    body = {**ASK, "max_tokens": 80, "stream": True, "min_tokens": 80, "n": 16}
    with httpx.stream("POST", f"{server}/v1/chat/completions", json=body, headers=headers) as stream:
        next(stream.iter_lines())

    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        again = httpx.post(f"{server}/v1/chat/completions", json={**ASK, "max_tokens": 2}, headers=headers)
        if again.status_code == 200:
            break
    assert again.status_code == 200


def test_what_is_refused_gives_its_place_back(v1: APIClient) -> None:
    limit(concurrent_requests=1)

    answers = [v1.post("/v1/chat/completions", {**ASK, "model": "nobody"}, format="json") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [404, 404, 404]


def test_a_place_is_taken_while_its_request_waits(v1: APIClient, chat_version: Version) -> None:
    chat_version()
    limit(concurrent_requests=1)
    asked = {"model": "bot", "messages": [{"role": "user", "content": "where?"}]}

    answers = [v1.post("/api/v1/answers", asked, format="json") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [202, 429]
    assert answers[1].json()["code"] == "throttled"


def test_a_quota_has_openais_error_and_is_not_tried_again(
    strict: OpenAI, workspace: Workspace, bot: ModelVersion
) -> None:
    Workspace.objects.filter(pk=workspace.pk).update(requests_per_month=0)

    with pytest.raises(APIStatusError) as refused:
        strict.chat.completions.create(**ASK)

    assert refused.value.status_code == 429
    assert (refused.value.type, refused.value.code) == ("insufficient_quota", "insufficient_quota")
    assert refused.value.response.headers["x-should-retry"] == "false"


def test_a_stream_for_which_a_web_process_has_no_room_is_refused_before_anything_is_written(
    client: Client, settings: Any, secret: str, bot: ModelVersion
) -> None:
    settings.MOST_LISTENERS = 0

    answer = client.post(
        "/v1/chat/completions",
        {**ASK, "stream": True},
        content_type="application/json",
        headers={"Authorization": f"Bearer {secret}"},
    )

    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert answer.json()["error"]["code"] == "too_many_listeners"
    assert not Generation.objects.exists()
