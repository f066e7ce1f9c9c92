"""Teach a smaller classifier by a larger one, from Parquet rows to a frozen model folder.

Hinton et al. 2015: with the teacher's logits t, the student's s, a temperature T and the given label y,

    loss = h CE(s, y) + (1 - h) T^2 CE(s / T, softmax(t / T))

T^2 keeps the gradients of the second part as large as those of the first. A text without a label has h = 0. The student
begins with layers of its base model spread evenly over it (Sanh et al. 2019).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine import int8
from engine.failures import RunFailed
from engine.int8 import known_kernel, weights_of
from engine.paired import compare
from engine.predict import Classifier, forward_all, load_classifier
from engine.recipes import classify
from engine.report import Report, Silent
from engine.specs.distil import DistilSpec
from engine.teaching import rates
from words import say

TIMED_TEXTS = 256


@dataclass(frozen=True)
class Teacher:
    """A loaded version and how it is listened to."""

    classifier: Classifier
    spec: DistilSpec

    @property
    def names(self) -> list[str]:
        """The labels the student will know, in the teacher's order."""
        return list(self.classifier.names)

    def soft(self, texts: Sequence[str], report: Report) -> Tensor:
        """softmax(t / T) of every text, [N, K]; raises Stopped when asked."""
        sequences = self.classifier.read(texts)
        logits = forward_all(self.classifier.model, sequences, report, phase=say("reading with the teacher"))
        return torch.softmax(logits / self.spec.temperature, -1)

    def losses(self, logits: Tensor, hard: Tensor, soft: Tensor) -> Tensor:
        """The loss of each row, [B], of logits, one-hot labels (zeros without one) and soft labels, [B, K] each."""
        share, heat = self.spec.hard_share, self.spec.temperature
        by_teacher = heat**2 * F.cross_entropy(logits / heat, soft, reduction="none")
        by_label = F.cross_entropy(logits, hard, reduction="none")
        return torch.where(hard.sum(1) > 0, share * by_label + (1 - share) * by_teacher, by_teacher)

    def compared(
        self, student: Classifier, texts: Sequence[str], gold: Sequence[Sequence[str]], seed: int
    ) -> dict[str, Any]:
        """Student beside teacher on the same texts: accuracy and its paired test, agreement, size, speed."""
        said = [model.predict(list(texts)) for model in (self.classifier, student)]
        figures = compare(
            [list(labels) for labels in gold], *([list(row) for row in one.labels] for one in said), seed=seed
        )
        right = [float(np.mean([set(a) == set(b) for a, b in zip(gold, one.labels, strict=True)])) for one in said]
        speeds = rates([partial(labelled, model, texts[:TIMED_TEXTS]) for model in (self.classifier, student)])
        sizes = [weights_of(model.model) for model in (self.classifier, student)]
        return {
            "accuracy": dict(zip(("teacher", "student"), right, strict=True)),
            "difference": figures["accuracy"],
            "mcnemar": figures["mcnemar"],
            "agreement": float(np.mean([a == b for a, b in zip(said[0].labels, said[1].labels, strict=True)])),
            "parameters": {"teacher": sizes[0][0], "student": sizes[1][0]},
            "bytes": {"teacher": sizes[0][1], "student": sizes[1][1]},
            "kernel": known_kernel() if student.description.get("weights") == int8.WEIGHTS else "",
            "texts_per_second": {"teacher": speeds[0], "student": speeds[1]},
            "speed_up": speeds[1] / speeds[0],
        }


def train(
    spec: DistilSpec,
    data: Path,
    out: Path,
    report: Report,
    *,
    resume_from: Path | None = None,
    micro_batch: int | None = None,
    data_hash: str = "",
) -> dict[str, Any]:
    """Train the student as a classifier is trained, by its teacher; returns the result event as plain JSON.

    Raises RunFailed for what the user can mend and Stopped after a checkpoint when the report asks to stop.
    """
    teacher = Teacher(load_teacher(spec), spec)
    return classify.train(
        spec,
        data,
        out,
        report,
        resume_from=resume_from,
        micro_batch=micro_batch,
        data_hash=data_hash,
        teacher=teacher,
    )


def load_teacher(spec: DistilSpec) -> Classifier:
    """The teacher; RunFailed when its folder is missing, or it gives several labels."""
    found = load_classifier(Path(spec.teacher.place or spec.teacher.name))
    if found.multi_label:
        raise RunFailed(
            "not_together",
            say("The teacher gives several labels per text."),
            say("Choose a teacher that gives exactly one."),
        )
    return found


def labelled(model: Classifier, texts: Sequence[str]) -> int:
    """Label the texts; how many they are."""
    return len(model.predict(list(texts), Silent()).labels)
