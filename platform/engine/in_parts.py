"""Gradients of a loss that needs all vectors of a batch at once, from forwards that take a part of it (Gao et al. 2021)."""

from collections.abc import Callable

import torch
from torch import Tensor

from engine import checkpoint


def backward_in_parts(vectors: Callable[[int], Tensor], count: int, losses: Callable[[Tensor], Tensor]) -> Tensor:
    """Add the gradients of the mean of `losses`(all vectors); returns the losses, [B].

    `vectors`(i) are those of part i of `count`. With several parts each is read twice, the second time with the same
    random numbers: first without gradients for the loss and its gradient by every vector, then with the gradients of the
    part's own weights. Memory is that of one part.
    """
    if count == 1:
        rows = losses(vectors(0))
        rows.mean().backward()  # type: ignore[no-untyped-call]
        return rows.detach()
    states, found = [], []
    with torch.no_grad():
        for at in range(count):
            states.append(checkpoint.random_tensors())
            found.append(vectors(at))
    after = checkpoint.random_tensors()
    whole = torch.cat(found).requires_grad_()
    rows = losses(whole)
    rows.mean().backward()  # type: ignore[no-untyped-call]
    assert whole.grad is not None
    gradients = torch.split(whole.grad, [len(one) for one in found])
    for at, (state, gradient) in enumerate(zip(states, gradients, strict=True)):
        checkpoint.restore_random(state)
        vectors(at).backward(gradient)  # type: ignore[no-untyped-call]
    checkpoint.restore_random(after)
    return rows.detach()
