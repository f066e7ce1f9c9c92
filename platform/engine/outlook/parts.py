"""What all outlooks are made of: token counts and their spread, sizes, memory and time."""

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from engine.specs import Problem
from engine.specs.machine import SPLITS_STEPS, rows_at_once
from words import say

WITHOUT_LIMIT = 1 << 20
PROCESS_BYTES = 450_000_000  # python, torch and transformers before the first weight
CELLS_PER_TOKEN = (
    34  # activations kept for backward per token and layer, in hidden widths (own count of the packed layer)
)


def token_counts(sequences: Sequence[Sequence[int]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Token counts [N] of N sequences."""
    return np.array([len(ids) for ids in sequences], dtype=np.int64)


def spread_of(counts: np.ndarray[Any, np.dtype[np.int64]]) -> Mapping[str, Any]:
    """Quantiles and a histogram of token counts over all parts."""
    if not len(counts):
        return {"mean": 0.0, "p50": 0, "p95": 0, "p99": 0, "max": 0, "histogram": []}
    number, edges = np.histogram(counts, bins=min(20, int(counts.max() - counts.min()) + 1))
    bins = [
        {"from": float(low), "to": float(high), "count": int(count)}
        for count, low, high in zip(number, edges, edges[1:], strict=False)
    ]
    quantiles = {f"p{at}": int(np.percentile(counts, at)) for at in (50, 95, 99)}
    return {"mean": float(counts.mean()), **quantiles, "max": int(counts.max()), "histogram": bins}


def size_of(config: Any) -> tuple[int, int]:
    """(layers, width) of a Hugging Face configuration, 0 where it does not say."""
    return int(getattr(config, "num_hidden_layers", 0) or 0), int(getattr(config, "hidden_size", 0) or 0)


def activation_bytes(spec: Any, layers: int, width: int, tokens: int) -> int:
    """Memory of what a backward pass keeps in one process, `tokens` being those of `batch_size` rows."""
    read = tokens * rows_at_once(spec, None, process_count(spec)) // spec.batch_size
    cells = layers + CELLS_PER_TOKEN if spec.gradient_checkpointing else (layers + 1) * CELLS_PER_TOKEN
    return int(4 * read * width * cells)


def process_count(spec: Any) -> int:
    """How many processes the spec's run has on a machine like this."""
    return int(spec.processes) or max(1, torch.cuda.device_count())


def of_processes(spec: Any, recipe: str, found: dict[str, Any]) -> dict[str, Any]:
    """An outlook with the memory of one of several processes and the time that they take together."""
    estimate, count = found.get("estimate"), process_count(spec) if recipe in SPLITS_STEPS else 1
    if estimate is None:
        return found
    at_once = count if torch.cuda.is_available() else min(count, os.cpu_count() or 1)
    again = 4 / 3 if spec.gradient_checkpointing else 1  # forward, backward (twice as dear), and forward once more
    memory = estimate["memory_bytes"]
    if spec.sharding == "sharded" and count > 1:
        # gradients and two moments; of our GPT the weights as well, block by block (engine.shards)
        shared = 12 * found["parameters"]["trainable"]
        shared += 4 * found["parameters"]["total"] if recipe in ("sft", "distil_text", "pretrain") else 0
        memory -= int(shared * (1 - 1 / count))
    told = {"seconds": estimate["seconds"] / at_once * again, "memory_bytes": memory, "processes": count}
    return {**found, "estimate": {**estimate, **told}}


def seconds_for(operations: float) -> float:
    """Time for so many floating-point operations at the speed this machine multiplies matrices right now."""
    left = torch.randn(512, 384)
    right = torch.randn(384, 1536)
    left @ right
    started, rounds = time.perf_counter(), 0
    while time.perf_counter() - started < 0.2:
        left @ right
        rounds += 1
    speed = rounds * 2 * 512 * 384 * 1536 / (time.perf_counter() - started)
    return operations / (0.7 * speed)


def truncation(rows: Sequence[int], total: int, limit: int) -> list[Problem]:
    """Texts that lose their end."""
    if not rows:
        return []
    share = len(rows) / total
    return [
        Problem(
            "truncated",
            "max_length_tokens",
            say(
                "{rows_count} of {total} texts ({share:.1%}) are longer than {limit} tokens and lose their end.",
                rows_count=len(rows),
                total=total,
                share=share,
                limit=limit,
            ),
            say("Raise max_length_tokens."),
            "warning",
            tuple(int(row) for row in rows[:20]),
        )
    ]
