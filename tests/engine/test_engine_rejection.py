"""Texts about none of the labels: bound, probabilities, figures."""

import numpy as np
import pytest
import torch

from engine.failures import RunFailed
from engine.rejection import Rejection, auroc_interval, rejection_figures, score


def test_the_bound_turns_the_wanted_share_away() -> None:
    logits = torch.randn(1000, 5, generator=torch.Generator().manual_seed(1)) * 3

    rule = Rejection.fitted("other", logits, share=0.05)

    assert float((score(logits) < rule.threshold).float().mean()) == pytest.approx(0.05, abs=0.002)


def test_the_label_is_likeliest_exactly_below_the_bound() -> None:
    logits = torch.randn(500, 7, generator=torch.Generator().manual_seed(2)) * 2
    rule = Rejection.fitted("other", logits, share=0.3)

    found = rule.probabilities(logits)

    assert torch.allclose(found.sum(-1), torch.ones(500), atol=1e-6) and bool((found >= 0).all())
    turned_away = found.argmax(-1) == 7
    assert torch.equal(turned_away, score(logits) < rule.threshold)
    assert torch.equal(found[~turned_away].argmax(-1), logits[~turned_away].argmax(-1))


def test_a_rule_comes_back_as_it_was_said() -> None:
    rule = Rejection("other", 1.5, 0.25)

    assert Rejection.read(rule.said()) == rule
    assert Rejection.read(None) is None


def test_without_rows_to_fit_on_the_run_is_refused() -> None:
    with pytest.raises(RunFailed, match="other"):
        Rejection.fitted("other", torch.zeros(0, 3), share=0.02)


def test_figures_are_those_counted_by_hand() -> None:
    gold = np.eye(3, dtype=bool)[[0, 0, 1, 1, 2, 2]]  # the last label is the one of the others
    decided = np.eye(3, dtype=bool)[[0, 2, 1, 0, 2, 1]]
    outside = np.array([0.1, 0.6, 0.2, 0.3, 0.9, 0.25])
    probabilities = np.column_stack([1 - outside, np.zeros(6), outside])

    found = rejection_figures(gold, decided, probabilities)

    assert found["in_scope_accuracy"]["value"] == 0.5 and found["outside_recall"]["value"] == 0.5
    assert found["outside_auroc"]["value"] == pytest.approx(6 / 8)
    assert found["outside_auroc"]["low"] < 0.75 < found["outside_auroc"]["high"]
    assert "outside_recall" not in rejection_figures(gold[:4], decided[:4], probabilities[:4])


def test_the_interval_of_an_area_of_a_half_is_that_of_chance() -> None:
    """At 0.5 the variance is that of Mann and Whitney's U without ties: (m + n + 1) / 12 m n."""
    found = auroc_interval(0.5, 51, 58)

    assert (found["high"] - found["low"]) / 2 / 1.96 == pytest.approx(((51 + 58 + 1) / (12 * 51 * 58)) ** 0.5)
