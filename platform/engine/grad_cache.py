"""Gradients of a loss over all vectors of a step, holding the activations of one portion of its texts at a time.

Gradient caching (Gao et al. 2021): the vectors V of all texts are made without gradients, dL/dV is taken from them
alone, and each portion is then read once more, with gradients, and given its rows of dL/dV. By the chain rule this is
the gradient of the whole step; a second reading is the price. Dropout repeats itself in the second reading, because the
random state of each portion is kept.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from engine import checkpoint

Sequences = Sequence[Sequence[int]]


def cached_backward(
    embed: Callable[[Sequences], Tensor],
    sequences: Sequences,
    portions: Sequence[Sequence[int]],
    loss_of: Callable[[Tensor], Tensor],
) -> None:
    """Add the gradients of `loss_of`(vectors [N, D] of all sequences) to the weights of `embed`.

    `portions` are positions of the sequences, each once. A single portion is read once only.
    """
    if len(portions) == 1:
        (only,) = portions
        loss_of(embed([sequences[at] for at in only])[_places(portions)]).backward()  # type: ignore[no-untyped-call]
        return
    states, read = [], []
    with torch.no_grad():
        for portion in portions:
            states.append(checkpoint.random_tensors())
            read.append(embed([sequences[at] for at in portion]))
    after = checkpoint.random_tensors()
    vectors = torch.cat(read)[_places(portions)].requires_grad_()
    loss_of(vectors).backward()  # type: ignore[no-untyped-call]
    slopes = vectors.grad
    assert slopes is not None
    for portion, state in zip(portions, states, strict=True):
        checkpoint.restore_random(state)
        embed([sequences[at] for at in portion]).backward(slopes[list(portion)])  # type: ignore[no-untyped-call]
    checkpoint.restore_random(after)


def _places(portions: Sequence[Sequence[int]]) -> Tensor:
    """Where each sequence lies in the portions laid end to end."""
    return torch.argsort(torch.tensor([at for portion in portions for at in portion]))
