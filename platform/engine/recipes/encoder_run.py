"""What the runs of all recipes on an encoder share: optimiser and loop, the heaviest step, and kept evaluations."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from engine.encoder import PackedEncoder
from engine.loop import Companion, Pace, Training
from engine.plan import Window, cut, epoch_windows, rehearsed_windows
from engine.recipes.classify_setup import parameter_groups
from engine.report import Report


def encoder_training(
    model: PackedEncoder,
    spec: Any,
    companion: Companion | None,
    *,
    contract: Mapping[str, Any],
    report: Report,
    out: Path,
    **fixed: Any,
) -> Training:
    """The loop with AdamW: lower layers learn slower, the head faster, vectors do not decay; `fixed` goes to the pace."""
    groups = pulled(parameter_groups(model, spec), spec)
    # A mean of weights that were cut and of those before the cut is neither.
    decay = 0.0 if spec.method == "adalora" else spec.average_decay
    return Training(
        model,
        torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.999), eps=1e-8, fused=True),
        pace=Pace.of(spec, average_decay=decay, **fixed),
        report=report,
        out=out,
        contract={**contract, "threads": torch.get_num_threads()},
        companion=companion,
    )


def pulled(groups: list[dict[str, Any]], spec: Any) -> list[dict[str, Any]]:
    """AdamW groups as they are, but for L2-SP, whose pull takes the place of weight decay."""
    if getattr(spec, "keep", "") != "l2_sp":
        return groups
    return [{**group, "weight_decay": 0.0} for group in groups]


def encoder_steps(
    spec: Any, lengths: Sequence[int], epoch: int, *, rows_at_once: int, earlier: Sequence[range] = ()
) -> list[Window]:
    """Which rows form which step of an epoch; with rows of `earlier` tasks among them, a share of each step is theirs."""
    plan: dict[str, Any] = {
        "seed": spec.seed,
        "epoch": epoch,
        "rows_per_step": spec.batch_size * spec.gradient_accumulation,
        "rows_at_once": rows_at_once,
        "tokens_at_once": spec.max_batch_tokens,
    }
    if not earlier:
        return epoch_windows(lengths, **plan)
    return rehearsed_windows(lengths, earlier, share=spec.replay_share, **plan)


def longest_first(lengths: Sequence[int], *, rows_at_once: int, tokens_at_once: int) -> Window:
    """The longest rows as one micro-batch: the step that needs most memory."""
    longest = sorted(range(len(lengths)), key=lambda at: -lengths[at])[:rows_at_once]
    return cut(longest, lengths, rows_at_once=rows_at_once, tokens_at_once=tokens_at_once)[:1]


def result_of(
    training: Training,
    written: Mapping[str, Any],
    evaluations: Mapping[str, Any],
    *,
    out: Path,
    labels: Sequence[str],
    started: float,
) -> dict[str, Any]:
    """The result event of a run that has written `out`/model, as plain JSON; `started` is a time of time.monotonic."""
    return {
        "model": str(out / "model"),
        "files": written["files"],
        "labels": list(labels),
        "parameters": sum(parameter.numel() for parameter in training.model.parameters()),
        "trainable_parameters": sum(parameter.numel() for parameter in training.names),
        "evaluations": dict(evaluations),
        **training.cursor.told(time.monotonic() - started),
        "spec_hash": written["spec_hash"],
        "environment": written["environment"],
    }
