"""One thing that is wrong with a spec, a record or a dataset, said so that a person can mend it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]
NAMED_ROWS = 20


@dataclass(frozen=True)
class Problem:
    """`code` is stable for programs; `message` says what is wrong, `hint` what to do next."""

    code: str
    field: str  # dotted path of the field, "" for the whole
    message: str
    hint: str = ""
    severity: Severity = "error"
    rows: tuple[int, ...] = ()  # example ids (or row numbers on import), at most NAMED_ROWS of them

    def as_mapping(self) -> dict[str, object]:
        """The problem as plain JSON."""
        return {
            "code": self.code,
            "field": self.field,
            "message": self.message,
            "hint": self.hint,
            "severity": self.severity,
            "rows": list(self.rows),
        }


def has_errors(problems: Iterable[Problem]) -> bool:
    """Whether anything in `problems` forbids going on; warnings do not."""
    return any(problem.severity == "error" for problem in problems)
