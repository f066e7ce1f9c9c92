"""Signed webhooks: the public address takes what is signed and fresh, once, and nothing else."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.sentiment import hooks, services
from apps.sentiment.models import Article, Monitor, Source
from core.access import Actor
from core.limits import Limits
from core.webhooks import sign

ITEMS = {"items": [{"external_id": "a-1", "title": "Shares fall"}, {"external_id": "a-2"}]}


@pytest.fixture
def hooked(actor: Actor, brand_monitor: Monitor) -> tuple[Source, str]:
    """(a source that takes signed webhooks, its secret)"""
    source = services.add_source(actor=actor, monitor=brand_monitor, kind="webhook", name="Wire")
    return source, services.rotate_hook_secret(actor=actor, source=source)


Send = Callable[..., Any]


@pytest.fixture
def send(hooked: tuple[Source, str]) -> Send:
    """Posts a message as a program signs it, unless told otherwise."""
    source, secret = hooked
    client = Client(enforce_csrf_checks=True)

    def post(
        data: Any = ITEMS,
        *,
        number: str = "msg_1",
        seconds: float = 0,
        key: str = secret,
        address: str = "",
        **headers: str,
    ) -> Any:
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        at = str(int((timezone.now() + timedelta(seconds=seconds)).timestamp()))
        told = {
            "webhook-id": number,
            "webhook-timestamp": at,
            "webhook-signature": f"v0,x {sign(key, number, at, body)}",
        }
        place = f"/hooks/monitors/{address or source.hook}"
        return client.post(place, body, content_type="application/json", headers={**told, **headers})

    return post


def test_what_is_signed_is_taken_with_a_result_for_each(send: Send, hooked: tuple[Source, str]) -> None:
    found = send()

    answer = found.json()
    assert found.status_code == 207
    assert (answer["created_count"], answer["refused_count"]) == (1, 1)
    assert [row["state"] for row in answer["results"]] == ["created", "refused"]
    assert Article.objects.get().source == hooked[0]


def test_a_message_that_comes_twice_is_taken_once_and_answered_the_same(send: Send) -> None:
    first, again = send(), send()
    other = send({"items": [{"external_id": "b", "title": "Other"}]})
    late = send(number="msg_2")

    assert (again.json(), again.headers["Idempotency-Replayed"]) == (first.json(), "true")
    assert (other.status_code, other.json()["code"]) == (409, "id_again")
    assert late.json()["seen_count"] == 1
    assert Article.objects.count() == 1


def test_what_is_not_signed_or_not_fresh_is_turned_away(send: Send, actor: Actor, brand_monitor: Monitor) -> None:
    another = services.add_source(actor=actor, monitor=brand_monitor, kind="webhook", name="Other wire")
    key = services.rotate_hook_secret(actor=actor, source=another)
    bare = services.add_source(actor=actor, monitor=brand_monitor, kind="webhook", name="No secret yet")

    answers = [
        send(key=key),
        send(seconds=-400),
        send(seconds=400),
        send(number=""),
        send(**{"webhook-timestamp": "soon"}),
        send(**{"webhook-signature": ""}),
        send(address=bare.hook),
    ]

    assert {(each.status_code, each.json()["code"]) for each in answers} == {(401, "bad_signature")}
    assert send(address="nowhere").status_code == 404
    assert not Article.objects.exists()


def test_an_old_secret_counts_for_a_day(send: Send, hooked: tuple[Source, str], actor: Actor) -> None:
    services.rotate_hook_secret(actor=actor, source=hooked[0])
    today = send()
    Source.objects.filter(pk=hooked[0].pk).update(previous_until=timezone.now() - timedelta(seconds=1))

    tomorrow = send(number="msg_2")

    assert (today.status_code, tomorrow.status_code) == (207, 401)


def test_bodies_and_rates_are_bounded_and_what_was_refused_may_come_again(
    send: Send, hooked: tuple[Source, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, empty = send(b"{"), send({"items": []})
    fine = send()
    Source.objects.filter(pk=hooked[0].pk).update(is_enabled=False)
    off = send(number="msg_3")
    monkeypatch.setattr(hooks, "MOST_BYTES", 10)
    large = send(number="msg_4")
    monkeypatch.setattr(hooks, "A_MINUTE", Limits(1))
    busy = [send(number="msg_5").status_code for _each in range(3)]

    assert (broken.status_code, empty.status_code, fine.status_code) == (400, 422, 207)
    assert (off.status_code, large.status_code, busy[-1]) == (409, 413, 429)


def test_the_secret_is_shown_once_and_only_to_those_who_may_write(
    hooked: tuple[Source, str], page: Any, alice: Any, charlie: Any, actor: Actor, api: Any
) -> None:
    source, secret = hooked
    base = f"/w/{actor.workspace.slug}/monitors/sources/{source.pk}"
    browser = page(alice)

    shown = browser.get(base).content.decode()
    made = browser.post(f"{base}/secret").content.decode()
    told = api(actor).post(f"/api/v1/sources/{source.pk}/secret").json()["secret"]

    assert f"/hooks/monitors/{source.hook}" in shown and secret not in shown
    assert "whsec_" in made and told.startswith("whsec_") and told not in browser.get(base).content.decode()
    assert page(charlie).post(f"{base}/secret").status_code == 404
    assert api(actor).get(f"/api/v1/sources/{source.pk}").json()["hook"] == source.hook
