"""How it works: a sentence is explained by the resident role and looked at on a page or by the API."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import torch
from django.utils import timezone

from apps.inference import services
from apps.inference.explaining import number, picture
from apps.inference.models import OnlineKind, OnlineRequest, OnlineState
from apps.inference.selectors import explanation_of
from apps.registry.models import ModelVersion
from apps.registry.services import register_version
from core.errors import Refused
from engine.gpt.hugging_face import load_gpt
from engine.specs.explanation import DEFAULT_SENTENCE
from workers.generation import Models, answer_next

Version = Callable[..., ModelVersion]


def explained(actor: Any, version: ModelVersion, text: str = DEFAULT_SENTENCE) -> OnlineRequest:
    """The request after the resident role has answered it."""
    asked = services.ask_explanation(actor=actor, version=version, text=text)
    assert answer_next(Models())
    asked.refresh_from_db()
    return asked


@pytest.mark.parametrize("kind", ["own", "llama", "gpt2"])
def test_the_api_tells_the_models_own_logits_and_loss(kind: str, actor: Any, chat_version: Version, api: Any) -> None:
    client, version = api(actor), chat_version(kind)
    asked = client.post("/api/v1/explanations", {"model": "bot", "text": DEFAULT_SENTENCE})
    waiting = client.get(f"/api/v1/explanations/{asked.json()['id']}/attention")

    assert answer_next(Models())

    found = client.get(f"/api/v1/explanations/{asked.json()['id']}").json()
    told = found["explanation"]
    ids = torch.tensor([token["id"] for token in told["tokens"]])
    with torch.no_grad():
        logits = load_gpt(version.path)(ids[None])[0]
    assert (asked.status_code, asked.json()["explanation"], waiting.status_code) == (202, None, 409)
    assert (found["state"], found["text"]) == ("done", DEFAULT_SENTENCE)
    assert told["loss"] == pytest.approx(float(torch.nn.functional.cross_entropy(logits[:-1], ids[1:])), abs=1e-4)
    best = told["next"][-1]["top"][0]
    assert (best["id"], best["logit"]) == (int(logits[-1].argmax()), pytest.approx(float(logits[-1].max()), abs=1e-3))
    head = client.get(f"/api/v1/explanations/{asked.json()['id']}/attention?layer=0&head=2").json()
    assert [len(row["weights"]) for row in head["rows"]] == list(range(1, len(ids) + 1))
    assert all(sum(row["weights"]) == pytest.approx(1) for row in head["rows"])
    address = f"/api/v1/explanations/{asked.json()['id']}/attention"
    assert client.get(f"{address}?layer=9").json()["code"] == "unknown_layer"
    assert client.get(f"{address}?head=4").json()["code"] == "unknown_head"
    assert client.get(f"{address}?head=x").status_code == 422


def test_an_explanation_is_neither_an_answer_nor_seen_elsewhere(
    actor: Any, stranger: Any, chat_version: Version, api: Any
) -> None:
    asked = explained(actor, chat_version())
    client = api(actor)

    for address in (f"/api/v1/explanations/{asked.pk}", f"/api/v1/explanations/{asked.pk}/attention"):
        assert client.get(address).status_code == 200
        assert api(stranger).get(address).status_code == 404
    assert client.get(f"/api/v1/answers/{asked.pk}").status_code == 404
    only_reading = api(actor, scopes=["inference.read"])
    assert only_reading.post("/api/v1/explanations", {"model": "bot"}).status_code == 403
    answered = OnlineRequest.objects.create(workspace=actor.workspace, model_version=asked.model_version, texts=["x"])
    assert client.get(f"/api/v1/explanations/{answered.pk}").status_code == 404


def test_a_sentence_is_asked_on_the_page_and_shown_when_it_is_there(
    actor: Any, chat_version: Version, page: Any, alice: Any, bob: Any, charlie: Any, workspace: Any
) -> None:
    version, browser = chat_version(), page(alice)
    address = f"/w/{workspace.slug}/predictions/how-it-works"
    link = f"{address}?version={version.pk}"
    assert link in browser.get(f"/w/{workspace.slug}/models/versions/{version.pk}").content.decode()
    form = browser.get(link)
    assert f'<option value="{version.pk}" selected>' in form.content.decode()
    assert DEFAULT_SENTENCE in form.content.decode()

    sent = browser.post(address, {"model_version": version.pk, "text": "<b>fox</b> 汉"}, follow=True)
    waiting = sent.content.decode()
    assert answer_next(Models())

    [asked] = OnlineRequest.objects.filter(kind=OnlineKind.EXPLAIN)
    assert sent.redirect_chain == [(f"{address}/{asked.pk}", 302)]
    assert 'hx-trigger="every 400ms"' in waiting
    shown = browser.get(f"{address}/{asked.pk}?layer=1&head=3&token=2").content.decode()
    assert "every 400ms" not in shown
    assert "<b>fox" not in shown
    assert "\\xE6" in shown
    for part in ("tokens", "vectors", "attention", "block", "next", "loss"):
        assert f'id="{part}-title"' in shown
    assert 'id="layer-1" href="?layer=1&amp;head=3&amp;token=2" aria-current="true"' in shown
    assert page(bob).get(f"{address}/{asked.pk}").status_code == 200
    assert page(charlie).get(f"{address}/{asked.pk}").status_code == 404
    assert page(charlie).get(address).status_code == 404


def test_every_number_on_the_page_follows_from_its_formula(actor: Any, chat_version: Version) -> None:
    told = explanation_of(explained(actor, chat_version("gpt2")))
    assert told is not None

    shown = picture(told, {"layer": "0", "head": "1", "token": "5"})

    def value(text: str) -> float:
        return float(text.replace("−", "-").replace(",", ""))

    attention, best = shown["attention"], shown["attention"]["best"]
    assert value(best["product"]) / value(attention["root"]) == pytest.approx(value(best["score"]), rel=1e-2, abs=2e-3)
    weights = [float(cell["weight"]) for cell in shown["map"][5]["cells"] if cell]
    assert sum(weights) == pytest.approx(1, abs=0.01)
    assert value(best["weight"]) == pytest.approx(max(weights), abs=1e-3)
    first = shown["next"]["first"]
    softmax = torch.tensor(value(first["logit"]) - value(shown["next"]["total"])).exp()
    assert first["probability"] == pytest.approx(float(softmax), rel=0.02)
    probability = told["next"][4]["target"]["probability"]
    assert value(shown["loss"]["value"]) == pytest.approx(-float(torch.tensor(probability).log()), abs=1e-3)
    losses = [value(chip["loss"]) for chip in shown["chips"][1:]]
    assert value(shown["loss"]["mean"]) == pytest.approx(sum(losses) / len(losses), abs=2e-3)
    assert shown["chips"][0]["loss"] is None
    vectors = shown["embedding"]
    assert value(vectors["sum"][0]) == pytest.approx(value(vectors["token"][0]) + value(vectors["place"][0]), abs=2e-4)


def test_an_address_that_names_no_head_shows_one_that_there_is(actor: Any, chat_version: Version) -> None:
    told = explanation_of(explained(actor, chat_version(), "card"))
    assert told is not None

    choice = picture(told, {"layer": "99", "head": "-1", "token": "1e9"})["choice"]

    assert (choice.layer, choice.head, choice.token) == (1, 0, len(told["tokens"]) - 1)


def test_a_single_token_has_a_next_one_and_no_loss(actor: Any, chat_version: Version) -> None:
    told = explanation_of(explained(actor, chat_version(), "!"))
    assert told is not None

    shown = picture(told, {})

    assert len(shown["chips"]) == 1
    assert (shown["loss"]["mean"], shown["loss"]["value"], told["loss"]) == (None, None, None)
    assert len(shown["next"]["top"]) == 10


def test_what_the_worker_cannot_show_is_said_on_the_page(
    actor: Any, chat_version: Version, page: Any, alice: Any, workspace: Any
) -> None:
    asked = explained(actor, chat_version(), "a b " * 60)

    shown = page(alice).get(f"/w/{workspace.slug}/predictions/how-it-works/{asked.pk}").content.decode()

    assert asked.state == OnlineState.FAILED
    assert "64 can be shown" in shown


@pytest.mark.parametrize(("text", "code"), [(" ", "empty"), ("a\0b", "empty"), ("x" * 1001, "text_too_long")])
def test_a_text_that_is_no_sentence_is_refused_at_the_door(
    actor: Any, chat_version: Version, text: str, code: str
) -> None:
    with pytest.raises(Refused) as refused:
        services.ask_explanation(actor=actor, version=chat_version(), text=text)

    assert refused.value.code == code
    assert not OnlineRequest.objects.exists()


def test_a_classifier_is_not_explained(actor: Any, workspace: Any, alice: Any, tiny_classifier: Any, api: Any) -> None:
    folder, labels = tiny_classifier(("a", "b"), 1), ("a", "b")
    register_version(
        workspace=workspace,
        name="intents",
        folder=folder,
        recipe="classify",
        task="classification",
        labels=labels,
        by=alice,
    )

    answer = api(actor).post("/api/v1/explanations", {"model": "intents", "text": "hello"})

    assert (answer.status_code, answer.json()["code"]) == (422, "wrong_task")


def test_explanations_are_forgotten_after_some_days_and_answers_are_not(actor: Any, chat_version: Version) -> None:
    version = chat_version()
    old = services.ask_explanation(actor=actor, version=version, text="old")
    answered = OnlineRequest.objects.create(workspace=actor.workspace, model_version=version, texts=["x"])
    OnlineRequest.objects.update(created_at=timezone.now() - timedelta(days=8))
    new = services.ask_explanation(actor=actor, version=version, text="new")

    assert services.expire_explanations() == {"explanations": 1}

    assert set(OnlineRequest.objects.values_list("pk", flat=True)) == {answered.pk, new.pk}
    assert old.pk not in (answered.pk, new.pk)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.0000"), (-0.12345, "−0.1235"), (0.00004, "4.0e−5"), (12.3456, "12.35"), (-1234.5, "−1,234")],
)
def test_numbers_have_as_many_digits_as_help(value: float, text: str) -> None:
    assert number(value) == text
