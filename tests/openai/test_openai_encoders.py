"""Vectors, labels and orders below /v1, by OpenAI's client and by plain requests, answered by the real engine."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from apps.registry.models import ModelVersion
from workers.bench.beside import at_work
from workers.generation import Models, answer_all

Version = Callable[..., ModelVersion]


@pytest.fixture
def role(transactional_db: None) -> Iterator[None]:
    """The answering thread of the resident role."""
    with at_work(lambda stop: answer_all(stop, Models())):
        yield


@pytest.fixture
def post(server: str, secret: str) -> Callable[..., httpx.Response]:
    def send(path: str, **body: Any) -> httpx.Response:
        return httpx.post(
            f"{server}/v1/{path}", json=body, headers={"Authorization": f"Bearer {secret}"}, timeout=30, trust_env=False
        )

    return send


def test_vectors_come_as_numbers_and_as_base64(strict: OpenAI, role: None, embedder_version: Version) -> None:
    version = embedder_version()
    name = f"{version.family.name}:1"
    texts = ["my card is lost", "where is the card", "x"]
    plain = strict.embeddings.create(model=name, input=texts, encoding_format="float")
    # The client asks for base64 by itself and unpacks it, but only after a strict look at the types.
    loose = OpenAI(base_url=strict.base_url, api_key=strict.api_key)
    packed = loose.embeddings.create(model=name, input=texts)
    assert [each.index for each in plain.data] == [0, 1, 2]
    for one, other in zip(plain.data, packed.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
    assert plain.usage.prompt_tokens == plain.usage.total_tokens > 6
    single = loose.embeddings.create(model=name, input=texts[0])
    assert single.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-6)
    width = len(plain.data[0].embedding)
    assert loose.embeddings.create(model=name, input="x", dimensions=width).data
    with pytest.raises(BadRequestError) as caught:
        strict.embeddings.create(model=name, input="x", dimensions=width + 1)
    assert caught.value.param == "dimensions"


@pytest.mark.parametrize("given", [[], [1, 2], "", [""], ["x"] * 300, ["\0"], {"a": 1}])
def test_inputs_that_are_no_texts_are_refused(strict: OpenAI, embedder_version: Version, given: Any) -> None:
    version = embedder_version()
    with pytest.raises(BadRequestError) as caught:
        strict.embeddings.create(model=f"{version.family.name}:1", input=given)
    assert isinstance(caught.value.body, dict) and caught.value.body["type"] == "invalid_request_error"


def test_a_version_of_another_task_is_refused(strict: OpenAI, chat_version: Version) -> None:
    chat_version()
    with pytest.raises(BadRequestError) as caught:
        strict.embeddings.create(model="bot", input="x")
    assert caught.value.code == "wrong_task"
    with pytest.raises(NotFoundError):
        strict.embeddings.create(model="nobody", input="x")


def test_texts_are_labelled_with_all_probabilities(
    post: Callable[..., httpx.Response], role: None, tiny_classifier: Any, workspace: Any, alice: Any
) -> None:
    from apps.registry.services import register_version

    register_version(
        workspace=workspace,
        folder=tiny_classifier(),
        name="intents",
        recipe="classify",
        task="classification",
        by=alice,
    )
    found = post("classify", model="intents", input=["my card", "wire transfer"]).json()
    assert found["object"] == "list" and found["model"] == "intents"
    for at, row in enumerate(found["data"]):
        assert row["index"] == at and row["num_classes"] == len(row["probs"]) == len(row["labels"]) > 1
        assert sum(row["probs"]) == pytest.approx(1, abs=1e-4)
        assert row["label"] == row["labels"][row["probs"].index(max(row["probs"]))]
    assert found["usage"]["total_tokens"] > 0


def test_documents_are_ranked_and_scored(
    post: Callable[..., httpx.Response], role: None, ranker_version: Version
) -> None:
    version = ranker_version()
    name, documents = f"{version.family.name}:1", ["the card", "the rate", "a loan"]
    ranked = post("rerank", model=name, query="where is my card", documents=documents, top_n=2).json()
    scored = post("score", model=name, text_1="where is my card", text_2=documents).json()
    assert len(ranked["results"]) == 2
    scores = [each["relevance_score"] for each in ranked["results"]]
    assert scores == sorted(scores, reverse=True)
    for each in ranked["results"]:
        assert each["document"]["text"] == documents[each["index"]]
        assert each["relevance_score"] == pytest.approx(scored["data"][each["index"]]["score"], abs=1e-6)
    objects = [{"text": text} for text in documents]
    bare = post("rerank", model=name, query="x", documents=objects, return_documents=False).json()
    assert len(bare["results"]) == 3 and "document" not in bare["results"][0]
    assert post("rerank", model=name, query="x", documents=["a", 5]).status_code == 400


BAD = [
    '"\\ud800"',
    '["a card", "a \\udfff"]',
    '"a\\u0000b"',
    '" "',
    "null",
    "5",
    "[[1]]",
    "true",
    f'"{"x" * 1_000_000}"',
]


@pytest.mark.parametrize("path", ["embeddings", "score"])
def test_bad_texts_get_a_clear_error_each(
    server: str, secret: str, embedder_version: Version, ranker_version: Version, path: str
) -> None:
    version, more = (embedder_version(), "") if path == "embeddings" else (ranker_version(), '"text_1": "x", ')
    field = "input" if path == "embeddings" else "text_2"
    bodies = [f'{{"model": "{version.family.name}", {more}"{field}": {given}}}' for given in BAD]
    if path == "score":
        bodies.append(f'{{"model": "{version.family.name}", "text_1": "\\ud800", "text_2": "x"}}')
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}

    with httpx.Client(base_url=server, headers=headers, timeout=30, trust_env=False) as client:
        answers = [client.post(f"/v1/{path}", content=body) for body in bodies]

    for answer in answers:
        assert answer.status_code == 400, answer.text
        error = answer.json()["error"]
        assert error["type"] == "invalid_request_error" and error["message"] and error["code"]
        assert error["param"] in (field, "texts", "text_1")
