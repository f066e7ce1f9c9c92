"""Tells workers of deliveries whose time has come."""

from core.queue import Task, enqueue

DELIVER = Task("workers.deliver", "io")


def wake(delivery_id: int) -> None:
    """Let a worker try it once this transaction is committed; the sweeper does so again for what is due."""
    enqueue(DELIVER, delivery_id)
