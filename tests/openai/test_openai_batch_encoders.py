"""Batches below /v1 whose texts go through an encoder: equal to single requests, guarded, counted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from apps.inference import services
from apps.inference.models import ApiBatch, GuardDecision, Usage
from apps.registry.models import ModelVersion
from apps.registry.services import register_version
from tests.openai.batching import lines_of, start, work
from workers.bench.beside import at_work
from workers.generation import Models, answer_all

Version = Callable[..., ModelVersion]


@pytest.fixture
def encoder_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine without a child, which costs seconds; parts are told as the child tells them."""

    def perform(run: Any, order: dict[str, Any], folder: Path, *, on_part: Any, **_options: Any) -> dict[str, Any]:
        from engine import tasks
        from engine.report import Silent

        class Parts(Silent):
            def part(self, path: str, start: int, count: int) -> None:
                on_part({"path": path, "start": start, "count": count})

        return tasks.perform(order, None, Parts())

    monkeypatch.setattr("workers.batch_encoding.run_engine", perform)


def encoder_line(name: str, endpoint: str, **body: Any) -> dict[str, Any]:
    return {"custom_id": name, "method": "POST", "url": endpoint, "body": body}


@pytest.mark.usefixtures("encoder_here")
def test_vectors_in_bulk_are_those_of_single_requests(strict: OpenAI, embedder_version: Version) -> None:
    version = embedder_version()
    name = f"{version.family.name}:1"
    texts = ["my card is lost", "where is the card", "the rate", "x"]
    lines = [
        encoder_line("a", "/v1/embeddings", model=name, input=texts[:3]),
        encoder_line("b", "/v1/embeddings", model=name, input=texts[3]),
        encoder_line("c", "/v1/embeddings", model=name, input=texts[0], dimensions=3),
        encoder_line("d", "/v1/embeddings", model=name, input=texts[0], encoding_format="base64"),
    ]
    made = start(strict, lines, "/v1/embeddings")
    work("infer")
    done = strict.batches.retrieve(made.id)
    assert done.status == "completed" and done.model == name
    found = {line["custom_id"]: line["response"]["body"] for line in lines_of(strict, done.output_file_id)}
    with at_work(lambda stop: answer_all(stop, Models())):
        alone = strict.embeddings.create(model=name, input=texts[:3], encoding_format="float")
    for one, other in zip(found["a"]["data"], alone.data, strict=True):
        assert one["embedding"] == pytest.approx(other.embedding, abs=1e-6)
    assert found["a"]["usage"]["total_tokens"] == alone.usage.total_tokens
    assert isinstance(found["d"]["data"][0]["embedding"], str)
    (refused,) = lines_of(strict, done.error_file_id)
    assert refused["custom_id"] == "c" and refused["response"]["body"]["error"]["param"] == "dimensions"


@pytest.mark.usefixtures("encoder_here")
def test_labels_orders_and_scores_come_in_bulk(
    strict: OpenAI, ranker_version: Version, tiny_classifier: Any, workspace: Any, alice: Any
) -> None:
    register_version(workspace=workspace, folder=tiny_classifier(), name="intents", recipe="classify",
                     task="classification", labels=["refund", "card", "loan"], by=alice)  # fmt: skip
    ranker = f"{ranker_version().family.name}:1"
    documents = ["the card", "the rate", "a loan"]
    made = {
        "/v1/classify": encoder_line("a", "/v1/classify", model="intents", input=["my card", "a loan"]),
        "/v1/rerank": encoder_line("a", "/v1/rerank", model=ranker, query="my card", documents=documents, top_n=2),
        "/v1/score": encoder_line("a", "/v1/score", model=ranker, text_1="my card", text_2=documents),
    }
    ids = {endpoint: start(strict, [line], endpoint).id for endpoint, line in made.items()}
    work("infer")
    bulk, single = {}, {}
    with at_work(lambda stop: answer_all(stop, Models())):
        for endpoint, pk in ids.items():
            (line,) = lines_of(strict, strict.batches.retrieve(pk).output_file_id)
            bulk[endpoint] = line["response"]["body"]
            single[endpoint] = strict.post(endpoint.removeprefix("/v1"), cast_to=dict[str, Any],
                                           body=made[endpoint]["body"])  # fmt: skip
    for endpoint, alone in single.items():
        for key in alone.keys() - {"id", "created"}:
            assert bulk[endpoint][key] == approximately(alone[key]), (endpoint, key)


def approximately(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: approximately(each) for key, each in value.items()}
    if isinstance(value, list):
        return [approximately(each) for each in value]
    return pytest.approx(value, abs=1e-5) if isinstance(value, float) else value


@pytest.mark.usefixtures("encoder_here")
def test_texts_in_bulk_are_counted_as_usage_once(strict: OpenAI, embedder_version: Version) -> None:
    name = f"{embedder_version().family.name}:1"
    start(strict, [encoder_line(f"e{at}", "/v1/embeddings", model=name, input="my card") for at in range(3)],
          "/v1/embeddings")  # fmt: skip
    work("infer")
    usage, batch = Usage.objects.get(), ApiBatch.objects.get()
    assert (usage.requests, usage.errors, usage.key_name) == (3, 0, "client")
    assert usage.prompt_tokens == batch.prompt_tokens > 6


@pytest.mark.usefixtures("encoder_here")
def test_texts_in_bulk_go_by_the_guards(strict: OpenAI, embedder_version: Version, actor: Any) -> None:
    name = f"{embedder_version().family.name}:1"
    services.create_policy(
        actor=actor, name="House", is_default=True, personal_input="redact", terms=["gold"], terms_input="block"
    )
    path = "/v1/embeddings"
    texts = {"plain": "from [EMAIL]", "redacted": "from ana@example.com", "blocked": "sell g.o.l.d"}
    lines = [encoder_line(each, path, model=name, input=["card", text]) for each, text in texts.items()]
    made = start(strict, lines, path)
    work("infer")

    done = strict.batches.retrieve(made.id)
    good = {line["custom_id"]: line["response"]["body"] for line in lines_of(strict, done.output_file_id)}
    [bad] = lines_of(strict, done.error_file_id)
    vectors = {each: approximately([row["embedding"] for row in body["data"]]) for each, body in good.items()}
    assert set(vectors) == {"plain", "redacted"} and vectors["redacted"] == [
        row["embedding"] for row in good["plain"]["data"]
    ]
    assert (bad["custom_id"], bad["response"]["status_code"]) == ("blocked", 400)
    assert bad["response"]["body"]["error"]["code"] == "content_filter"
    assert sorted(GuardDecision.objects.values_list("action", flat=True)) == ["block", "redact"]
