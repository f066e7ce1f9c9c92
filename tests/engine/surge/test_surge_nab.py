"""The score of Numenta's Anomaly Benchmark against cases computed by hand."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from engine.bench import nab
from engine.bench.surge import judge as judged
from engine.bench.surge import wilson


def series(rows: int, *windows: tuple[int, int]) -> nab.Labelled:
    times = np.arange(rows).astype("datetime64[s]")
    return nab.Labelled("made", times, np.zeros(rows), windows)


def scores(rows: int, **at: float) -> np.ndarray:
    found = np.zeros(rows)
    for row, value in at.items():
        found[int(row[1:])] = value
    return found


def total(made: nab.Labelled, marks: np.ndarray, profile: nab.Profile = nab.STANDARD) -> float:
    return nab.normalised([made], nab.raw_at(made, marks, profile, 0.5), profile)


def sigma(place: float) -> float:
    return 2 / (1 + math.exp(5 * place)) - 1


def test_silence_is_0_and_an_alert_at_each_first_row_is_100() -> None:
    made = series(100, (30, 39), (60, 79))

    assert total(made, scores(100)) == pytest.approx(0)
    assert total(made, scores(100, r30=1, r60=1)) == pytest.approx(100)


def test_the_best_alert_of_a_window_counts_once_by_its_place() -> None:
    made = series(100, (30, 39))

    raw = nab.raw_at(made, scores(100, r34=1, r37=1), nab.STANDARD, 0.5)

    assert raw == pytest.approx(sigma(-0.6) / sigma(-1))  # row 34: 6 of 10 rows are left


def test_an_alert_outside_costs_more_the_longer_the_window_is_past() -> None:
    made = series(100, (30, 39))

    before, soon, far = (nab.raw_at(made, scores(100, **{f"r{at}": 1}), nab.LOW_FP, 0.5) for at in (20, 42, 70))

    assert before == pytest.approx(-1 - 0.22)
    assert soon == pytest.approx(-1 + 0.22 * sigma(3 / 9))
    assert far == pytest.approx(-1 - 0.22)


def test_a_missed_window_costs_double_where_misses_matter() -> None:
    made = series(100, (30, 39), (60, 69))

    assert nab.raw_at(made, scores(100, r30=1), nab.LOW_FN, 0.5) == pytest.approx(1 - 2)
    assert total(made, scores(100, r30=1), nab.LOW_FN) == pytest.approx(50)


def test_the_probation_counts_neither_way() -> None:
    made = series(100, (5, 9), (30, 39))  # 15 rows of probation

    assert made.probation == 15 and made.judged_windows() == 1
    assert nab.raw_at(made, scores(100, r3=1, r6=1), nab.STANDARD, 0.5) == pytest.approx(-1)
    assert series(20_000).probation == 750


def test_the_curve_says_what_each_threshold_alone_says() -> None:
    made, draw = series(400, (100, 140), (200, 230)), np.random.default_rng(3)
    drawn = draw.integers(0, 12, 400) / 12

    thresholds, raws = nab.curve(made, drawn, nab.STANDARD)

    assert list(thresholds) == sorted(set(thresholds), reverse=True)
    for threshold, raw in zip(thresholds, raws, strict=True):
        assert raw == pytest.approx(nab.raw_at(made, (drawn >= threshold).astype(float), nab.STANDARD, 1))


def test_the_best_threshold_is_the_best_of_all_series_together() -> None:
    several = [series(100, (30, 39)), series(100, (60, 69))]
    marks = [scores(100, r30=0.9, r80=0.3), scores(100, r60=0.6, r20=0.5)]

    threshold = nab.best_threshold(several, marks, nab.STANDARD)

    assert threshold == pytest.approx(0.6)
    raw = sum(nab.raw_at(made, mark, nab.STANDARD, threshold) for made, mark in zip(several, marks, strict=True))
    assert nab.normalised(several, raw, nab.STANDARD) == pytest.approx(100)


def test_a_folder_is_read_with_its_windows_as_rows(tmp_path: Path) -> None:
    rows = [f"2015-02-26 21:{minute:02d}:53,{minute}" for minute in range(0, 60, 5)]
    (tmp_path / "one.csv").write_text("timestamp,value\n" + "\n".join(rows) + "\n")
    window = ["2015-02-26 21:10:53.000000", "2015-02-26 21:20:53.000000"]
    (tmp_path / "label_windows.json").write_text(json.dumps({"one.csv": [window]}))

    (found,) = nab.read(tmp_path)

    assert found.windows == ((2, 4),) and list(found.values[:3]) == [0, 5, 10]
    (tmp_path / "label_windows.json").write_text(json.dumps({"one.csv": [["2015-02-26 21:11:53", window[1]]]}))
    with pytest.raises(ValueError, match="no row at 2015-02-26 21:11:53"):
        nab.read(tmp_path)


def test_events_are_windows_and_false_alerts_of_an_hour_are_one() -> None:
    made = series(400, (100, 140))

    found = judged(made, np.array([120, 130, 200, 205, 300]), nab.STANDARD)

    assert (found.hits, found.false_rows, found.false_episodes) == (1, 3, 2)


def test_after_an_alert_there_is_none_for_the_quiet_time() -> None:
    found = np.array([0.0, 0.9, 0.9, 0.2, 0.9, 0.9])

    assert list(nab.alerts_of(found, 0.5, 0)) == [1, 2, 4, 5]
    assert list(nab.alerts_of(found, 0.5, 3)) == [1, 4]


def test_wilsons_interval_is_that_of_the_textbook() -> None:
    assert wilson(18, 26) == pytest.approx([0.6923, 0.5003, 0.8350], abs=1e-3)
    assert wilson(0, 0) == [0.0, 0.0, 1.0]
