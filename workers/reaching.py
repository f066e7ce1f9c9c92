"""The way from the resident role to a server that answers in its place: the checked way out, with the server's key."""

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from http.client import HTTPException, HTTPResponse
from typing import Any

from apps.registry.selectors import server_headers
from core import outbound
from core.errors import Refused

SILENT_SECONDS = 300.0  # a server may think for minutes before its first token


class Answered:
    """engine.generate.remote.Reply over a response of core.outbound."""

    def __init__(self, stack: ExitStack, response: HTTPResponse) -> None:
        self.status = response.status
        given = response.headers.get("Retry-After", "")
        self.retry_after = float(given) if given.isascii() and given.isdigit() else None
        self._stack, self._response = stack, response
        # The response owns the socket from here on; shutting it down wakes whoever reads.
        self._socket: socket.socket | None = getattr(getattr(response.fp, "raw", None), "_sock", None)

    def lines(self) -> Iterator[bytes]:
        """Its lines; OSError when it breaks off."""
        try:
            yield from self._response
        except (HTTPException, ValueError) as error:  # ValueError: closed while it was read
            raise OSError(str(error)) from error

    def close(self) -> None:
        """End it, also from another thread."""
        if self._socket is not None:
            with suppress(OSError):  # it is closed already
                self._socket.shutdown(socket.SHUT_RDWR)
        self._stack.close()


def reach(address: str) -> Any:
    """engine.generate.remote.Open for a server's address; a forbidden or unknown address is an OSError with the sentence."""

    def post(path: str, body: Mapping[str, Any]) -> Answered:
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream", **server_headers(address)}
        stack = ExitStack()
        url = f"{address.rstrip('/')}/{path}"
        data = json.dumps(body).encode()
        try:
            response, _url = stack.enter_context(
                outbound.request(url, method="POST", headers=headers, body=data, read_seconds=SILENT_SECONDS)
            )
        except Refused as refused:
            raise OSError(refused.message) from refused
        return Answered(stack, response)

    return post
