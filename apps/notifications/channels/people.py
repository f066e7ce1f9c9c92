"""Notices to the people whom a receiver names."""

import hashlib

from apps.accounts.models import Membership
from apps.notifications.channels.outcome import NotDelivered, Outcome
from apps.notifications.models import Delivery
from apps.notifications.services.notices import notify
from words import join, say


def bring(delivery: Delivery) -> Outcome:
    """A notice for each who is still a member; one event is told to a person once, whatever receivers name them."""
    dispatch = delivery.dispatch
    assert dispatch is not None
    receiver = dispatch.receiver
    members = Membership.objects.filter(
        workspace=receiver.workspace, user__in=receiver.people.all(), user__is_active=True
    ).select_related("user")
    told = 0
    for member in members:
        told += 1
        notify(
            workspace=receiver.workspace,
            user=member.user,
            kind=dispatch.kind,
            event_key=f"message-{hashlib.sha256(dispatch.event_key.encode()).hexdigest()}",
            title=dispatch.title,
            body=join(list(dispatch.content.get("lines", [])), "\n"),
            page=dispatch.page,
        )
    if not told:
        raise NotDelivered(say("Nobody of this receiver is a member of the workspace any more."), is_final=True)
    return Outcome()
