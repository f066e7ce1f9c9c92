"""Run the resident role that answers single requests at once."""

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from workers.generation import serve


class Command(BaseCommand):
    """Serve until SIGTERM or Ctrl-C."""

    help = "Run the resident role that answers single requests at once."

    def handle(self, *args: Any, **options: Any) -> None:
        """Loop; a signal ends it after the request at hand."""
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        serve(stop)
