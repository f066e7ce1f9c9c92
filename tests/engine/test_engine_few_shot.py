"""Few-shot learning: what is drawn, both ways by every method, the learning curve, resume."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from engine.data import read_texts
from engine.export import export
from engine.failures import RunFailed, Stopped
from engine.grad_cache import cached_backward
from engine.predict import load_classifier
from engine.recipes import few_shot
from engine.recipes.few_shot_setup import arrange, beginning
from engine.recipes.few_shot_work import head_of
from engine.report import Silent
from engine.specs.few_shot import FewShotSpec
from engine.specs.methods import ADAPTERS
from engine.tasks import evaluate_version
from tests.fixtures.few_shot import BASES, folder, rows_of


@pytest.mark.parametrize("kind", BASES)
def test_a_run_learns_and_leaves_a_measured_classifier(kind: str, spec_for: Any, texts: Path, tmp_path: Path) -> None:
    spec = spec_for(kind, shots=16, epochs=25, token_dropout=0.0, dropout=0.0)

    result = few_shot.train(spec, texts, tmp_path, Silent())

    found = result["evaluations"]["test"]["headline"]["accuracy"]["value"]
    assert found > 0.8
    assert result["labels"] == ["card", "loan", "transfer"]
    drawn = result["example_ids"]["16"]
    by_id = dict(zip(*rows_of(texts), strict=True))
    assert Counter(by_id[number] for number in drawn) == {"card": 16, "loan": 16, "transfer": 16}
    again = evaluate_version(
        {"model": result["model"], "data": {"split": "test"}}, texts, folder(tmp_path / "again"), Silent()
    )
    assert again["headline"]["accuracy"]["value"] == found


METHODS = [("contrastive", method) for method in ("full", *ADAPTERS)] + [
    (kind, method) for kind in ("masked", "written") for method in ("full", "dora", "prefix", "prompt", "bottleneck")
]


@pytest.mark.parametrize(("kind", "method"), METHODS)
def test_every_method_learns_a_batch_is_served_as_trained_and_resumes_to_the_same_weights(
    method: str, kind: str, spec_for: Any, texts: Path, tmp_path: Path, told: Any
) -> None:
    spec = spec_for(kind, method=method, shots=6, epochs=3, base_share=0.3)
    first = told(stop_after=4)

    whole = told()
    result = few_shot.train(spec, texts, tmp_path / "whole", whole)
    with pytest.raises(Stopped):
        few_shot.train(spec, texts, tmp_path / "first", first)
    resumed = few_shot.train(spec, texts, tmp_path / "second", Silent(), resume_from=Path(first.checkpoints[-1]))

    assert {name: one["sha256"] for name, one in resumed["files"].items()} == {
        name: one["sha256"] for name, one in result["files"].items()
    }
    losses = [told["dev_loss"] for told in whole.metrics if "dev_loss" in told]
    assert len(losses) == 3
    served = load_classifier(Path(result["model"])).predict(read_texts(texts)["dev"].texts).probabilities
    rows = json.loads(Path(result["evaluations"]["dev"]["metrics"]).read_text())
    gold = [["card", "loan", "transfer"].index(labels[0]) for labels in read_texts(texts)["dev"].labels]
    loss = F.nll_loss(torch.from_numpy(served).log(), torch.tensor(gold))
    assert float(loss) == pytest.approx(rows["headline"]["loss"]["value"], abs=1e-4)


@pytest.mark.parametrize("kind", BASES)
@pytest.mark.parametrize("method", ["full", "lora"])
def test_one_batch_is_learnt_by_heart(
    kind: str, method: str, spec_for: Any, texts: Path, tmp_path: Path, told: Any
) -> None:
    spec = spec_for(
        kind, method=method, shots=3, epochs=90, token_dropout=0.0, dropout=0.0, label_names=False, batch_size=9,
        texts_per_class=3, temperature=0.3, max_gradient_norm=0.0, adapter_learning_rate=2e-2, adapter_rank=4,
    )  # fmt: skip
    report = told()

    few_shot.train(spec, texts, tmp_path, report)

    losses = [told["train_loss"] for told in report.metrics if "train_loss" in told]
    assert losses[-1] < {"full": 0.75, "lora": 0.9}[method] * first_loss(spec, texts)


def first_loss(spec: FewShotSpec, texts: Path) -> float:
    """The loss of the first step of a run."""
    parts, drawn, labels, _ = arrange(spec, read_texts(texts))
    start, _ = beginning(spec, labels)
    assert start is not None
    encoded = {name: start.read(part.texts) for name, part in parts.items()}
    torch.manual_seed(spec.seed)
    run = few_shot.Run(spec, start, parts, drawn, encoded, Silent(), Path("/nowhere"), None)
    stage = run.stage(spec.counts[0], {})
    first = stage.work.steps(0)[0]
    return stage.work.backward(first, stage.work.count(first))


@pytest.mark.parametrize("kind", BASES)
def test_a_learning_curve_is_that_of_the_runs_of_its_counts(
    kind: str, spec_for: Any, texts: Path, tmp_path: Path, told: Any
) -> None:
    report = told()

    whole = few_shot.train(spec_for(kind, curve="4, 12,8"), texts, tmp_path / "whole", report)
    alone = few_shot.train(spec_for(kind, shots=8), texts, tmp_path / "alone", Silent())

    assert [point["count"] for point in whole["curve"]] == [4, 8, 12]
    assert whole["curve"][1]["headline"] == alone["evaluations"]["dev"]["headline"]
    assert whole["curve"][2]["headline"] == whole["evaluations"]["dev"]["headline"]
    ids = {int(count): set(some) for count, some in whole["example_ids"].items()}
    assert ids[4] < ids[8] < ids[12] and len(ids[4]) == 12
    points = {told["step"]: told["shots_accuracy"] for told in report.metrics if "shots_accuracy" in told}
    assert points == {point["count"]: point["headline"]["accuracy"]["value"] for point in whole["curve"]}
    steps = [told["step"] for told in report.metrics if "shots_accuracy" not in told]
    assert steps == sorted(steps)
    figures = json.loads(Path(whole["evaluations"]["dev"]["metrics"]).read_text())
    assert figures["curve"] == whole["curve"]


@pytest.mark.parametrize("kind", ["contrastive", "written"])
@pytest.mark.parametrize("stop_after", [2, 14])
def test_a_stopped_learning_curve_resumes_to_the_same_weights_and_points(
    kind: str, stop_after: int, spec_for: Any, texts: Path, tmp_path: Path, told: Any
) -> None:
    spec = spec_for(kind, curve="4,8,12", dropout=0.2, average_decay=0.9)
    first = told(stop_after=stop_after)

    whole = few_shot.train(spec, texts, tmp_path / "whole", Silent())
    with pytest.raises(Stopped):
        few_shot.train(spec, texts, tmp_path / "first", first)
    resumed = few_shot.train(spec, texts, tmp_path / "second", Silent(), resume_from=Path(first.checkpoints[-1]))

    assert resumed["files"]["model.safetensors"] == whole["files"]["model.safetensors"]
    assert resumed["curve"] == whole["curve"]
    assert ("shots-4" in first.checkpoints[-1]) == (stop_after == 2)


def test_a_checkpoint_of_another_curve_is_refused(spec_for: Any, texts: Path, tmp_path: Path, told: Any) -> None:
    first = told(stop_after=2)
    with pytest.raises(Stopped):
        few_shot.train(spec_for("contrastive", shots=4), texts, tmp_path / "first", first)

    with pytest.raises(RunFailed, match="another spec_hash"):
        few_shot.train(
            spec_for("contrastive", shots=8), texts, tmp_path / "o", Silent(), resume_from=Path(first.checkpoints[-1])
        )


@pytest.mark.parametrize("kind", BASES)
def test_reading_a_step_in_parts_learns_the_same(kind: str, spec_for: Any, texts: Path, tmp_path: Path) -> None:
    spec = spec_for(kind, shots=8, epochs=1, dropout=0.0, token_dropout=0.0, learning_rate=1e-3)

    one = few_shot.train(spec, texts, tmp_path / "one", Silent())
    two = few_shot.train(spec, texts, tmp_path / "two", Silent(), micro_batch=3)

    said = [
        load_classifier(Path(found["model"])).predict(["my card is", "send it"]).probabilities for found in (one, two)
    ]
    torch.testing.assert_close(torch.from_numpy(said[0]), torch.from_numpy(said[1]), rtol=0, atol=2e-3)


def test_gradients_in_parts_are_those_of_the_whole_also_with_dropout() -> None:
    torch.manual_seed(0)
    layer, given = torch.nn.Linear(4, 3), torch.randn(6, 4)

    def loss_of(vectors: torch.Tensor) -> torch.Tensor:
        return (vectors @ vectors.T).square().sum(1).mean()

    rows = [[at] for at in range(6)]
    torch.manual_seed(1)
    cached_backward(
        lambda some: F.dropout(layer(given[[at for (at,) in some]]), 0.5), rows, [[0, 1], [2, 3], [4, 5]], loss_of
    )
    assert layer.weight.grad is not None
    found = layer.weight.grad.clone()
    torch.manual_seed(1)
    kept = torch.cat([F.dropout(torch.ones(2, 3), 0.5) for _ in range(3)])  # the same masks, all at once
    layer.zero_grad()
    cached_backward(lambda _: layer(given) * kept, rows, [list(range(6))], loss_of)

    torch.testing.assert_close(found, layer.weight.grad)


@pytest.mark.parametrize("kind", ["logistic", "centroid"])
def test_heads_give_the_class_of_separate_vectors(kind: str) -> None:
    torch.manual_seed(0)
    classes = torch.arange(3).repeat_interleave(5)
    vectors = F.layer_norm(8 * torch.eye(3, 16)[classes] + 0.1 * torch.randn(15, 16), (16,))

    weight, bias = head_of(vectors, classes, 3, kind, 0.1, 1e-4)

    assert ((vectors @ weight.T + bias).argmax(1) == classes).all()


def test_the_nearest_mean_is_the_formula_by_hand() -> None:
    vectors = F.layer_norm(torch.tensor([[1.0, 2.0, 0.0, 0.0], [0.0, 3.0, 1.0, 0.0], [0.0, 0.0, 1.0, 5.0]]), (4,))

    weight, _ = head_of(vectors, torch.tensor([0, 0, 1]), 2, "centroid", 0.5, 0.0)

    unit = vectors / vectors.norm(dim=1, keepdim=True)
    mean = (unit[0] + unit[1]) / (unit[0] + unit[1]).norm()
    torch.testing.assert_close((vectors @ weight.T)[2, 0], unit[2] @ mean / 0.5, rtol=1e-4, atol=1e-4)


def test_the_contrastive_version_is_a_plain_classifier_folder(spec_for: Any, texts: Path, tmp_path: Path) -> None:
    result = few_shot.train(spec_for("contrastive", shots=6), texts, tmp_path, Silent())

    theirs: Any = AutoModelForSequenceClassification.from_pretrained(result["model"])
    given = AutoTokenizer.from_pretrained(result["model"])("my card is not with me", return_tensors="pt")
    ours = load_classifier(Path(result["model"])).predict(["my card is not with me"]).probabilities
    with torch.no_grad():
        said = theirs(**{name: given[name] for name in ("input_ids", "attention_mask")}).logits.softmax(-1)
    torch.testing.assert_close(said, torch.from_numpy(ours), rtol=0, atol=1e-4)
    exported = export({"kind": "merged", "model": result["model"]}, folder(tmp_path / "export"), Silent())
    assert exported["parity"]["passed"]


def test_names_of_labels_are_texts_of_theirs(spec_for: Any, texts: Path) -> None:
    spec = spec_for("contrastive", shots=4, label_names=True)
    parts, drawn, labels, _ = arrange(spec, read_texts(texts))
    start, _ = beginning(spec, labels)
    assert start is not None
    run = few_shot.Run(
        spec, start, parts, drawn, {**{n: start.read(p.texts) for n, p in parts.items()}}, Silent(), Path(), None
    )
    work: Any = run.stage(4, {}).work

    assert work.names == ["card", "loan", "transfer"] and work.classes.tolist()[-3:] == [0, 1, 2]
    used = {at for epoch in range(3) for step in work.steps(epoch) for part in step for at in part}
    assert used == set(range(15))
    assert work.rows([[0, 14]]) == [parts["train"].ids[0]]
