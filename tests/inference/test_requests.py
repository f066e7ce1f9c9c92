"""What was asked of versions: lists with filters, details with answers and feedback, cancelling, events by API."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts.services import create_api_key
from apps.inference import services
from apps.inference.models import Generation, GenerationState
from apps.inference.sampling import Wanted, sampled
from core.access import Actor
from engine.specs.sampling import Sampling

Api = Callable[..., APIClient]
Asked = Callable[..., Generation]


@pytest.fixture
def asked(actor: Actor, chat_version: Callable[..., Any]) -> Asked:
    """Makes a chat request; with `answers` they were written."""
    version = chat_version()

    def make(text: str, *answers: str, finish: str = "stop", days_ago: int = 0) -> Generation:
        row = services.generate_chat(
            actor=actor,
            version=version,
            reference="bot",
            messages=[{"role": "user", "content": text}],
            sampling=Sampling(max_tokens=4),
        )
        told: dict[str, Any] = {"finish": finish, "stopped_by": None, "tokens": 4, "logprobs": [], "prompt": []}
        began = timezone.now() - timedelta(days=days_ago)
        columns: dict[str, Any] = {"created_at": began}
        if answers:
            columns |= {
                "state": GenerationState.DONE,
                "answers": [{"text": answer, **told} for answer in answers],
                "first_token_at": began + timedelta(seconds=0.25),
                "finished_at": began + timedelta(seconds=2),
                "prompt_tokens": 9,
                "answer_tokens": 4 * len(answers),
            }
        Generation.objects.filter(pk=row.pk).update(**columns)
        row.refresh_from_db()
        return row

    return make


def ids(client: APIClient, query: str = "") -> list[int]:
    answer = client.get(f"/api/v1/generations{query}")
    assert answer.status_code == 200, answer.json()
    return [row["id"] for row in answer.json()["results"]]


@pytest.mark.django_db
def test_requests_are_filtered_by_state_end_day_thumb_and_correction(actor: Actor, api: Api, asked: Asked) -> None:
    cut, old, open_one = asked("a", "x", finish="length"), asked("b", "y", days_ago=3), asked("c")
    client = api(actor)
    for row, said in ((cut, {"thumb": "down", "corrected_answer": "z"}), (old, {"thumb": "up"})):
        target = services.feedback_target(actor, row.public_id, 0, "inference.write")
        services.give_feedback(actor=actor, target=target, said=said)
    yesterday = (timezone.now() - timedelta(days=1)).date()

    assert ids(client) == [open_one.pk, old.pk, cut.pk]
    assert ids(client, "?state=waiting") == [open_one.pk]
    assert ids(client, "?finish=length") == [cut.pk]
    assert ids(client, f"?until={yesterday}") == [old.pk]
    assert ids(client, "?thumb=up") == [old.pk]
    assert ids(client, "?corrected=true") == [cut.pk]
    assert ids(client, f"?model_version={cut.model_version_id}&thumb=down") == [cut.pk]
    assert client.get("/api/v1/generations?model_version=999999999").status_code == 422


@pytest.mark.django_db
def test_requests_are_filtered_by_deployment_side_and_key(
    actor: Actor, stranger: Actor, api: Api, page: Any, asked: Asked, deploy: Any
) -> None:
    plain, stable, candidate = asked("plain", "x"), asked("stable", "x"), asked("tried", "x")
    deployment = deploy(plain.model_version)
    key, _secret = create_api_key(actor=actor, name="shop", scopes=["inference.read"])
    foreign, _secret = create_api_key(actor=stranger, name="theirs", scopes=["inference.read"])
    Generation.objects.filter(pk=stable.pk).update(deployment=deployment, api_key=key)
    Generation.objects.filter(pk=candidate.pk).update(deployment=deployment, arm="candidate")
    client, pages = api(actor), page(actor.user)

    for query, rows in {
        f"?deployment={deployment.pk}": [candidate, stable],
        f"?deployment={deployment.pk}&arm=candidate": [candidate],
        "?arm=stable": [stable],
        f"?api_key={key.pk}": [stable],
    }.items():
        assert ids(client, query) == [row.pk for row in rows], query
        shown = pages.get(f"/w/{actor.workspace.slug}/predictions/requests{query}")
        assert [row.pk for row in shown.context["page"]] == [row.pk for row in rows], query
        filters = dict(pair.split("=") for pair in query[1:].split("&"))
        taken = sampled(actor, Wanted("chat", filters))
        assert {each.request for each in taken} == {row.public_id for row in rows}, query
    for query in ("?deployment=999999999", f"?api_key={foreign.pk}", "?arm=shadow"):
        assert client.get(f"/api/v1/generations{query}").status_code == 422, query


@pytest.mark.django_db
def test_a_request_tells_its_times_texts_and_feedback(actor: Actor, stranger: Actor, api: Api, asked: Asked) -> None:
    row = asked("where is my card?", "look at the map")
    target = services.feedback_target(actor, row.public_id, 0, "inference.write")
    services.give_feedback(actor=actor, target=target, said={"thumb": "up"})

    found = api(actor).get(f"/api/v1/generations/{row.pk}").json()

    assert found["name"] == f"chatcmpl-{row.pk}"
    assert (found["first_token_seconds"], found["seconds"]) == (0.25, 2.0)
    assert found["messages"] == [{"role": "user", "content": "where is my card?"}]
    assert [answer["text"] for answer in found["answers"]] == ["look at the map"]
    assert [each["thumb"] for each in found["feedback"]] == ["up"]
    for address in ("", "/cancel", "/events"):
        method = "post" if address == "/cancel" else "get"
        assert getattr(api(stranger), method)(f"/api/v1/generations/{row.pk}{address}").status_code == 404


@pytest.mark.django_db
def test_a_request_is_cancelled_once(actor: Actor, api: Api, asked: Asked) -> None:
    row, client = asked("where?"), api(actor)

    first = client.post(f"/api/v1/generations/{row.pk}/cancel")
    second = client.post(f"/api/v1/generations/{row.pk}/cancel")

    assert (first.status_code, first.json()["state"]) == (200, "cancelled")
    assert (second.status_code, second.json()["code"]) == (409, "ended")


@pytest.mark.django_db(transaction=True)
def test_events_of_an_answer_that_is_over_tell_all_of_it(actor: Actor, api: Api, asked: Asked) -> None:
    row = asked("where?", "look at the map")

    answer = api(actor).get(f"/api/v1/generations/{row.pk}/events", HTTP_ACCEPT="text/event-stream")

    async def read() -> str:
        return "".join([part.decode() async for part in answer])

    assert answer.status_code == 200 and answer["Content-Type"].startswith("text/event-stream")
    told = [json.loads(line[6:]) for line in async_to_sync(read)().splitlines() if line.startswith("data: ")]
    assert [event["type"] for event in told] == ["piece", "ended", "over"]
    assert told[0]["text"] == "look at the map" and told[-1]["state"] == "done"


@pytest.mark.django_db
def test_pages_list_and_show_requests_as_text(
    page: Any, alice: Any, charlie: Any, actor: Actor, asked: Asked, workspace: Any
) -> None:
    row, base = asked("<i>where</i>?", "look <b>there</b>", "or there"), f"/w/{workspace.slug}/predictions/requests"
    asked("second")
    client = page(alice)

    listed = client.get(base).content.decode()
    shown = client.get(f"{base}/{row.pk}").content.decode()
    none = client.get(f"{base}?finish=length").content.decode()

    assert "&lt;i&gt;where" in listed and "<i>where" not in listed and "second" in listed
    assert "look &lt;b&gt;there" in shown and "look <b>" not in shown
    for at in (0, 1):
        assert f"/predictions/feedback/generation-{row.pk}/{at}" in shown
    assert "No request matches" in none
    assert page(charlie).get(f"{base}/{row.pk}").status_code == 404


@pytest.mark.django_db
def test_a_person_stops_a_request_on_its_page(page: Any, alice: Any, asked: Asked, workspace: Any) -> None:
    row = asked("where?")
    path = f"/w/{workspace.slug}/predictions/requests/{row.pk}"

    answer = page(alice).post(f"{path}/cancel")

    row.refresh_from_db()
    assert (answer.status_code, answer["Location"]) == (302, path)
    assert row.state == GenerationState.CANCELLED
