"""A smaller classifier taught by a larger one: the formula, unlabelled texts, layers, figures beside the teacher."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from engine import base_models
from engine.data import read_texts
from engine.failures import Refused, RunFailed, Stopped
from engine.predict import load_classifier
from engine.recipes import classify, distil
from engine.recipes.classify_setup import keep_layers
from engine.report import Silent
from engine.specs import BaseModel, ClassifySpec, parse_spec
from engine.specs.distil import DistilSpec
from engine.teaching import rates

COMMON: dict[str, Any] = {
    "epochs": 4, "batch_size": 8, "learning_rate": 1e-2, "head_learning_rate": 1e-2, "max_length_tokens": 32
}  # fmt: skip


@pytest.fixture(scope="session")
def teacher(encoder: Path, texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained classifier of three labels."""
    out = tmp_path_factory.mktemp("teacher")
    spec = ClassifySpec(base_model=BaseModel("folder", str(encoder)), **{**COMMON, "epochs": 12})
    return Path(classify.train(spec, texts, out, Silent())["model"])


def spec_of(teacher: Path, encoder: Path, **options: Any) -> DistilSpec:
    base, master = BaseModel("folder", str(encoder)), BaseModel("version", "7", place=str(teacher))
    return DistilSpec(**{"base_model": base, "teacher": master, **COMMON, **options})


def test_the_loss_is_the_formula_by_hand(teacher: Path, encoder: Path) -> None:
    listens = distil.Teacher(load_classifier(teacher), spec_of(teacher, encoder, temperature=2.0, hard_share=0.25))
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0]])
    soft = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    hard = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])  # the second text has no label

    found = listens.losses(logits, hard, soft)

    warm = torch.log_softmax(logits / 2, -1)
    by_teacher = -4 * (soft * warm).sum(1)
    by_label = -torch.log_softmax(logits, -1)[0, 0]
    torch.testing.assert_close(found, torch.stack([0.25 * by_label + 0.75 * by_teacher[0], by_teacher[1]]))


def test_a_student_learns_texts_without_labels_from_its_teacher(
    teacher: Path, encoder: Path, texts: Path, text_file: Any, tmp_path: Path
) -> None:
    rows = [(text, [], "train") for text in read_texts(texts)["train"].texts]
    rows += [(text, list(labels), "test") for text, labels in zip(*both(texts, "test"), strict=True)]
    rows += [(text, list(labels), "dev") for text, labels in zip(*both(texts, "dev"), strict=True)]
    rows += [(f"my {label} is", [label], "train") for label in ("card", "loan", "transfer") for _ in range(1)]
    rows += [(f"the {label} please", [label], "train") for label in ("card", "loan", "transfer")]
    data = text_file(tmp_path / "t.parquet", rows)

    result = distil.train(spec_of(teacher, encoder, epochs=12), data, tmp_path / "out", Silent())

    assert result["labels"] == ["card", "loan", "transfer"]
    assert result["evaluations"]["test"]["headline"]["accuracy"]["value"] > 0.8
    beside = json.loads(Path(result["evaluations"]["test"]["metrics"]).read_text())["teacher"]
    assert beside["parameters"]["teacher"] == beside["parameters"]["student"]
    assert 0.6 < beside["agreement"] <= 1 and beside["speed_up"] > 0


def both(texts: Path, split: str) -> tuple[list[str], list[tuple[str, ...]]]:
    rows = read_texts(texts)[split]
    return rows.texts, rows.labels


def test_a_student_of_fewer_layers_is_smaller_and_resumes_to_the_same_weights(
    teacher: Path, encoder: Path, texts: Path, tmp_path: Path, told: Any
) -> None:
    spec = spec_of(teacher, encoder, student_layers=1, epochs=2)
    whole = distil.train(spec, texts, tmp_path / "whole", Silent())
    first = told(stop_after=7)
    with pytest.raises(Stopped):
        distil.train(spec, texts, tmp_path / "first", first)

    resumed = distil.train(spec, texts, tmp_path / "second", Silent(), resume_from=Path(first.checkpoints[-1]))

    assert resumed["files"]["model.safetensors"] == whole["files"]["model.safetensors"]
    beside = json.loads(Path(whole["evaluations"]["dev"]["metrics"]).read_text())["teacher"]
    assert beside["parameters"]["student"] < beside["parameters"]["teacher"]
    assert load_classifier(Path(whole["model"])).names == ("card", "loan", "transfer")


def test_layers_are_kept_evenly_with_the_last_among_them(encoder: Path) -> None:
    network = base_models.load_network(str(encoder), 2)
    last = network.base_model.encoder.layer[1]

    keep_layers(network, 1)

    assert list(network.base_model.encoder.layer) == [last]
    with pytest.raises(RunFailed, match="cannot be kept"):
        keep_layers(network, 3)


def test_a_teacher_of_other_labels_is_refused(
    teacher: Path, encoder: Path, text_file: Any, labelled: Any, tmp_path: Path
) -> None:
    rows = [(text, ["insurance" if label == "loan" else label], "train") for text, label in labelled(30)]

    with pytest.raises(Refused) as refused:
        distil.train(spec_of(teacher, encoder), text_file(tmp_path / "t.parquet", rows), tmp_path / "out", Silent())

    assert "unknown_label" in {problem.code for problem in refused.value.problems}


def test_a_spec_without_a_teacher_is_no_spec() -> None:
    spec, problems = parse_spec("distil", {})

    assert spec is None and {problem.field for problem in problems} == {"teacher"}


def test_the_speeds_of_two_are_the_best_of_rounds_in_which_they_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    turns, clock = [], iter([0, 4, 10, 11, 20, 22, 30, 32])  # the first: 4 s and 2 s; the second: 1 s and 2 s
    monkeypatch.setattr("engine.teaching.time.perf_counter", lambda: float(next(clock)))

    def work(name: str, units: int) -> int:
        turns.append(name)
        return units

    assert rates([partial(work, "teacher", 8), partial(work, "student", 4)], rounds=2) == [4.0, 4.0]
    assert turns == ["teacher", "student"] * 2
