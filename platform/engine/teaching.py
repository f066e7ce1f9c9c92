"""What a classifier that is taught needs of its teacher, and how the two are compared."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from engine.data import TextRows
from engine.predict import Classifier, load_classifier
from engine.report import Report


class Teacher(Protocol):
    """A larger model that a run listens to (engine.recipes.distil)."""

    @property
    def names(self) -> list[str]:
        """The labels the student will know."""

    def soft(self, texts: Sequence[str], report: Report) -> Tensor:
        """The teacher's certainty of every text, [N, K]."""

    def losses(self, logits: Tensor, hard: Tensor, soft: Tensor) -> Tensor:
        """The loss of each row, [B]."""

    def compared(
        self, student: Classifier, texts: Sequence[str], gold: Sequence[Sequence[str]], seed: int
    ) -> dict[str, Any]:
        """Student beside teacher on the same texts."""


def beside_teacher(teacher: Teacher, out: Path, parts: Mapping[str, TextRows], names: Sequence[str], seed: int) -> None:
    """Add to the evaluations in `out` how the saved student does beside its teacher."""
    student = load_classifier(out / "model")
    for name in names:
        path = out / f"evaluation-{name}.json"
        found = json.loads(path.read_text(encoding="utf-8"))
        found["teacher"] = teacher.compared(student, parts[name].texts, parts[name].labels, seed)
        path.write_text(json.dumps(found, ensure_ascii=False, allow_nan=False), encoding="utf-8")
