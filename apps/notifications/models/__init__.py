"""Tables of the notifications app."""

from apps.notifications.models.deliveries import MAX_ATTEMPTS, Attachment, Channel, Delivery, Dispatch, Severity
from apps.notifications.models.notices import Notice
from apps.notifications.models.receivers import Receiver, ReceiverKind

__all__ = [
    "MAX_ATTEMPTS",
    "Attachment",
    "Channel",
    "Delivery",
    "Dispatch",
    "Notice",
    "Receiver",
    "ReceiverKind",
    "Severity",
]
