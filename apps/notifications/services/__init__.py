"""What changes rows of the notifications app."""

from apps.notifications.services.deliveries import apply_retention, deliver, deliver_due, resend
from apps.notifications.services.notices import job_ended, mark_all_read, mark_read, notify
from apps.notifications.services.receivers import (
    change_receiver,
    create_receiver,
    delete_receiver,
    preview,
    rotate_secret,
)
from apps.notifications.services.sending import send, send_test

__all__ = [
    "apply_retention",
    "change_receiver",
    "create_receiver",
    "delete_receiver",
    "deliver",
    "deliver_due",
    "job_ended",
    "mark_all_read",
    "mark_read",
    "notify",
    "preview",
    "resend",
    "rotate_secret",
    "send",
    "send_test",
]
