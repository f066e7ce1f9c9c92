"""The spec of teaching a smaller model that writes by a larger one."""

from dataclasses import dataclass

from engine.specs.base_models import BaseModel
from engine.specs.distil import NO_VERSION, student_problems
from engine.specs.fields import option
from engine.specs.problems import Problem
from engine.specs.sft import SftSpec
from words import say


@dataclass(frozen=True)
class DistilTextSpec(SftSpec):
    """Options of the recipe "distil_text": those of fine-tuning on answers, the teacher, and how it is listened to.

    Without a base model the student is a new decoder of the shape given, with the teacher's vocabulary.
    """

    teacher: BaseModel = option(NO_VERSION, "Model version that writes and whose certainty of each token is learnt")
    student_layers: int = option(
        0,
        "Keep this many layers of the base model, spread evenly over it; 0 keeps all",
        minimum=0,
        maximum=1000,
        when=("base_model", ("version:*", "folder:*", "hub:*")),
    )
    temperature: float = option(
        2.0,
        "The teacher's and the student's logits are divided by this before they are compared",
        minimum=0.1,
        maximum=100,
    )
    hard_share: float = option(
        0.5, "Weight of the tokens of the given answers beside the teacher's certainty", minimum=0, maximum=1
    )

    def problems(self) -> list[Problem]:
        """Those of fine-tuning, a teacher that is missing, and what a student with its teacher's vocabulary cannot choose."""
        found = super().problems() + student_problems(self)
        if self.base_model.is_new and self.student_layers:
            found.append(
                Problem(
                    "not_together",
                    "student_layers",
                    say("A new network has no layers to keep."),
                    say("Set layers, or choose the teacher as the base model, too."),
                )
            )
        if self.vocabulary_size != SftSpec.vocabulary_size:
            found.append(
                Problem(
                    "not_together",
                    "vocabulary_size",
                    say("A student reads and writes with its teacher's vocabulary."),
                    say("Leave vocabulary_size as it is."),
                )
            )
        return found
