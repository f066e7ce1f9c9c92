"""The benches: their bounds, their names, and a split that keeps texts on one side."""

import csv
from importlib import import_module
from pathlib import Path

import pytest

from config.management.commands.bench import BENCHES, line_of
from core.embedded.connect import adopt
from workers.bench.measure import Measure
from workers.bench.quality import _write


@pytest.mark.parametrize(
    ("measure", "kept", "mark"),
    [
        (Measure("speed", 3.1, "x", at_least=3), True, "+"),
        (Measure("speed", 2.9, "x", at_least=3), False, "!"),
        (Measure("time", 21, "s", at_most=20), False, "!"),
        (Measure("time", 20, "s", at_most=20), True, "+"),
        (Measure("time", 5, "s"), None, " "),
    ],
)
def test_a_measure_says_whether_its_bound_was_kept(measure: Measure, kept: bool | None, mark: str) -> None:
    assert measure.kept is kept
    assert line_of(measure).startswith(f"{mark} {measure.name}") or (mark == " " and not line_of(measure)[0].strip())


@pytest.mark.parametrize("name", sorted(BENCHES))
def test_every_bench_has_measures(name: str) -> None:
    assert callable(import_module(BENCHES[name]).measures)


def test_a_bench_leaves_the_usual_home_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "LINGXI_HOME", "REDIS_URL", "LINGXI_BROKER_URL", "LINGXI_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "config.settings.embedded")
    (tmp_path / "secrets.json").write_text("{}", encoding="utf-8")

    assert adopt(["manage.py", "bench", "web"], default_home=tmp_path) == ["manage.py", "bench", "web"]


def test_held_out_rows_share_no_text_with_the_rest(tmp_path: Path) -> None:
    source, target = tmp_path / "train.csv", tmp_path / "split.csv"
    with source.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "category"])
        writer.writerows([[f"{'Same text' if n % 3 == 0 else f'text {n}'}", f"label {n % 4}"] for n in range(4000)])

    _write(source, target)

    with target.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    sides = {side: {row["text"].lower() for row in rows if row["split"] == side} for side in ("train", "test")}
    assert sides["test"] and not sides["train"] & sides["test"]
    assert {row["label"] for row in rows if row["split"] == "test"} == {f"label {n}" for n in range(4)}
