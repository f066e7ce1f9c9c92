"""What a fine-tuning run of a model that writes would be like."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.continuing import Earlier
from engine.data import read_chats
from engine.gpt.loss import ROWS_AT_ONCE
from engine.outlook import continuing
from engine.outlook.parts import PROCESS_BYTES, activation_bytes, seconds_for, spread_of, token_counts
from engine.recipes import distil_text_setup, sft_setup
from engine.report import Report
from engine.seen import seen_chats
from engine.specs.distil_text import DistilTextSpec
from engine.specs.sft import SftSpec
from words import say


@dataclass(frozen=True)
class Lesson:
    """What a teacher costs a run."""

    memory_bytes: int = 0
    operations: float = 0.0


def _lesson(teacher: Path | None, read: Mapping[str, int], student: int, vocabulary: int, epochs: int) -> Lesson:
    """Nothing without a teacher. It reads train in every epoch, and dev and test once, its student again beside it.

    In memory are the network that teaches, the one that writes at the end, and the logits of both for a portion of tokens.
    """
    if teacher is None:
        return Lesson()
    count = distil_text_setup.weights_in(teacher)
    measured = read["dev"] + read["test"]
    portion = 4 * 4 * ROWS_AT_ONCE * vocabulary
    return Lesson(8 * count + portion, 2 * count * (read["train"] * epochs + measured) + 2 * student * measured)


def preflight_sft(
    spec: SftSpec, data: Path, report: Report, data_kind: str = "chat", earlier: Sequence[Earlier] = ()
) -> dict[str, Any]:
    """The figures of a fine-tuning run; renders every chat, of a new network after learning the vocabulary."""
    report.progress(0, 3, "checks", say("reading"))
    parts, problems = sft_setup.arrange(spec, read_chats(data, data_kind, spec.instruction))
    sft_setup.earlier_chats(spec, parts, earlier, data_kind)  # refused when they are needed and not there
    result: dict[str, Any] = {"rows": {name: len(part) for name, part in parts.items()}}
    if any(problem.severity == "error" for problem in problems):
        return {"problems": [problem.as_mapping() for problem in problems], **result}
    report.progress(1, 3, "checks", say("rendering"))
    teacher = None
    if isinstance(spec, DistilTextSpec):
        teacher, start = distil_text_setup.taught(spec)
        problems += distil_text_setup.template_warnings(spec, teacher, start)
    else:
        start = sft_setup.beginning(spec, parts["train"])
    limit = sft_setup.room(spec, start.config)
    chats, found = sft_setup.render_all(parts, start, limit)
    lengths = {name: token_counts([one.full for one in some]) for name, some in chats.items()}
    report.progress(2, 3, "checks", say("estimating"))
    config = start.config
    total, trainable = sft_setup.sizes(spec, config)
    read = {name: int(np.minimum(found, limit).sum()) for name, found in lengths.items()}
    seen = read["train"]
    sequences = max(1, -(-seen // limit)) if spec.packing else len(parts["train"])
    steps = spec.epochs * continuing.steps(spec, sequences)
    lesson = _lesson(teacher, read, total, config.vocabulary_size, spec.epochs)
    share = min(1.0, spec.max_steps / steps) if spec.max_steps else 1.0
    report.progress(3, 3, "checks", say("estimating"))
    return {
        "problems": [problem.as_mapping() for problem in [*problems, *found]],
        **result,
        "lengths": spread_of(np.concatenate(list(lengths.values()))),
        "truncated_share": float(np.mean(np.concatenate(list(lengths.values())) > limit)),
        "vocabulary_size": config.vocabulary_size,
        "seen": seen_chats(start.template, parts["train"], chats["train"]),
        "parameters": {"total": total, "trainable": trainable},
        "estimate": {
            "steps": int(steps * share),
            # weights; gradients, two moments and the best of what is trained
            "memory_bytes": PROCESS_BYTES
            + lesson.memory_bytes
            + 4 * total
            + (16 + 4 * continuing.copies(spec)) * trainable
            + activation_bytes(spec, config.layers, config.width, spec.batch_size * limit),
            # A frozen weight needs no gradient of its own: forward, and backward to its inputs.
            "seconds": seconds_for(
                (4 if spec.is_adapter else 6) * total * seen * spec.epochs * share * continuing.rows_a_new_one(spec)
                + 6 * total * continuing.fisher_tokens(spec, lengths["train"], limit)
                + 2 * total * (read["dev"] * (spec.epochs * share + 1) + read["test"])
                + lesson.operations * share
            ),
        },
    }
