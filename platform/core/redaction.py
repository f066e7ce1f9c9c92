"""Keys and passwords never reach a log that people read."""

import os
import re
from typing import Any

from words import Words

HIDDEN = "•••"
SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)S?$")
SHORTEST = 8  # a shorter value is a word that stands elsewhere too
_SHAPES = (
    re.compile(r"(://)[^/\s:@]*:[^/\s@]+(?=@)"),  # user:password in an address
    re.compile(r"(?i)(bearer )[\w.~+/=-]{8,}"),
    re.compile(r"(?i)((?:password|api[_-]key|token)=)[^\s&\"']+"),
    re.compile(r"(\bwhsec_)[A-Za-z0-9+/=]{16,}"),
    re.compile(r"(\b(?:hf|sk|lx|ghp)[_-])[A-Za-z0-9_-]{16,}"),
)
"""What comes before a secret, and the secret."""


def redacted(text: str) -> str:
    """The text with every secret of this process' environment, and what looks like one, hidden; a sentence stays one."""
    if isinstance(text, Words):
        return Words(text.template, {name: _plain(value) for name, value in text.values.items()})
    for secret in _known():
        text = text.replace(secret, HIDDEN)
    for shape in _SHAPES:
        text = shape.sub(rf"\1{HIDDEN}", text)
    return text


def _plain(value: Any) -> Any:
    return redacted(value) if isinstance(value, str) else value


def _known() -> list[str]:
    return [value for name, value in os.environ.items() if SECRET_NAME.search(name.upper()) and len(value) >= SHORTEST]
