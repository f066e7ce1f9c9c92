"""The rules over many series at one tick: baseline, slow rise, share, static, ratio, and false discoveries."""

import math
from dataclasses import replace

import numpy as np
import pytest

from engine.specs.surge import RatioSpec, RiseSpec, ShareSpec, StaticSpec, SurgeSpec
from engine.surge import baseline, rise, share, tails, tick
from engine.surge.verdicts import History, discoveries

HOURLY = SurgeSpec(bucket_minutes=60, neighbour_minutes=60)
DAY, DAYS = 24, 30
MONDAY = 4 * DAY  # of January 1970


def made(series: int, mean: float, dispersion: float = 2, seed: int = 1, days: int = DAYS) -> np.ndarray:
    """Counts with a daily wave and half as much at weekends [S, days * DAY]; the first bucket is MONDAY."""
    draw, at = np.random.default_rng(seed), np.arange(days * DAY)
    wave = mean * (1 + 0.8 * np.sin(at * 2 * np.pi / DAY)) * np.where(at // DAY % 7 >= 5, 0.5, 1.0)
    return draw.poisson(draw.gamma(wave / (dispersion - 1), dispersion - 1, (series, len(at)))).astype(float)


def history(counts: np.ndarray) -> History:
    return History(counts, MONDAY + counts.shape[1] - 1)


def test_the_tail_of_a_negative_binomial_is_the_sum_of_its_terms() -> None:
    mean, dispersion = 7.0, 3.0
    size, chance = mean / (dispersion - 1), 1 / dispersion
    terms = [
        math.exp(math.lgamma(x + size) - math.lgamma(size) - math.lgamma(x + 1)) * chance**size * (1 - chance) ** x
        for x in range(15)
    ]

    found = tails.count_tail(np.array([0.0, 1, 15]), np.array(mean), np.array(dispersion))

    assert found == pytest.approx([1, 1 - terms[0], 1 - sum(terms)])


def test_the_tail_of_a_count_without_dispersion_is_poissons() -> None:
    found = tails.count_tail(np.array([3.0]), np.array([2.0]), np.array([1.0]))

    assert found == pytest.approx([1 - math.exp(-2) * (1 + 2 + 2)])


def test_the_quantile_is_the_smallest_count_that_is_hardly_exceeded() -> None:
    mean, dispersion = np.array([0.1, 3, 900, 2e6, np.nan]), np.array([1, 2, 30, 500, 1.0])

    found = tails.count_quantile(1e-3, mean, dispersion)

    assert (tails.count_tail(found + 1, mean, dispersion)[:4] <= 1e-3).all()
    assert (tails.count_tail(found, mean, dispersion)[:4] > 1e-3).all() and np.isnan(found[4])


def test_the_tail_of_a_share_is_the_sum_of_its_terms_and_close_to_it_for_many_tries() -> None:
    def one(hits: int, tries: int, overlap: float) -> float:
        return float(tails.share_tail(*(np.array([float(each)]) for each in (hits, tries, 0.5, overlap)))[0])

    assert one(2, 3, 1 / 3) == pytest.approx(0.5)  # beta(1, 1): each of 0 to 3 is as likely
    assert one(3, 3, 0) == pytest.approx(1 / 8)
    assert one(0, 3, 0.1) == 1
    assert one(2700, 5000, 0.001) == pytest.approx(one(2701, 5001, 0.001), rel=0.02)


@pytest.mark.parametrize("mean", [6, 300])
def test_what_is_expected_follows_the_hour_and_the_kind_of_day(mean: float) -> None:
    counts = made(200, mean)
    saturday = counts[:, : (3 * 7 + 5) * DAY + 7]  # 6 o'clock: the crest
    friday = counts[:, : (3 * 7 + 4) * DAY + 7]

    found = [baseline.expect(history(each), replace(HOURLY, left_out_days=0)).expected for each in (friday, saturday)]

    assert float(np.mean(found[0])) == pytest.approx(mean * 1.8, rel=0.08)
    assert float(np.mean(found[1])) == pytest.approx(mean * 0.9, rel=0.08)


def test_p_values_of_ordinary_counts_are_as_rare_as_they_say() -> None:
    verdicts = baseline.judge(history(made(3000, 30)), HOURLY)

    for level in (0.5, 0.1, 0.02):
        assert float((verdicts.p_value <= level).mean()) == pytest.approx(level, rel=0.5)
    inside = (verdicts.observed >= verdicts.low) & (verdicts.observed <= verdicts.high)
    assert float(inside.mean()) == pytest.approx(0.95, abs=0.02)
    assert not verdicts.thin.any() and set(verdicts.method) == {"seasonal"}


def test_a_surge_fires_and_a_past_outbreak_does_not_hide_it() -> None:
    counts = made(50, 20)
    counts[:, -1 - 7 * DAY - 2 : -1 - 7 * DAY + 3] = 4000
    without = baseline.expect(history(made(50, 20)), HOURLY).expected
    counts[:25, -1] = 150

    verdicts = baseline.judge(history(counts), HOURLY)

    assert verdicts.fires[:25].all() and not verdicts.fires[25:].any()
    assert float(np.median(verdicts.expected / without)) < 1.35


def test_a_trend_is_followed_where_it_is_significant() -> None:
    growing = np.random.default_rng(2).poisson(np.geomspace(20, 80, DAYS * DAY), (100, DAYS * DAY)).astype(float)

    found = baseline.expect(history(growing), HOURLY).expected

    assert float(np.median(found)) == pytest.approx(80, rel=0.1)


def test_missing_buckets_are_not_zeros() -> None:
    counts = made(20, 30)
    holes = counts.copy()
    holes[:, 14 * DAY : 18 * DAY] = np.nan
    zeros = np.nan_to_num(holes)
    holes[7, -1] = np.nan

    whole, holed, zeroed = (baseline.judge(history(each), HOURLY) for each in (counts, holes, zeros))

    assert float(np.nanmedian(holed.expected / whole.expected)) == pytest.approx(1, abs=0.1)
    assert float(np.nanmedian(zeroed.expected / whole.expected)) < 0.95
    assert holed.method[7] == "missing" and not holed.fires[7] and np.isnan(holed.p_value[7])


@pytest.mark.parametrize("method", ["c1", "c2", "c3"])
def test_a_thin_history_is_judged_by_the_newest_buckets(method: str) -> None:
    counts = np.random.default_rng(3).poisson(6, (40, 48)).astype(float)
    counts[:10, -1] = 60

    verdicts = baseline.judge(history(counts), replace(HOURLY, thin_method=method))

    assert verdicts.thin.all() and set(verdicts.method) == {f"ears_{method}"}
    assert verdicts.fires[:10].all() and not verdicts.fires[10:].any()
    assert float(np.mean(verdicts.expected)) == pytest.approx(18 if method == "c3" else 6, rel=0.15)


def test_without_any_history_nothing_is_said() -> None:
    verdicts = baseline.judge(history(np.array([[500.0]])), HOURLY)

    assert not verdicts.fires.any() and list(verdicts.method) == ["no_baseline"]


def test_too_few_mentions_are_no_surge() -> None:
    counts = np.zeros((2, DAYS * DAY))
    counts[0, -1], counts[1, -1] = 4, 9

    assert list(baseline.judge(history(counts), HOURLY).fires) == [False, True]


def test_later_buckets_change_no_verdict_and_series_are_judged_each_alone() -> None:
    counts = made(5, 12)
    before = baseline.judge(history(counts[:, :600]), HOURLY)
    longer = History(counts[:, 40:600], MONDAY + 599)

    again = baseline.judge(History(counts[2:3, :600], MONDAY + 599), HOURLY)

    assert np.allclose(again.p_value, before.p_value[2:3])
    assert np.allclose(baseline.judge(longer, replace(HOURLY, history_days=20)).p_value,
                       baseline.judge(history(counts[:, :600]), replace(HOURLY, history_days=20)).p_value)  # fmt: skip


def test_counts_of_millions_are_judged() -> None:
    counts = np.round(made(3, 40) * 1e6)
    counts[0, -1] = 9e8

    verdicts = baseline.judge(history(counts), HOURLY)

    assert list(verdicts.fires) == [True, False, False] and np.isfinite(verdicts.high).all()


def test_a_slow_rise_fires_that_no_single_bucket_shows() -> None:
    spec = RiseSpec(bucket_minutes=60, neighbour_minutes=60, run_length=500)
    counts, first = made(30, 10), (DAYS - 2) * DAY
    counts[:15, first:] = np.round(counts[:15, first:] * 1.35)
    sums, fired, surges = rise.fresh(30), np.zeros(30, dtype=bool), np.zeros(30, dtype=bool)
    for at in range(first, DAYS * DAY):
        past = History(counts[:, : at + 1], MONDAY + at)
        sums, verdicts = rise.judge(past, sums, spec)
        fired |= verdicts.fires
        surges |= baseline.judge(past, replace(HOURLY, alpha=1e-5)).fires

    assert fired[:15].mean() > 0.9 and fired[15:].mean() < 0.3
    assert surges[:15].mean() < 0.5


def test_without_a_rise_an_alert_takes_as_long_as_was_asked_for() -> None:
    height, draw = rise.height(2, 1, 1.5, 300), np.random.default_rng(5)
    sums, lengths, silent = np.zeros(400), np.zeros(400), np.ones(400, dtype=bool)
    for _bucket in range(2400):
        added = rise.gain(rise.draws(draw, 4, 2, 400), np.array(4.0), np.array(2.0), 1.5)
        sums = np.maximum(sums + added, 0)
        lengths += silent
        silent &= sums < height

    assert 230 < float(lengths.mean()) < 380


def test_a_missing_bucket_leaves_the_sum_of_a_rise() -> None:
    counts = made(2, 20)
    counts[0, -1] = np.nan
    spec = RiseSpec(bucket_minutes=60, neighbour_minutes=60, run_length=100)

    sums, verdicts = rise.judge(history(counts), np.array([1.5, 1.5]), spec)

    assert sums[0] == 1.5 and sums[1] != 1.5 and verdicts.method[0] == "missing"


def test_a_share_that_moves_fires_whatever_the_volume_does() -> None:
    draw = np.random.default_rng(4)
    total = draw.poisson(30, (60, 400)).astype(float)
    negative = draw.binomial(total.astype(int), draw.beta(4, 12, (60, 400))).astype(float)
    total[:20, -1], negative[:20, -1] = 30, 27  # the share moves
    total[20:40, -1], negative[20:40, -1] = 300, 75  # the volume moves

    verdicts = share.judge(History(total, 400, negative), ShareSpec(bucket_minutes=60))

    assert verdicts.fires[:20].all() and not verdicts.fires[20:].any()
    assert float(np.mean(verdicts.expected)) == pytest.approx(0.25, abs=0.02)
    assert ((verdicts.low < verdicts.expected) & (verdicts.expected < verdicts.high)).all()


def test_a_share_of_few_is_no_news_and_needs_its_negatives() -> None:
    total, negative = np.full((1, 200), 8.0), np.full((1, 200), 1.0)
    negative[0, -1] = 8

    assert not share.judge(History(total, 200, negative), ShareSpec()).fires.any()
    assert share.judge(History(total, 200, negative), ShareSpec(least_total=8)).fires.all()
    with pytest.raises(ValueError, match="negative"):
        share.judge(History(total, 200), ShareSpec())


def test_static_and_ratio_speak_in_the_same_shape() -> None:
    counts = np.array([[2.0] * 30 + [50], [40] * 30 + [50], [np.nan] * 30 + [50], [3] * 30 + [np.nan], [0] * 30 + [50]])
    spec = RatioSpec(bucket_minutes=60)

    fixed, times = tick.judge(history(counts), StaticSpec(threshold=45)), tick.judge(history(counts), spec)

    assert list(fixed.fires) == [True, True, True, False, True]
    assert list(times.fires) == [True, False, False, False, False]
    assert list(times.method) == ["ratio", "ratio", "no_baseline", "missing", "no_baseline"]
    below = tick.judge(history(counts), StaticSpec(threshold=55, direction="below"))
    assert list(below.fires) == [True, True, True, False, True]


def test_of_many_series_only_so_many_false_ones_stand() -> None:
    assert list(discoveries(np.array([0.01, 0.04, np.nan, 0.03, 0.9]), 0.05)) == [True, False, False, False, False]
    assert list(discoveries(np.array([0.01, 0.02, np.nan, 0.03, 0.04]), 0.05)) == [True, True, False, True, True]
    assert not discoveries(np.array([np.nan, np.nan]), 0.05).any()
    counts = made(400, 20)
    counts[:5, -1] = 300
    many = replace(HOURLY, alpha=0.05)

    loose, strict = (tick.judge(history(counts), each) for each in (many, replace(many, false_discovery_rate=0.05)))

    assert strict.fires[:5].all() and strict.fires[5:].sum() <= 2 < loose.fires[5:].sum()


def test_specs_of_rules_name_what_does_not_go_together() -> None:
    assert all(not spec().problems() for spec in (StaticSpec, RatioSpec, SurgeSpec, RiseSpec, ShareSpec))
    assert [each.field for each in SurgeSpec(history_days=10).problems()] == ["thin_days"]
    assert [each.field for each in SurgeSpec(thin_method="c4").problems()] == ["thin_method"]
