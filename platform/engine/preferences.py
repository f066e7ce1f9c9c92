"""Preference rows of a frozen version: a prompt, the chosen answer and the rejected one."""

from dataclasses import dataclass, field
from pathlib import Path

from engine.data import Rows, iterate_rows
from engine.specs.records import FIELDS

Message = dict[str, str]


@dataclass
class PreferenceRows(Rows):
    """Rows of a preference dataset."""

    prompts: list[list[Message]] = field(default_factory=list)
    chosen: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)

    def wording(self, at: int) -> str:
        """Prompt and both answers."""
        return "\n".join([*(message["content"] for message in self.prompts[at]), self.chosen[at], self.rejected[at]])

    def answered(self, at: int, answer: str) -> list[Message]:
        """The prompt of row `at` followed by an answer."""
        return [*self.prompts[at], {"role": "assistant", "content": answer}]


def read_preferences(path: Path) -> dict[str, PreferenceRows]:
    """Preference rows by split."""
    splits: dict[str, PreferenceRows] = {}
    for rows in iterate_rows(path, ("example_id", "split", *FIELDS["preference"])):
        for row in rows:
            part = splits.setdefault(row["split"] or "", PreferenceRows())
            part.ids.append(row["example_id"])
            part.prompts.append(
                [{"role": said["role"] or "", "content": said["content"] or ""} for said in row["prompt"] or ()]
            )
            part.chosen.append(row["chosen"] or "")
            part.rejected.append(row["rejected"] or "")
    return splits
