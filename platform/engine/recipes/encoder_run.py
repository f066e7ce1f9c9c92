"""What the runs of all recipes on an encoder share: optimiser and loop, the heaviest step, and kept evaluations."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from engine.encoder import PackedEncoder
from engine.loop import Pace, Training
from engine.methods import Attached
from engine.plan import Window, cut
from engine.recipes.classify_setup import parameter_groups
from engine.report import Report


def encoder_training(
    model: PackedEncoder,
    spec: Any,
    attached: Attached | None,
    *,
    contract: Mapping[str, Any],
    report: Report,
    out: Path,
    **fixed: Any,
) -> Training:
    """The loop with AdamW: lower layers learn slower, the head faster, vectors do not decay; `fixed` goes to the pace."""
    # A mean of weights that were cut and of those before the cut is neither.
    decay = 0.0 if spec.method == "adalora" else spec.average_decay
    return Training(
        model,
        torch.optim.AdamW(parameter_groups(model, spec), lr=0.0, betas=(0.9, 0.999), eps=1e-8, fused=True),
        pace=Pace.of(spec, average_decay=decay, **fixed),
        report=report,
        out=out,
        contract={**contract, "threads": torch.get_num_threads()},
        companion=attached,
    )


def longest_first(lengths: Sequence[int], *, rows_at_once: int, tokens_at_once: int) -> Window:
    """The longest rows as one micro-batch: the step that needs most memory."""
    longest = sorted(range(len(lengths)), key=lambda at: -lengths[at])[:rows_at_once]
    return cut(longest, lengths, rows_at_once=rows_at_once, tokens_at_once=tokens_at_once)[:1]


def kept_evaluation(out: Path, name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """Write the figures of a part beside its example rows; returns where both lie, as the result event tells it."""
    path = out / f"evaluation-{name}.json"
    path.write_text(json.dumps(found, ensure_ascii=False, allow_nan=False), encoding="utf-8")
    return {
        "headline": found["headline"],
        "rows": found["rows"],
        "metrics": str(path),
        "examples": str(out / f"examples-{name}.parquet"),
    }
