"""Cross-entropy of the next token.

    loss_t = -log softmax(logits_t)[token_{t+1}] = logsumexp(logits_t) - logits_t[token_{t+1}]

The softmax runs over the vocabulary, the last axis; targets are the ids shifted by one, so the last token of a
document has none. The gradient by the logits is softmax(logits) - onehot(target), which is why a whole [N, V] need
not be kept: `token_losses` makes loss and gradients together, a few hundred rows at a time.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from engine.gpt.runs import Run

NO_TARGET = -100
ROWS_AT_ONCE = 512


def next_token_targets(ids: Tensor, runs: Sequence[Run], learnt: Tensor | None = None) -> Tensor:
    """Targets [N] of ids [N]: the following token, NO_TARGET at a document's end and where `learnt` [N] says no.

    `learnt` belongs to the token that is predicted: learnt[t + 1] decides about row t.
    """
    targets = torch.full_like(ids, NO_TARGET)
    targets[:-1] = ids[1:]
    if learnt is not None:
        targets[:-1] = torch.where(learnt[1:], targets[:-1], NO_TARGET)
    for run in runs:
        ends = torch.arange(run.start + run.length - 1, run.start + run.count * run.length, run.length)
        targets[ends.to(ids.device)] = NO_TARGET
    return targets


def token_losses(
    hidden: Tensor, weight: Tensor, targets: Tensor, *, weights: Tensor | None = None, at_once: int = ROWS_AT_ONCE
) -> tuple[Tensor, Tensor]:
    """(sum of the weighted losses, losses [M] without gradient) of hidden [M, D] under the output matrix [V, D].

    Every target [M] must be a token. `weights` [M] multiply the losses in the sum, 1 without them.
    """
    return cast(tuple[Tensor, Tensor], _TokenLosses.apply(hidden, weight, targets, weights, at_once))  # type: ignore[no-untyped-call]


class _TokenLosses(torch.autograd.Function):
    """Loss and gradients in one pass over portions of rows; backward only scales what forward made."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, weights: Tensor | None, at_once: int
    ) -> tuple[Tensor, Tensor]:
        wants_hidden, wants_weight = ctx.needs_input_grad[:2]
        by_hidden = torch.empty_like(hidden) if wants_hidden else None
        by_weight = torch.zeros_like(weight) if wants_weight else None
        matrix = weight.to(hidden.dtype)  # bf16 hidden states come with an fp32 matrix
        losses = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        for start in range(0, len(hidden), at_once):
            rows = slice(start, start + at_once)
            logits = (hidden[rows] @ matrix.T).float()  # [m, V]
            total = torch.logsumexp(logits, dim=-1)
            chosen = targets[rows, None]
            losses[rows] = total - logits.gather(1, chosen)[:, 0]
            if by_hidden is None and by_weight is None:
                continue
            slope = logits.sub_(total[:, None]).exp_()  # softmax
            slope.scatter_add_(1, chosen, slope.new_full(chosen.shape, -1.0))
            if weights is not None:
                slope.mul_(weights[rows, None])
            slope = slope.to(hidden.dtype)
            if by_hidden is not None:
                torch.mm(slope, matrix, out=by_hidden[rows])
            if by_weight is not None:
                by_weight.addmm_(slope.T.to(weight.dtype), hidden[rows].to(weight.dtype))
        ctx.save_for_backward(*(tensor for tensor in (by_hidden, by_weight) if tensor is not None))
        ctx.wants = (wants_hidden, wants_weight)
        ctx.mark_non_differentiable(losses)
        return (losses if weights is None else losses * weights).sum(), losses

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        kept = iter(ctx.saved_tensors)
        found = [next(kept) * outer[0] if wanted else None for wanted in ctx.wants]
        return (*found, None, None, None)
