"""Why a label: asked by API and on an article's page, answered by the resident role beside everything else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.inference import services
from apps.inference.attributing import segments_of
from apps.inference.models import OnlineRequest, OnlineState
from apps.registry.models import ModelVersion
from apps.registry.services import register_version
from apps.sentiment import services as sentiment
from apps.sentiment.models import Article, Monitor, Source
from apps.sentiment.services.scoring import Said
from core.errors import Refused
from engine.specs.explanation import DEFAULT_SENTENCE
from workers.evidence import attributions
from workers.generation import APART, answer_next
from workers.memory import Models

LABELS = ["negative", "neutral", "positive"]
TEXT = "股价 falls, says the board"


@pytest.fixture
def tone(workspace: Any, alice: Any, tiny_classifier: Callable[..., Path]) -> ModelVersion:
    return register_version(
        workspace=workspace, name="tone", folder=tiny_classifier(LABELS, 3), recipe="classify", task="classification",
        labels=LABELS, by=alice,
    )  # fmt: skip


@pytest.fixture
def scored(pushed_source: Source, tone: ModelVersion, written: Any) -> Article:
    """An article that the version has found to be negative."""
    [taken] = sentiment.ingest(pushed_source, [written(1, "Prices fall again", body="Nobody buys.")])
    assert taken.article is not None
    sentiment.record_scores(tone, [Said(taken.article, {"negative": 0.8, "neutral": 0.1, "positive": 0.1})])
    return taken.article


def test_the_api_tells_what_each_word_is_worth(actor: Any, tone: ModelVersion, api: Any) -> None:
    client = api(actor)
    asked = client.post("/api/v1/attributions", {"model": "tone:1", "text": TEXT, "label": "negative"})
    address = f"/api/v1/attributions/{asked.json()['id']}"
    waiting = client.get(address).json()

    assert not answer_next(Models())  # who answers labels is not held up by it
    assert answer_next(Models(), kinds=APART)

    found = client.get(address).json()
    told = found["attribution"]
    assert (asked.status_code, waiting["state"], waiting["attribution"], found["state"]) == (
        202,
        "waiting",
        None,
        "done",
    )
    assert (told["label"], told["is_complete"], found["text"]) == ("negative", True, TEXT)
    assert all(TEXT[word["start"] : word["end"]] == word["surface"] for word in told["words"])
    total = sum(word["attribution"] for word in told["words"])
    assert total == pytest.approx(told["log_odds"] - told["baseline_log_odds"], abs=0.05)
    row = OnlineRequest.objects.get(pk=asked.json()["id"])
    assert row.token_count == told["token_count"]
    assert client.get(f"/api/v1/classify/{row.pk}").status_code == 404


def test_a_helper_for_alerts_says_the_same_of_several_texts(actor: Any, tone: ModelVersion) -> None:
    models = Models()

    found = attributions(models, tone, [TEXT, "the board says nothing"], "negative")

    assert [each["label"] for each in found] == ["negative", "negative"]
    assert found[0] == attributions(models, tone, [TEXT], "negative")[0]


def test_what_cannot_be_explained_is_refused_or_fails_with_a_sentence(
    actor: Any, tone: ModelVersion, api: Any, stranger: Any, named_version: Any
) -> None:
    client = api(actor)
    for text, code in ((" ", "empty"), ("a" * 20_001, "text_too_long")):
        with pytest.raises(Refused) as refused:
            services.ask_attribution(actor=actor, version=tone, text=text)
        assert refused.value.code == code
    with pytest.raises(Refused) as refused:
        services.ask_attribution(actor=actor, version=named_version(), text=DEFAULT_SENTENCE)
    assert refused.value.code == "wrong_task"
    made = client.post("/api/v1/attributions", {"model": "tone:1", "text": TEXT, "label": "weather"}).json()["id"]
    assert answer_next(Models(), kinds=APART)

    row = OnlineRequest.objects.get(pk=made)

    assert row.state == OnlineState.FAILED and "“weather”" in str(row.error_message)
    assert api(stranger).get(f"/api/v1/attributions/{made}").status_code == 404
    reading = api(actor, scopes=["inference.read"])
    assert reading.post("/api/v1/attributions", {"model": "tone:1", "text": TEXT}).status_code == 403


def test_an_article_says_why_it_was_found_negative(
    scored: Article, page: Any, alice: Any, charlie: Any, workspace: Any, brand_monitor: Monitor
) -> None:
    browser, score = page(alice), scored.scores.get()
    shown = browser.get(f"/w/{workspace.slug}/monitors/articles/{scored.pk}").content.decode()
    address = f"/w/{workspace.slug}/monitors/scores/{score.pk}/why"

    waiting = browser.post(address).content.decode()
    row = OnlineRequest.objects.get()
    assert answer_next(Models(), kinds=APART)
    told = browser.get(f"/w/{workspace.slug}/monitors/why/{row.pk}?lang=en").content.decode()

    assert address in shown
    assert f"/monitors/why/{row.pk}" in waiting and "Weighing" in waiting
    assert (row.label, row.texts) == ("negative", ["Prices fall again\nNobody buys."])
    assert told.count("data-speaks") == 6 + 2 and "Rank correlation over 6 words" in told and 'lang="en"' in told
    for method, path in (("post", address), ("get", f"/w/{workspace.slug}/monitors/why/{row.pk}")):
        assert getattr(page(charlie), method)(path).status_code == 404


def test_the_text_on_the_page_is_the_text_that_was_read() -> None:
    text = "  Prices fall.\nNobody buys"
    word = {"attribution": -2.0, "occlusion": None}
    told = {"words": [{"start": 2, "end": 8, **word}, {"start": 9, "end": 13, "attribution": 1.0, "occlusion": 0.5}]}

    pieces = list(segments_of(text, told))

    assert "".join(piece.text for piece in pieces) == "  Prices fall"
    assert [(piece.speaks, piece.strength) for piece in pieces if piece.speaks] == [("against", 1.0), ("for", 0.5)]
