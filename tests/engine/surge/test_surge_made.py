"""Made counts: as large as they are said to be, surges where they are said to be, and found surges counted by hand."""

import numpy as np
import pytest

from engine.bench import surge_made
from engine.specs.surge import ScoreSpec

HOURLY = ScoreSpec(bucket_minutes=60, sudden_minutes=60)


@pytest.mark.parametrize("kind", surge_made.KINDS[:3], ids=lambda kind: kind.name)
def test_made_counts_have_the_mean_that_is_said_and_are_more_dispersed_than_poisson(kind: surge_made.Kind) -> None:
    draw = np.random.default_rng(1)

    counts = draw.poisson(surge_made.rate(kind, 20, 40, 28, HOURLY, draw))

    weekends = (5 + 2 * 0.6) / 7
    assert counts.mean() == pytest.approx(20 * weekends, rel=0.05)
    assert counts.var() > 2 * counts.mean()


def test_surges_are_put_in_far_apart_and_nowhere_else() -> None:
    draw, rates = np.random.default_rng(2), np.zeros((3, 54 * 24))

    begins = surge_made._put_in(rates, 10, 2, HOURLY, draw)

    for row, places in zip(rates, begins, strict=True):
        assert len(places) >= 4 and (np.diff(places) >= surge_made.APART_DAYS * 24).all()
        assert (row[places] >= 10).all() and row[: places[0]].sum() == 0


def test_found_surges_and_false_episodes_are_counted_apart() -> None:
    ratios = np.zeros((2, 20 * 24))
    ratios[0, [200, 205, 400]] = 2.0  # a surge and what follows it within a day; nothing
    ratios[1, 300] = 1.0  # found only with a lower threshold than shipped

    found = surge_made.found(ratios, [np.array([198]), np.array([290])], HOURLY)

    assert (found["surges"], found["hits"], found["false"]) == (2, 1, 1)
    assert found["hits_at_rate"]["0.5"] == 2
    assert found["hits_at_rate"]["0.1"] == 0
