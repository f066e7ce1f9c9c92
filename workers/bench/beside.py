"""Work beside what is measured or tested, in a thread of its own."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connections

ENDS_WITHIN = 20.0  # seconds after it was told to


@contextmanager
def at_work(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """A thread that works until the event is set, which happens when the block ends.

    Raises:
        RuntimeError: it goes on for `ENDS_WITHIN` seconds after that.
    """
    stop = threading.Event()

    def run() -> None:
        try:
            work(stop)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(ENDS_WITHIN)
        if thread.is_alive():
            raise RuntimeError("what works beside does not end")
