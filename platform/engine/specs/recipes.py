"""The recipes by name, and their specs as plain mappings."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from engine.specs.chat import ChatSpec
from engine.specs.classify import ClassifySpec
from engine.specs.fields import FieldInfo, infos, read
from engine.specs.problems import Problem, has_errors
from words import say

Spec = ClassifySpec | ChatSpec
RECIPES: dict[str, type[ClassifySpec] | type[ChatSpec]] = {"classify": ClassifySpec, "chat": ChatSpec}
DATA_KINDS = {"classify": "classification", "chat": "chat"}  # recipe -> dataset kind it learns from


def parse_spec(recipe: str, mapping: Mapping[str, Any]) -> tuple[Spec | None, list[Problem]]:
    """The spec, or None and all problems at once; warnings may come beside a spec."""
    if recipe not in RECIPES:
        return None, [
            Problem(
                "bad_choice",
                "recipe",
                say("There is no recipe “{recipe}”.", recipe=recipe),
                say("Choose one of: {recipes}.", recipes=", ".join(RECIPES)),
            )
        ]
    if not isinstance(mapping, Mapping):
        return None, [Problem("wrong_type", "", say("The spec must be a JSON object."), say("Give options by name."))]
    values, problems = read(RECIPES[recipe], mapping)
    spec = RECIPES[recipe](**values)
    problems += [found for found in spec.problems() if found.field not in {known.field for known in problems}]
    return (None if has_errors(problems) else spec), problems


def spec_fields(recipe: str) -> tuple[FieldInfo, ...]:
    """Name, type, default, bounds, choices and meaning of each option; KeyError for an unknown recipe."""
    return infos(RECIPES[recipe])


def to_mapping(spec: Spec) -> dict[str, Any]:
    """The spec as plain JSON; parse_spec gives the same spec back."""
    return dataclasses.asdict(spec)


def spec_hash(spec: Spec) -> str:
    """sha256 of the canonical JSON of a spec and its recipe, as hex."""
    recipe = next(name for name, spec_type in RECIPES.items() if isinstance(spec, spec_type))
    canonical = json.dumps([recipe, to_mapping(spec)], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
