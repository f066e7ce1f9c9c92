"""The surge score of many series side by side, bucket by bucket, in a state of fixed size.

A count x stands against the expected count m of its time of day. Over a short, a middle and a long stretch the sums X and M of both
give the surprise z = 2 sqrt(X + 3/8) - 2 sqrt(M + 3/8) (Anscombe 1948: about unit deviation for a Poisson count of any size). How
large z becomes by itself differs from series to series, since counts are over-dispersed and bursty; so z is divided by what its
largest values in past blocks tell of rare ones, as in the block-maxima method for extremes (Gumbel 1958): their mean and one
deviation. The deviation is taken for the mean at least, which an exponential tail has, so that calm series are no easier to alarm;
and the whole is wider by 1/n after n blocks, as long as they are few. The ratio is the geometric mean of the stretches: sudden,
lasting and sustained at once. The score is ratio / (ratio + alert_ratio).
"""

import warnings
from dataclasses import dataclass

import numpy as np

from engine.specs.surge import ScoreSpec

ANSCOMBE = 3 / 8
FLOOR = 0.05  # added to the ratio of each stretch, so that one stretch without surprise does not silence the others
LEAST_SCALE = 1.0  # what a Poisson count of any size deviates by itself
EVIDENCE_COUNT, EVIDENCE_BUCKETS = 5, 4  # no ratio before so many were counted in the newest buckets
CLIPPED_ABOVE = 0.98  # of a day's buckets: what stands above does not raise what is expected
SUPPRESSED = 0.5  # what follows an alert scores half, hence below 0.5


def stabilised(sums: np.ndarray) -> np.ndarray:
    """2 sqrt(x + 3/8): deviation about 1 for a Poisson count."""
    return 2 * np.sqrt(sums + ANSCOMBE)


@dataclass
class ScoreState:
    """All that is remembered of S series; `bucket` is the number of the newest one since 1970."""

    bucket: int
    days: np.ndarray  # [S, D] how many days each time of day was seen
    profile: np.ndarray  # [S, D] expected count
    today: np.ndarray  # [S, D] counts of this day; NaN where none was seen
    counts: np.ndarray  # [S, L] the newest counts, L of the longest stretch; NaN where none was seen
    expected: np.ndarray  # [S, L] what was expected of them
    blocks: np.ndarray  # [S] blocks that were finished
    means: np.ndarray  # [S, 3] mean of the largest surprises of the blocks, a column a stretch
    squares: np.ndarray  # [S, 3] mean of their squares
    largest: np.ndarray  # [S, 3] largest surprise of this block; NaN where none was seen
    quiet_until: np.ndarray  # [S] bucket before which an alert is no new one


def fresh(series: int, spec: ScoreSpec, first_bucket: int) -> ScoreState:
    """The state of S series before their first bucket."""
    day, stretches = spec.day, spec.stretches
    return ScoreState(
        bucket=first_bucket - 1,
        days=np.zeros((series, day)),
        profile=np.full((series, day), np.nan),
        today=np.full((series, day), np.nan),
        counts=np.full((series, max(stretches)), np.nan),
        expected=np.full((series, max(stretches)), np.nan),
        blocks=np.zeros(series),
        means=np.zeros((series, len(stretches))),
        squares=np.zeros((series, len(stretches))),
        largest=np.full((series, len(stretches)), np.nan),
        quiet_until=np.full(series, np.iinfo(np.int64).min),
    )


@dataclass(frozen=True)
class Scored:
    """What one bucket of S series says; NaN where the bucket is missing or too little was seen before."""

    expected: np.ndarray  # [S] count of this time of day
    ratio: np.ndarray  # [S] surprise in units of what the strongest moments of blocks usually reach
    score: np.ndarray  # [S] in [0, 1]; an alert begins at 0.5
    alert: np.ndarray  # bool [S] an alert begins here


def step(state: ScoreState, counts: np.ndarray, bucket: int, spec: ScoreSpec) -> Scored:
    """Judge the counts [S] of one bucket (NaN: missing) by what came before, then remember them.

    Raises:
        ValueError: the bucket is not newer than the last one.
    """
    if bucket <= state.bucket:
        raise ValueError(f"bucket {bucket} comes after bucket {state.bucket}: a clock went back")
    _pass_over(state, bucket, spec)
    return _step(state, np.asarray(counts, dtype=float), spec)


def run(counts: np.ndarray, first_bucket: int, spec: ScoreSpec) -> list[Scored]:
    """The steps of S series over B consecutive buckets, counts [S, B]."""
    state = fresh(len(counts), spec, first_bucket)
    return [step(state, counts[:, at], first_bucket + at, spec) for at in range(counts.shape[1])]


def _pass_over(state: ScoreState, bucket: int, spec: ScoreSpec) -> None:
    """Let the buckets up to this one go by unseen; of a long hole only its last stretch is walked through."""
    longest = max(2 * spec.day, *spec.stretches, 2 * spec.hours(spec.block_hours))
    if bucket - state.bucket > 2 * longest:
        state.today[:], state.counts[:], state.largest[:] = np.nan, np.nan, np.nan
        state.bucket = bucket - longest - 1
    unseen = np.full(len(state.blocks), np.nan)
    while state.bucket < bucket - 1:
        _step(state, unseen, spec)


def _step(state: ScoreState, counts: np.ndarray, spec: ScoreSpec) -> Scored:
    state.bucket += 1
    slot, at = state.bucket % spec.day, state.bucket % state.counts.shape[1]
    expected = _expected(state, slot)
    state.counts[:, at], state.expected[:, at] = np.where(np.isnan(expected), np.nan, counts), expected
    surprise = np.stack([_surprise(state, many) for many in spec.stretches], axis=1)
    surprise[np.isnan(counts)] = np.nan
    parts = np.maximum(surprise, 0) / _usual(state) + FLOOR  # [S, 3]
    ratio = parts.prod(axis=1) ** (1 / parts.shape[1])
    ratio[_newest(state.counts, state.bucket, EVIDENCE_BUCKETS) < EVIDENCE_COUNT] = 0
    ratio[np.isnan(counts) | (state.blocks < spec.blocks_before)] = np.nan
    found = _judged(state, expected, ratio, spec)
    state.largest = np.fmax(state.largest, surprise)
    state.today[:, slot] = counts
    if (state.bucket + 1) % spec.hours(spec.block_hours) == 0:
        _end_block(state, spec)
    if slot == spec.day - 1:
        _end_day(state, spec)
    return found


def _expected(state: ScoreState, slot: int) -> np.ndarray:
    """Of this time of day [S]; where no day was seen, the mean of this day so far."""
    profile = state.profile[:, slot]
    unknown = np.isnan(profile)
    if unknown.any():
        profile = np.where(unknown, _mean(state.today), profile)
    return profile


def _usual(state: ScoreState) -> np.ndarray:
    """How large the surprise of each stretch becomes by itself [S, 3]; of no meaning before a block was seen."""
    deviation = np.sqrt(np.maximum(state.squares - state.means**2, state.means**2))
    few = 1 / np.maximum(state.blocks, 1)[:, None]
    usual: np.ndarray = np.maximum((state.means + deviation) * (1 + few), LEAST_SCALE)
    return usual


def _surprise(state: ScoreState, newest: int) -> np.ndarray:
    """z of so many newest buckets [S]."""
    length = state.counts.shape[1]
    some = slice(None) if newest == length else (state.bucket - np.arange(newest)) % length
    seen, wanted = state.counts[:, some], state.expected[:, some]
    found: np.ndarray = stabilised(np.nansum(seen, axis=1)) - stabilised(
        np.where(np.isnan(seen), 0, wanted).sum(axis=1)
    )
    return found


def _newest(counts: np.ndarray, bucket: int, many: int) -> np.ndarray:
    """The sum of what was seen in so many newest buckets [S]."""
    total: np.ndarray = np.nansum(counts[:, (bucket - np.arange(min(many, counts.shape[1]))) % counts.shape[1]], axis=1)
    return total


def _judged(state: ScoreState, expected: np.ndarray, ratio: np.ndarray, spec: ScoreSpec) -> Scored:
    reached = ratio >= spec.alert_ratio  # never where the ratio is NaN
    quiet = state.bucket < state.quiet_until
    alert = reached & ~quiet
    state.quiet_until[alert] = state.bucket + spec.hours(spec.quiet_hours)
    score = ratio / (ratio + spec.alert_ratio) * np.where(reached & quiet, SUPPRESSED, 1.0)
    return Scored(expected, ratio, score, alert)


def _end_block(state: ScoreState, spec: ScoreSpec) -> None:
    seen = ~np.isnan(state.largest[:, 0])
    state.blocks += seen
    largest = np.maximum(state.largest[seen], 0)
    share = 1 / np.minimum(state.blocks[seen], spec.blocks_kept)[:, None]
    state.means[seen] += share * (largest - state.means[seen])
    state.squares[seen] += share * (largest**2 - state.squares[seen])
    state.largest[:] = np.nan


def _end_day(state: ScoreState, spec: ScoreSpec) -> None:
    """Fold the day into what is expected of each time of day, without its highest buckets and smoothed."""
    seen = ~np.isnan(state.today)
    if seen.any():
        smooth = _smoothed(state.today, spec.neighbour_minutes // spec.bucket_minutes)
        known = ~np.isnan(smooth)
        state.days += known
        share = 1 / np.minimum(np.maximum(state.days, 1), spec.days_kept)
        before = np.nan_to_num(state.profile)
        state.profile = np.where(known, before + share * (smooth - before), state.profile)
    state.today[:] = np.nan


def _smoothed(day: np.ndarray, around: int) -> np.ndarray:
    """The mean of the neighbours of each time of day [S, D], around midnight too; NaN where none was seen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a series of which nothing was seen
        top = np.nanquantile(day, CLIPPED_ABOVE, axis=1, keepdims=True)
    clipped = np.minimum(day, top)
    wide = np.concatenate([clipped[:, day.shape[1] - around :], clipped, clipped[:, :around]], axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(wide, 2 * around + 1, axis=1)
    seen = (~np.isnan(windows)).sum(axis=2)
    return np.where(seen > 0, np.nansum(windows, axis=2) / np.maximum(seen, 1), np.nan)


def _mean(counts: np.ndarray) -> np.ndarray:
    """Of what was seen in each row; NaN where nothing was."""
    seen = (~np.isnan(counts)).sum(axis=1)
    return np.where(seen > 0, np.nansum(counts, axis=1) / np.maximum(seen, 1), np.nan)
