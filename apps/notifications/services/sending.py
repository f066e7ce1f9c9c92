"""Hand a message to a receiver: its rows are written at once, workers bring it out."""

import json
import uuid
from typing import Any

from django.db import transaction

from apps.accounts.services import audit
from apps.notifications.messages import (
    LONGEST_LINE,
    LONGEST_TITLE,
    MOST_FACTS,
    MOST_LINES,
    MOST_PAYLOAD,
    Message,
    shortened,
)
from apps.notifications.models import Attachment, Channel, Delivery, Dispatch, Receiver, ReceiverKind
from apps.notifications.services.waking import wake
from core.access import Actor
from core.errors import conflict
from words import dump, say

TEST_KIND = "test"


@transaction.atomic
def send(receiver: Receiver, message: Message) -> Dispatch | None:
    """The message as it is written down for this receiver; None when it had this event before, or is switched off.

    A mail to several addresses is one delivery for each, so that one that fails is tried again alone.
    """
    if not receiver.is_enabled:
        return None
    dispatch, made = Dispatch.objects.get_or_create(
        receiver=receiver,
        event_key=message.event_key,
        defaults={
            "kind": message.kind,
            "severity": message.severity,
            "title": shortened(message.title, LONGEST_TITLE),
            "content": _content(message),
            "page": message.page[:200],
        },
    )
    if not made:
        return None
    Attachment.objects.bulk_create(
        Attachment(dispatch=dispatch, name=file.name, content_type=file.content_type, content=file.content)
        for file in message.files
    )
    for channel, address in _ways(receiver):
        wake(Delivery.objects.create(dispatch=dispatch, channel=channel, address=address).pk)
    return dispatch


def send_test(*, actor: Actor, receiver: Receiver) -> Dispatch:
    """A message that says it is a test, by the same way as all others."""
    message = Message(
        kind=TEST_KIND,
        event_key=f"test-{uuid.uuid4().hex}",
        title=say("Test of the receiver “{name}”", name=receiver.name),
        lines=[say("If you can read this, messages of this workspace arrive here.")],
        facts=[(say("Workspace"), receiver.workspace.name), (say("Sent by"), str(actor.user))],
        page=f"receivers/{receiver.pk}",
        payload={"test": True},
    )
    dispatch = send(receiver, message)
    if dispatch is None:
        raise conflict("receiver_off", say("This receiver is switched off."))
    audit(actor=actor, action="receiver.test", obj=receiver)
    return dispatch


def _content(message: Message) -> dict[str, Any]:
    """What is kept of it, within bounds: whoever must be told is told, if need be in fewer words."""
    payload = dict(message.payload)
    if len(json.dumps(dump(payload), ensure_ascii=False, default=str)) > MOST_PAYLOAD:
        payload = {"left_out": True}
    return {
        "lines": [shortened(line, LONGEST_LINE) for line in message.lines[:MOST_LINES]],
        "facts": [[shortened(name, 200), shortened(value, LONGEST_LINE)] for name, value in message.facts[:MOST_FACTS]],
        "payload": payload,
        "html": message.html,
    }


def _ways(receiver: Receiver) -> list[tuple[str, str]]:
    """(channel, address as it may be shown) of each delivery."""
    if receiver.kind == ReceiverKind.MAIL:
        return [(Channel.MAIL, address) for address in receiver.addresses]
    if receiver.kind == ReceiverKind.PEOPLE:
        return [(Channel.PEOPLE, receiver.name)]
    return [(Channel(receiver.kind), receiver.shown_url)]
