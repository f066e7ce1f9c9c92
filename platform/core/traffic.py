"""What web processes answer: counted by route, method and status, and timed, for whoever reads core.counters.

A request only leaves a note; a thread of the process adds the notes up and sends the sums every few seconds. Series are
bounded: routes are those of the URL table, methods and classes of status are few, and what matches no route is one of them.
"""

import atexit
from collections import deque
from collections.abc import Callable
from threading import Event, Thread
from time import perf_counter
from typing import Final, NamedTuple

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse

from core.counters import Additions

COUNT: Final = "http_requests"  # by route, method and class of status
SECONDS: Final = "http_request_seconds"  # by route and method
BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER: Final = "other"  # files that are served as they are, and addresses that lead nowhere
SEND_SECONDS: Final = 2.0
MOST_NOTES: Final = 100_000  # of one process between two sendings; the oldest go first


class Note(NamedTuple):
    """One answered request; seconds until its answer began, for what streams."""

    route: str
    method: str
    status: str
    seconds: float


class TrafficMiddleware:
    """Outermost: note every answer. Not used at all where nobody may read the figures."""

    def __init__(self, handler: Callable[[HttpRequest], HttpResponse]) -> None:
        if not settings.METRICS_TOKEN:
            raise MiddlewareNotUsed
        self.handler = handler
        self.tally = Tally()
        self.tally.start()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began = perf_counter()
        response = self.handler(request)
        match = request.resolver_match
        route = f"/{match.route}" if match else OTHER
        method = request.method if request.method in METHODS else OTHER
        self.tally.notes.append(Note(route, str(method), f"{response.status_code // 100}xx", perf_counter() - began))
        return response


class Tally:
    """The notes of one process on their way to the shared counters; any thread may append to `notes`."""

    def __init__(self) -> None:
        self.notes: deque[Note] = deque(maxlen=MOST_NOTES)
        self._additions = Additions()
        self._over = Event()

    def start(self) -> None:
        """Send every few seconds from a thread, and what is left when the process ends."""
        thread = Thread(target=self._run, name="traffic", daemon=True)
        thread.start()
        atexit.register(self._end, thread)

    def send(self) -> None:
        """Add up what was noted and send the sums, once."""
        for _each in range(len(self.notes)):
            route, method, status, seconds = self.notes.popleft()
            self._additions.add(COUNT, (route, method, status))
            self._additions.observe(SECONDS, (route, method), seconds, BOUNDS)
        self._additions.send()

    def _run(self) -> None:
        while not self._over.wait(SEND_SECONDS):
            self.send()

    def _end(self, thread: Thread) -> None:
        self._over.set()
        thread.join()
        self.send()
