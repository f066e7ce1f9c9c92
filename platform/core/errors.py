"""Errors that a person can do something about, one shape for pages, API and commands."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from words import spoken


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: a stable code, the field it concerns, what happened and what to do."""

    code: str
    message: str
    field: str = ""
    hint: str = ""
    rows: Sequence[int] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON, in the reader's language; empty parts left out."""
        return {name: spoken(value) for name, value in asdict(self).items() if value not in ("", (), [])}


class Refused(Exception):
    """The request is understood and declined; `message` tells the user what to do next.

    `status` is the HTTP status of the API's answer: 409 for a state, 422 for a value. `wait_seconds` is told as Retry-After.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        field: str = "",
        hint: str = "",
        status: int = 422,
        problems: Sequence[Problem] = (),
        wait_seconds: int = 0,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.hint = hint
        self.wait_seconds = wait_seconds
        self.problems = list(problems) or [Problem(code=code, message=message, field=field, hint=hint)]


def conflict(code: str, message: str, *, hint: str = "") -> Refused:
    """A refusal because of the state something is in (HTTP 409)."""
    return Refused(code, message, hint=hint, status=409)
