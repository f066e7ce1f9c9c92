"""Pages and API of receivers: made, tried, watched and changed by who may, invisible to others."""

from typing import Any

from apps.accounts.models import User
from apps.notifications import services
from apps.notifications.models import Delivery, Receiver
from core.access import Actor
from tests.fixtures.outside import Hook
from workers import tasks


def test_alice_makes_a_webhook_sees_its_secret_once_and_tries_it(
    actor: Actor, hook: Hook, page: Any, alice: User
) -> None:
    client, base = page(alice), f"/w/{actor.workspace.slug}/receivers/"

    answer = client.post(
        f"{base}new",
        {"kind": "webhook", "name": "Desk", "language": "en", "url": f"{hook.address}/in", "is_enabled": "on"},
    )
    receiver = Receiver.objects.get()
    assert answer.status_code == 201 and receiver.secret in answer.content.decode()
    assert answer["Cache-Control"] == "no-store"
    client.post(f"{base}{receiver.pk}/test")
    waiting = client.get(f"{base}{receiver.pk}").content.decode()
    tasks.deliver(Delivery.objects.get().pk)
    ended = client.get(f"{base}{receiver.pk}", headers={"HX-Request": "true"}).content.decode()

    assert "every 2s" in waiting and "every 2s" not in ended and ">Sent<" in ended and "<html" not in ended
    assert hook.taken[0].json["data"] == {"test": True} and receiver.secret not in waiting


def test_a_form_that_is_wrong_says_where(actor: Actor, page: Any, alice: User) -> None:
    client, address = page(alice), f"/w/{actor.workspace.slug}/receivers/new"

    answer = client.post(
        address, {"kind": "mail", "name": "Press", "language": "en", "addresses": "a@example.com\nnobody"}
    )

    assert answer.status_code == 422 and "“nobody” is no mail address." in answer.content.decode()
    assert not Receiver.objects.exists()


def test_people_are_members_only(actor: Actor, page: Any, alice: User, charlie: User) -> None:
    client, address = page(alice), f"/w/{actor.workspace.slug}/receivers/new"
    form = {"kind": "people", "name": "Us", "language": "en", "is_enabled": "on"}

    assert client.post(address, {**form, "people": [charlie.pk]}).status_code == 422
    assert client.post(address, {**form, "people": [alice.pk]}).status_code == 302


def test_bob_may_look_and_charlie_sees_nothing(
    actor: Actor, hook: Hook, page: Any, bob: User, charlie: User, api: Any, stranger: Actor
) -> None:
    receiver, _secret = services.create_receiver(actor=actor, kind="webhook", name="Desk", url=hook.address)
    services.send_test(actor=actor, receiver=receiver)
    delivery = Delivery.objects.get()
    base = f"/w/{actor.workspace.slug}/receivers/"
    paths = [
        f"{receiver.pk}/test",
        f"{receiver.pk}/rotate",
        f"{receiver.pk}/delete",
        f"deliveries/{delivery.pk}/resend",
    ]
    client = page(bob)

    assert client.get(f"{base}{receiver.pk}").status_code == 200
    assert {client.post(f"{base}{path}").status_code for path in paths} == {403}
    client = page(charlie)
    assert {client.post(f"{base}{path}").status_code for path in paths} == {404}
    strange = api(stranger)
    assert strange.get(f"/api/v1/receivers/{receiver.pk}").status_code == 404
    assert strange.post(f"/api/v1/deliveries/{delivery.pk}/resend").status_code == 404


def test_the_api_makes_changes_tries_lists_and_sends_again(actor: Actor, hook: Hook, api: Any) -> None:
    client = api(actor)
    made = client.post("/api/v1/receivers", {"kind": "webhook", "name": "Desk", "url": hook.address}, format="json")
    assert made.status_code == 201 and made.json()["secret"].startswith("whsec_") and "url" not in made.json()
    address = f"/api/v1/receivers/{made.json()['id']}"

    tried = client.post(f"{address}/test").json()[0]
    tasks.deliver(tried["id"])
    changed = client.patch(address, {"name": "Night desk", "url": ""}, format="json")
    rows = client.get(f"{address}/deliveries?state=sent&kind=test").json()["results"]
    none = client.get(f"{address}/deliveries?state=failed").json()["results"]
    again = client.post(f"/api/v1/deliveries/{tried['id']}/resend")
    other = client.post(f"{address}/rotate").json()["secret"]

    assert changed.json()["name"] == "Night desk" and Receiver.objects.get().url == hook.address
    assert [row["status"] for row in rows] == [200] and none == []
    assert again.status_code == 202 and again.json()["state"] == "waiting" and other != made.json()["secret"]
    assert client.patch(address, {"kind": "mail"}, format="json").status_code == 422
    assert client.delete(address).status_code == 204 and not Delivery.objects.exists()


def test_receivers_by_mail_and_people_by_api(actor: Actor, api: Any, bob: User) -> None:
    client = api(actor)
    given = {"kind": "people", "name": "Us", "people": [bob.pk], "language": "zh-hans"}

    made = client.post("/api/v1/receivers", given, format="json").json()
    wrong = client.post("/api/v1/receivers", {"kind": "mail", "name": "Them", "people": [bob.pk]}, format="json")
    same = client.post("/api/v1/receivers", {**given, "name": "us"}, format="json")

    assert made["people"] == [bob.pk] and made["secret"] == ""
    assert wrong.status_code == 422 and same.status_code == 409
