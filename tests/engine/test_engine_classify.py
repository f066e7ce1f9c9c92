"""Fine-tuning a classifier: it learns, resumes bit by bit, and is served as it was trained."""

import copy
import json
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from engine import base_models
from engine.checkpoint import find_checkpoint
from engine.data import read_texts
from engine.encoder import TextClassifier
from engine.failures import Refused, RunFailed, Stopped
from engine.model_folder import open_classifier, save_classifier
from engine.plan import cut, epoch_windows, learning_rate_share
from engine.predict import forward_all, load_classifier
from engine.recipes import classify
from engine.recipes.classify_setup import attach_method
from engine.report import Silent
from engine.specs import BaseModel, ClassifySpec
from engine.specs.methods import ADAPTERS, MERGEABLE


def spec_of(encoder: Path, **options: Any) -> ClassifySpec:
    settings: dict[str, Any] = {
        "base_model": BaseModel("folder", str(encoder)),
        "epochs": 2,
        "batch_size": 8,
        "learning_rate": 1e-2,
        "head_learning_rate": 1e-2,
        "head_start": "random",
        "max_length_tokens": 32,
    }
    return ClassifySpec(**(settings | options))


def weights_hash(result: dict[str, Any]) -> str:
    return str(result["files"]["model.safetensors"]["sha256"])


SMALL: dict[str, Any] = {"adapter_rank": 4, "virtual_tokens": 4, "bottleneck_width": 4}


def hashes(result: dict[str, Any]) -> dict[str, str]:
    """sha256 of every file with weights."""
    return {name: found["sha256"] for name, found in result["files"].items() if name.endswith(".safetensors")}


def logits_of(folder: Path, texts: list[str]) -> torch.Tensor:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        return network(**tokenizer(texts, padding=True, return_tensors="pt")).logits


def test_a_run_learns_and_leaves_a_measured_model(encoder: Path, texts: Path, tmp_path: Path) -> None:
    result = classify.train(spec_of(encoder, epochs=12), texts, tmp_path, Silent())

    assert result["evaluations"]["test"]["headline"]["accuracy"]["value"] > 0.8
    assert result["labels"] == ["card", "loan", "transfer"]
    described = json.loads((tmp_path / "model" / "lingxi.json").read_text())
    assert described["labels"] == result["labels"] and described["spec_hash"] == result["spec_hash"]
    rows = pq.read_table(tmp_path / "examples-test.parquet").to_pylist()
    assert len(rows) == 18 and set(rows[0]) >= {"example_id", "gold", "predicted", "probability", "loss", "correct"}


@pytest.mark.parametrize("method", ["full", *ADAPTERS])
def test_one_batch_is_learnt_by_heart(encoder: Path, labelled: Any, method: str) -> None:
    pairs = labelled(8)
    torch.manual_seed(0)
    model = TextClassifier(base_models.load_network(str(encoder), 3), 3, pooling="mean")
    attach_method(model, ClassifySpec(method=method, adapter_alpha=4.0, **SMALL), 40)
    tokenizer = base_models.load_tokenizer(str(encoder))
    sequences = tokenizer([text for text, _ in pairs])["input_ids"]
    targets = torch.eye(3)[[sorted({"card", "transfer", "loan"}).index(label) for _, label in pairs]]
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(120):
        loss = torch.nn.functional.cross_entropy(model(sequences), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    assert float(loss.detach()) < 0.5  # ln 3 = 1.1 is no knowledge


@pytest.mark.parametrize("options", [{}, {"average_decay": 0.9, "consistency": 1.0, "head_start": "probe"}])
def test_a_stopped_run_resumes_to_the_same_weights(
    encoder: Path, texts: Path, tmp_path: Path, told: Any, options: dict[str, Any]
) -> None:
    spec = spec_of(encoder, **options)
    whole = classify.train(spec, texts, tmp_path / "whole", Silent())

    first = told(stop_after=14)  # in the second epoch, with a best epoch already kept
    with pytest.raises(Stopped):
        classify.train(spec, texts, tmp_path / "first", first)
    resumed = classify.train(spec, texts, tmp_path / "second", Silent(), resume_from=Path(first.checkpoints[-1]))

    assert weights_hash(resumed) == weights_hash(whole)
    assert resumed["history"] == whole["history"]


@pytest.mark.parametrize("method", ADAPTERS)
def test_every_adapter_is_served_as_it_was_trained(
    encoder: Path, texts: Path, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[torch.Tensor] = []

    def looked_at(model: TextClassifier, sequences: Any, *arguments: Any, **options: Any) -> torch.Tensor:
        trained.append(forward_all(model, sequences, *arguments, **options))
        return trained[-1]

    monkeypatch.setattr(classify, "forward_all", looked_at)
    spec = spec_of(encoder, method=method, adapter_learning_rate=2e-2, **SMALL)

    result = classify.train(spec, texts, tmp_path, Silent())

    assert result["trainable_parameters"] < result["parameters"]
    model, tokenizer, described = open_classifier(Path(result["model"]))
    assert described["method"] == method
    lines = read_texts(texts)["test"].texts
    with torch.no_grad():
        served = model(tokenizer(lines)["input_ids"])
    torch.testing.assert_close(served, trained[-1], rtol=0, atol=1e-5)
    if method in MERGEABLE:
        torch.testing.assert_close(logits_of(Path(result["model"]), lines), trained[-1], rtol=0, atol=2e-4)


@pytest.mark.parametrize("method", ADAPTERS)
def test_a_stopped_adapter_run_resumes_to_the_same_weights(
    encoder: Path, texts: Path, tmp_path: Path, told: Any, method: str
) -> None:
    spec = spec_of(encoder, method=method, average_decay=0.9, **SMALL)
    whole = classify.train(spec, texts, tmp_path / "whole", Silent())

    first = told(stop_after=9)
    with pytest.raises(Stopped):
        classify.train(spec, texts, tmp_path / "first", first)
    resumed = classify.train(spec, texts, tmp_path / "second", Silent(), resume_from=Path(first.checkpoints[-1]))

    assert hashes(resumed) == hashes(whole)
    assert resumed["history"] == whole["history"]


def test_a_run_stopped_while_its_last_epoch_is_measured_measures_it_after_the_resume(
    encoder: Path, texts: Path, tmp_path: Path, told: Any
) -> None:
    spec = spec_of(encoder, average_decay=0.9)
    whole = classify.train(spec, texts, tmp_path / "whole", Silent())

    first = told(stop_after=whole["steps"], questions_later=1)  # the loop asks first, then the measuring
    with pytest.raises(Stopped):
        classify.train(spec, texts, tmp_path / "first", first)
    resumed = classify.train(spec, texts, tmp_path / "second", Silent(), resume_from=Path(first.checkpoints[-1]))

    assert resumed["history"] == whole["history"]
    assert resumed["best_epoch"] == whole["best_epoch"]
    assert weights_hash(resumed) == weights_hash(whole)


def test_the_time_of_a_run_is_that_of_all_its_attempts(encoder: Path, texts: Path, tmp_path: Path, told: Any) -> None:
    with pytest.raises(Stopped):
        classify.train(spec_of(encoder), texts, tmp_path / "first", told(stop_after=4))
    saved = find_checkpoint(tmp_path / "first" / "checkpoints")
    manifest = json.loads((saved.path / "manifest.json").read_text())
    spent = manifest["state"]["cursor"]["seconds_before"]
    manifest["state"]["cursor"]["seconds_before"] = 5000.0
    (saved.path / "manifest.json").write_text(json.dumps(manifest))

    result = classify.train(spec_of(encoder), texts, tmp_path / "second", Silent(), resume_from=saved.path)

    assert spent > 0 and result["seconds"] > 5000


def test_a_checkpoint_of_another_spec_is_refused(encoder: Path, texts: Path, tmp_path: Path, told: Any) -> None:
    first = told(stop_after=1)
    with pytest.raises(Stopped):
        classify.train(spec_of(encoder), texts, tmp_path / "first", first)

    with pytest.raises(RunFailed) as failure:
        classify.train(
            spec_of(encoder, seed=5), texts, tmp_path / "second", Silent(), resume_from=Path(first.checkpoints[-1])
        )
    assert failure.value.code == "checkpoint_mismatch"


def test_smaller_micro_batches_learn_the_same(encoder: Path, texts: Path, tmp_path: Path) -> None:
    spec = spec_of(encoder, epochs=1, dropout=0.0)

    runs = [
        classify.train(spec, texts, tmp_path / "whole", Silent()),
        classify.train(spec, texts, tmp_path / "halved", Silent(), micro_batch=3),
        classify.train(
            spec_of(encoder, epochs=1, dropout=0.0, batch_size=2, gradient_accumulation=4),
            texts,
            tmp_path / "accumulated",
            Silent(),
        ),
    ]

    losses = [run["evaluations"]["test"]["headline"]["loss"]["value"] for run in runs]
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-4)


def test_a_loss_that_is_no_number_stops_with_the_rows(
    encoder: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Any
) -> None:
    row_losses = classify.row_losses
    calls = []

    def poisoned(model: Any, sequences: Any, targets: Any, spec: Any) -> torch.Tensor:
        losses = row_losses(model, sequences, targets, spec)
        calls.append(1)
        return losses * torch.tensor([1.0] * 7 + [float("nan")])[: len(losses)] if len(calls) == 4 else losses

    monkeypatch.setattr(classify, "row_losses", poisoned)
    report = told()

    with pytest.raises(RunFailed) as failure:
        classify.train(spec_of(encoder), texts, tmp_path, report)

    assert failure.value.code == "loss_not_finite"
    assert len(failure.value.rows) == 1 and 100 <= failure.value.rows[0] < 184
    assert not report.checkpoints


def test_training_stops_early_and_keeps_the_best_epoch(encoder: Path, texts: Path, tmp_path: Path) -> None:
    spec = spec_of(encoder, epochs=30, learning_rate=1e-9, head_learning_rate=0, early_stopping_patience=2)

    result = classify.train(spec, texts, tmp_path, Silent())

    assert len(result["history"]) == 3 and result["best_epoch"] == 1


def test_the_best_epoch_survives_a_resume_and_the_pruning_of_checkpoints(
    encoder: Path, texts: Path, tmp_path: Path, told: Any
) -> None:
    spec = spec_of(
        encoder,
        epochs=5,
        learning_rate=0.05,
        head_learning_rate=10.0,
        best_metric="loss",
        average_decay=0.0,
        checkpoint_every_steps=2,
    )
    whole = classify.train(spec, texts, tmp_path / "whole", Silent())

    with pytest.raises(Stopped):
        classify.train(spec, texts, tmp_path / "cut", told(stop_after=whole["steps"] - 2))
    left = sorted((tmp_path / "cut" / "checkpoints").glob("step-*"))
    again = classify.train(spec, texts, tmp_path / "again", Silent(), resume_from=tmp_path / "cut" / "checkpoints")

    best_step = whole["history"][whole["best_epoch"] - 1]["step"]
    assert len(left) == 2 and all(int(path.name.removeprefix("step-")) > best_step for path in left)
    assert again["best_epoch"] == whole["best_epoch"] < 5
    assert again["files"]["model.safetensors"] == whole["files"]["model.safetensors"]


def test_a_frozen_encoder_trains_a_probe_only(encoder: Path, texts: Path, tmp_path: Path) -> None:
    result = classify.train(spec_of(encoder, method="frozen"), texts, tmp_path, Silent())

    assert result["steps"] == 0
    before = base_models.load_network(str(encoder), 3).base_model.state_dict()
    after, _, _ = open_classifier(tmp_path / "model")
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.base.state_dict().items())
    assert float(after.head.weight.detach().abs().sum()) > 0


def test_several_labels_per_text(encoder: Path, tmp_path: Path, labelled: Any, text_file: Any) -> None:
    first, second = labelled(60, seed=1), labelled(60, seed=2)
    rows = [(f"{a} {b}", sorted({x, y}), "train") for (a, x), (b, y) in zip(first, second[::-1], strict=True)]
    rows += [("please help", [], "train"), ("the today", [], "test"), (first[0][0], [first[0][1]], "test")]
    data = text_file(tmp_path / "multi.parquet", rows)

    result = classify.train(spec_of(encoder, multi_label=True, epochs=15), data, tmp_path / "out", Silent())

    assert result["evaluations"]["dev"]["headline"]["micro_f1"]["value"] > 0.7
    predictions = load_classifier(tmp_path / "out" / "model").predict([rows[0][0]])
    assert set(predictions.labels[0]) == {
        predictions.names[k] for k in (predictions.probabilities[0] >= 0.5).nonzero()[0]
    }


@pytest.mark.parametrize(
    ("architecture", "pooling"), [("bert", "mean"), ("bert", "native"), ("roberta", "mean"), ("roberta", "native")]
)
def test_the_saved_folder_gives_the_trained_logits_here_and_in_transformers(
    encoder: Path, roberta: Path, tmp_path: Path, architecture: str, pooling: str, labelled: Any
) -> None:
    place = str({"bert": encoder, "roberta": roberta}[architecture])
    torch.manual_seed(1)
    network = base_models.load_network(place, 3)
    model = TextClassifier(network, 3, pooling=pooling, dropout=0.2).eval()
    tokenizer = base_models.load_tokenizer(place)
    lines = [text for text, _ in labelled(9)]
    with torch.no_grad():
        trained = model(tokenizer(lines)["input_ids"])
    description = {"recipe": "classify", "multi_label": False, "decision_threshold": 0.5, "max_length_tokens": 64}

    save_classifier(tmp_path / "model", model, tokenizer, ["a", "b", "c"], description)

    served, served_tokenizer, _ = open_classifier(tmp_path / "model")
    with torch.no_grad():
        again = served(served_tokenizer(lines)["input_ids"])
    assert torch.allclose(again, trained, atol=1e-6)
    assert torch.allclose(logits_of(tmp_path / "model", lines), trained, atol=2e-5)
    (named,) = json.loads((tmp_path / "model" / "config.json").read_text())["architectures"]
    assert named == type(network).__name__ and named.endswith("ForSequenceClassification")


def test_a_trained_folder_can_be_the_next_base_model(encoder: Path, texts: Path, tmp_path: Path) -> None:
    classify.train(spec_of(encoder, epochs=1), texts, tmp_path / "one", Silent())

    result = classify.train(spec_of(tmp_path / "one" / "model", epochs=1), texts, tmp_path / "two", Silent())

    assert json.loads((tmp_path / "two" / "model" / "config.json").read_text())["num_hidden_layers"] == 3
    assert result["steps"] == 11


def test_packed_texts_do_not_see_each_other(encoder: Path, labelled: Any) -> None:
    torch.manual_seed(0)
    model = TextClassifier(base_models.load_network(str(encoder), 3), 3, pooling="mean").eval()
    sequences = base_models.load_tokenizer(str(encoder))([text for text, _ in labelled(6)])["input_ids"]
    changed = copy.deepcopy(sequences)
    changed[0] = [2, *changed[0][2:], 7, 3]

    with torch.no_grad():
        before, after = model(sequences), model(changed)

    assert torch.allclose(before[1:], after[1:], atol=1e-6)
    assert not torch.allclose(before[0], after[0], atol=1e-4)


def test_leaked_test_texts_refuse_the_run(encoder: Path, tmp_path: Path, labelled: Any, text_file: Any) -> None:
    rows = [(text, [label], "train") for text, label in labelled(40)]
    rows.append((rows[3][0].upper() + "  ", rows[3][1], "test"))

    with pytest.raises(Refused) as refused:
        classify.train(spec_of(encoder), text_file(tmp_path / "d.parquet", rows), tmp_path / "out", Silent())

    assert [(problem.code, problem.rows) for problem in refused.value.problems if problem.severity == "error"] == [
        ("test_leaks", (140,))
    ]


def test_a_missing_base_model_is_named(texts: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFailed) as failure:
        classify.train(spec_of(tmp_path / "nowhere"), texts, tmp_path / "out", Silent())

    assert failure.value.code == "base_model_missing"


def test_weights_that_are_not_safetensors_are_refused(encoder: Path, texts: Path, tmp_path: Path) -> None:
    base = tmp_path / "pickled"
    base.mkdir()
    for path in encoder.iterdir():
        (base / path.name).write_bytes(path.read_bytes())
    (base / "model.safetensors").rename(base / "pytorch_model.bin")

    with pytest.raises(RunFailed) as failure:
        classify.train(spec_of(base), texts, tmp_path / "out", Silent())

    assert failure.value.code == "base_model_unusable"


def test_the_bundled_encoder_is_found_without_importing_its_package() -> None:
    folder = Path(base_models.locate(BaseModel()))

    assert (folder / "model.safetensors").is_file() and (folder / "tokenizer.json").is_file()


def test_the_rows_of_a_step_do_not_depend_on_memory_limits() -> None:
    lengths = [at % 17 + 3 for at in range(100)]
    common = {"seed": 1, "epoch": 2, "rows_per_step": 16}

    wide = epoch_windows(lengths, **common, rows_at_once=16, tokens_at_once=10_000)
    narrow = epoch_windows(lengths, **common, rows_at_once=4, tokens_at_once=40)

    assert [list(chain(*window)) for window in narrow] == [list(chain(*window)) for window in wide]
    assert sorted(at for window in wide for batch in window for at in batch) == list(range(100))
    assert all(len(batch) <= 4 and sum(lengths[at] for at in batch) <= 40 for window in narrow for batch in window)
    assert cut([5], [99] * 6, rows_at_once=1, tokens_at_once=10) == [[5]]


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_the_learning_rate_rises_then_falls(schedule: str) -> None:
    shares = [learning_rate_share(step, 100, warmup=0.1, schedule=schedule) for step in range(100)]

    assert shares[9] == 1.0 == max(shares) and shares[0] == 0.1
    assert all(before >= after for before, after in pairwise(shares[10:]))
    assert schedule == "constant" or shares[-1] < 0.05
