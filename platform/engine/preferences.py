"""Preference rows of a frozen version: a prompt, the chosen answer and the rejected one; what is learnt of them, and told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import metrics
from engine.data import Rows, iterate_rows
from engine.render import AnyTemplate, Chat, render
from engine.specs.records import FIELDS

Message = dict[str, str]
Floats = NDArray[np.float64]


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


def answer_alone(messages: Sequence[Mapping[str, Any]], template: AnyTemplate, limit: int) -> Chat:
    """The rendered messages with only the last answer learnt; raises Unrenderable."""
    ids, spans = render(messages, template)
    first, last = spans[-1] if spans else (0, 0)
    learnt = [first <= at < last for at in range(len(ids))]
    return Chat(ids[:limit], learnt[:limit], ids)


def wins(margins: Floats) -> Floats:
    """1 where the chosen answer gained more on the base than the rejected one, 0 where less; nothing gained is half a win."""
    return np.heaviside(margins, 0.5)


def pair_figures(losses: Floats, margins: Floats, *, seed: int) -> dict[str, dict[str, float]]:
    """Loss, reward margin and win rate of pairs, [N] each, with 95 % bootstrap intervals over pairs."""
    found = {}
    for name, rows in {"loss": losses, "reward_margin": margins, "win_rate": wins(margins)}.items():
        low, high = metrics.bootstrap_mean(rows, seed=seed)
        found[name] = {"value": float(rows.mean()), "low": low, "high": high}
    return found
