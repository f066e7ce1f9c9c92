"""Messages to receivers by webhook: signed, sent once, tried again, never lost, and never to a private address."""

import base64
import hashlib
import hmac
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import AuditEntry
from apps.notifications import services
from apps.notifications.messages import Message
from apps.notifications.models import MAX_ATTEMPTS, Delivery, Dispatch, Receiver, Severity
from apps.notifications.services import deliveries
from core.access import Actor
from core.errors import Refused
from tests.fixtures.outside import Hook
from words import say
from workers import tasks


def webhook(actor: Actor, hook: Hook, **columns: Any) -> tuple[Receiver, str]:
    return services.create_receiver(
        actor=actor, kind="webhook", name="Desk", url=f"{hook.address}/in?token=abc", **columns
    )


def alert(**columns: Any) -> Message:
    given: dict[str, Any] = {
        "kind": "alert.fired",
        "event_key": "alert-1-fired",
        "title": say("Negative articles about “{name}” surge", name="Harbour"),
        "lines": ["42 instead of 9."],
        "facts": [("Share", "61 %")],
        "page": "monitors/1",
        "severity": Severity.WARNING,
        "payload": {"observed": 42, "rule": {"name": "Surge"}},
    }
    return Message(**{**given, **columns})


def sent(receiver: Receiver, **columns: Any) -> Delivery:
    dispatch = services.send(receiver, alert(**columns))
    assert dispatch is not None
    return Delivery.objects.get(dispatch=dispatch)


def again(delivery: Delivery) -> Delivery:
    """Let the pause pass, then try."""
    Delivery.objects.filter(pk=delivery.pk).update(next_try_at=timezone.now())
    tasks.deliver(delivery.pk)
    delivery.refresh_from_db()
    return delivery


def test_a_webhook_is_signed_over_id_time_and_body(actor: Actor, hook: Hook, settings: Any) -> None:
    settings.SITE_URL = "https://nlp.example.org"
    receiver, secret = webhook(actor, hook, language="zh-hans")

    delivery = again(sent(receiver))

    (request,) = hook.taken
    number, at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    key = base64.b64decode(secret.removeprefix("whsec_"))
    wanted = hmac.new(key, f"{number}.{at}.".encode() + request.body, hashlib.sha256).digest()
    assert request.headers["webhook-signature"] == f"v1,{base64.b64encode(wanted).decode()}"
    assert abs(int(at) - timezone.now().timestamp()) < 60
    told = request.json
    assert told["id"] == number and told["data"] == {"observed": 42, "rule": {"name": "Surge"}}
    assert told["url"] == "https://nlp.example.org/w/harbour/monitors/1" and told["severity"] == "warning"
    assert "“Harbour”" in told["title"] and "负面" in told["title"]
    assert delivery.state == "sent" and delivery.status == 200 and delivery.answer == "ok"


def test_one_event_reaches_a_receiver_once(actor: Actor, hook: Hook) -> None:
    receiver, _secret = webhook(actor, hook)
    delivery = sent(receiver)

    assert services.send(receiver, alert()) is None
    tasks.deliver(delivery.pk)
    tasks.deliver(delivery.pk)

    assert len(hook.taken) == 1 and Dispatch.objects.count() == 1


def test_a_receiver_that_is_off_is_sent_nothing(actor: Actor, hook: Hook) -> None:
    receiver, _secret = webhook(actor, hook, is_enabled=False)

    assert services.send(receiver, alert()) is None
    with pytest.raises(Refused):
        services.send_test(actor=actor, receiver=receiver)


def test_a_sender_that_dies_after_its_claim_loses_nothing_and_repeats_under_one_id(
    actor: Actor, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver, _secret = webhook(actor, hook)
    delivery = sent(receiver)
    whole = deliveries.CHANNELS["webhook"]

    def dies(one: Delivery) -> Any:
        whole(one)  # it went out, and nobody wrote that down
        raise KeyboardInterrupt

    monkeypatch.setitem(deliveries.CHANNELS, "webhook", dies)
    with pytest.raises(KeyboardInterrupt):
        tasks.deliver(delivery.pk)
    monkeypatch.undo()
    tasks.deliver(delivery.pk)  # it is in other hands, as far as anybody knows
    assert len(hook.taken) == 1

    again(delivery)

    assert [one.headers["webhook-id"] for one in hook.taken] == [f"msg_{delivery.dispatch_id}"] * 2
    assert [one.headers["Lingxi-Attempt"] for one in hook.taken] == ["1", "2"] and delivery.state == "sent"


def test_a_slow_sender_does_not_overwrite_what_a_later_one_wrote(
    actor: Actor, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver, _secret = webhook(actor, hook)
    delivery = sent(receiver)
    whole, calls = deliveries.CHANNELS["webhook"], []

    def slow(one: Delivery) -> Any:
        calls.append(one.attempt_count)
        if one.attempt_count == 1:
            again(delivery)  # its time is over: another one sends
            raise deliveries.NotDelivered("too late")
        return whole(one)

    monkeypatch.setitem(deliveries.CHANNELS, "webhook", slow)
    tasks.deliver(delivery.pk)

    delivery.refresh_from_db()
    assert calls == [1, 2] and delivery.state == "sent" and delivery.last_error == ""


def test_a_busy_server_is_asked_again_when_it_says(actor: Actor, hook: Hook) -> None:
    hook.status, hook.headers, hook.answer = 429, {"Retry-After": "1800"}, b"slow down"
    receiver, _secret = webhook(actor, hook)
    before = timezone.now()

    delivery = again(sent(receiver))

    assert delivery.state == "waiting" and delivery.status == 429 and delivery.answer == "slow down"
    assert timedelta(minutes=29) < delivery.next_try_at - before < timedelta(minutes=31)


def test_a_failing_server_is_tried_with_growing_pauses_and_given_up(actor: Actor, hook: Hook) -> None:
    hook.status = 503
    receiver, _secret = webhook(actor, hook)
    delivery, pauses = sent(receiver), []
    for _attempt in range(MAX_ATTEMPTS + 1):
        before = timezone.now()
        again(delivery)
        pauses.append(round((delivery.next_try_at - before).total_seconds() / 60))

    assert pauses[: MAX_ATTEMPTS - 1] == [1, 2, 4, 8, 16, 32, 60]
    assert delivery.state == "failed" and len(hook.taken) == MAX_ATTEMPTS and "503" in delivery.last_error


@pytest.mark.parametrize(("status", "state"), [(404, "failed"), (410, "failed"), (408, "waiting"), (500, "waiting")])
def test_only_what_may_pass_is_tried_again(status: int, state: str, actor: Actor, hook: Hook) -> None:
    hook.status = status
    receiver, _secret = webhook(actor, hook)

    assert again(sent(receiver)).state == state


def test_a_redirect_is_not_followed_wherever_it_leads(actor: Actor, hook: Hook) -> None:
    hook.status, hook.headers = 307, {"Location": f"{hook.address}/secret"}
    receiver, _secret = webhook(actor, hook)

    delivery = again(sent(receiver))

    assert delivery.state == "failed" and [one.path for one in hook.taken] == ["/in?token=abc"]


def test_a_private_address_is_refused_at_once(actor: Actor, hook: Hook, settings: Any) -> None:
    receiver, _secret = webhook(actor, hook)
    settings.OUTBOUND_ALLOW = []

    delivery = again(sent(receiver))

    assert delivery.state == "failed" and delivery.attempt_count == 1 and "private network" in delivery.last_error
    assert hook.taken == []


def test_a_server_that_does_not_answer_in_time_is_tried_again(
    actor: Actor, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.notifications.channels.webhook.READ_SECONDS", 0.05)
    hook.wait_seconds = 0.3
    receiver, _secret = webhook(actor, hook)

    delivery = again(sent(receiver))

    assert delivery.state == "waiting" and "in time" in delivery.last_error


def test_a_new_secret_signs_beside_the_old_one_for_a_day(actor: Actor, hook: Hook) -> None:
    receiver, old = webhook(actor, hook)
    new = services.rotate_secret(actor=actor, receiver=receiver)
    receiver.refresh_from_db()
    again(sent(receiver))
    Receiver.objects.update(previous_until=timezone.now())
    again(sent(receiver, event_key="later"))

    assert new != old
    both, one = (request.headers["webhook-signature"].split(" ") for request in hook.taken)
    assert len(both) == 2 and len(one) == 1 and len(set(both)) == 2


def test_what_ended_can_be_sent_again_with_all_attempts_before_it(actor: Actor, hook: Hook) -> None:
    hook.status = 404
    receiver, _secret = webhook(actor, hook)
    delivery = again(sent(receiver))
    hook.status = 503

    services.resend(actor=actor, delivery=delivery)
    with pytest.raises(Refused):
        services.resend(actor=actor, delivery=delivery)
    before = timezone.now()
    again(delivery)

    assert delivery.state == "waiting" and delivery.attempt_limit == 1 + MAX_ATTEMPTS
    assert delivery.next_try_at - before < timedelta(minutes=1.5)
    hook.status = 200
    assert again(delivery).state == "sent"


def test_no_page_answer_or_entry_tells_an_address_or_a_secret(
    actor: Actor, hook: Hook, page: Any, alice: Any, api: Any
) -> None:
    hook.status = 404
    receiver, secret = webhook(actor, hook)
    again(sent(receiver))
    services.change_receiver(actor=actor, receiver=receiver, name="Other", url=f"{hook.address}/other?token=abc")
    client, base = page(alice), f"/w/{actor.workspace.slug}/receivers/"

    shown = [client.get(f"{base}{path}").content.decode() for path in ("", f"{receiver.pk}", f"{receiver.pk}/edit")]
    told = [api(actor).get(f"/api/v1/receivers{path}").content.decode() for path in ("", f"/{receiver.pk}")]
    kept = [str(entry.detail) for entry in AuditEntry.objects.filter(action__startswith="receiver.")]

    for text in (*shown, *told, *kept):
        assert "token=abc" not in text and secret not in text
    assert len(kept) == 2 and "•••" in told[1]


def test_secrets_are_sealed_in_the_database_and_lost_with_the_key(
    actor: Actor, hook: Hook, settings: Any, django_assert_num_queries: Any
) -> None:
    from django.db import connection

    receiver, secret = webhook(actor, hook)
    with connection.cursor() as cursor:
        cursor.execute("SELECT url, secret FROM notifications_receiver")
        url, sealed = cursor.fetchone()
    assert "token" not in url and secret not in sealed
    delivery = sent(receiver)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another" * 9, []

    again(delivery)

    assert delivery.state == "failed" and "Give it again" in delivery.last_error and hook.taken == []
