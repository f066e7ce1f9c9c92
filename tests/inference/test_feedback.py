"""What people think of answers: whose it is, what it is about, what a change keeps, and who may not see it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.http import Http404
from django.utils import timezone
from rest_framework.test import APIClient

from apps.inference import services
from apps.inference.models import Feedback, Generation, GenerationState, OnlineRequest, OnlineState
from apps.registry.services import register_version
from core.access import Actor
from core.errors import Refused
from engine.specs.sampling import Sampling

Api = Callable[..., APIClient]


@pytest.fixture
def answered(actor: Actor, chat_version: Callable[..., Any]) -> Callable[..., Generation]:
    """Makes a chat that was answered."""
    version = chat_version()

    def make(text: str = "look at the map", *, count: int = 1, is_stored: bool = True) -> Generation:
        row = services.generate_chat(
            actor=actor,
            version=version,
            reference="bot",
            messages=[{"role": "user", "content": "where is my card?"}],
            sampling=Sampling(max_tokens=4),
            extras=services.Extras(answers_per_prompt=count, is_stored=is_stored),
        )
        told: dict[str, Any] = {"finish": "stop", "stopped_by": None, "tokens": 4, "logprobs": [], "prompt": []}
        row.state, row.finished_at = GenerationState.DONE, timezone.now()
        row.answers = [{"text": f"{text} {at}", **told} for at in range(count)]
        row.save()
        if not is_stored:
            services.forget_texts(row.pk)
        return row

    return make


@pytest.fixture
def labelled(actor: Actor, tiny_classifier: Callable[..., Path]) -> OnlineRequest:
    """Two texts that got labels."""
    version = register_version(
        workspace=actor.workspace,
        name="intents",
        folder=tiny_classifier(),
        recipe="classify",
        task="classification",
        labels=("refund", "card", "loan"),
        by=actor.user,
    )
    made = services.ask(actor=actor, version=version, texts=["my card is gone", "a loan"])
    results = [{"labels": ["card"], "probabilities": []}, {"labels": ["loan"], "probabilities": []}]
    OnlineRequest.objects.filter(pk=made.pk).update(state=OnlineState.DONE, results=results)
    made.refresh_from_db()
    return made


def say_so(actor: Actor, name: str, index: int = 0, *, end_user: str = "", **said: Any) -> Feedback:
    target = services.feedback_target(actor, name, index, "inference.write")
    return services.give_feedback(actor=actor, target=target, said=said, end_user=end_user)


@pytest.mark.django_db
def test_what_is_said_again_changes_nothing_and_a_change_keeps_what_was(actor: Actor, answered: Any) -> None:
    name = f"chatcmpl-{answered().pk}"

    first = say_so(actor, name, thumb="up")
    again = say_so(actor, name, thumb="up")
    changed = say_so(actor, name, thumb="down", corrected_answer="It is in the drawer.")
    back = say_so(actor, name, thumb=None)

    assert first.pk == again.pk == changed.pk == back.pk
    assert (back.thumb, back.corrected_answer) == ("", "It is in the drawer.")
    told = [(each.thumb, each.corrected_answer) for each in back.revisions.order_by("pk")]
    assert told == [("up", ""), ("down", "It is in the drawer.")]


@pytest.mark.django_db
def test_each_author_has_one_of_each_answer(actor: Actor, bob: Any, answered: Any) -> None:
    name = f"chatcmpl-{answered(count=2).pk}"
    for at in (0, 1):
        say_so(actor, name, at, thumb="up")
    say_so(replace(actor, user=bob), name, thumb="down")
    for visitor in ("ann", "ben", "ann"):
        say_so(actor, name, thumb="down", end_user=visitor)

    found = Feedback.objects.order_by("pk").values_list("author", "index")

    assert list(found) == [
        (f"user {actor.user.pk}", 0),
        (f"user {actor.user.pk}", 1),
        (f"user {bob.pk}", 0),
        ("end user ann", 0),
        ("end user ben", 0),
    ]


@pytest.mark.django_db(transaction=True)
def test_a_double_click_makes_one(actor: Actor, answered: Any) -> None:
    name = f"chatcmpl-{answered().pk}"

    def click(_time: int) -> int:
        try:
            return int(say_so(actor, name, thumb="up").pk)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as threads:
        made = set(threads.map(click, range(6)))

    assert len(made) == Feedback.objects.count() == 1
    assert not Feedback.objects.get().revisions.exists()


@pytest.mark.django_db
def test_labels_of_one_text_are_corrected_and_an_echo_is_no_correction(actor: Actor, labelled: OnlineRequest) -> None:
    other = say_so(actor, f"classify-{labelled.pk}", 1, corrected_labels=["card", "loan"])
    echo = say_so(actor, f"request-{labelled.pk}", 0, thumb="up", corrected_labels=["card"])

    assert other.corrected_labels == ["card", "loan"] and other.index == 1
    assert echo.corrected_labels is None


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("said", "code", "field"),
    [
        ({}, "nothing_said", "thumb"),
        ({"thumb": "sideways"}, "unknown_value", "thumb"),
        ({"corrected_labels": ["card"]}, "wrong_task", "corrected_labels"),
        ({"note": "a\0b"}, "text_too_long", "note"),
        ({"corrected_answer": "x" * 100_001}, "text_too_long", "corrected_answer"),
    ],
)
def test_what_cannot_be_said_is_refused(actor: Actor, answered: Any, said: Any, code: str, field: str) -> None:
    with pytest.raises(Refused) as refused:
        say_so(actor, f"chatcmpl-{answered().pk}", **said)
    assert (refused.value.code, refused.value.problems[0].field) == (code, field)


@pytest.mark.django_db
def test_of_what_is_not_stored_no_text_is_taken(actor: Actor, answered: Any) -> None:
    name = f"chatcmpl-{answered(is_stored=False).pk}"

    with pytest.raises(Refused) as refused:
        say_so(actor, name, corrected_answer="It is in the drawer.")
    kept = say_so(actor, name, thumb="down", reason="wrong")

    assert refused.value.code == "not_stored"
    assert (kept.thumb, kept.reason) == ("down", "wrong")


@pytest.mark.django_db
def test_ids_of_strangers_of_other_kinds_and_of_nothing_are_not_found(
    actor: Actor, stranger: Actor, answered: Any
) -> None:
    row = answered()
    for who, name in (
        (stranger, f"chatcmpl-{row.pk}"),
        (actor, f"cmpl-{row.pk}"),
        (actor, f"classify-{row.pk}"),
        (actor, f"chatcmpl-{row.pk + 1}"),
        (actor, f"ftjob-{row.pk}"),
        (actor, str(row.pk)),
        (actor, ""),
    ):
        with pytest.raises(Http404):
            say_so(who, name, thumb="up")
    with pytest.raises(Refused, match="counted from 0"):
        say_so(actor, f"chatcmpl-{row.pk}", 1, thumb="up")


@pytest.mark.django_db
def test_an_answer_that_is_still_written_waits_for_its_feedback(actor: Actor, answered: Any) -> None:
    row = answered()
    Generation.objects.filter(pk=row.pk).update(state=GenerationState.RUNNING)
    with pytest.raises(Refused) as refused:
        say_so(actor, f"chatcmpl-{row.pk}", thumb="up")
    assert refused.value.status == 409


@pytest.mark.django_db
def test_programs_give_change_list_and_read_feedback(
    actor: Actor, stranger: Actor, api: Api, answered: Any, labelled: OnlineRequest
) -> None:
    client = api(actor)
    body = {
        "target": f"chatcmpl-{answered().pk}",
        "thumb": "down",
        "corrected_answer": "In the drawer.",
        "end_user": "v",
    }

    first = client.post("/api/v1/feedback", body, format="json")
    client.post("/api/v1/feedback", {**body, "thumb": "up"}, format="json")
    client.post("/api/v1/feedback", {"target": f"classify-{labelled.pk}", "thumb": "down"}, format="json")
    listed = client.get("/api/v1/feedback?corrected=true").json()["results"]
    whole = client.get(f"/api/v1/feedback/{first.json()['id']}").json()

    assert first.status_code == 200 and first.json()["thumb"] == "down"
    assert [row["id"] for row in listed] == [first.json()["id"]]
    assert listed[0]["end_user"] == "v" and listed[0]["api_key"]
    assert (whole["thumb"], [each["thumb"] for each in whole["revisions"]]) == ("up", ["down"])
    assert client.get(f"/api/v1/feedback?request={labelled.pk}").json()["results"][0]["thumb"] == "down"
    foreign = api(stranger)
    assert foreign.post("/api/v1/feedback", body, format="json").status_code == 404
    assert foreign.get(f"/api/v1/feedback/{first.json()['id']}").status_code == 404
    assert foreign.get("/api/v1/feedback").json()["results"] == []


@pytest.mark.django_db
def test_a_person_gives_a_thumb_takes_it_back_and_corrects(page: Any, alice: Any, actor: Actor, answered: Any) -> None:
    client, row = page(alice), answered("look at the <map>")
    address = f"/w/harbour/predictions/feedback/generation-{row.pk}/0"

    shown = client.get(address).content.decode()
    client.post(address, {"thumb": "up"})
    liked = client.post(address, {"corrected_answer": "look at the <map> 0", "reason": "style", "note": ""})
    found = Feedback.objects.get()
    assert "look at the &lt;map&gt; 0" in shown and 'aria-pressed="true"' not in shown
    assert 'aria-pressed="true"' in liked.content.decode()
    assert (found.thumb, found.corrected_answer, found.reason) == ("up", "", "style")

    client.post(address, {"thumb": ""})
    client.post(address, {"corrected_answer": "In the drawer.", "reason": "style", "note": ""})
    found.refresh_from_db()
    assert (found.thumb, found.corrected_answer) == ("", "In the drawer.")
