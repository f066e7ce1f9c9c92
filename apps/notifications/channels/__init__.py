"""Ways out: each function brings one delivery to its address, once, and says how it went."""

from collections.abc import Callable

from apps.notifications.channels import apprise, mail, people, webhook
from apps.notifications.channels.outcome import NotDelivered, Outcome
from apps.notifications.models import Channel, Delivery

CHANNELS: dict[str, Callable[[Delivery], Outcome]] = {
    Channel.MAIL: mail.bring,
    Channel.WEBHOOK: webhook.bring,
    Channel.APPRISE: apprise.bring,
    Channel.PEOPLE: people.bring,
}

__all__ = ["CHANNELS", "NotDelivered", "Outcome"]
