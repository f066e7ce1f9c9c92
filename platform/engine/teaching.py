"""What a run that is taught needs of its teacher, how the two are compared, and which layers a student keeps."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from engine.data import ChatRows, TextRows
from engine.gpt.loss import Lesson
from engine.predict import Classifier, load_classifier
from engine.render import Chat
from engine.report import Report
from engine.specs.problems import Problem

if TYPE_CHECKING:
    from engine.chat_model import ChatModel
    from engine.recipes.sft_setup import Beginning, LaidOut


class Teacher(Protocol):
    """A larger classifier that a run listens to (engine.recipes.distil)."""

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


class TextTeacher(Protocol):
    """A larger model that writes and that a run listens to (engine.recipes.distil_text)."""

    @property
    def beginning(self) -> "Beginning":
        """Where its student starts."""

    def warnings(self) -> list[Problem]:
        """What the user should know of the two."""

    def lesson(self, chats: Sequence[Chat], flat: "LaidOut") -> Lesson:
        """What the teacher says of the learnt tokens, in their order in `flat`."""

    def compared(self, student: "ChatModel", rows: ChatRows, report: Report) -> dict[str, Any]:
        """Student beside teacher on the same chats."""


def spread_evenly(count: int, wanted: int) -> list[int]:
    """Which of `count` layers a student of `wanted` layers keeps: spread evenly, the last among them (Sanh et al. 2019)."""
    return [round((at + 1) * count / wanted) - 1 for at in range(wanted)]


def rates(works: Sequence[Callable[[], int]], rounds: int = 3) -> list[float]:
    """How many units each work does a second: the best of some rounds in which they take turns, as machines are noisy."""
    best = [0.0] * len(works)
    for _ in range(rounds):
        for at, work in enumerate(works):
            started = time.perf_counter()
            units = work()
            best[at] = max(best[at], units / (time.perf_counter() - started))
    return best


def beside_teacher(teacher: Teacher, out: Path, parts: Mapping[str, TextRows], names: Sequence[str], seed: int) -> None:
    """Add to the evaluations in `out` how the saved student does beside its teacher."""
    student = load_classifier(out / "model")
    for name in names:
        path = out / f"evaluation-{name}.json"
        found = json.loads(path.read_text(encoding="utf-8"))
        found["teacher"] = teacher.compared(student, parts[name].texts, parts[name].labels, seed)
        path.write_text(json.dumps(found, ensure_ascii=False, allow_nan=False), encoding="utf-8")
