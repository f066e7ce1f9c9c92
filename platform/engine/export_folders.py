"""Exports that stay safetensors: the whole model as a plain Hugging Face folder, or its adapter alone."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.base_models import quiet_transformers, unusable
from engine.chat_folder import holds_chat_model
from engine.export_parity import Run, classifier_run, decoder_run
from engine.failures import RunFailed
from words import say

ADAPTER = "adapter"
TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
NETWORK = ("config.json", "generation_config.json")


def write_merged(folder: Path, target: Path) -> tuple[str, Run, dict[str, Any]]:
    """The network with everything merged in, tokenizer and template; run by transformers alone."""
    copy_files(folder, target, [*NETWORK, *TOKENIZER])
    for path in sorted(folder.glob("*.safetensors*")):
        shutil.copyfile(path, target / path.name)
    return "transformers", network_run(target), {}


def write_adapter(folder: Path, target: Path) -> tuple[str, Run, dict[str, Any]]:
    """What was trained alone, in peft's form; run by peft on the base model that its config names."""
    source = folder / ADAPTER
    if not (source / "adapter_config.json").is_file():
        raise RunFailed(
            "no_adapter", say("This version was not trained as an adapter."), say("Export the merged model.")
        )
    for path in sorted(source.iterdir()):
        if path.suffix in (".json", ".safetensors"):
            shutil.copyfile(path, target / path.name)
    copy_files(folder, target, TOKENIZER)
    base = str(json.loads((target / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"])
    return "peft", network_run(target, base=base, like=folder), {}


def copy_files(folder: Path, target: Path, names: Sequence[str]) -> None:
    """Those of `names` that the folder has."""
    for name in names:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, target / name)


def open_network(place: str, *, like: Path) -> Any:
    """The network as transformers alone opens it, of the kind and with the outputs of `like`; in eval mode."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    quiet_transformers()
    options: dict[str, Any] = {"trust_remote_code": False, "use_safetensors": True, "dtype": "float32"}
    kind: Any = AutoModelForCausalLM
    if not holds_chat_model(like):
        kind = AutoModelForSequenceClassification
        options["num_labels"] = AutoConfig.from_pretrained(like, trust_remote_code=False).num_labels
        options["ignore_mismatched_sizes"] = True
    try:
        return kind.from_pretrained(place, **options).eval()
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise unusable(place, "weights", error) from error


def network_run(target: Path, *, base: str = "", like: Path | None = None) -> Run:
    """Runs the written folder; with `base` the adapter in it on that base model."""
    like = like or target

    def run(sequences: Sequence[Sequence[int]]) -> Any:
        network = open_network(base or str(target), like=like)
        if base:
            from peft import PeftModel

            network = PeftModel.from_pretrained(network, str(target)).eval()
        if holds_chat_model(like):
            return decoder_run(network)(sequences)
        return classifier_run(network, network.config.pad_token_id or 0)(sequences)

    return run
