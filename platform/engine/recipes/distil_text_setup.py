"""A student that writes, before it is taught: where it begins, and whether it goes with its teacher."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from tokenizers import Tokenizer

from engine.chat_folder import holds_chat_model
from engine.failures import RunFailed
from engine.gpt.hugging_face import read_config
from engine.recipes.classify_setup import cannot_keep
from engine.recipes.sft_setup import Beginning, beginning, ends_of, model_config, template_of
from engine.render import AnyTemplate, Template
from engine.specs.distil_text import DistilTextSpec
from engine.specs.problems import Problem
from words import say

CUTTING = ("normalizer", "pre_tokenizer", "model")  # parts of a tokenizer that say how a text is cut


def taught(spec: DistilTextSpec) -> tuple[Path, Beginning]:
    """(the teacher's folder, where its student begins); no weights are read.

    RunFailed when the teacher is missing or writes nothing, when the base model has another vocabulary, or not so many
    layers.
    """
    place = Path(spec.teacher.place or spec.teacher.name)
    if not holds_chat_model(place):
        raise RunFailed("not_together", say("The teacher does not write."), say("Choose a version that writes."))
    template = template_of(place, spec)
    if spec.base_model.is_new:
        config = json.loads((place / "config.json").read_text(encoding="utf-8"))
        size = int(config.get("text_config", config)["vocab_size"])
        return place, Beginning(template, model_config(spec, size), ends_of(template, place), words=place)
    start = beginning(spec)
    if difference := first_difference(template, start.template):
        raise RunFailed(
            "vocabulary_mismatch",
            say("Teacher and student do not have the same vocabulary. {difference}", difference=difference),
            say("Choose a base model with the teacher's vocabulary, or a new network."),
        )
    wanted = spec.student_layers or start.config.layers
    if wanted > start.config.layers:
        raise cannot_keep(wanted)
    return place, dataclasses.replace(start, config=dataclasses.replace(start.config, layers=wanted))


def is_ours(place: Path) -> bool:
    """Whether our own network gives the teacher's logits: its shape is one of ours."""
    try:
        read_config(json.loads((place / "config.json").read_text(encoding="utf-8")))
    except RunFailed:  # another architecture, which transformers knows
        return False
    return True


def first_difference(teacher: AnyTemplate, student: AnyTemplate) -> str:
    """The first token, or the rule of cutting texts, in which two tokenizers differ; "" when they are the same."""
    theirs, own = _tokenizer(teacher), _tokenizer(student)
    sides = [{number: token for token, number in found.get_vocab().items()} for found in (theirs, own)]
    for number in sorted({*sides[0], *sides[1]}):
        told = [repr(side[number]) if number in side else "–" for side in sides]
        if told[0] != told[1]:
            return say(
                "Token {number} is {theirs} of the teacher and {own} of the student.",
                number=number,
                theirs=told[0],
                own=told[1],
            )
    rules = [json.loads(found.to_str()) for found in (theirs, own)]
    odd = next((part for part in CUTTING if rules[0].get(part) != rules[1].get(part)), "")
    return say("They cut texts otherwise ({part}).", part=odd) if odd else ""


def template_warnings(spec: DistilTextSpec, place: Path, start: Beginning) -> list[Problem]:
    """A student that is asked by another template than its teacher was."""
    if template_of(place, spec).description()["hash"] == start.template.description()["hash"]:
        return []
    return [
        Problem(
            "template_mismatch",
            "base_model",
            say("The teacher learnt with another chat template than the student has, and may be less certain in it."),
            say("Take the teacher as the base model, too, or a new network."),
            "warning",
        )
    ]


def weights_in(place: Path) -> int:
    """How many weights a folder holds, from the headers of its files."""
    count = 0
    for path in sorted(place.glob("*.safetensors")):
        with safe_open(path, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - no mapping
                size = 1
                for length in opened.get_slice(name).get_shape():
                    size *= length
                count += size
    return count


def _tokenizer(template: AnyTemplate) -> Tokenizer:
    found: Any = template.tokenizer if isinstance(template, Template) else template.tokenizer.backend_tokenizer
    tokenizer: Tokenizer = found
    return tokenizer
