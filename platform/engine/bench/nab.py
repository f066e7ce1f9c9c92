"""The score of Numenta's Anomaly Benchmark: what alerts in labelled windows are worth, and what alerts outside cost.

Written from the published protocol (Lavin and Ahmad 2015, "Evaluating real-time anomaly detection algorithms"). A row is an alert
where its score reaches the threshold. Of each window the best alert counts: sigma(p) / sigma(-1), with sigma(p) = 2 / (1 + e^(5p)) - 1
and p the place in the window, from -1 at its first row to -1/width at its last. A missed window costs `miss`. An alert outside costs
`false_alarm` times -sigma(p), p being the rows since the last window divided by its width less one, and the whole of it from p = 3 on
or where no window was before. Rows of the probation, the first min(15 %, 750), count neither way. The sum is scaled so that a detector
that never alerts gets 0 and one that alerts at the first row of each window, and nowhere else, gets 100.
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

PROBATION_SHARE, PROBATION_OF = 0.15, 5000
STEEPNESS, FAR = 5.0, 3.0
NEVER = 1.1  # a threshold that no score reaches
OUTSIDE, PROBATION = -1, -2


@dataclass(frozen=True)
class Profile:
    """What a window found, an alert outside and a window missed count."""

    name: str
    hit: float = 1.0
    false_alarm: float = 0.11
    miss: float = 1.0


STANDARD = Profile("standard")
LOW_FP = Profile("low false alarms", false_alarm=0.22)
LOW_FN = Profile("low misses", miss=2.0)
PROFILES = (STANDARD, LOW_FP, LOW_FN)


@dataclass(frozen=True)
class Labelled:
    """One series with its labelled windows as (first row, last row)."""

    name: str
    times: np.ndarray  # datetime64[s] [N]
    values: np.ndarray  # float [N]
    windows: tuple[tuple[int, int], ...]

    @property
    def probation(self) -> int:
        """How many rows at the beginning are not judged."""
        return int(PROBATION_SHARE * min(len(self.values), PROBATION_OF))

    def places(self) -> np.ndarray:
        """The number of the window of each row, OUTSIDE or PROBATION, int [N]."""
        found = np.full(len(self.values), OUTSIDE)
        for number, (first, last) in enumerate(self.windows):
            found[first : last + 1] = number
        found[: self.probation] = PROBATION
        return found

    def judged_windows(self) -> int:
        """How many windows have a row after the probation."""
        return len(set(self.places()[self.places() >= 0].tolist()))


def read(folder: Path) -> list[Labelled]:
    """The series of a folder: one CSV (timestamp, value) for each name in label_windows.json.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a window begins or ends at no row.
    """
    labels = json.loads((folder / "label_windows.json").read_text(encoding="utf-8"))
    return [_read_one(folder / name, windows) for name, windows in sorted(labels.items())]


def _read_one(path: Path, windows: Sequence[tuple[str, str]]) -> Labelled:
    with path.open(newline="", encoding="utf-8") as file:
        rows = [(row["timestamp"], float(row["value"])) for row in csv.DictReader(file)]
    row_of = {datetime.fromisoformat(time): at for at, (time, _value) in enumerate(rows)}
    try:
        limits = tuple((row_of[_time(first)], row_of[_time(last)]) for first, last in windows)
    except KeyError as error:
        raise ValueError(f"{path.name}: no row at {error.args[0]}, where a window begins or ends") from error
    times = np.array([time for time, _value in rows], dtype="datetime64[s]")
    return Labelled(path.name, times, np.array([value for _time, value in rows]), limits)


def _time(words: str) -> datetime:
    return datetime.fromisoformat(words).replace(microsecond=0)


def alerts_of(scores: np.ndarray, threshold: float, quiet: int) -> np.ndarray:
    """The rows that are alerts: each that reaches the threshold, but for `quiet` rows after an alert none."""
    reached = np.flatnonzero(scores >= threshold)
    if not quiet:
        return reached
    kept: list[int] = []
    for row in reached.tolist():
        if not kept or row >= kept[-1] + quiet:
            kept.append(row)
    return np.array(kept, dtype=int)


def sigma(place: np.ndarray) -> np.ndarray:
    """1 long before 0, 0 at 0, -1 from FAR on."""
    return np.where(place >= FAR, -1.0, 2 / (1 + np.exp(STEEPNESS * np.minimum(place, FAR))) - 1)


def worths(series: Labelled, profile: Profile) -> np.ndarray:
    """What an alert at each row is worth, [N]."""
    rows = np.arange(len(series.values))
    place = np.full(len(rows), FAR)
    for at, (first, last) in enumerate(series.windows):
        width = last - first + 1
        following = series.windows[at + 1][0] if at + 1 < len(series.windows) else len(rows)
        place[last + 1 : following] = (rows[last + 1 : following] - last) / (width - 1)
    found = sigma(place) * profile.false_alarm
    best = float(sigma(np.array(-1.0)))
    for first, last in series.windows:
        width = last - first + 1
        found[first : last + 1] = sigma(-(last - rows[first : last + 1] + 1) / width) * profile.hit / best
    return found


def curve(series: Labelled, scores: np.ndarray, profile: Profile) -> tuple[np.ndarray, np.ndarray]:
    """(thresholds falling from NEVER [T], raw score at each [T]) of one series."""
    places = series.places()
    judged = np.flatnonzero(places != PROBATION)
    order = judged[np.argsort(-scores[judged], kind="stable")]
    worth = worths(series, profile)
    gains = np.where(places[order] == OUTSIDE, worth[order], 0.0)
    for number in set(places[order].tolist()) - {OUTSIDE}:
        at = np.flatnonzero(places[order] == number)
        best = np.maximum.accumulate(np.concatenate([[-profile.miss], worth[order[at]]]))
        gains[at] = np.diff(best)
    totals = np.concatenate([[0.0], np.cumsum(gains)]) - profile.miss * series.judged_windows()
    ranked = scores[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    return np.concatenate([[NEVER], ranked[ends]]), np.concatenate([totals[:1], totals[ends + 1]])


def raw_at(series: Labelled, scores: np.ndarray, profile: Profile, threshold: float) -> float:
    """The raw score of one series where rows of at least `threshold` are alerts."""
    thresholds, totals = curve(series, scores, profile)
    return float(totals[np.flatnonzero(thresholds >= threshold)[-1]])


def best_threshold(several: Sequence[Labelled], scores: Sequence[np.ndarray], profile: Profile) -> float:
    """The one threshold with the highest sum over all series; of equals the highest."""
    curves = [curve(series, each, profile) for series, each in zip(several, scores, strict=True)]
    tried = np.unique(np.concatenate([thresholds for thresholds, _totals in curves]))[::-1]
    sums = np.zeros(len(tried))
    for thresholds, totals in curves:
        sums += totals[np.searchsorted(-thresholds, -tried, side="right") - 1]
    return float(tried[sums.argmax()])


def normalised(several: Sequence[Labelled], raw: float, profile: Profile) -> float:
    """The raw sum over series on the scale from 0 (no alert ever) to 100 (perfect)."""
    count = sum(series.judged_windows() for series in several)
    silent = -profile.miss * count
    return 100 * (raw - silent) / (profile.hit * count - silent)
