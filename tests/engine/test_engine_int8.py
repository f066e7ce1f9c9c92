"""Students of int8 weights: the grid, the kernels, what is saved, and what others read of it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification

from engine import int8
from engine.encoder import TextClassifier
from engine.export import export
from engine.failures import RunFailed, Stopped
from engine.model_folder import open_classifier
from engine.predict import encode, load_classifier
from engine.recipes import classify, distil
from engine.recipes.classify_setup import check_student
from engine.report import Silent
from engine.specs import BaseModel, ClassifySpec, parse_spec, spec_hash
from engine.specs.distil import DistilSpec

COMMON: dict[str, Any] = {
    "epochs": 4, "batch_size": 8, "learning_rate": 1e-2, "head_learning_rate": 1e-2, "max_length_tokens": 32
}  # fmt: skip
KERNELS = [name for name, make in int8.KERNELS.items() if int8.adds_up(make)]


@pytest.fixture(scope="module")
def teacher(encoder: Path, texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = ClassifySpec(base_model=BaseModel("folder", str(encoder)), **{**COMMON, "epochs": 12})
    return Path(classify.train(spec, texts, tmp_path_factory.mktemp("teacher"), Silent())["model"])


@pytest.fixture(scope="module")
def student(
    teacher: Path, encoder: Path, texts: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("student")
    return out, distil.train(spec_of(teacher, encoder, epochs=12), texts, out, Silent())


def spec_of(teacher: Path, encoder: Path, **options: Any) -> DistilSpec:
    base, master = BaseModel("folder", str(encoder)), BaseModel("version", "7", place=str(teacher))
    return DistilSpec(**{"base_model": base, "teacher": master, "student_weights": "int8", **COMMON, **options})


def test_each_row_has_a_grid_of_its_own_and_zeros_stay_zeros() -> None:
    found = int8.on_grid(torch.tensor([[1.27, 0.1049, -0.5], [127.0, 0.4, 0.6], [0.0, 0.0, 0.0]]))

    torch.testing.assert_close(found, torch.tensor([[1.27, 0.10, -0.5], [127.0, 0.0, 1.0], [0.0, 0.0, 0.0]]))
    assert torch.equal((found / int8.scales_of(found)).round(), (int8.on_grid(found) / int8.scales_of(found)).round())


def test_gradients_pass_the_rounding_as_if_it_were_not_there() -> None:
    torch.manual_seed(0)
    plain = nn.Linear(6, 4)
    grid = int8.GridLinear(6, 4)
    grid.load_state_dict(plain.state_dict())
    hidden = int8.on_grid(torch.randn(3, 6)).requires_grad_()
    with torch.no_grad():
        plain.weight.copy_(int8.on_grid(plain.weight))

    grid(hidden).square().sum().backward()
    by_grid, hidden.grad = hidden.grad, None
    plain(hidden).square().sum().backward()

    torch.testing.assert_close(by_grid, hidden.grad)
    torch.testing.assert_close(grid.weight.grad, plain.weight.grad)


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_gives_what_the_grid_gives(name: str) -> None:
    torch.manual_seed(0)
    grid = int8.GridLinear(48, 32)
    hidden = torch.randn(2, 300, 48) * torch.rand(2, 300, 1) * 9

    found = int8.Int8Linear(grid, name)(hidden)

    torch.testing.assert_close(found, grid(hidden).detach(), rtol=1e-5, atol=1e-5)


def test_a_kernel_that_cuts_large_sums_short_is_not_taken() -> None:
    def cutting(numbers: torch.Tensor, scales: torch.Tensor) -> int8.Multiply:
        return lambda rows: (rows.long() @ numbers.long().T).clamp(-32_768 * 8, 32_767 * 8).float() * scales

    assert not int8.adds_up(cutting)
    assert KERNELS, "neither kernel adds up on this machine"


def test_without_a_kernel_floats_give_the_same_function(
    student: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(student[1]["model"])
    served = load_classifier(folder)
    monkeypatch.setattr(int8, "known_kernel", lambda: "")
    floats = load_classifier(folder)
    sequences = served.read(["please send my card", "mortgage rate"])

    assert any(isinstance(part, int8.GridLinear) for part in floats.model.modules())
    with torch.no_grad():
        torch.testing.assert_close(floats.model(sequences), served.model(sequences), rtol=0, atol=2e-2)


def test_the_saved_student_is_measured_served_and_read_by_others(
    student: tuple[Path, dict[str, Any]], texts: Path
) -> None:
    out, result = student
    folder = Path(result["model"])
    said = json.loads((folder / "lingxi.json").read_text())
    beside = json.loads((out / "evaluation-test.json").read_text())["teacher"]
    served = load_classifier(folder)
    floats, tokenizer, _ = open_classifier(folder)
    sequences = encode(tokenizer, ["please send my card", "mortgage rate", "why is it not"], 32)

    assert said["weights"] == "int8"
    assert sum(isinstance(part, int8.Int8Linear) for part in served.model.modules()) == 12
    assert beside["kernel"] == int8.known_kernel() != ""
    assert beside["parameters"]["student"] == beside["parameters"]["teacher"]
    assert beside["bytes"]["student"] < beside["bytes"]["teacher"]
    assert result["evaluations"]["test"]["headline"]["accuracy"]["value"] == beside["accuracy"]["student"] > 0.8
    for layer in (part for part in floats.encoder.modules() if isinstance(part, nn.Linear)):
        torch.testing.assert_close(layer.weight, int8.on_grid(layer.weight), rtol=1e-6, atol=0)
    theirs = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        for ids in sequences:
            torch.testing.assert_close(theirs(input_ids=torch.tensor([ids])).logits, floats([ids]), rtol=0, atol=1e-3)


def test_a_text_is_read_alike_in_any_company(student: tuple[Path, dict[str, Any]]) -> None:
    served = load_classifier(Path(student[1]["model"]))
    sequences = served.read(["my card", "please help with the credit card today", "wire it", "why is the loan not"])

    with torch.no_grad():
        together = served.model(sequences)
        alone = torch.cat([served.model([ids]) for ids in sequences])

    torch.testing.assert_close(alone, together, rtol=0, atol=1e-5)


def test_depth_and_int8_go_together_and_resume_to_the_same_weights(
    teacher: Path, encoder: Path, texts: Path, tmp_path: Path, told: Any
) -> None:
    spec = spec_of(teacher, encoder, student_layers=1, epochs=2)
    whole = distil.train(spec, texts, tmp_path / "whole", Silent())
    first = told(stop_after=7)
    with pytest.raises(Stopped):
        distil.train(spec, texts, tmp_path / "first", first)

    resumed = distil.train(spec, texts, tmp_path / "second", Silent(), resume_from=Path(first.checkpoints[-1]))

    assert resumed["files"]["model.safetensors"] == whole["files"]["model.safetensors"]
    served = load_classifier(Path(whole["model"]))
    assert sum(isinstance(part, int8.Int8Linear) for part in served.model.modules()) == 6


def test_an_export_holds_the_floats_and_tells_the_difference(
    student: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    order = {"task": "export", "kind": "merged", "model": student[1]["model"]}

    found = export(order, tmp_path, Silent())

    assert found["parity"]["passed"] and 0 < found["parity"]["int8_difference"] < 1


@pytest.mark.parametrize("shape", ["roberta", "distilbert"])
def test_other_encoders_are_served_in_int8_too(shape: str, roberta: Path) -> None:
    from transformers import DistilBertConfig, DistilBertForSequenceClassification, RobertaForSequenceClassification

    torch.manual_seed(0)
    if shape == "roberta":
        network: Any = RobertaForSequenceClassification.from_pretrained(roberta, num_labels=3)
    else:
        network = DistilBertForSequenceClassification(
            DistilBertConfig(vocab_size=40, dim=16, n_layers=2, n_heads=2, hidden_dim=32, pad_token_id=0, num_labels=3)
        )
    model = TextClassifier(network, 3, pooling="native").eval()
    sequences = [[0, 5, 6, 2], [0, 9, 2]]
    with torch.no_grad():
        floats = model(sequences)
        int8.serve_int8(model)
        found = model(sequences)

    assert sum(isinstance(part, int8.Int8Linear) for part in model.modules()) == 12
    assert 0 < (found - floats).abs().max() < 0.05


def test_an_int8_student_of_a_decoder_or_an_adapter_is_refused() -> None:
    from transformers import LlamaConfig

    with pytest.raises(RunFailed, match="is an encoder"):
        check_student(DistilSpec(student_weights="int8"), LlamaConfig())
    _, problems = parse_spec("distil", {"teacher": "version:7", "student_weights": "int8", "method": "lora"})
    assert {problem.field for problem in problems} == {"student_weights"}


def test_a_spec_of_floats_keeps_the_hash_it_had() -> None:
    spec, _ = parse_spec("distil", {"teacher": "version:7"})
    other, _ = parse_spec("distil", {"teacher": "version:7", "student_weights": "int8"})

    assert spec is not None and other is not None
    assert spec_hash(spec) == "5886481e17b4b169f365e116e8db9e08c4c934bfbfa01724fb30ca7ba4320f8c" != spec_hash(other)
