"""What a fine-tuning run of a model that writes would be like."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.continuing import Earlier
from engine.data import read_chats
from engine.outlook import continuing
from engine.outlook.parts import PROCESS_BYTES, activation_bytes, seconds_for, spread_of, token_counts
from engine.recipes import sft_setup
from engine.report import Report
from engine.seen import seen_chats
from engine.specs.sft import SftSpec
from words import say


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
            + 4 * total
            + (16 + 4 * continuing.copies(spec)) * trainable
            + activation_bytes(spec, config.layers, config.width, spec.batch_size * limit),
            # A frozen weight needs no gradient of its own: forward, and backward to its inputs.
            "seconds": seconds_for(
                (4 if spec.is_adapter else 6) * total * seen * spec.epochs * share * continuing.rows_a_new_one(spec)
                + 6 * total * continuing.fisher_tokens(spec, lengths["train"], limit)
                + 2 * total * (read["dev"] * (spec.epochs * share + 1) + read["test"])
            ),
        },
    }
