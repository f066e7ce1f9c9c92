"""What others hand over to be sent: one frozen message that knows no receiver."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apps.notifications.models import Severity
from core.errors import Refused
from words import say

LONGEST_TITLE, MOST_LINES, LONGEST_LINE, MOST_FACTS = 300, 100, 2_000, 50
MOST_HTML, MOST_PAYLOAD = 1_000_000, 200_000  # characters
MOST_FILES, MOST_FILE_BYTES = 5, 10_000_000  # bytes of all files of a message


@dataclass(frozen=True)
class File:
    """A file that goes with a mail."""

    name: str
    content_type: str
    content: bytes


@dataclass(frozen=True)
class Message:
    """Something to tell. Title, lines, and names and values of facts may be sentences of `words.say`: each receiver reads its language.

    The same `event_key` reaches one receiver once. `html` replaces what a mail would show; `payload` is JSON for webhooks.
    """

    kind: str  # what happened, such as "alert.fired"; at most 40 characters
    event_key: str  # at most 200 characters
    title: str
    lines: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()  # name, value
    page: str = ""  # path below the workspace
    severity: Severity = Severity.INFO
    payload: Mapping[str, Any] = field(default_factory=dict)
    html: str = ""
    files: Sequence[File] = ()

    def __post_init__(self) -> None:
        if not self.kind or len(self.kind) > 40 or not self.event_key or len(self.event_key) > 200:
            raise ValueError("kind and event_key are missing or too long")
        if len(self.html) > MOST_HTML or len(self.files) > MOST_FILES:
            raise too_large()
        if sum(len(file.content) for file in self.files) > MOST_FILE_BYTES:
            raise too_large()


def too_large() -> Refused:
    """The refusal of a message that no channel takes."""
    return Refused("message_too_large", say("The message is too large to be sent."))


def shortened(text: str, most: int) -> str:
    """A sentence that fits stays one in all languages; one that does not is cut."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
