"""Cross-entropy of the next token.

    loss_t = -log softmax(logits_t)[token_{t+1}]        log softmax(z) = z - max z - log sum exp(z - max z)

The softmax runs over the vocabulary, the last axis; targets are the ids shifted by one, so the last token of a
document has none. The gradient by the logits is softmax(logits) - onehot(target), which is why a whole [N, V] need
not be kept: `token_losses` makes loss and gradients together, a few hundred rows at a time.

With a teacher (Hinton et al. 2015), whose logits are t, a temperature T and a weight h of the given token:

    loss_t = h CE(z, token_{t+1}) + (1 - h) T^2 CE(z / T, softmax(t / T))
    gradient = h (softmax(z) - onehot) + (1 - h) T (softmax(z / T) - softmax(t / T))
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Lesson:
    """What a teacher says of M tokens, asked for in portions so that [M, V] of two models are never held at once."""

    logits: Callable[[slice], Tensor]  # of a portion of the rows, [m, C]: the first C entries are the student's, too
    share: float  # of the given tokens
    temperature: float

    def heard(self, rows: slice, logits: Tensor) -> tuple[Tensor, Tensor]:
        """(loss [m] by the teacher alone, its slope [m, C]) of the student's logits [m, V]; both with T^2, without the share."""
        theirs = self.logits(rows)
        count = min(theirs.shape[1], logits.shape[1])  # matrices of one vocabulary may be padded differently
        soft = torch.softmax(theirs[:, :count].float() / self.temperature, dim=-1)
        likely = torch.log_softmax(logits[:, :count] / self.temperature, dim=-1)
        losses = -(soft * likely).sum(1) * self.temperature**2
        return losses, likely.exp_().sub_(soft).mul_(self.temperature)


def token_losses(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    lesson: Lesson | None = None,
    weights: Tensor | None = None,
    scale: float = 1.0,
    at_once: int = ROWS_AT_ONCE,
) -> tuple[Tensor, Tensor]:
    """(scaled sum of the weighted losses, losses [M] without gradient) of hidden [M, D] under the output matrix [V, D].

    Every target [M] must be a token. `weights` [M] multiply the losses in the sum, 1 without them. With a `lesson` the
    losses are those of a student.
    """
    return cast(
        tuple[Tensor, Tensor],
        _TokenLosses.apply(hidden, weight, targets, weights, scale, at_once, lesson),  # type: ignore[no-untyped-call]
    )


class _TokenLosses(torch.autograd.Function):
    """Loss and gradients in one pass over portions of rows; backward only scales what forward made."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        weights: Tensor | None,
        scale: float,
        at_once: int,
        lesson: Lesson | None,
    ) -> tuple[Tensor, Tensor]:
        wants_hidden, wants_weight = ctx.needs_input_grad[:2]
        by_hidden = torch.empty_like(hidden) if wants_hidden else None
        by_weight = torch.empty_like(weight) if wants_weight else None
        if by_weight is not None and not len(hidden):
            by_weight.zero_()
        matrix = weight.to(hidden.dtype)  # bf16 hidden states come with an fp32 matrix
        losses = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        room = hidden.new_empty(min(at_once, len(hidden)), len(matrix))  # [m, V], for every portion
        for start in range(0, len(hidden), at_once):
            rows = slice(start, start + at_once)
            count = len(hidden[rows])
            logits = torch.mm(hidden[rows], matrix.T, out=room[:count]).float()  # [m, V]
            chosen = targets[rows, None]
            heard = lesson.heard(rows, logits) if lesson is not None else None
            likely = torch.log_softmax(logits, dim=-1, out=logits)
            losses[rows] = -likely.gather(1, chosen)[:, 0]
            if lesson is not None and heard is not None:
                losses[rows] = lesson.share * losses[rows] + (1 - lesson.share) * heard[0]
            if by_hidden is None and by_weight is None:
                continue
            slope = likely.exp_()  # softmax
            slope.scatter_add_(1, chosen, slope.new_full(chosen.shape, -1.0))
            if lesson is not None and heard is not None:
                slope.mul_(lesson.share)[:, : heard[1].shape[1]].add_(heard[1], alpha=1 - lesson.share)
            if weights is not None:
                slope.mul_(weights[rows, None])
            slope = slope.to(hidden.dtype)
            if by_hidden is not None:
                torch.addmm(by_hidden[rows], slope, matrix, beta=0, alpha=scale, out=by_hidden[rows])
            if by_weight is not None:
                found = slope.T.to(weight.dtype), hidden[rows].to(weight.dtype)
                by_weight.addmm_(*found, beta=1 if start else 0, alpha=scale)
        ctx.save_for_backward(*(tensor for tensor in (by_hidden, by_weight) if tensor is not None))
        ctx.wants = (wants_hidden, wants_weight)
        ctx.mark_non_differentiable(losses)
        return (losses if weights is None else losses * weights).sum() * scale, losses

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        kept = iter(ctx.saved_tensors)
        found = [next(kept) if wanted else None for wanted in ctx.wants]
        if float(outer[0]) != 1.0:  # a loss that was scaled or added to afterwards
            found = [None if gradient is None else gradient * outer[0] for gradient in found]
        return (*found, None, None, None, None, None)
