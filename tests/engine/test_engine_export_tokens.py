"""Exports of taggers and readers: transformers and ONNX Runtime alone give what is served for every token."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from engine import export_tokens
from engine.base_models import load_network, load_tokenizer
from engine.export import export
from engine.export_parity import TEXTS
from engine.failures import RunFailed
from engine.methods import attach
from engine.reader import SpanReader
from engine.reader_folder import open_reader, save_reader
from engine.report import Silent
from engine.specs.methods import MethodOptions
from engine.tagger import TokenTagger, Window
from engine.tagger_folder import open_tagger, save_tagger

Tiny = Callable[..., Path]
TEXT = "where is my card in Oslo"


def exported(kind: str, folder: Path, out: Path) -> dict[str, Any]:
    return export({"kind": kind, "model": str(folder)}, out, Silent())


def tags_served(folder: Path, ids: list[int], forms: list[int]) -> Any:
    """What our tagger says of each token of one window, [T, K]."""
    with torch.no_grad():
        return open_tagger(folder).model([Window(0, ids, forms, list(range(len(ids))), (0, len(ids)))]).numpy()


def test_a_merged_tagger_is_one_of_transformers(tiny_tagger: Tiny, tmp_path: Path) -> None:
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    folder = tiny_tagger(case_features=False)
    found = exported("merged", folder, tmp_path)
    theirs = AutoModelForTokenClassification.from_pretrained(found["folder"]).eval()
    tokens = AutoTokenizer.from_pretrained(found["folder"])(TEXT, return_tensors="pt")

    ids = tokens["input_ids"][0].tolist()
    assert found["parity"]["passed"] is True and found["parity"]["by"] == "transformers"
    assert found["parity"]["decisions"] > len(TEXTS) * 3 and "lingxi.json" not in found["files"]
    with torch.no_grad():
        logits = theirs(**tokens).logits[0].numpy()
    assert np.allclose(logits, tags_served(folder, ids, [0] * len(ids)), atol=1e-5)


def test_a_tagger_that_reads_how_words_are_written_is_never_exported_without_that(
    tiny_tagger: Tiny, tmp_path: Path
) -> None:
    with pytest.raises(RunFailed, match="how each word is written") as failed:
        exported("merged", tiny_tagger(), tmp_path)

    assert failed.value.code == "export_unavailable"


def test_the_graph_of_a_tagger_takes_how_words_are_written(tiny_tagger: Tiny, tmp_path: Path) -> None:
    import onnxruntime

    folder = tiny_tagger()
    found = exported("onnx", folder, tmp_path)
    session = onnxruntime.InferenceSession(str(tmp_path / "export/model.onnx"), providers=["CPUExecutionProvider"])
    ids, forms = [2, 5, 6, 7, 8, 3], [0, 18, 4, 7, 6, 0]
    given = {"input_ids": [ids], "attention_mask": [[1] * 6], "word_forms": [forms]}

    def says(**changed: Any) -> Any:
        return session.run(None, {name: np.array(rows, np.int64) for name, rows in {**given, **changed}.items()})[0][0]

    assert found["parity"]["passed"] is True and found["parity"]["by"] == "onnxruntime"
    assert [one.name for one in session.get_inputs()] == ["input_ids", "attention_mask", "word_forms"]
    assert np.allclose(says(), tags_served(folder, ids, forms), atol=1e-4)
    assert not np.allclose(says(), says(word_forms=[[0] * 6]), atol=1e-2)


def test_tags_in_another_order_stay_what_they_are(tiny_tagger: Tiny, tmp_path: Path) -> None:
    """A foreign folder keeps the order of its outputs; its own configuration says which is which."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_tagger(case_features=False), folder)
    (folder / "lingxi.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    names = [config["id2label"][str(at)] for at in range(5)]
    config["id2label"] = {str(at): name for at, name in enumerate(names[::-1])}
    config["label2id"] = {name: at for at, name in enumerate(names[::-1])}
    (folder / "config.json").write_text(json.dumps(config))

    for kind in ("merged", "onnx"):
        found = exported(kind, folder, tmp_path / kind)
        assert found["parity"]["passed"] is True and {"config.json", "tokenizer.json"} <= set(found["files"]), kind
    assert json.loads((tmp_path / "onnx/export/config.json").read_text())["id2label"] == config["id2label"]


def test_a_merged_reader_is_one_of_transformers(tiny_reader: Tiny, tmp_path: Path) -> None:
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    folder = tiny_reader()
    found = exported("merged", folder, tmp_path)
    theirs = AutoModelForQuestionAnswering.from_pretrained(found["folder"]).eval()
    tokens = AutoTokenizer.from_pretrained(found["folder"])("where is lena", "lena lives in oslo", return_tensors="pt")
    reader = open_reader(folder)

    with torch.no_grad():
        said = theirs(**tokens)
        wanted = reader.model(reader.windows([("where is lena", "lena lives in oslo")]))
    assert found["parity"]["passed"] is True and found["parity"]["by"] == "transformers"
    assert torch.allclose(said.start_logits[0], wanted[:, 0], atol=1e-5)
    assert torch.allclose(said.end_logits[0], wanted[:, 1], atol=1e-5)


def test_the_graph_of_a_reader_gives_starts_and_ends(tiny_reader: Tiny, tmp_path: Path) -> None:
    import onnxruntime

    folder = tiny_reader()
    found = exported("onnx", folder, tmp_path)
    session = onnxruntime.InferenceSession(str(tmp_path / "export/model.onnx"), providers=["CPUExecutionProvider"])
    reader = open_reader(folder)
    window = reader.windows([("where is lena", "lena lives in oslo")])[0]
    given = {"input_ids": window.ids, "attention_mask": [1] * len(window.ids), "token_type_ids": window.types}

    starts, ends = session.run(
        ["start_logits", "end_logits"], {name: np.array([row], np.int64) for name, row in given.items()}
    )

    with torch.no_grad():
        wanted = reader.model([window]).numpy()
    assert found["parity"]["passed"] is True and found["parity"]["decisions"] > 2
    assert np.allclose(np.stack((starts[0], ends[0]), 1), wanted, atol=1e-4)


def test_a_reader_whose_tokenizer_hides_which_part_is_the_passage_is_not_left_to_it(
    tiny_reader: Tiny, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_reader(), folder)
    said = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(
        json.dumps(said | {"model_input_names": ["input_ids", "attention_mask"]})
    )

    with pytest.raises(RunFailed, match="question and passage apart"):
        exported("merged", folder, tmp_path / "merged")


def test_a_conversion_with_a_wrong_head_does_not_pass(
    tiny_reader: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = export_tokens.load_network

    def swapped(*given: Any, **options: Any) -> Any:
        network = right(*given, **options)
        network.qa_outputs.weight.data = network.qa_outputs.weight.data.flip(0)
        return network

    monkeypatch.setattr(export_tokens, "load_network", swapped)

    parity = exported("merged", tiny_reader(), tmp_path)["parity"]

    assert parity["passed"] is False and parity["max_logit_difference"] > parity["tolerance"]


def adapted_folder(task: str, method: str, base: Path, folder: Path) -> Path:
    """A folder as the recipes write it, with an adapter of the method that learnt something."""
    torch.manual_seed(6)
    tags = task == "tagging"
    network = load_network(str(base), 5 if tags else 2, head="TokenClassification" if tags else "QuestionAnswering")
    model: Any = TokenTagger(network, case_features=True) if tags else SpanReader(network)
    if tags:
        torch.nn.init.normal_(model.case.weight)
    attached = attach(model.encoder, MethodOptions(method=method, virtual_tokens=3, bottleneck_width=4))
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    described = {**json.loads((base / "lingxi.json").read_text()), "base_model": f"folder:{base}"}
    (save_tagger if tags else save_reader)(
        folder, model.eval(), load_tokenizer(str(base)), described, attached=attached
    )
    return folder


@pytest.mark.parametrize("method", ["lora", "prefix", "bottleneck"])
@pytest.mark.parametrize("task", ["tagging", "extraction"])
def test_an_adapter_on_its_base_says_what_is_served(
    task: str, method: str, tiny_tagger: Tiny, tiny_reader: Tiny, tmp_path: Path
) -> None:
    base = tiny_tagger(case_features=False, seed=4) if task == "tagging" else tiny_reader(seed=4)
    folder = adapted_folder(task, method, base, tmp_path / "model")

    found = exported("adapter", folder, tmp_path / "out")

    assert {"adapter/options.json", "adapter/adapter_model.safetensors", "head.safetensors"} <= set(found["files"])
    assert found["parity"]["passed"] is True and found["parity"]["by"] == "peft"
    head = safetensors.torch.load_file(tmp_path / "out/export/head.safetensors")
    assert any("case" in name for name in head) is (task == "tagging")


def test_what_stands_beside_the_weights_does_not_pass_as_merged(tiny_reader: Tiny, tmp_path: Path) -> None:
    merged = adapted_folder("extraction", "lora", tiny_reader(seed=4), tmp_path / "lora")
    beside = adapted_folder("extraction", "prefix", tiny_reader(seed=4), tmp_path / "prefix")

    assert exported("merged", merged, tmp_path / "one")["parity"]["passed"] is True
    assert exported("merged", beside, tmp_path / "two")["parity"]["passed"] is False


def test_a_tagger_is_no_file_for_llama_cpp(tiny_tagger: Tiny, tmp_path: Path) -> None:
    with pytest.raises(RunFailed) as failed:
        exported("gguf", tiny_tagger(), tmp_path)

    assert failed.value.code == "not_for_gguf"
