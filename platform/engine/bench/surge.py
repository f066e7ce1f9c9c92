"""The surge score beside public detectors on labelled counts, injected and made surges, speed; `python -m engine.bench.surge`, JSON lines.

Every detector gives each row a score without a look ahead. It is judged twice: as published, each row that reaches the threshold an
alert, and with our quiet time, one alert and then none for a day; the better reading counts. Thresholds are fitted on all series but
the judged one (leave one file out), and also on all (the protocol's own way, which knows the answers).
"""

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from engine.bench import nab, surge_injected, surge_made, surge_peers
from engine.specs.surge import ScoreSpec
from engine.surge import score

BUCKET_SECONDS = 300
TRIED = 120  # thresholds between the highest score and the one that a hundredth of all rows reach
ONE_EPISODE = 12  # alerts outside windows that lie within an hour are one false episode
WILSON = 1.96
OURS = "surge score"


@dataclass(frozen=True)
class Judged:
    """The alerts of all series, as each was judged."""

    raw: float
    hits: int
    false_rows: int
    false_episodes: int


def surge_scores(several: Sequence[nab.Labelled], spec: ScoreSpec) -> list[np.ndarray]:
    """The ratio of each row, before any quiet time; 0 where nothing is said."""
    found = []
    for series in several:
        first = int(series.times[0].astype("int64")) // BUCKET_SECONDS
        steps = score.run(series.values[None], first, spec)
        found.append(np.nan_to_num(np.array([step.ratio[0] for step in steps])))
    return found


def judge(series: nab.Labelled, alerts: np.ndarray, profile: nab.Profile) -> Judged:
    """What the alerts of one series are worth."""
    marked = np.zeros(len(series.values))
    marked[alerts] = 1
    places = series.places()[alerts]
    outside = alerts[places == nab.OUTSIDE]
    episodes = int(len(outside) > 0) + int((np.diff(outside) > ONE_EPISODE).sum())
    hits = len(set(places[places >= 0].tolist()))
    return Judged(nab.raw_at(series, marked, profile, 1), hits, len(outside), episodes)


def thresholds_of(scores: Sequence[np.ndarray]) -> np.ndarray:
    """What is tried, falling: quantiles of all scores, denser towards the top."""
    everything = np.concatenate(scores)
    shares = np.geomspace(1 / len(everything), 0.01, TRIED)
    found = np.unique(np.quantile(everything, 1 - shares, method="higher"))[::-1]
    return np.concatenate([[np.inf], found])  # never an alert is a choice too


def reading(several: Sequence[nab.Labelled], scores: Sequence[np.ndarray], quiet: int) -> dict[str, Any]:
    """Each profile at thresholds fitted without the judged series, and on all; the events at those of the standard profile."""
    tried = thresholds_of(scores)
    found: dict[str, Any] = {"quiet": quiet}
    alerts = [[nab.alerts_of(each, threshold, quiet) for threshold in tried] for each in scores]
    for profile in nab.PROFILES:
        table = [[judge(series, rows, profile) for rows in each] for series, each in zip(several, alerts, strict=True)]
        raw = np.array([[one.raw for one in each] for each in table])  # [series, thresholds]
        chosen = [int(np.delete(raw, at, axis=0).sum(axis=0).argmax()) for at in range(len(several))]
        oracle = int(raw.sum(axis=0).argmax())
        out = sum(raw[at, one] for at, one in enumerate(chosen))
        found[profile.name] = {
            "left_out": nab.normalised(several, out, profile),
            "oracle": nab.normalised(several, raw.sum(axis=0).max(), profile),
            "thresholds": [min(float(tried[one]), 1e300) for one in chosen],
            "oracle_threshold": min(float(tried[oracle]), 1e300),
            "events_left_out": events(several, [table[at][one] for at, one in enumerate(chosen)]),
            "events_oracle": events(several, [each[oracle] for each in table]),
        }
    return found


def events(several: Sequence[nab.Labelled], judged: Sequence[Judged]) -> dict[str, Any]:
    """Windows hit, false episodes, precision, recall, F1 with Wilson's 95 % intervals, false episodes a series and week."""
    hits, windows = sum(one.hits for one in judged), sum(series.judged_windows() for series in several)
    episodes = sum(one.false_episodes for one in judged)
    week = 7 * 24 * 3600 / BUCKET_SECONDS
    weeks = sum(len(series.values) - series.probation for series in several) / week
    return {
        "hits": hits,
        "windows": windows,
        "false_rows": sum(one.false_rows for one in judged),
        "false_episodes": episodes,
        "precision": wilson(hits, hits + episodes),
        "recall": wilson(hits, windows),
        "f1": 2 * hits / (hits + episodes + windows) if windows else 0.0,
        "weeks": weeks,
        "false_per_week": episodes / weeks,
    }


def wilson(right: int, count: int) -> list[float]:
    """[share, low, high]; the interval of 95 % of Wilson 1927. Nothing counted: 0 to 1."""
    if not count:
        return [0.0, 0.0, 1.0]
    share, square = right / count, WILSON**2 / count
    middle, half = share + square / 2, WILSON * math.sqrt(share * (1 - share) / count + square / (4 * count))
    return [share, (middle - half) / (1 + square), (middle + half) / (1 + square)]


def compare(several: Sequence[nab.Labelled], spec: ScoreSpec) -> Iterator[dict[str, Any]]:
    """One mapping a detector."""
    for name in (OURS, *surge_peers.PEERS):
        began = time.perf_counter()
        peer = surge_peers.PEERS.get(name)
        scores = [peer(series.values, series.probation) for series in several] if peer else surge_scores(several, spec)
        seconds = time.perf_counter() - began
        quiet = spec.hours(spec.quiet_hours)
        readings = [reading(several, scores, each) for each in ((quiet,) if name == OURS else (0, quiet))]
        yield {"kind": "detector", "name": name, "readings": readings, "seconds": seconds}
        if name == OURS:
            yield {"kind": "shipped", **at_one(several, scores, spec.alert_ratio, quiet)}


def at_one(
    several: Sequence[nab.Labelled], scores: Sequence[np.ndarray], threshold: float, quiet: int
) -> dict[str, Any]:
    """Scores of all profiles and the events at one threshold that nothing was fitted for here."""
    alerts = [nab.alerts_of(each, threshold, quiet) for each in scores]
    found: dict[str, Any] = {"threshold": threshold, "scores": {}}
    for profile in nab.PROFILES:
        judged = [judge(series, rows, profile) for series, rows in zip(several, alerts, strict=True)]
        found["scores"][profile.name] = nab.normalised(several, sum(one.raw for one in judged), profile)
        found["events"] = events(several, judged)
    return found


def main() -> None:
    """Read the folder, tell each detector as soon as it is judged."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--spec", type=json.loads, default={})
    parser.add_argument("--small", action="store_true")
    asked = parser.parse_args()
    several, spec = nab.read(asked.data)[: 2 if asked.small else None], ScoreSpec(**asked.spec)
    parts = (
        surge_injected.speed(spec),
        surge_injected.table(several, spec, small=asked.small),
        surge_made.table(spec, small=asked.small),
        compare(several, spec),
    )
    for found in chain.from_iterable(parts):
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
