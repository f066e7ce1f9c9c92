"""The spec of teaching a smaller classifier by a larger one."""

from dataclasses import dataclass
from typing import Protocol

from engine.specs.base_models import BaseModel
from engine.specs.classify import ClassifySpec
from engine.specs.fields import option
from engine.specs.problems import Problem
from words import say

NO_VERSION = BaseModel("version", "0")


class Student(Protocol):
    """Options of every recipe with a teacher."""

    @property
    def teacher(self) -> BaseModel:
        """Whom the student learns from."""

    @property
    def keep(self) -> str:
        """What else it would hold on to."""


def student_problems(spec: Student) -> list[Problem]:
    """A teacher that is missing, or not the only one."""
    found = []
    if spec.keep != "none":
        found.append(
            Problem(
                "not_together",
                "keep",
                say("A student learns from its teacher alone."),
                say("Set keep to none, or train the version on with the recipe that made it."),
            )
        )
    if spec.teacher == NO_VERSION:
        found.append(
            Problem("required", "teacher", say("No teacher is named."), say("Choose the version to learn from."))
        )
    return found


@dataclass(frozen=True)
class DistilSpec(ClassifySpec):
    """Options of the recipe "distil": those of a classifier, the teacher, and how it is listened to."""

    teacher: BaseModel = option(NO_VERSION, "Model version whose labels and certainty are learnt")
    student_layers: int = option(
        0, "Keep this many layers of the base model, spread evenly over it; 0 keeps all", minimum=0, maximum=1000
    )
    student_weights: str = option(
        "float32",
        "Numbers of the student's matrices: floats, or int8, learnt on their grid and multiplied as whole numbers; a "
        "quarter of the bytes, faster on a CPU",
        choices=("float32", "int8"),
        later=True,
    )
    temperature: float = option(
        2.0,
        "The teacher's and the student's logits are divided by this before they are compared",
        minimum=0.1,
        maximum=100,
    )
    hard_share: float = option(
        0.2,
        "Weight of the given labels beside the teacher's; texts without a label learn from the teacher alone",
        minimum=0,
        maximum=1,
    )

    @property
    def keeps_labels(self) -> bool:
        """Never: the student knows the labels of its teacher."""
        return False

    def problems(self) -> list[Problem]:
        """Those of a classifier, a teacher that is missing or speaks of several labels, a grid that nothing moves on."""
        found = super().problems() + student_problems(self)
        if self.outside_label:
            found.append(
                Problem(
                    "not_together",
                    "outside_label",
                    say("A student learns from its teacher alone."),
                    say("Leave outside_label empty: a teacher that turns texts away has that label, too."),
                )
            )
        if self.student_weights == "int8" and self.method != "full":
            found.append(
                Problem(
                    "not_together",
                    "student_weights",
                    say("Weights that lie on the grid of int8 have to be trained themselves."),
                    say("Train all weights, or set student_weights to float32."),
                )
            )
        if self.student_weights == "int8" and self.sharding == "sharded":
            found.append(
                Problem(
                    "not_together",
                    "sharding",
                    say("A share of a matrix does not know the grid of its rows."),
                    say("Choose sharding “replicated”."),
                )
            )
        if self.multi_label:
            found.append(
                Problem(
                    "not_together",
                    "multi_label",
                    say("Distilling is defined for exactly one label per text."),
                    say("Set multi_label to false."),
                )
            )
        return found
