"""Bodies of all kinds at every door below /v1: never a server error, always OpenAI's shape."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse
from rest_framework.test import APIClient

from apps.inference.openai.doors import Committed
from apps.registry.models import ModelVersion

CHAT = {"model": "bot", "messages": [{"role": "user", "content": "where is my card?"}]}
DOORS: dict[str, dict[str, Any]] = {
    "chat/completions": {
        **CHAT,
        "n": 1,
        "max_tokens": 2,
        "stop": ["x"],
        "logit_bias": {"1": 2},
        "metadata": {"a": "b"},
        "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}},
        "stream_options": {"include_usage": True},
        "stop_token_ids": [1],
        "temperature": 0.5,
        "seed": 1,
        "user": "u",
        "service_tier": "auto",
        "structured_outputs": {"regex": "a"},
    },
    "completions": {
        "model": "bot",
        "prompt": "where",
        "max_tokens": 2,
        "logprobs": 1,
        "echo": True,
        "suffix": "",
        "n": 1,
    },
    "embeddings": {"model": "vectors", "input": ["card"], "encoding_format": "float", "dimensions": 16, "user": "u"},
    "classify": {"model": "vectors", "input": "card"},
    "rerank": {"model": "vectors", "query": "card", "documents": ["a", {"text": "b"}], "top_n": 1},
    "score": {"model": "vectors", "text_1": "card", "text_2": ["a"]},
    "moderations": {"input": [{"type": "text", "text": "hello"}], "model": "none"},
    "fine_tuning/jobs": {
        "model": "bot",
        "training_file": "file-1",
        "seed": 1,
        "suffix": "s",
        "metadata": {"a": "b"},
        "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1, "batch_size": "auto"}}},
        "integrations": [{"type": "wandb", "wandb": {"project": "p"}}],
    },
    "batches": {
        "input_file_id": "file-1",
        "endpoint": "/v1/embeddings",
        "completion_window": "24h",
        "metadata": {"a": "b"},
        "output_expires_after": {"anchor": "created_at", "seconds": 3600},
    },
}
DEEP = json.dumps(None).join(("[" * 200, "]" * 200))
STRANGE = [
    *("null", "true", "false", "0", "-1", "1.5", "1e400", "-1e400", "NaN", "Infinity", "9" * 30, "9" * 5000, "-0.0"),
    *('""', '" "', '"\\u0000"', '"a\\u0000b"', '"\\ud800"', '"\\udfff\\ud800"', '"é\\u202e\\uffff"', f'"{"x" * 5000}"'),
    *("[]", "[[]]", "[null]", "[true]", '["a", 1]', '["\\ud800"]', "[1e400]", DEEP, "[" * 5000 + "]" * 5000),
    *("{}", '{"": ""}', '{"a": {"a": {"a": {}}}}', '{"\\ud800": "\\ud800"}', '{"\\u0000": 1}', '{"type": "\\u0000"}'),
    *('{"$ref": "#"}', '{"type": [], "text": {}}', '{"role": 7}', '{"content": "\\ud800", "role": "user"}'),
]
BODIES_A_DOOR = 110


def spoilt(body: Any, draw: random.Random) -> str:
    """JSON of the body with one or two of its values, at any depth, or a new field, something strange."""
    text = json.dumps(body)
    for at in range(draw.choice((1, 1, 2))):
        found = json.loads(text.replace("__strange__", f"__kept{at}__"))
        holder, place = draw.choice(list(places(found)))
        if isinstance(holder, dict) and draw.random() < 0.1:
            place = draw.choice(("unheard of", "\ud800", "\0", "model"))
        holder[place] = "__strange__"
        text = json.dumps(found)
    for name in ("__strange__", "__kept0__", "__kept1__"):
        text = text.replace(f'"{name}"', draw.choice(STRANGE))
    return text


def places(value: Any) -> Any:
    """Every (holder, key) in a document."""
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner)


@pytest.mark.parametrize("door", DOORS)
def test_no_body_is_a_server_error(
    v1: APIClient,
    chat_version: Callable[..., ModelVersion],
    embedder_version: Callable[..., ModelVersion],
    monkeypatch: pytest.MonkeyPatch,
    door: str,
) -> None:
    """What passes the door is committed and not waited for: nobody answers here."""
    monkeypatch.setattr(Committed, "__init__", accepted)
    chat_version()
    embedder_version()
    draw = random.Random(f"1711 {door}")
    refused = 0

    for _ in range(BODIES_A_DOOR):
        body = spoilt(DOORS[door], draw)
        answer = v1.generic("POST", f"/v1/{door}", body, content_type="application/json")
        assert answer.status_code < 500, f"{answer.status_code} for {body[:2000]}"
        if answer.status_code >= 400:
            refused += 1
            error = json.loads(answer.content)["error"]
            assert set(error) == {"message", "type", "param", "code"} and error["message"], body[:2000]

    assert refused > BODIES_A_DOOR / 3


def accepted(committed: Committed, _answer: Any) -> None:
    """In place of Committed's own: what was committed is answered at once."""
    HttpResponse.__init__(committed)

    async def answer() -> HttpResponse:
        return HttpResponse(b"{}")

    committed.answer = answer
