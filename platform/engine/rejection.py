"""Texts that are about none of the labels: a score, the bound below which a text is turned away, and its probability.

The score is the free energy of the logits, log sum exp z_k (Liu et al. 2020, "Energy-based Out-of-distribution
Detection"): unlike the largest probability it still tells a text that fits several labels from one that fits none.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine import metrics
from engine.failures import RunFailed
from words import say

LEAST_SCALE = 1e-3


@dataclass(frozen=True)
class Rejection:
    """`label` is given to texts whose score is below `threshold`; `scale` is the spread of the scores of the others."""

    label: str
    threshold: float
    scale: float

    @classmethod
    def fitted(cls, label: str, logits: Tensor, *, share: float) -> Self:
        """The bound that turns away `share` of texts that are about one of the labels; their logits are [N, K].

        RunFailed("no_dev") without such texts.
        """
        if not len(logits):
            raise RunFailed(
                "no_dev",
                say("There are no dev rows to fit the bound of “{label}” on.", label=label),
                say("Split the dataset or raise holdout_share."),
            )
        scores = score(logits)
        return cls(label, float(torch.quantile(scores, share)), max(LEAST_SCALE, float(scores.std(correction=0))))

    @classmethod
    def read(cls, said: Mapping[str, Any] | None) -> Self | None:
        """What a description says, None where it says nothing."""
        return cls(**said) if said else None

    def said(self) -> dict[str, Any]:
        """As a description holds it."""
        return asdict(self)

    def probabilities(self, logits: Tensor) -> Tensor:
        """[N, K] logits -> [N, K + 1] probabilities, the last of them of `label`.

        With m the largest softmax probability and u = sigmoid((threshold - score) / scale), the odds of the label are
        m u / (1 - u): it is the likeliest exactly where the score is below the threshold.
        """
        inside = torch.softmax(logits, -1)
        odds = inside.amax(-1, keepdim=True) * torch.exp((self.threshold - score(logits)[:, None]) / self.scale)
        outside = odds / (1 + odds)  # [N, 1]
        return torch.cat([inside * (1 - outside), outside], dim=-1)


def probabilities_of(logits: Tensor, rejection: Rejection | None, *, multi_label: bool) -> Tensor:
    """Probabilities [N, K] of logits [N, K]; with a rejection [N, K + 1]."""
    if rejection is not None:
        return rejection.probabilities(logits)
    return torch.sigmoid(logits) if multi_label else torch.softmax(logits, -1)


def names_of(description: Mapping[str, Any]) -> list[str]:
    """The labels that a version gives: those of its network, and that of texts about none of them."""
    rejection = Rejection.read(description.get("outside"))
    return [*description["labels"], *([rejection.label] if rejection else [])]


def score(logits: Tensor) -> Tensor:
    """log sum exp of each row, [N]; small where no label fits."""
    return torch.logsumexp(logits, -1)


def rejection_figures(
    gold: NDArray[np.bool_], decided: NDArray[np.bool_], probabilities: NDArray[np.float64]
) -> dict[str, dict[str, float]]:
    """Accuracy on texts about one of the labels, recall of the others, both with Wilson intervals, and the AUROC.

    All [N, K + 1], the last label being the one of the others. What has no rows is not among the figures.
    """
    outside, right = gold[:, -1], np.all(gold == decided, axis=1)
    found = {}
    for name, rows in (("in_scope_accuracy", right[~outside]), ("outside_recall", right[outside])):
        if len(rows):
            low, high = metrics.wilson(int(rows.sum()), len(rows))
            found[name] = {"value": float(rows.mean()), "low": low, "high": high}
    area = metrics.roc_auc(outside, probabilities[:, -1])
    if area is not None:
        found["outside_auroc"] = {"value": area, **auroc_interval(area, int(outside.sum()), int((~outside).sum()))}
    return found


def auroc_interval(area: float, positive: int, negative: int) -> dict[str, float]:
    """The 95 % interval of an AUROC by its normal approximation (Hanley, McNeil 1982)."""
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (positive - 1) * (first - area**2) + (negative - 1) * (second - area**2)
    wide = 1.96 * float(np.sqrt(max(0.0, variance) / (positive * negative)))
    return {"low": max(0.0, area - wide), "high": min(1.0, area + wide)}
