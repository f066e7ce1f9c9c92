"""Rows of customer-service length trained packed and padded: the same rows, steps, weights and optimiser."""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from engine.corpus import Corpus
from engine.gpt import Gpt, GptConfig
from engine.gpt.hugging_face import load_gpt, save_gpt
from engine.recipes.pretrain import piece_losses
from engine.windows import document_pieces

MEAN, DEVIATION, MOST = 58, 0.8, 256  # tokens; the deviation of the logarithm
ROWS_PER_STEP = 16
IGNORED = -100
Losses = tuple[float, list[float]]  # real tokens per second, loss of each step


def lengths_of(count: int, seed: int = 3) -> list[int]:
    """Lognormal lengths with the wanted mean, cut at MOST."""
    drawn = np.random.default_rng(seed).lognormal(np.log(MEAN) - DEVIATION**2 / 2, DEVIATION, count)
    return [int(length) for length in np.clip(np.round(drawn), 4, MOST)]


def rows_of(lengths: Sequence[int], vocabulary: int) -> Corpus:
    """Documents of these lengths in one stream; each is read and learnt token by token."""
    stream = np.random.default_rng(4).integers(6, vocabulary, 1 + sum(lengths)).astype(np.uint16)
    ends = 1 + np.cumsum(lengths)
    return Corpus(stream, ends, np.arange(len(lengths)), np.array(lengths))


def packing_rounds(config: GptConfig, *, rounds: int, small: bool) -> dict[str, Any]:
    """Isolated packing by our loop's step against a transformers loop that pads; from equal weights each round."""
    corpus = rows_of(lengths_of(32 if small else 96), config.vocabulary_size)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        torch.manual_seed(1)
        save_gpt(Gpt(config), folder)
        contenders: dict[str, Callable[[], Losses]] = {
            "packed": lambda: packed(folder, corpus),
            "padded to the longest of a batch": lambda: padded(folder, corpus, to=0),
            "padded to the maximum": lambda: padded(folder, corpus, to=MOST),
        }
        speeds: dict[str, list[float]] = {name: [] for name in contenders}
        curves: dict[str, list[float]] = {}
        for at in range(rounds):
            names = list(contenders)
            for contender in names[at % 3 :] + names[: at % 3]:
                speed, curves[contender] = contenders[contender]()
                speeds[contender].append(speed)
    middle = {name: median(values) for name, values in speeds.items()}
    reference = np.array(curves["packed"])
    return {
        "rows": len(corpus),
        "tokens": corpus.token_count,
        "threads": torch.get_num_threads(),
        "rounds": speeds,
        "tokens_per_second": middle,
        "times_dynamic": middle["packed"] / middle["padded to the longest of a batch"],
        "times_maximum": middle["packed"] / middle["padded to the maximum"],
        "curves": curves,
        "largest_difference": max(float(np.abs(np.array(curve) - reference).max()) for curve in curves.values()),
    }


def steps_of(corpus: Corpus) -> list[range]:
    """The rows of each step."""
    return [range(at, min(at + ROWS_PER_STEP, len(corpus))) for at in range(0, len(corpus), ROWS_PER_STEP)]


def packed(folder: Path, corpus: Corpus) -> Losses:
    """Our model on rows end to end, nothing padded, none seeing another."""
    model = load_gpt(folder).train()
    pieces = document_pieces(corpus, MOST)
    optimiser = _optimiser(model, fused=True)

    def loss(rows: range) -> float:
        mine = pieces[rows.start : rows.stop]
        total, losses, _ = piece_losses(model, corpus, mine, scale=1 / int(mine[:, 1].sum()))
        total.backward()  # type: ignore[no-untyped-call]
        return float(losses.mean())

    return _timed(model, optimiser, corpus, loss)


def padded(folder: Path, corpus: Corpus, *, to: int) -> Losses:
    """transformers' model on rows padded to a length, or to the longest of the batch when it is 0."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder).train()
    optimiser = _optimiser(model, fused=False)

    def loss(rows: range) -> float:
        longest = to or int(max(corpus.ends[at] - 1 - corpus.starts[at] for at in rows))
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        targets = torch.full_like(ids, IGNORED)
        mask = torch.zeros_like(ids)
        for at, row in enumerate(rows):
            start, stop = int(corpus.starts[row]), int(corpus.ends[row])
            tokens = torch.from_numpy(corpus.tokens[start:stop].astype(np.int64))
            ids[at, : len(tokens) - 1], targets[at, : len(tokens) - 1] = tokens[:-1], tokens[1:]
            mask[at, : len(tokens) - 1] = 1
        logits = model(input_ids=ids, attention_mask=mask).logits
        found = torch.nn.functional.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))
        found.backward()  # type: ignore[no-untyped-call]
        return float(found.detach())

    return _timed(model, optimiser, corpus, loss)


def _optimiser(model: torch.nn.Module, *, fused: bool) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1, fused=fused)


def _timed(
    model: torch.nn.Module, optimiser: torch.optim.Optimizer, corpus: Corpus, loss: Callable[[range], float]
) -> Losses:
    """One pass over all rows."""
    started, losses = time.perf_counter(), []
    for rows in steps_of(corpus):
        losses.append(loss(rows))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return corpus.token_count / (time.perf_counter() - started), losses
