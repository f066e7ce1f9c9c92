"""What all outlooks are made of: token counts and their spread, sizes, memory and time."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

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


def activation_bytes(layers: int, width: int, tokens: int) -> int:
    """Memory of what a backward pass over so many tokens keeps."""
    return 4 * tokens * width * (layers + 1) * CELLS_PER_TOKEN


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
