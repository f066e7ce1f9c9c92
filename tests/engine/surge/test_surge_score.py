"""The surge score: no look ahead, streams, holes, clocks, surges of many sizes in series of any kind."""

from dataclasses import replace

import numpy as np
import pytest

from engine.specs.surge import ScoreSpec
from engine.surge import score

SPEC = ScoreSpec(bucket_minutes=60, sudden_minutes=60)
DAYS, DAY = 30, 24


def counts(mean: float, seed: int = 1, days: int = DAYS) -> np.ndarray:
    """Over-dispersed counts with a daily wave [days * DAY]."""
    draw = np.random.default_rng(seed)
    wave = mean * (1 + 0.8 * np.sin(np.arange(days * DAY) * 2 * np.pi / DAY))
    return draw.poisson(wave * draw.gamma(20, 1 / 20, days * DAY)).astype(float)


def scores(series: np.ndarray, spec: ScoreSpec = SPEC, first: int = 480_000) -> np.ndarray:
    """Of S series or one."""
    return np.array([step.score for step in score.run(np.atleast_2d(series), first, spec)]).T


@pytest.mark.parametrize("mean", [0.4, 3, 50, 20_000])
def test_a_surge_scores_highest_whatever_the_size_of_the_counts(mean: float) -> None:
    series = counts(mean)
    at = 25 * DAY + 3
    series[at : at + 6] += 12 * mean + 8

    found = scores(series)[0]

    assert at <= int(np.nanargmax(found)) < at + 6
    assert np.nanmax(found) >= 0.5


def test_ordinary_days_seldom_raise_an_alert() -> None:
    calm = np.array([counts(mean, seed) for seed, mean in enumerate((0.4, 2, 8, 30, 400) * 60)])

    alerts = sum(int(step.alert.sum()) for step in score.run(calm, 0, SPEC))

    assert alerts / (len(calm) * DAYS / 7) < 0.025  # a series and week


def test_what_comes_later_changes_nothing_that_was_said() -> None:
    series = counts(10)
    other = series.copy()
    other[600:] = 10_000

    assert np.array_equal(scores(series)[0, :600], scores(other)[0, :600], equal_nan=True)


def test_many_series_at_once_are_each_as_if_alone() -> None:
    many = np.array([counts(mean, seed) for seed, mean in enumerate((0.3, 5, 80))])
    many[1, 100:130] = np.nan

    together = scores(many)

    for at, alone in enumerate(many):
        assert np.allclose(together[at], scores(alone)[0], equal_nan=True)


def test_one_alert_an_episode_and_a_new_one_after_the_quiet_time() -> None:
    series = counts(20)
    series[500:503] += 3000
    series[600:603] += 30_000

    alerts = np.flatnonzero([step.alert[0] for step in score.run(series[None], 0, SPEC)])

    assert list(alerts) == [500, 600]


def test_a_missing_bucket_has_no_score_and_is_not_zero() -> None:
    series = counts(30)
    holes = series.copy()
    holes[300:310] = np.nan

    found = scores(holes)[0]

    assert np.isnan(found[300:310]).all() and not np.isnan(found[310:]).any()
    assert np.nanmax(found[310:400]) < 0.5


def test_buckets_that_are_passed_over_are_as_missing_ones() -> None:
    series = counts(30)
    state = score.fresh(1, SPEC, 0)
    stepped = [
        score.step(state, series[None, at], at, SPEC).score[0] for at in range(len(series)) if not 300 <= at < 310
    ]
    series[300:310] = np.nan

    said = scores(series, first=0)[0]

    assert np.array_equal(stepped, np.delete(said, np.arange(300, 310)), equal_nan=True)


def test_a_clock_that_goes_back_is_refused() -> None:
    state = score.fresh(1, SPEC, 100)
    score.step(state, np.array([3.0]), 100, SPEC)

    with pytest.raises(ValueError, match="a clock went back"):
        score.step(state, np.array([3.0]), 100, SPEC)


def test_a_hole_of_years_is_passed_over_at_once_and_what_was_learnt_stays() -> None:
    series = counts(30)
    state = score.fresh(1, SPEC, 0)
    for at in range(len(series)):
        score.step(state, series[None, at], at, SPEC)
    before = state.profile.copy()

    found = score.step(state, np.array([30.0]), 10_000_000, SPEC)

    assert np.array_equal(state.profile, before) and 0 < found.score[0] < 0.5


def test_nothing_is_said_before_enough_was_seen() -> None:
    found = scores(counts(10))[0]

    early = SPEC.blocks_before * SPEC.hours(SPEC.block_hours)
    assert np.isnan(found[: early - 1]).all() and not np.isnan(found[early:]).any()


def test_zeros_alone_say_nothing_and_the_first_mentions_do() -> None:
    series = np.zeros(400)
    series[350:353] = 40

    found = scores(series)[0]

    assert np.nanmax(found[:350]) == 0 or np.nanmax(found[:350]) < 0.1
    assert found[350] >= 0.5


def judged_alike(*, blocks: tuple[float, float], squares: tuple[float, float]) -> np.ndarray:
    """The ratios of one moment in two series that are alike but for what their past blocks showed, [2]."""
    state = score.fresh(2, SPEC, 0)
    for at, count in enumerate(counts(10)[: 10 * DAY]):
        score.step(state, np.full(2, count), at, SPEC)
    state.blocks[:], state.means[:] = blocks, 4.0
    state.squares[:] = np.array(squares)[:, None]
    return score.step(state, np.full(2, 90.0), 10 * DAY, SPEC).ratio


def test_a_series_whose_blocks_differ_more_must_burst_more() -> None:
    steady, uneven = judged_alike(blocks=(50, 50), squares=(16, 16 + 64))

    assert uneven < 0.8 * steady


def test_the_same_moment_is_worth_less_while_few_blocks_were_seen() -> None:
    few, many = judged_alike(blocks=(4, 50), squares=(32, 32))

    assert few == pytest.approx(many * 1.02 / 1.25, rel=0.05)


def test_a_surge_that_lasts_scores_higher_than_a_spike_as_high() -> None:
    spec = ScoreSpec(bucket_minutes=15)
    spike = np.random.default_rng(4).poisson(9, 12 * spec.day).astype(float)
    lasting = spike.copy()
    at = 10 * spec.day
    spike[at] += 60
    lasting[at : at + 8] += 60

    one, other = (
        np.nanmax([step.ratio[0] for step in score.run(each[None], 0, spec)][at:]) for each in (spike, lasting)
    )

    assert other > 1.5 * one


def test_the_order_of_the_stretches_does_not_matter() -> None:
    series = counts(10)
    spec = replace(SPEC, sudden_minutes=60, middle_hours=2, sustained_hours=12)
    turned = replace(SPEC, sudden_minutes=720, middle_hours=2, sustained_hours=1)

    assert np.allclose(scores(series, spec), scores(series, turned), equal_nan=True)


def test_specs_name_what_is_wrong() -> None:
    assert ScoreSpec().problems() == []
    assert [each.field for each in replace(ScoreSpec(), bucket_minutes=7).problems()] == ["bucket_minutes"]
    assert [each.field for each in replace(ScoreSpec(), alert_ratio=0).problems()] == ["alert_ratio"]
