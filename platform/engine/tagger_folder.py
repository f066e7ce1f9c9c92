"""A trained tagger as a Hugging Face folder with lingxi.json beside the weights."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from engine.base_models import load_network, load_tokenizer, own_description
from engine.failures import RunFailed
from engine.folders import write_folder
from engine.methods import Attached, plain_weights, read_adapter, write_adapter
from engine.methods.folder import FOLDER as ADAPTER_FOLDER
from engine.spans import tag_names
from engine.tagger import Tagger, TokenTagger
from words import say

HEAD = "TokenClassification"
CASE_WEIGHT = "case.weight"
CASE_ARCHITECTURE = "LingxiCaseTagger"  # transformers has no such class: its own would leave the case out


def save_tagger(
    folder: Path,
    model: TokenTagger,
    tokenizer: Any,
    description: Mapping[str, Any],
    *,
    attached: Attached | None = None,
) -> dict[str, Any]:
    """Write the folder whole or not at all; returns what lingxi.json says.

    Without case features AutoModelForTokenClassification gives the same logits from it. With them the weights also hold
    how a word's form changes its embedding, which only our loader reads. What an adapter learnt is written beside the
    weights, and into them where that is possible; `model` is merged by this.
    """
    names = tag_names(description["labels"])
    config = copy.deepcopy(model.config)
    config.num_labels = len(names)
    config.id2label = dict(enumerate(names))
    config.label2id = {name: at for at, name in enumerate(names)}
    config.architectures = [type(model.network).__name__ if model.case is None else CASE_ARCHITECTURE]

    def fill(beside: Path) -> None:
        if attached is not None:
            write_adapter(beside, attached, base_model=description["base_model"], task_type="FEATURE_EXTRACTION")
            attached.merge()
        weights = plain_weights(model.network.state_dict())
        if model.case is not None:
            weights[CASE_WEIGHT] = model.case.weight
        tokenizer.save_pretrained(beside)
        config.save_pretrained(beside)
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
        safetensors.torch.save_file(whole, beside / "model.safetensors", metadata={"format": "pt"})

    return write_folder(folder, fill, {**description, "case_features": model.case is not None})


def holds_tagger(folder: Path) -> bool:
    """Whether a folder's architecture labels tokens."""
    config = folder / "config.json"
    named = json.loads(config.read_text(encoding="utf-8")).get("architectures") if config.is_file() else None
    return any(str(name).endswith((f"For{HEAD}", CASE_ARCHITECTURE)) for name in named or ())


def open_tagger(folder: Path) -> Tagger:
    """The tagger of an own folder or of any IOB2 token-classification folder, on the GPU if there is one."""
    if not (folder / "config.json").is_file():
        raise RunFailed(
            "model_missing", say("The model folder is missing or has no config.json."), say("Choose another version.")
        )
    description = describe(folder)
    names = tags_in(folder)
    network = load_network(str(folder), len(names), keep_head=True, head=HEAD)
    model = TokenTagger(network, case_features=description["case_features"])
    if model.case is not None:
        model.case.weight.data = safetensors.torch.load_file(folder / "model.safetensors")[CASE_WEIGHT]
    head, wanted = network.classifier, [names.index(name) for name in tag_names(description["labels"])]
    head.weight.data, head.bias.data = head.weight.data[wanted], head.bias.data[wanted]
    if (folder / ADAPTER_FOLDER).is_dir():
        read_adapter(model.encoder, folder)
    if torch.cuda.is_available():
        model = model.cuda()
    return Tagger(model.eval(), load_tokenizer(str(folder)), description)


def describe(folder: Path) -> dict[str, Any]:
    """What lingxi.json says of a tagger's folder, or what its tags let us say."""
    return own_description(str(folder)) or _foreign_description(folder)


def tags_in(folder: Path) -> list[str]:
    """The tags of a folder's configuration, in the order of its outputs."""
    names = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("id2label") or {}
    return [names[key] for key in sorted(names, key=int)]


def _foreign_description(folder: Path) -> dict[str, Any]:
    """Labels and reading length of a folder that this platform did not write; its tags must be those of IOB2."""
    names = tags_in(folder)
    labels = sorted({name[2:] for name in names if name != "O"})
    if not labels or set(names) != set(tag_names(labels)):
        raise RunFailed(
            "base_model_unusable",
            say("The tags of this model are not O, B-… and I-… of each label."),
            say("Choose a model with IOB2 tags."),
        )
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return {
        "recipe": "tag",
        "labels": labels,
        "unit": "word",
        "case_features": False,
        "max_length_tokens": min(int(config.get("max_position_embeddings", 512)), 512),
        "stride_tokens": 64,
    }
