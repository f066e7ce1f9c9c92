"""The surge score on made counts, whose surges are known: false episodes a series and week, and the share of surges found.

Nothing about the score was chosen on these. Each kind of series has a daily wave, weekends at six tenths, and counts more dispersed
than Poisson, in one of three ways: independent from bucket to bucket; a log rate that wanders (autoregressive, deviation and hours
named); bursts of a heavy tail that nobody asked for (Pareto, a day apart on average). Surges rise at once and decay exponentially.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.bench import nab
from engine.specs.surge import ScoreSpec
from engine.surge import score

DAYS, SERIES, SEED = 54, 6, 29
WARM_DAYS, FOUND_HOURS, APART_DAYS = 4, 16, 4
MEANS = (0.5, 3.0, 20.0, 80.0)  # mentions a bucket
SURGES = ((20.0, 0.25), (12.0, 0.5), (8.0, 1.0), (5.0, 2.0), (4.0, 4.0))  # so many times the mean on top, hours to 1/e
RATES_A_WEEK = (0.1, 0.2, 0.5)
TRIED = 120


@dataclass(frozen=True)
class Kind:
    """One way in which counts are over-dispersed."""

    name: str
    spread: float = 0.0  # deviation of the log rate
    hours: float = 0.0  # of its memory
    tail: float = 0.0  # exponent of the bursts; 0 is none


KINDS = (
    Kind("independent"),
    Kind("wandering an hour", spread=0.5, hours=1),
    Kind("wandering six hours", spread=0.5, hours=6),
    Kind("bursts", tail=1.5),
    Kind("bursts of a heavier tail", tail=1.1),
)


def table(spec: ScoreSpec, *, small: bool) -> Iterator[dict[str, Any]]:
    """One mapping a kind without surges, then one of the surges found at so many false episodes a series and week."""
    draw, days, series = np.random.default_rng(SEED), 20 if small else DAYS, 1 if small else SERIES
    begins: list[np.ndarray] = []
    counts: list[np.ndarray] = []
    for kind in KINDS:
        quiet = [draw.poisson(rate(kind, mean, series, days, spec, draw)) for mean in MEANS]
        ratios = _ratios(np.concatenate(quiet).astype(float), spec)
        false = sum(len(nab.alerts_of(each, spec.alert_ratio, spec.hours(spec.quiet_hours))) for each in ratios)
        yield {"kind": "made_quiet", "name": kind.name, "false": false, "weeks": _weeks(ratios, spec)}
        for mean in MEANS:
            for size, hours in SURGES:
                rates = rate(kind, mean, series, days, spec, draw)
                begins += _put_in(rates, size * mean, hours, spec, draw)
                counts.append(draw.poisson(rates).astype(float))
    ratios = _ratios(np.concatenate(counts), spec)
    yield {"kind": "made_surges", **found(ratios, begins, spec)}


def rate(kind: Kind, mean: float, series: int, days: int, spec: ScoreSpec, draw: np.random.Generator) -> np.ndarray:
    """What is expected of each bucket [series, days * buckets of a day]."""
    at = np.arange(days * spec.day)
    wave = mean * (1 + 0.8 * np.sin(at * 2 * np.pi / spec.day)) * np.where(at // spec.day % 7 >= 5, 0.6, 1.0)
    shape = (series, len(at))
    rates: np.ndarray = wave * draw.gamma(5, 1 / 5, shape)
    if kind.spread:
        kept = np.exp(-1 / spec.hours(kind.hours))
        noise = draw.normal(0, kind.spread * np.sqrt(1 - kept**2), shape)
        rates *= np.exp(_decaying(noise, kept) - kind.spread**2 / 2)
    if kind.tail:
        bursts = np.where(draw.random(shape) < 1 / spec.day, draw.pareto(kind.tail, shape), 0.0)
        rates += mean * _decaying(bursts, np.exp(-1 / spec.hours(1)))
    return rates


def _decaying(steps: np.ndarray, kept: float) -> np.ndarray:
    """Of each step so much stays until the next bucket [S, B]."""
    found, level = np.empty_like(steps), np.zeros(len(steps))
    for at in range(steps.shape[1]):
        level = level * kept + steps[:, at]
        found[:, at] = level
    return found


def _put_in(
    rates: np.ndarray, top: float, hours: float, spec: ScoreSpec, draw: np.random.Generator
) -> list[np.ndarray]:
    """Add surges to the rates, APART_DAYS apart or more; where they begin, of each series."""
    shape = top * np.exp(-np.arange(spec.day) / spec.hours(hours))
    begins = []
    for row in rates:
        free = np.arange((WARM_DAYS + APART_DAYS) * spec.day, len(row) - spec.day, 2 * APART_DAYS * spec.day)
        places = free + draw.integers(0, APART_DAYS * spec.day, len(free))
        places = places[places + spec.day <= len(row)]
        for place in places.tolist():
            row[place : place + spec.day] += shape
        begins.append(places)
    return begins


def _ratios(counts: np.ndarray, spec: ScoreSpec) -> np.ndarray:
    """[S, B], 0 where nothing is said and while the score warms up."""
    found: np.ndarray = np.nan_to_num(np.array([step.ratio for step in score.run(counts, 0, spec)]).T)
    found[:, : WARM_DAYS * spec.day] = 0
    return found


def _weeks(ratios: np.ndarray, spec: ScoreSpec) -> float:
    series, buckets = ratios.shape
    return float(series * (buckets / spec.day - WARM_DAYS) / 7)


def found(ratios: np.ndarray, begins: Sequence[np.ndarray], spec: ScoreSpec) -> dict[str, Any]:
    """Of how many surges how many are found within FOUND_HOURS, as shipped and at thresholds of so many false episodes a week."""
    weeks, surges = _weeks(ratios, spec), sum(len(each) for each in begins)
    thresholds = np.geomspace(max(float(ratios.max()), 1e-9), 0.2, TRIED)
    counted = [_counted(ratios, begins, float(threshold), spec) for threshold in thresholds]
    at_rate = {}
    for wanted in RATES_A_WEEK:
        within = [hits for hits, false in counted if false / weeks <= wanted]
        at_rate[f"{wanted:g}"] = max(within, default=0)
    hits, false = _counted(ratios, begins, spec.alert_ratio, spec)
    return {"surges": surges, "weeks": weeks, "hits": hits, "false": false, "hits_at_rate": at_rate}


def _counted(ratios: np.ndarray, begins: Sequence[np.ndarray], threshold: float, spec: ScoreSpec) -> tuple[int, int]:
    """(surges found, alerts beside all surges)."""
    hits = false = 0
    for ratio, places in zip(ratios, begins, strict=True):
        alerts = nab.alerts_of(ratio, threshold, spec.hours(spec.quiet_hours))
        inside = (alerts >= places[:, None]) & (alerts < places[:, None] + spec.hours(FOUND_HOURS))  # [surges, alerts]
        hits += int(inside.any(axis=1).sum())
        false += int((~inside.any(axis=0)).sum())
    return hits, false
