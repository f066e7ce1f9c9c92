"""The comparison of detectors: thresholds that never saw the judged series, peers that never look ahead, copies of a state."""

import copy

import numpy as np
import pytest

from engine.bench import nab, surge, surge_injected, surge_peers
from engine.specs.surge import ScoreSpec
from engine.surge import score


def labelled(scores: dict[int, float], rows: int = 1200) -> tuple[nab.Labelled, np.ndarray]:
    found = np.zeros(rows)
    for row, value in scores.items():
        found[row] = value
    return nab.Labelled("made", np.arange(rows).astype("datetime64[s]"), np.zeros(rows), ((300, 339),)), found


def test_the_threshold_of_a_series_is_fitted_on_the_others() -> None:
    pairs = [labelled({300: 0.9, 800: 0.5}), labelled({300: 0.8, 900: 0.4}), labelled({300: 0.3})]
    several, scores = [pair[0] for pair in pairs], [pair[1] for pair in pairs]

    found = surge.reading(several, scores, quiet=0)["standard"]

    assert found["thresholds"][2] == pytest.approx(0.8)  # the others need no lower one, so the third window is missed
    assert found["left_out"] < found["oracle"]
    assert (found["events_left_out"]["hits"], found["events_left_out"]["windows"]) == (2, 3)


def test_a_detector_that_is_always_wrong_is_better_silent() -> None:
    pairs = [labelled({500: 0.9, 800: 0.5}), labelled({600: 0.8, 900: 0.4})]

    found = surge.reading([pair[0] for pair in pairs], [pair[1] for pair in pairs], quiet=0)["standard"]

    assert found["oracle"] == found["left_out"] == pytest.approx(0)


@pytest.mark.parametrize("name", sorted(surge_peers.PEERS))
def test_no_public_detector_sees_what_comes_later(name: str) -> None:
    values = np.random.default_rng(2).poisson(20, 900).astype(float)
    other = values.copy()
    other[700:] *= 9

    said, again = (surge_peers.PEERS[name](each, 135) for each in (values, other))

    assert np.array_equal(said[:700], again[:700]) and ((said >= 0) & (said <= 1)).all()
    assert said.std() > 0


def test_a_surge_is_put_into_copies_of_a_state_that_go_on_alike() -> None:
    counts, spec = np.random.default_rng(3).poisson(9, (2, 700)).astype(float), ScoreSpec(bucket_minutes=60)
    state = score.fresh(2, spec, 0)
    for row in range(600):
        score.step(state, counts[:, row], row, spec)

    many = surge_injected._repeated(state, 3)
    kept = copy.deepcopy(state)
    said = score.step(many, np.tile(counts[:, 600], 3), 600, spec).score

    assert np.array_equal(said, np.tile(score.step(state, counts[:, 600], 600, spec).score, 3))
    assert many.counts.shape[0] == 6 and kept.bucket == 599
