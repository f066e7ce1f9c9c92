"""Versions that another server answers: a second web process of our own API stands for it, reached over HTTP."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from openai import BadRequestError, InternalServerError, OpenAI

from apps.accounts.models import AuditEntry
from apps.evaluation.services import start_evaluation
from apps.inference.models import Generation, GenerationState, Prediction
from apps.inference.services import ask_explanation, predict_texts
from apps.registry import selectors
from apps.registry.models import ModelVersion
from apps.registry.services import Connection, connect_server
from apps.training.bases import base_choices
from core.errors import Refused
from engine.specs import BaseModel
from workers.loop import run_next

ASK: Any = {"messages": [{"role": "user", "content": "where is my card?"}]}


@pytest.fixture
def bot(secret: str, chat_version: Callable[..., ModelVersion]) -> ModelVersion:
    return chat_version()


@pytest.fixture
def address(server: str, secret: str, settings: Any) -> str:
    """Of the other server, which may be reached and whose key is known."""
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    settings.REMOTE_KEYS = {f"{server}/v1": secret}
    return f"{server}/v1"


@pytest.fixture
def far(actor: Any, address: str, bot: ModelVersion) -> ModelVersion:
    """The bot once more, by way of the other server."""
    return connect_server(actor=actor, name="far", connection=Connection(address, "bot:1", "vllm", 96))


def measured(answer: Any) -> dict[tuple[int, int, str], float]:
    """(answer, place, token) -> its log probability, of the tokens written and of the likeliest ones."""
    return {
        (choice.index, place, each.token): each.logprob
        for choice in answer.choices
        for place, token in enumerate(choice.logprobs.content)
        for each in (token, *token.top_logprobs)
    }


def test_it_says_what_the_model_there_says(strict: OpenAI, writer: None, far: ModelVersion) -> None:
    options: Any = {"max_tokens": 12, "seed": 4, "n": 2, "logprobs": True, "top_logprobs": 2}
    here = strict.chat.completions.create(model="bot", **ASK, **options)

    there = strict.chat.completions.create(model="far", **ASK, **options)

    assert [choice.message.content for choice in there.choices] == [choice.message.content for choice in here.choices]
    assert [choice.finish_reason for choice in there.choices] == [choice.finish_reason for choice in here.choices]
    assert measured(there) == pytest.approx(measured(here), abs=1e-4)  # in other company products are rounded otherwise
    assert there.usage is not None and here.usage is not None
    assert (there.usage.prompt_tokens, there.usage.completion_tokens) == (
        here.usage.prompt_tokens,
        here.usage.completion_tokens,
    )
    row = Generation.objects.get(model_version=far)
    assert row.first_token_at is not None and row.state == GenerationState.DONE
    assert Generation.objects.exclude(model_version=far).count() == 3


def test_it_streams_and_continues_texts(strict: OpenAI, writer: None, far: ModelVersion) -> None:
    asked: Any = {"prompt": ["where is", "the card"], "max_tokens": 8, "seed": 9}
    here = strict.completions.create(model="bot", **asked)
    there = strict.completions.create(model="far", **asked)
    assert [choice.text for choice in there.choices] == [choice.text for choice in here.choices]

    whole = strict.chat.completions.create(model="bot", **ASK, max_tokens=30, seed=5)
    usage: Any = {"include_usage": True}
    chunks = list(
        strict.chat.completions.create(model="far", **ASK, max_tokens=30, seed=5, stream=True, stream_options=usage)
    )
    texts = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(texts) == whole.choices[0].message.content
    assert chunks[-1].usage is not None and whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_what_the_server_refuses_the_caller_is_told(
    strict: OpenAI, writer: None, far: ModelVersion, actor: Any, address: str
) -> None:
    long: Any = [{"role": "user", "content": "where is my card? " * 60}]
    with pytest.raises(BadRequestError) as refused:
        strict.chat.completions.create(model="far", messages=long)
    assert refused.value.code == "context_length_exceeded"

    plain = connect_server(actor=actor, name="plain", connection=Connection(address, "bot:1"))
    with pytest.raises(BadRequestError, match="top_k") as unknown:
        strict.chat.completions.create(model=f"plain:{plain.number}", **ASK, extra_body={"top_k": 3})
    assert unknown.value.code == "unsupported_by_server"


def test_a_server_that_is_gone_is_told_and_others_go_on(
    strict: OpenAI, writer: None, far: ModelVersion, settings: Any
) -> None:
    settings.OUTBOUND_ALLOW = []
    once = strict.with_options(max_retries=0)
    with pytest.raises(InternalServerError) as gone:
        once.chat.completions.create(model="far", **ASK)
    assert gone.value.code == "remote_unreachable"
    assert strict.chat.completions.create(model="bot", **ASK, max_tokens=4).choices


def test_a_caller_that_goes_away_ends_the_answer_there_too(
    strict: OpenAI, writer: None, far: ModelVersion, bot: ModelVersion
) -> None:
    more: Any = {"ignore_eos": True}
    with strict.chat.completions.create(model="far", **ASK, max_tokens=80, stream=True, extra_body=more) as stream:
        next(iter(stream))
    deadline = time.monotonic() + 20
    open_ = Generation.objects.filter(state__in=["waiting", "running"])
    while open_.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    ended = {row.model_version_id: row.state for row in Generation.objects.all()}
    assert ended[far.pk] in (GenerationState.CANCELLED, GenerationState.DONE)
    assert ended[bot.pk] in (GenerationState.CANCELLED, GenerationState.DONE)


def test_connecting_looks_at_the_server_first(actor: Any, address: str, bot: ModelVersion, settings: Any) -> None:
    def refused(**columns: Any) -> str:
        given = {"address": address, "model": "bot:1", **columns}
        with pytest.raises(Refused) as caught:
            connect_server(actor=actor, name="far", connection=Connection(**given))
        return caught.value.code

    assert refused(model="nothing") == "model_not_there"
    assert refused(dialect="klingon") == "unknown_dialect"
    assert refused(address="ftp://there") == "bad_url"
    assert refused(address=address.removesuffix("/v1")) == "server_refuses"
    settings.REMOTE_KEYS = {}
    assert refused() == "server_refuses"
    settings.OUTBOUND_ALLOW = []
    assert refused() == "address_forbidden"
    assert not ModelVersion.objects.filter(source="remote").exists()


def test_its_weights_are_not_here_and_every_room_says_so(
    actor: Any, far: ModelVersion, chat_data: Any, client: Any, alice: Any, workspace: Any
) -> None:
    with pytest.raises(Refused) as caught:
        start_evaluation(actor=actor, model_version=far, dataset_version=chat_data)
    assert caught.value.code == "answered_elsewhere"
    with pytest.raises(Refused):
        ask_explanation(actor=actor, version=far, text="hello")
    assert selectors.export_kinds(far) == []
    assert selectors.damaged_files(far) == []
    names = dict(base_choices(recipe="sft", default=BaseModel("version", ""), workspace=workspace))
    assert f"version:{far.pk}" not in names and "version:" + str(far.pk - 1) in names
    assert AuditEntry.objects.filter(action="model_version.connect").exists()

    client.force_login(alice)
    page = client.get(f"/w/{workspace.slug}/models/versions/{far.pk}").content.decode()
    assert "bot:1" in page and "127.0.0.1" in page


def test_a_server_is_connected_by_page_and_api(
    actor: Any, address: str, bot: ModelVersion, client: Any, api: Any, alice: Any, workspace: Any
) -> None:
    place = f"/w/{workspace.slug}/models/connect"
    client.force_login(alice)
    form = {"name": "far", "address": address, "model": "none", "dialect": "openai"}
    assert "LINGXI_REMOTE_KEYS" in client.get(place).content.decode()
    wrong = client.post(place, form)
    assert wrong.status_code == 422 and "none" in wrong.content.decode()
    assert client.post(place, {**form, "model": "bot:1"}).status_code == 302

    made = api(actor).post("/api/v1/model-connections", {"name": "far", "address": address, "model": "bot:1"})
    assert (made.status_code, made.json()["number"]) == (201, 2)


def test_a_batch_prediction_of_it_is_answered_there(
    writer: None, far: ModelVersion, bot: ModelVersion, actor: Any
) -> None:
    items = [{"id": str(at), "text": f"where is card {at}?"} for at in range(3)]
    made = [predict_texts(actor=actor, version=version, items=items, max_new_tokens=6) for version in (bot, far)]

    while run_next("io") is not None:
        pass

    here, there = ([row.answer for row in Prediction.objects.filter(batch_job=each).order_by("id")] for each in made)
    assert len(there) == 3 and there == here
