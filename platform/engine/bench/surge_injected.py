"""Surges put into real counts: how soon each detector speaks and how many it misses; and what a tick of many series costs."""

import copy
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from engine.bench import nab
from engine.specs.surge import RatioSpec, RiseSpec, ScoreSpec, ShareSpec, StaticSpec, SurgeSpec
from engine.surge import rise, score, tick
from engine.surge.verdicts import History

FACTORS, LENGTHS = (1.5, 2.0, 5.0), (1, 3, 6, 12)
PLACES, WARM_UP, SEED = 12, 36, 17
SERIES, DAYS, BUCKET_SECONDS = 1000, 29, 300
RISE = RiseSpec()
SURGE = SurgeSpec()


def table(several: Sequence[nab.Labelled], spec: ScoreSpec, *, small: bool) -> Iterator[dict[str, Any]]:
    """One mapping a factor, length and detector: found while the surge lasts, of how many, median buckets until then."""
    length = min(len(series.values) for series in several)
    counts = np.array([series.values[:length] for series in several])
    first = int(several[0].times[0].astype("int64")) // BUCKET_SECONDS
    free = np.ones(length, dtype=bool)  # no series has a window there or a day before
    for series in several:
        for begin, end in series.windows:
            free[max(0, begin - spec.day) : end + 1] = False
    free[: (SURGE.thin_days + 1) * spec.day] = False
    free[-max(LENGTHS) :] = False
    places = np.random.default_rng(SEED).choice(np.flatnonzero(free), 2 if small else PLACES, replace=False)
    cells: dict[tuple[str, float, int], list[int | None]] = {}
    state = score.fresh(len(several), spec, first)
    for at in range(max(places) + 1):
        if at in places:
            for key, delays in _around(counts, at, first, state, spec).items():
                cells.setdefault(key, []).extend(delays)
        score.step(state, counts[:, at], first + at, spec)
    for (name, factor, lasting), delays in cells.items():
        found = [each for each in delays if each is not None]
        yield {
            "kind": "injected",
            "name": name,
            "factor": factor,
            "buckets": lasting,
            "found": len(found),
            "of": len(delays),
            "median_delay": float(np.median(found)) if found else None,
        }


def _around(
    counts: np.ndarray, at: int, first: int, state: score.ScoreState, spec: ScoreSpec
) -> dict[tuple[str, float, int], list[int | None]]:
    """Delays of each series by (detector, factor, length), all surges beginning at this row; a factor of 1 is no surge."""
    kinds = [(1.0, max(LENGTHS)), *((factor, lasting) for factor in FACTORS for lasting in LENGTHS)]
    series = len(counts)
    many = np.tile(counts[:, : at + max(LENGTHS)], (len(kinds), 1))
    for number, (factor, lasting) in enumerate(kinds):
        rows = slice(number * series, (number + 1) * series)
        many[rows, at : at + lasting] = np.round(many[rows, at : at + lasting] * factor)
    forked, sums = _repeated(state, len(kinds)), _warm(counts, at, first, len(kinds))
    fired: dict[str, list[np.ndarray]] = {"surge score": [], "statistical surge": [], "slow rise": []}
    for row in range(at, at + max(LENGTHS)):
        past = History(many[:, : row + 1], first + row)
        said = score.step(forked, many[:, row], first + row, spec)
        sums, rising = rise.judge(past, sums, RISE)
        fired["surge score"].append(said.ratio >= spec.alert_ratio)
        fired["statistical surge"].append(tick.judge(past, SURGE).fires)
        fired["slow rise"].append(rising.fires)
    found: dict[tuple[str, float, int], list[int | None]] = {}
    for name, rows_fired in fired.items():
        fires = np.array(rows_fired).T  # [kinds * series, buckets]
        for number, (factor, lasting) in enumerate(kinds):
            mine = fires[number * series : (number + 1) * series, :lasting]
            found[name, factor, lasting] = [int(row.argmax()) if row.any() else None for row in mine]
    return found


def _repeated(state: score.ScoreState, times: int) -> score.ScoreState:
    """The same state for so many copies of its series."""
    made = copy.copy(state)
    for name, value in vars(state).items():
        if isinstance(value, np.ndarray):
            setattr(made, name, np.concatenate([value] * times))
    return made


def _warm(counts: np.ndarray, at: int, first: int, times: int) -> np.ndarray:
    sums = rise.fresh(len(counts))
    for row in range(at - WARM_UP, at):
        sums, _verdicts = rise.judge(History(counts[:, : row + 1], first + row), sums, RISE)
    return np.tile(sums, times)


def speed(spec: ScoreSpec) -> Iterator[dict[str, Any]]:
    """Seconds of one tick of each rule over a thousand made series of 29 days of buckets of five minutes, and of their score."""
    draw = np.random.default_rng(SEED)
    at = np.arange(DAYS * spec.day)
    wave = np.exp(draw.uniform(-2, 6, (SERIES, 1))) * (1 + 0.8 * np.sin(at * 2 * np.pi / spec.day))
    counts = draw.poisson(wave * draw.gamma(5, 0.2, wave.shape)).astype(float)
    history = History(counts, len(at) - 1, draw.binomial(counts.astype(int), 0.25).astype(float))
    state = score.fresh(SERIES, spec, 0)
    for row in range(2 * spec.day):
        score.step(state, counts[:, row], row, spec)
    rises = rise.judge(history, rise.fresh(SERIES), RISE)[0]  # heights are simulated once
    acts = {type(rule).__name__: rule for rule in (StaticSpec(), RatioSpec(), SURGE, ShareSpec())}
    taken = {name: _seconds(lambda rule=rule: tick.judge(history, rule)) for name, rule in acts.items()}
    taken["RiseSpec"] = _seconds(lambda: rise.judge(history, rises, RISE))
    taken["ScoreSpec"] = _seconds(lambda: score.step(state, counts[:, -1], state.bucket + 1, spec))
    yield {"kind": "speed", "series": SERIES, "seconds": taken}


def _seconds(act: Any) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began
