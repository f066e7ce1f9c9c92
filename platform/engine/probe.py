"""A linear probe: multinomial or per-label logistic regression on fixed text vectors."""

import torch
import torch.nn.functional as F
from torch import Tensor


def fit_probe(
    features: Tensor,
    targets: Tensor,
    *,
    multi_label: bool = False,
    l2: float = 1e-3,
    iterations: int = 200,
    has_bias: bool = True,
) -> tuple[Tensor, Tensor]:
    """(weight [K, D], bias [K]) that minimise mean cross entropy + l2 * |weight|^2 by L-BFGS.

    `features` [N, D]; `targets` [N, K] hold 0 and 1; without `has_bias` the bias stays 0. Deterministic for equal
    thread counts.
    """
    weight = torch.zeros(targets.shape[1], features.shape[1], requires_grad=True)
    bias = torch.zeros(targets.shape[1], requires_grad=has_bias)
    optimiser = torch.optim.LBFGS(
        [weight, bias] if has_bias else [weight],
        max_iter=iterations,
        history_size=10,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-6,
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        logits = features @ weight.T + bias  # [N, K]
        if multi_label:
            loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(1).mean()
        else:
            loss = F.cross_entropy(logits, targets)
        loss = loss + l2 * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()
