"""A trained reader as a plain Hugging Face question-answering folder with lingxi.json beside the weights."""

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
from engine.reader import Reader, SpanReader
from words import say

HEAD = "QuestionAnswering"
POSITIONS = 512


def save_reader(
    folder: Path,
    model: SpanReader,
    tokenizer: Any,
    description: Mapping[str, Any],
    *,
    attached: Attached | None = None,
) -> dict[str, Any]:
    """Write the folder whole or not at all; returns what lingxi.json says.

    AutoModelForQuestionAnswering gives the same logits from it. What an adapter learnt is written beside the weights, and
    into them where that is possible; `model` is merged by this.
    """
    config = copy.deepcopy(model.config)
    config.architectures = [type(model.network).__name__]

    def fill(beside: Path) -> None:
        if attached is not None:
            write_adapter(beside, attached, base_model=description["base_model"], task_type="FEATURE_EXTRACTION")
            attached.merge()
        weights = plain_weights(model.network.state_dict())
        tokenizer.save_pretrained(beside)
        config.save_pretrained(beside)
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
        safetensors.torch.save_file(whole, beside / "model.safetensors", metadata={"format": "pt"})

    return write_folder(folder, fill, description)


def holds_reader(folder: Path) -> bool:
    """Whether a folder's architecture answers questions from passages."""
    config = folder / "config.json"
    named = json.loads(config.read_text(encoding="utf-8")).get("architectures") if config.is_file() else None
    return any(str(name).endswith(f"For{HEAD}") for name in named or ())


def open_reader(folder: Path) -> Reader:
    """The reader of an own folder or of any question-answering folder, on the GPU if there is one."""
    if not (folder / "config.json").is_file():
        raise RunFailed(
            "model_missing", say("The model folder is missing or has no config.json."), say("Choose another version.")
        )
    network = load_network(str(folder), 2, keep_head=True, head=HEAD)
    description = own_description(str(folder)) or _foreign_description(network.config)
    model = SpanReader(network)
    if (folder / ADAPTER_FOLDER).is_dir():
        read_adapter(model.encoder, folder)
    if torch.cuda.is_available():
        model = model.cuda()
    return Reader(model.eval(), load_tokenizer(str(folder)), description)


def _foreign_description(config: Any) -> dict[str, Any]:
    """How a folder that this platform did not write is read."""
    length = min(int(getattr(config, "max_position_embeddings", POSITIONS) or POSITIONS), POSITIONS)
    return {
        "recipe": "extract",
        "max_length_tokens": length - 2,  # RoBERTa's positions begin at 2
        "stride_tokens": length // 4,
        "max_answer_tokens": 30,
        "no_answer": False,
        "no_answer_margin": 0.0,
    }
