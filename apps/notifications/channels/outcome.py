"""How an attempt to deliver went, the same for every channel."""

from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse

from core.errors import Refused
from words import join, say

KEPT = 500  # characters of an answer
HEAL = frozenset({408, 409, 423, 425, 429})  # of the answers 4xx, those that may pass
FINAL = frozenset(
    {"address_forbidden", "bad_url", "url_credentials"}
)  # refusals that stay until somebody changes something


@dataclass(frozen=True)
class Outcome:
    """It arrived: what was answered."""

    status: int | None = None
    answer: str = ""


class NotDelivered(Exception):
    """It did not arrive; `is_final` when trying again cannot help, `wait_seconds` when the other side asks for it."""

    def __init__(
        self,
        reason: str,
        *,
        is_final: bool = False,
        wait_seconds: float = 0.0,
        status: int | None = None,
        answer: str = "",
    ) -> None:
        super().__init__(reason)
        self.reason, self.is_final, self.wait_seconds = reason, is_final, wait_seconds
        self.status, self.answer = status, answer


def judged(status: int, answer: str, wait_seconds: float) -> Outcome:
    """An answer 2xx is an arrival; 5xx and a few others may pass, the rest will not."""
    if 200 <= status < 300:
        return Outcome(status, answer)
    if 300 <= status < 400:
        reason = say("The address redirects (status {status}). Give the address it leads to.", status=status)
    else:
        reason = say("The address answers with status {status}.", status=status)
    may_pass = status >= 500 or status in HEAL
    raise NotDelivered(reason, is_final=not may_pass, wait_seconds=wait_seconds, status=status, answer=answer)


def not_reached(refused: Refused) -> NotDelivered:
    """From the way out that was not found or not allowed."""
    return NotDelivered(join([refused.message, refused.hint]), is_final=refused.code in FINAL)


def first_words(response: HTTPResponse) -> str:
    """How an answer begins; one that breaks off was an answer all the same."""
    try:
        data = response.read(4 * KEPT)
    except (OSError, HTTPException):
        return ""
    return data.decode(errors="replace").replace("\x00", "")[:KEPT]
