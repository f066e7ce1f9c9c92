"""Exports: what is written, read back by what will use it, gives the served logits; a broken conversion does not."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from engine import export_gguf, export_onnx
from engine.base_models import load_network, load_tokenizer
from engine.encoder import TextClassifier
from engine.export import export
from engine.export_gguf_read import same_vocabulary
from engine.export_parity import TEXTS, measured, served
from engine.failures import RunFailed
from engine.methods import attach
from engine.model_folder import save_classifier
from engine.report import Silent
from engine.specs.methods import MethodOptions

Tiny = Callable[..., Path]
SHAPE = {
    "hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 96, "initializer_range": 0.6,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}  # fmt: skip


def exported(kind: str, folder: Path, out: Path) -> dict[str, Any]:
    return export({"kind": kind, "model": str(folder)}, out, Silent())


@pytest.fixture(scope="module")
def shaped(tiny_chat: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Chat folders of other shapes with random weights, vocabulary and template of the tiny Llama."""

    def make(kind: str) -> Path:
        import transformers

        folder = tmp_path_factory.mktemp(kind) / "model"
        shutil.copytree(tiny_chat("llama"), folder)
        config = json.loads((folder / "config.json").read_text())
        shape = {**SHAPE, "vocab_size": config["vocab_size"] + 5, "eos_token_id": config["eos_token_id"]}
        torch.manual_seed(3)
        made: Any = {
            "llama3": lambda: transformers.LlamaForCausalLM(
                transformers.LlamaConfig(
                    **shape, rope_parameters=LLAMA3, attention_bias=True, mlp_bias=True, tie_word_embeddings=True
                )
            ),
            "qwen2": lambda: transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**shape)),
            "qwen3": lambda: transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**shape, head_dim=8)),
        }[kind]()
        with torch.no_grad():
            for name, parameter in made.named_parameters():
                if name.endswith("bias"):
                    parameter.normal_(std=0.3)
        made.save_pretrained(folder)
        return folder

    return make


@pytest.mark.parametrize("kind", ["own", "llama", "gpt2", "llama3", "qwen2", "qwen3"])
def test_a_gguf_file_alone_gives_the_served_logits(kind: str, tiny_chat: Tiny, shaped: Any, tmp_path: Path) -> None:
    folder = tiny_chat(kind) if kind in ("own", "llama", "gpt2") else shaped(kind)

    found = exported("gguf", folder, tmp_path)

    parity = found["parity"]
    assert found["files"] == ["model.gguf"]
    assert parity["passed"] is True and parity["checked"] == {"same_vocabulary": True}
    assert parity["max_logit_difference"] <= parity["tolerance"]
    assert parity["agreement"] == 1.0 and parity["decisions"] > len(TEXTS) * 10


def test_a_vocabulary_with_tokens_that_the_file_lacks_is_another_one(tiny_chat: Tiny, tmp_path: Path) -> None:
    """transformers adds tokens to some tokenizers while it opens them."""
    folder = tiny_chat("own")
    exported("gguf", folder, tmp_path)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    path = tmp_path / "export/model.gguf"
    assert same_vocabulary(path, tokenizer)
    tokenizer.add_special_tokens(["<|late|>"])
    assert not same_vocabulary(path, tokenizer)


def test_a_gguf_file_carries_what_llama_cpp_needs_to_chat(tiny_chat: Tiny, tmp_path: Path) -> None:
    import gguf

    exported("gguf", tiny_chat("own"), tmp_path)

    fields = {
        name: field.contents() for name, field in gguf.GGUFReader(str(tmp_path / "export/model.gguf")).fields.items()
    }
    assert fields["general.architecture"] == "llama"
    assert (fields["tokenizer.ggml.model"], fields["tokenizer.ggml.pre"]) == ("gpt2", "gpt-2")
    assert "<|assistant|>" in fields["tokenizer.chat_template"]
    end = fields["tokenizer.ggml.eos_token_id"]
    assert fields["tokenizer.ggml.tokens"][end] == "<|end|>"
    assert fields["tokenizer.ggml.token_type"][end] == export_gguf.CONTROL
    assert (fields["llama.attention.head_count"], fields["llama.attention.head_count_kv"]) == (4, 2)
    assert fields["llama.context_length"] == 96


def test_a_gguf_file_with_rows_in_the_wrong_order_does_not_pass(
    tiny_chat: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_gguf, "interleaved", lambda rows, _heads: rows)

    parity = exported("gguf", tiny_chat("own"), tmp_path)["parity"]

    assert parity["passed"] is False
    assert parity["max_logit_difference"] > parity["tolerance"] and parity["agreement"] < 1.0


def test_a_gguf_file_with_a_damaged_vocabulary_does_not_pass(
    tiny_chat: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = export_gguf.vocabulary_of

    def without_the_last_merges(opened: Any) -> dict[str, Any]:
        found = right(opened)
        return {**found, "merges": found["merges"][: len(found["merges"]) // 2]}

    monkeypatch.setattr(export_gguf, "vocabulary_of", without_the_last_merges)

    parity = exported("gguf", tiny_chat("own"), tmp_path)["parity"]

    assert (parity["passed"], parity["checked"]) == (False, {"same_vocabulary": False})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "gpt2", "activation_function": "gelu"}, "gelu_tanh|activation"),
        ({"model_type": "gpt2", "activation_function": "relu"}, "activation_function"),
    ],
)
def test_a_shape_that_llama_cpp_lacks_is_refused_by_name(
    tiny_chat: Tiny, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_chat("gpt2"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))

    with pytest.raises(RunFailed, match=words):
        exported("gguf", folder, tmp_path / "out")


def test_a_tokenizer_that_llama_cpp_would_cut_otherwise_is_refused(tiny_chat: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_chat("llama"), folder)
    found = json.loads((folder / "tokenizer.json").read_text())
    found["pre_tokenizer"]["add_prefix_space"] = True
    (folder / "tokenizer.json").write_text(json.dumps(found))

    with pytest.raises(RunFailed) as failed:
        exported("gguf", folder, tmp_path / "out")

    assert failed.value.code == "not_for_gguf"


@pytest.mark.parametrize("kind", ["classifier", "own", "llama"])
def test_a_merged_folder_is_opened_by_transformers_alone(
    kind: str, tiny_classifier: Tiny, tiny_chat: Tiny, tmp_path: Path
) -> None:
    found = exported("merged", tiny_classifier() if kind == "classifier" else tiny_chat(kind), tmp_path)

    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(found["files"])
    assert "lingxi.json" not in found["files"]
    assert found["parity"]["passed"] is True and found["parity"]["by"] == "transformers"


def test_an_onnx_classifier_labels_as_it_is_served_and_a_wrong_one_does_not(
    tiny_classifier: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_classifier()
    found = exported("onnx", folder, tmp_path)
    graph = tmp_path / "export" / export_onnx.FILE
    sequences, reference = served(folder)

    other = export_onnx.graph_run(graph, pad=0, writes=False)(sequences[::-1])

    assert {"model.onnx", "config.json", "tokenizer.json"} <= set(found["files"])
    assert found["parity"]["passed"] is True and found["parity"]["by"] == "onnxruntime"
    assert measured(reference[::-1], other, by="the other way round")["passed"]
    assert measured(served(tiny_classifier(seed=2))[1], other[::-1], by="another model")["passed"] is False


def test_an_onnx_decoder_gives_the_served_logits(tiny_chat: Tiny, tmp_path: Path) -> None:
    found = exported("onnx", tiny_chat("own"), tmp_path)

    assert found["parity"]["passed"] is True and found["parity"]["agreement"] == 1.0


@pytest.fixture
def adapted(tiny_chat: Tiny, tmp_path: Path) -> Path:
    """A merged chat folder with the LoRA that made it beside its weights."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base, folder = tiny_chat("gpt2"), tmp_path / "adapted"
    shutil.copytree(base, folder)
    torch.manual_seed(5)
    network = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base), LoraConfig(r=2, target_modules=["c_attn"], task_type="CAUSAL_LM")
    )
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.5)
    network.save_pretrained(folder / "adapter")
    network.merge_and_unload().save_pretrained(folder)
    return folder


def test_an_adapter_on_its_base_is_the_merged_model(adapted: Path, tmp_path: Path) -> None:
    found = exported("adapter", adapted, tmp_path / "out")

    assert {"adapter/adapter_config.json", "adapter/adapter_model.safetensors", "tokenizer.json"} <= set(found["files"])
    assert "model.safetensors" not in found["files"]
    assert found["parity"]["passed"] is True and found["parity"]["by"] == "peft"


def test_an_adapter_that_was_merged_wrongly_does_not_pass(adapted: Path, tiny_chat: Tiny, tmp_path: Path) -> None:
    shutil.copyfile(tiny_chat("gpt2") / "model.safetensors", adapted / "model.safetensors")

    parity = exported("adapter", adapted, tmp_path / "out")["parity"]

    assert parity["passed"] is False and parity["max_logit_difference"] > parity["tolerance"]


@pytest.fixture(scope="module")
def adapted_classifier(tiny_classifier: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folders as the classify recipe writes them, with an adapter of the named method that learnt something."""

    def make(method: str) -> Path:
        base, folder = tiny_classifier(seed=4), tmp_path_factory.mktemp(method) / "model"
        labels = ("refund", "card", "loan")
        torch.manual_seed(6)
        model = TextClassifier(load_network(str(base), len(labels)), len(labels), pooling="mean").eval()
        torch.nn.init.normal_(model.head.weight)
        attached = attach(model.encoder, MethodOptions(method=method, virtual_tokens=3, bottleneck_width=4))
        with torch.no_grad():
            for parameter in model.encoder.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) * 0.3)
        described = {
            "recipe": "classify", "multi_label": False, "max_length_tokens": 24, "decision_threshold": 0.5,
            "base_model": f"folder:{base}",
        }  # fmt: skip
        save_classifier(folder, model, load_tokenizer(str(base)), labels, described, attached=attached)
        return folder

    return make


@pytest.mark.parametrize("method", ["lora", "ia3", "prefix", "prompt", "bottleneck"])
def test_the_adapter_of_a_classifier_on_its_base_labels_as_it_is_served(
    method: str, adapted_classifier: Callable[[str], Path], tmp_path: Path
) -> None:
    found = exported("adapter", adapted_classifier(method), tmp_path)

    assert {"adapter/options.json", "adapter/adapter_model.safetensors", "head.safetensors"} <= set(found["files"])
    assert found["parity"]["passed"] is True and found["parity"]["by"] == "peft"


def test_base_weights_without_their_adapter_do_not_pass_as_merged(
    adapted_classifier: Callable[[str], Path], tmp_path: Path
) -> None:
    assert exported("merged", adapted_classifier("lora"), tmp_path / "lora")["parity"]["passed"] is True
    assert exported("merged", adapted_classifier("prefix"), tmp_path / "prefix")["parity"]["passed"] is False


def test_a_version_without_adapter_offers_none(tiny_chat: Tiny, tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="not trained as an adapter"):
        exported("adapter", tiny_chat("gpt2"), tmp_path)


def test_logits_that_are_no_numbers_never_pass() -> None:
    import numpy as np

    right = [np.ones((2, 3), np.float32)]

    assert measured(right, [np.full((2, 3), np.nan, np.float32)], by="x")["passed"] is False
    assert measured(right, [np.ones((2, 4), np.float32)], by="x")["passed"] is False
    assert measured(right, [right[0] + 9e-5], by="x")["passed"] is True
    assert measured(right, [right[0] + 2e-4], by="x")["passed"] is False
