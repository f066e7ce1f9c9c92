"""What our training is measured against: the loop people write by hand, with a plain model of the same shape.

The model follows nanoGPT's manner: one matrix for query, key and value, torch's attention, logits of every token and
torch's cross-entropy. The loop draws random windows of one stream, as nanoGPT's does on a CPU.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.threads import use_threads

IGNORED = -100


@dataclass(frozen=True)
class Shape:
    """A decoder; kind "llama" (rotary, RMS norm, SwiGLU) or "gpt2" (learned places, layer norm, GELU), no biases."""

    kind: str
    vocabulary: int
    context: int
    layers: int
    heads: int
    width: int

    @property
    def feed_forward(self) -> int:
        """8/3 of the width rounded up to 16, or 4 times the width."""
        return -(-self.width * 8 // 48) * 16 if self.kind == "llama" else 4 * self.width


class PlainBlock(nn.Module):
    """[B, T, D] -> [B, T, D]"""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        norm: Callable[[], nn.Module] = lambda: (  # noqa: E731 - two of each block
            nn.RMSNorm(shape.width, 1e-5) if shape.kind == "llama" else nn.LayerNorm(shape.width, bias=False)
        )
        self.norm1, self.norm2 = norm(), norm()
        self.qkv = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.output = nn.Linear(shape.width, shape.width, bias=False)
        self.gate = nn.Linear(shape.width, shape.feed_forward, bias=False) if shape.kind == "llama" else None
        self.up = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.down = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(self, x: Tensor, turning: tuple[Tensor, Tensor] | None) -> Tensor:
        """Attention, then the feed-forward layer."""
        batch, length, width = x.shape
        heads = self.shape.heads
        q, k, v = (
            part.view(batch, length, heads, width // heads).transpose(1, 2)
            for part in self.qkv(self.norm1(x)).split(width, dim=2)
        )
        if turning is not None:
            q, k = _turned(q, *turning), _turned(k, *turning)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.output(mixed.transpose(1, 2).contiguous().view(batch, length, width))
        y = self.norm2(x)
        y = F.silu(self.gate(y)) * self.up(y) if self.gate is not None else F.gelu(self.up(y))
        return x + cast(Tensor, self.down(y))


class PlainGpt(nn.Module):
    """ids [B, T] and targets [B, T] -> mean loss."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.places = nn.Embedding(shape.context, shape.width) if shape.kind == "gpt2" else None
        self.blocks = nn.ModuleList(PlainBlock(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, 1e-5) if shape.kind == "llama" else nn.LayerNorm(shape.width, bias=False)
        self.head = nn.Linear(shape.width, shape.vocabulary, bias=False)
        self.head.weight = self.tokens.weight
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                deviation = (
                    0.02 / math.sqrt(2 * shape.layers) if name.endswith(("output.weight", "down.weight")) else 0.02
                )
                nn.init.normal_(parameter, std=deviation)
        half = shape.width // shape.heads // 2
        angle = torch.arange(shape.context)[:, None] * 10_000.0 ** (-torch.arange(half) / half)
        self.register_buffer("cos", torch.cat((angle, angle), dim=-1).cos(), persistent=False)
        self.register_buffer("sin", torch.cat((angle, angle), dim=-1).sin(), persistent=False)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy over the tokens that have a target."""
        length = ids.shape[1]
        x = self.tokens(ids)
        if self.places is not None:
            x = x + self.places(torch.arange(length))
        cos, sin = cast(Tensor, self.cos), cast(Tensor, self.sin)
        turning = (cos[:length], sin[:length]) if self.places is None else None
        for block in self.blocks:
            x = block(x, turning)
        logits = self.head(self.norm(x))
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1), ignore_index=IGNORED)


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


@dataclass(frozen=True)
class Pace:
    """nanoGPT's options: a linear rise, then a cosine to a tenth."""

    steps: int
    batch: int
    rate: float = 1e-3
    least_rate: float = 1e-4
    warmup: int = 100
    beta2: float = 0.99
    weight_decay: float = 0.1
    clip: float = 1.0

    def rate_at(self, step: int) -> float:
        """The learning rate of a step."""
        if step < self.warmup:
            return self.rate * (step + 1) / (self.warmup + 1)
        share = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.least_rate + 0.5 * (1 + math.cos(math.pi * min(1.0, share))) * (self.rate - self.least_rate)


def optimiser_of(model: nn.Module, pace: Pace) -> torch.optim.Optimizer:
    """AdamW as torch makes it, matrices decaying."""
    groups = [
        {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": pace.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=pace.rate, betas=(0.9, pace.beta2))


def plain_steps(
    model: PlainGpt, optimiser: torch.optim.Optimizer, stream: NDArray[np.uint16], pace: Pace, *, seed: int
) -> Iterator[float]:
    """The loop, a step at a time; yields each loss."""
    generator = torch.Generator().manual_seed(seed)
    context = model.shape.context
    model.train()
    for step in range(pace.steps):
        for group in optimiser.param_groups:
            group["lr"] = pace.rate_at(step)
        places = torch.randint(len(stream) - context, (pace.batch,), generator=generator).tolist()
        ids = torch.stack([torch.from_numpy(stream[at : at + context].astype(np.int64)) for at in places])
        targets = torch.stack([torch.from_numpy(stream[at + 1 : at + 1 + context].astype(np.int64)) for at in places])
        loss = model(ids, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), pace.clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        yield float(loss.detach())


@torch.no_grad()
def full_loss(model: PlainGpt, stream: NDArray[np.uint16], *, batch: int) -> float:
    """Mean loss over every token of a stream but its first, window after window."""
    model.eval()
    context, count = model.shape.context, len(stream) - 1
    total = 0.0
    for start in range(0, count, batch * context):
        stop = min(count, start + batch * context)
        length = stop - start
        rows = -(-length // context)
        ids = np.zeros(rows * context, dtype=np.int64)
        targets = np.full(rows * context, IGNORED, dtype=np.int64)
        ids[:length], targets[:length] = stream[start:stop], stream[start + 1 : stop + 1]
        shaped = (torch.from_numpy(part).view(rows, context) for part in (ids, targets))
        total += float(model(*shaped)) * length
    return total / count


def characters(text: str, known: str = "") -> tuple[NDArray[np.uint16], str]:
    """(numbers of the characters, the alphabet): of `known`, or of the text itself."""
    alphabet = known or "".join(sorted(set(text)))
    number = {character: at for at, character in enumerate(alphabet)}
    return np.array([number[character] for character in text], dtype=np.uint16), alphabet


def train_characters(train: str, held_out: str, shape: Shape, pace: Pace, *, seed: int) -> dict[str, float]:
    """Loss over all of `held_out` after the plain loop, and the seconds of loop and measuring."""
    torch.manual_seed(seed)
    stream, alphabet = characters(train)
    model = PlainGpt(shape)
    started = time.perf_counter()
    losses = list(plain_steps(model, optimiser_of(model, pace), stream, pace, seed=seed))
    trained = time.perf_counter() - started
    loss = full_loss(model, characters(held_out, alphabet)[0], batch=pace.batch)
    return {
        "loss": loss,
        "last_train_loss": float(np.mean(losses[-100:])),
        "train_seconds": trained,
        "seconds": time.perf_counter() - started,
        "parameters": float(sum(p.numel() for p in model.parameters())),
    }


def main() -> None:
    """Train on the first nine tenths of a text, print the loss over the last as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--steps", type=int, default=2000)
    options = parser.parse_args()
    use_threads(1)
    text = options.data.read_text(encoding="utf-8")
    cut = len(text) * 9 // 10
    _, alphabet = characters(text[:cut])
    shape = Shape("gpt2", vocabulary=len(alphabet), context=64, layers=4, heads=4, width=128)
    pace = Pace(steps=options.steps, batch=12, warmup=options.steps // 20)
    print(json.dumps(train_characters(text[:cut], text[cut:], shape, pace, seed=options.seed)))


if __name__ == "__main__":
    main()
