"""What a preference run would be like."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.continuing import Earlier
from engine.outlook import continuing
from engine.outlook.parts import PROCESS_BYTES, activation_bytes, seconds_for, spread_of, token_counts
from engine.preferences import read_preferences
from engine.recipes import prefer_setup, sft_setup
from engine.report import Report
from engine.seen import seen_chats
from engine.specs.prefer import PreferSpec
from words import say


def preflight_prefer(spec: PreferSpec, data: Path, report: Report, earlier: Sequence[Earlier] = ()) -> dict[str, Any]:
    """The figures of a preference run; renders both answers of every row."""
    report.progress(0, 3, "checks", say("reading"))
    parts, problems = prefer_setup.arrange(spec, read_preferences(data))
    result: dict[str, Any] = {"rows": {name: len(part) for name, part in parts.items()}}
    if any(problem.severity == "error" for problem in problems):
        return {"problems": [problem.as_mapping() for problem in problems], **result}
    prefer_setup.earlier_preferences(spec, parts, earlier)  # refused where there is nothing to keep
    report.progress(1, 3, "checks", say("rendering"))
    start = sft_setup.beginning(spec)
    limit = sft_setup.room(spec, start.config)
    pairs, found = prefer_setup.render_pairs(parts, start, limit)
    chats = {name: [chat for pair in some for chat in (pair.chosen, pair.rejected)] for name, some in pairs.items()}
    lengths = {name: token_counts([one.full for one in some]) for name, some in chats.items()}
    report.progress(2, 3, "checks", say("estimating"))
    config = start.config
    total, trainable = sft_setup.sizes(spec, config)
    read = {name: int(np.minimum(found, limit).sum()) for name, found in lengths.items()}
    steps = spec.epochs * continuing.steps(spec, len(pairs["train"]))
    share = min(1.0, spec.max_steps / steps) if spec.max_steps and steps else 1.0
    every = np.concatenate(list(lengths.values()))
    longest = int(np.sort(np.minimum(lengths["train"], limit))[-2 * spec.batch_size :].sum())
    report.progress(3, 3, "checks", say("estimating"))
    return {
        "problems": [problem.as_mapping() for problem in [*problems, *found]],
        **result,
        "lengths": spread_of(every),
        "truncated_share": float(np.mean(every > limit)) if len(every) else 0.0,
        "vocabulary_size": config.vocabulary_size,
        "seen": seen_chats(start.template, parts["train"], [pair.chosen for pair in pairs["train"]]),
        "parameters": {"total": total, "trainable": trainable},
        "estimate": {
            "steps": int(steps * share),
            "memory_bytes": PROCESS_BYTES
            + 4 * total
            + 4 * (4 + continuing.copies(spec)) * trainable
            + activation_bytes(spec, config.layers, config.width, longest)
            + 8 * longest * config.vocabulary_size,  # logits of the answers and their gradient
            "seconds": seconds_for(
                (4 if spec.is_adapter else 6)
                * total
                * read["train"]
                * spec.epochs
                * share
                * continuing.rows_a_new_one(spec)
                + 6 * total * 2 * continuing.fisher_tokens(spec, lengths["train"], limit)
                + 2 * total * (sum(read.values()) + read["dev"] * (spec.epochs * share + 1) + read["test"])
            ),
        },
    }
