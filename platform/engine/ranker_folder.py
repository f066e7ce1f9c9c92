"""A trained ranker as a plain sequence classifier with one output, lingxi.json beside the weights."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from engine.base_models import load_config, load_network, load_tokenizer, own_description
from engine.decoder import is_decoder
from engine.failures import RunFailed
from engine.folders import write_folder
from engine.methods import Attached, read_adapter, write_adapter
from engine.methods.folder import FOLDER as ADAPTER_FOLDER
from engine.model_folder import exported, read_mean_head, write_network
from engine.ranker import PairScorer, Ranker
from words import say

RECIPE = "rerank"
OUTPUT = "score"  # what the configuration calls the single output
POSITIONS = 512


def save_ranker(
    folder: Path,
    model: PairScorer,
    tokenizer: Any,
    description: Mapping[str, Any],
    *,
    attached: Attached | None = None,
) -> dict[str, Any]:
    """Write the folder whole or not at all; returns what lingxi.json says.

    AutoModelForSequenceClassification gives the same logits from it, and CrossEncoder of sentence-transformers the same
    scores. What an adapter learnt is written beside the weights, and into them where that is possible; `model` is merged
    by this.
    """

    def fill(beside: Path) -> None:
        if attached is not None:
            write_adapter(beside, attached, base_model=description["base_model"], task_type="FEATURE_EXTRACTION")
            attached.merge()
        tokenizer.model_max_length = int(description["max_length_tokens"])  # where CrossEncoder cuts
        write_network(beside, tokenizer, *exported(model, [OUTPUT], "regression"))

    return write_folder(folder, fill, {**description, "pooling": model.pooling})


def holds_ranker(folder: Path) -> bool:
    """Whether a folder scores pairs: by what this platform wrote of it, else an encoder's classifier with one output."""
    ours = own_description(str(folder))
    if ours:
        return ours.get("recipe") == RECIPE
    path = folder / "config.json"
    said = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    named = any(str(name).endswith("ForSequenceClassification") for name in said.get("architectures") or ())
    return named and len(said.get("id2label") or "12") == 1 and not is_decoder(load_config(str(folder)))


def open_ranker(folder: Path) -> Ranker:
    """The ranker of an own folder or of any cross-encoder's, on the GPU if there is one."""
    if not (folder / "config.json").is_file():
        raise RunFailed(
            "model_missing", say("The model folder is missing or has no config.json."), say("Choose another version.")
        )
    model, tokenizer, description = read_ranker(folder)
    if torch.cuda.is_available():
        model = model.cuda()
    return Ranker(model.eval(), tokenizer, description)


def read_ranker(folder: Path, *, dropout: float = 0.0) -> tuple[PairScorer, Any, dict[str, Any]]:
    """(model, tokenizer, description); `dropout` is what a training run wants."""
    tokenizer = load_tokenizer(str(folder))
    description = own_description(str(folder)) or _foreign_description(folder, tokenizer)
    network = load_network(str(folder), 1, keep_head=True)
    model = PairScorer(network, pooling=description["pooling"], dropout=dropout)
    if description["pooling"] == "mean":
        read_mean_head(model, folder)
    if (folder / ADAPTER_FOLDER).is_dir():
        read_adapter(model.encoder, folder)
    return model, tokenizer, description


def _foreign_description(folder: Path, tokenizer: Any) -> dict[str, Any]:
    """How a folder that this platform did not write is read."""
    positions = int(getattr(load_config(str(folder)), "max_position_embeddings", POSITIONS) or POSITIONS)
    return {
        "recipe": RECIPE,
        "pooling": "native",
        "max_length_tokens": min(int(tokenizer.model_max_length), positions - 2, POSITIONS),  # RoBERTa begins at 2
    }
