"""A trained embedder as a plain Hugging Face folder that sentence-transformers reads, lingxi.json beside the weights."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from engine.base_models import fetched, load_config, load_network, load_tokenizer, locate, own_description
from engine.embedder import Embedder, TextEmbedder
from engine.failures import RunFailed
from engine.folders import write_folder
from engine.methods import Attached, plain_weights, read_adapter, write_adapter
from engine.methods.folder import FOLDER as ADAPTER_FOLDER
from engine.specs.base_models import BaseModel
from words import say

MODULES = "modules.json"
POOLING = "1_Pooling/config.json"
NORMALISE = "2_Normalize"
LENGTH = "sentence_bert_config.json"
WAY = "config_sentence_transformers.json"
SENTENCE_FILES = (MODULES, POOLING, LENGTH, WAY)
POSITIONS = 512
PREFIX = "sentence_transformers.models"
# How sentence-transformers calls the ways to one vector, up to version 5 and from then on.
POOLINGS = {"mean": ("pooling_mode_mean_tokens", "mean"), "first": ("pooling_mode_cls_token", "cls")}
TEMPERATURE = 0.05


def save_embedder(
    folder: Path,
    model: TextEmbedder,
    tokenizer: Any,
    description: Mapping[str, Any],
    *,
    attached: Attached | None = None,
) -> dict[str, Any]:
    """Write the folder whole or not at all; returns what lingxi.json says.

    AutoModel gives the same token vectors from it, and SentenceTransformer the same text vectors. What an adapter learnt
    is written beside the weights, and into them where that is possible; `model` is merged by this.
    """
    config = copy.deepcopy(model.config)
    config.architectures = [type(model.network).__name__]

    def fill(beside: Path) -> None:
        if attached is not None:
            write_adapter(beside, attached, base_model=description["base_model"], task_type="FEATURE_EXTRACTION")
            attached.merge()
        weights = plain_weights(model.network.state_dict())
        weights |= {f"pooler.{name}": tensor for part in model.aside for name, tensor in part.state_dict().items()}
        tokenizer.save_pretrained(beside)
        config.save_pretrained(beside)
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
        safetensors.torch.save_file(whole, beside / "model.safetensors", metadata={"format": "pt"})
        write_sentence_files(beside, model, int(description["max_length_tokens"]))

    return write_folder(folder, fill, {**description, "text_vector": model.pooling, "normalise": model.normalise})


def write_sentence_files(folder: Path, model: TextEmbedder, max_length_tokens: int) -> None:
    """What sentence-transformers asks of a folder: its modules, how vectors are pooled, and where texts are cut."""
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    if model.normalise:
        modules.append((NORMALISE, "Normalize"))
    listed = [
        {"idx": at, "name": str(at), "path": path, "type": f"{PREFIX}.{kind}"}
        for at, (path, kind) in enumerate(modules)
    ]
    ways = {flag: name == model.pooling for name, (flag, _) in POOLINGS.items()}
    pooling = {"word_embedding_dimension": model.width, **ways}
    others = ("max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    pooling |= {f"pooling_mode_{name}": False for name in others}
    (folder / POOLING).parent.mkdir()
    for name, said in (
        (MODULES, listed),
        (POOLING, pooling),
        (LENGTH, {"max_seq_length": max_length_tokens, "do_lower_case": False}),
        (WAY, {"prompts": {}, "similarity_fn_name": "cosine" if model.normalise else "dot"}),
    ):
        (folder / name).write_text(json.dumps(said, indent=2), encoding="utf-8")


def holds_embedder(folder: Path) -> bool:
    """Whether a folder holds a network without a head, such as BertModel; GPT2LMHeadModel has one."""
    names = _json(folder / "config.json").get("architectures")
    return bool(names) and all(str(name).endswith("Model") and "Head" not in str(name) for name in names)


def open_embedder(folder: Path) -> Embedder:
    """The embedder of an own folder or of any encoder's, on the GPU if there is one."""
    if not (folder / "config.json").is_file():
        raise RunFailed(
            "model_missing", say("The model folder is missing or has no config.json."), say("Choose another version.")
        )
    description = own_description(str(folder)) or foreign_description(folder)
    network = load_network(str(folder), 0, keep_head=True, head="")
    model = TextEmbedder(network, pooling=description["text_vector"], normalise=description["normalise"])
    if (folder / ADAPTER_FOLDER).is_dir():
        read_adapter(model.encoder, folder)
    if torch.cuda.is_available():
        model = model.cuda()
    return Embedder(model.eval(), load_tokenizer(str(folder)), description)


def base_embedder(reference: BaseModel, max_length_tokens: int) -> Embedder:
    """A base model as it is, for vectors of length 1: pooled as it was made, else by the mean of its tokens."""
    place = locate(reference)
    network = load_network(place, 0, revision=reference.revision, head="")
    tokenizer = load_tokenizer(place, reference.revision)
    limit = min(max_length_tokens, int(tokenizer.model_max_length), network.config.max_position_embeddings - 2)
    model = TextEmbedder(network, pooling=base_pooling(str(fetched(reference))), normalise=True)
    if torch.cuda.is_available():
        model = model.cuda()
    return Embedder(model.eval(), tokenizer, {"max_length_tokens": limit, "temperature": TEMPERATURE})


def base_pooling(place: str) -> str:
    """How a base model's vectors were made: as its own folder says, else the mean."""
    folder = Path(place)
    said = own_description(place).get("text_vector")
    return str(said) if said else _pooling(_json(folder / POOLING)) or "mean"


def foreign_description(folder: Path) -> dict[str, Any]:
    """How a folder that this platform did not write is read: as its files for sentence-transformers say.

    RunFailed("base_model_unusable") where they ask for something that is not done here.
    """
    modules, pooling = _json(folder / MODULES), _json(folder / POOLING)
    kinds = [str(one.get("type", "")).rpartition(".")[2] for one in modules] if isinstance(modules, list) else []
    found = _pooling(pooling) if pooling else "mean"
    if found is None or any(kind not in ("Transformer", "Pooling", "Normalize") for kind in kinds):
        raise RunFailed(
            "base_model_unusable",
            say("The folder makes vectors in a way that is not known here."),
            say("Choose a model that takes the mean of its token vectors, or the first one."),
        )
    config = load_config(str(folder))
    positions = int(getattr(config, "max_position_embeddings", POSITIONS) or POSITIONS)
    said = _json(folder / LENGTH).get("max_seq_length") or POSITIONS
    return {
        "recipe": "embed",
        "text_vector": found,
        "normalise": not kinds or "Normalize" in kinds,
        "max_length_tokens": min(int(said), positions - 2, POSITIONS),  # RoBERTa's positions begin at 2
        "temperature": TEMPERATURE,
    }


def _pooling(said: Mapping[str, Any]) -> str | None:
    """Our name of the way that a pooling configuration turns on; None when it is another one, or several."""
    on = [name for name, value in said.items() if name.startswith("pooling_mode_") and value is True]
    if "pooling_mode" in said:
        on = [said["pooling_mode"]] if isinstance(said["pooling_mode"], str) else list(said["pooling_mode"])
    return next((name for name, names in POOLINGS.items() if len(on) == 1 and on[0] in names), None)


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
