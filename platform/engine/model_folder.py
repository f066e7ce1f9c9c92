"""A trained classifier as a plain Hugging Face folder with lingxi.json beside the weights."""

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from engine.base_models import load_config, load_network, load_tokenizer, own_description
from engine.decoder import DECODERS, POOLING, DecoderClassifier, exported_decoder, load_decoder_classifier
from engine.encoder import MEAN_SCALE, POOL_SCALE, TextClassifier
from engine.failures import RunFailed
from engine.folders import write_folder
from engine.methods import Attached, plain_weights, read_adapter, write_adapter
from engine.methods.folder import FOLDER as ADAPTER_FOLDER
from words import say


def save_classifier(
    folder: Path,
    model: TextClassifier,
    tokenizer: Any,
    labels: Sequence[str],
    description: Mapping[str, Any],
    *,
    attached: Attached | None = None,
) -> dict[str, Any]:
    """Write the folder whole or not at all; returns what lingxi.json says.

    transformers.AutoModelForSequenceClassification gives the same logits from it: the mean is written as one more
    attention layer (zero queries and keys, identity values) and the tanh pooler as a scaled identity. What an adapter
    learnt is written beside the weights, and into them where that is possible; `model` is merged by this.
    """

    def fill(beside: Path) -> None:
        if attached is not None:
            task_type = "SEQ_CLS" if isinstance(model, DecoderClassifier) else "FEATURE_EXTRACTION"
            write_adapter(beside, attached, base_model=description["base_model"], task_type=task_type)
            attached.merge()
        multi_label = bool(description.get("multi_label"))
        if isinstance(model, DecoderClassifier):
            config, weights = exported_decoder(model, labels, multi_label=multi_label)
        else:
            problem_type = "multi_label_classification" if multi_label else "single_label_classification"
            config, weights = exported(model, labels, problem_type)
        write_network(beside, tokenizer, config, weights)

    return write_folder(folder, fill, {**description, "labels": list(labels), "pooling": model.pooling})


def write_network(folder: Path, tokenizer: Any, config: Any, weights: Mapping[str, Tensor]) -> None:
    """Tokenizer, configuration and plain weights."""
    tokenizer.save_pretrained(folder)
    config.save_pretrained(folder)
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in plain_weights(weights).items()}
    safetensors.torch.save_file(whole, folder / "model.safetensors", metadata={"format": "pt"})


def open_classifier(folder: Path, *, dropout: float = 0.0) -> tuple[TextClassifier, Any, dict[str, Any]]:
    """(model in eval mode, tokenizer, description) of an own folder or of any sequence-classification folder.

    `dropout` is what a training run wants. Of a student of int8 weights these are the floats they stand for.
    """
    if not (folder / "config.json").is_file():
        raise RunFailed(
            "model_missing", say("The model folder is missing or has no config.json."), say("Choose another version.")
        )
    description = describe(folder)
    labels = description["labels"]
    if description["pooling"] == POOLING:
        return _open_decoder(folder, description, dropout)
    network = load_network(str(folder), len(labels), keep_head=True)
    model = TextClassifier(network, len(labels), pooling=description["pooling"], dropout=dropout)
    if description["pooling"] == "mean":
        read_mean_head(model, folder)
    if (folder / ADAPTER_FOLDER).is_dir():
        read_adapter(model.encoder, folder)
    return model.eval(), load_tokenizer(str(folder)), description


def read_mean_head(model: TextClassifier, folder: Path) -> None:
    """Give the head that reads the mean what `exported` wrote of it."""
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    last = "classifier" if "classifier.weight" in weights else "classifier.out_proj"
    model.head.weight.data = weights[f"{last}.weight"] / POOL_SCALE
    model.head.bias.data = weights[f"{last}.bias"]


def _open_decoder(
    folder: Path, description: dict[str, Any], dropout: float
) -> tuple[TextClassifier, Any, dict[str, Any]]:
    tokenizer, count = load_tokenizer(str(folder)), len(description["labels"])
    model = load_decoder_classifier(folder, load_config(str(folder)), tokenizer, count, dropout=dropout)
    model.head.weight.data = _tensor(folder, "score.weight")
    if (folder / ADAPTER_FOLDER).is_dir():
        read_adapter(model.encoder, folder)
    return model.eval(), tokenizer, description


def _tensor(folder: Path, name: str) -> Tensor:
    for path in sorted(folder.glob("*.safetensors")):
        weights = safetensors.torch.load_file(path)
        if name in weights:
            return weights[name]
    raise RunFailed(
        "base_model_unusable",
        say("{count} weights are missing, among them {name}.", count=1, name=name),
        say("Take the whole folder of the model."),
    )


def holds_classifier(folder: Path) -> bool:
    """Whether a folder labels texts: by what this platform wrote of it, else by its architecture."""
    ours = own_description(str(folder))
    if ours:
        return "decision_threshold" in ours
    config = folder / "config.json"
    named = json.loads(config.read_text(encoding="utf-8")).get("architectures") if config.is_file() else None
    return any(str(name).endswith("ForSequenceClassification") for name in named or ())


def describe(folder: Path) -> dict[str, Any]:
    """What lingxi.json says of a classifier's folder, or what its configuration lets us say."""
    return own_description(str(folder)) or _foreign_description(folder)


def _foreign_description(folder: Path) -> dict[str, Any]:
    """Labels and reading length of a folder that this platform did not write."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    names = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    return {
        "recipe": "classify",
        "labels": [names[key] for key in sorted(names, key=int)],
        "multi_label": config.get("problem_type") == "multi_label_classification",
        "max_length_tokens": min(int(config.get("max_position_embeddings", 512)), 512),
        "decision_threshold": 0.5,
        "pooling": POOLING if config.get("model_type") in DECODERS else "native",
    }


def exported(model: TextClassifier, labels: Sequence[str], problem_type: str) -> tuple[Any, dict[str, Tensor]]:
    """(configuration, weights) under the names transformers uses, of an encoder with an output for each label."""
    config = copy.deepcopy(model.config)
    config.num_labels = len(labels)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: at for at, label in enumerate(labels)}
    config.problem_type = problem_type
    if model.pooling == "native":
        config.architectures = [type(model.network).__name__]  # the base may have had no head
        return config, dict(model.network.state_dict())
    config.num_hidden_layers += 1
    prefix = "bert" if config.model_type == "bert" else "roberta"
    weights = {f"{prefix}.{name}": tensor for name, tensor in model.base.state_dict().items()}
    layer = f"{prefix}.encoder.layer.{config.num_hidden_layers - 1}"
    width, inner = config.hidden_size, config.intermediate_size
    identity, zeros = torch.eye(width), torch.zeros(width, width)
    matrices = {
        "attention.self.query": zeros,
        "attention.self.key": zeros,
        "attention.self.value": identity,
        "attention.output.dense": identity * MEAN_SCALE,
        "intermediate.dense": torch.zeros(inner, width),
        "output.dense": torch.zeros(width, inner),
    }
    for name, matrix in matrices.items():
        weights[f"{layer}.{name}.weight"] = matrix.clone()
        weights[f"{layer}.{name}.bias"] = torch.zeros(matrix.shape[0])
    for name in ("attention.output.LayerNorm", "output.LayerNorm"):
        weights[f"{layer}.{name}.weight"], weights[f"{layer}.{name}.bias"] = torch.ones(width), torch.zeros(width)
    pooler, last = (
        ("bert.pooler.dense", "classifier") if prefix == "bert" else ("classifier.dense", "classifier.out_proj")
    )
    weights[f"{pooler}.weight"], weights[f"{pooler}.bias"] = identity / POOL_SCALE, torch.zeros(width)
    weights[f"{last}.weight"], weights[f"{last}.bias"] = model.head.weight * POOL_SCALE, model.head.bias
    config.architectures = ["BertForSequenceClassification" if prefix == "bert" else _roberta_class(config.model_type)]
    return config, weights


def _roberta_class(model_type: str) -> str:
    stem = {"roberta": "Roberta", "xlm-roberta": "XLMRoberta", "camembert": "Camembert"}[model_type]
    return f"{stem}ForSequenceClassification"
