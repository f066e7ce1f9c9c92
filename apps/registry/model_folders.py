"""What an unpacked model folder says of itself, and why it is not taken."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from apps.registry.models import Task
from core.errors import Refused
from engine.specs import RECIPES
from words import say

CLASSIFIERS = {
    "bert": "BertForSequenceClassification",
    "roberta": "RobertaForSequenceClassification",
    "xlm-roberta": "XLMRobertaForSequenceClassification",
    "camembert": "CamembertForSequenceClassification",
    "distilbert": "DistilBertForSequenceClassification",
    "electra": "ElectraForSequenceClassification",
    "deberta-v2": "DebertaV2ForSequenceClassification",
    "albert": "AlbertForSequenceClassification",
    "mpnet": "MPNetForSequenceClassification",
}
EMBEDDERS = {kind: name.replace("ForSequenceClassification", "Model") for kind, name in CLASSIFIERS.items()}
CASE_TAGGER = "LingxiCaseTagger"  # ours, with case features
TAGGERS = {kind: name.replace("ForSequence", "ForToken") for kind, name in CLASSIFIERS.items()}
READERS = {
    kind: name.replace("ForSequenceClassification", "ForQuestionAnswering") for kind, name in CLASSIFIERS.items()
}
WRITERS = {
    "gpt2": "GPT2LMHeadModel",
    "gpt_neox": "GPTNeoXForCausalLM",
    "opt": "OPTForCausalLM",
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "gemma": "GemmaForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "olmo2": "Olmo2ForCausalLM",
    "smollm3": "SmolLM3ForCausalLM",
}
DESCRIBED: dict[str, Any] = {
    "labels": list,
    "multi_label": bool,
    "max_length_tokens": int,
    "decision_threshold": (int, float),
}
WRITING_RECIPES = {name for name, recipe in RECIPES.items() if recipe.task == "generation"}
TAGGER_DESCRIBED: dict[str, Any] = {
    "labels": list,
    "unit": str,
    "case_features": bool,
    "max_length_tokens": int,
    "stride_tokens": int,
}
EMBEDDER_DESCRIBED: dict[str, Any] = {
    "text_vector": str,
    "normalise": bool,
    "max_length_tokens": int,
    "temperature": (int, float),
}
READER_DESCRIBED: dict[str, Any] = {
    "max_length_tokens": int,
    "stride_tokens": int,
    "max_answer_tokens": int,
    "no_answer": bool,
    "no_answer_margin": (int, float),
}
RANKER_DESCRIBED: dict[str, Any] = {"pooling": str, "max_length_tokens": int}
DECODERS = ("gpt2", "llama", "mistral", "qwen2", "qwen3")
DECIDERS = {
    kind: WRITERS[kind].replace("ForCausalLM", "").replace("LMHeadModel", "") + "ForSequenceClassification"
    for kind in DECODERS
}
POOLING = {**dict.fromkeys(DECIDERS, ("last",)), **dict.fromkeys(CLASSIFIERS, ("mean", "native"))}
TEMPLATE = ("name", "loss_on", "hash")


@dataclass(frozen=True)
class ModelFolder:
    """A folder that may become a version, as its files describe it."""

    task: Task
    architecture: str
    parameters: int
    labels: list[str]
    multi_label: bool


def check_model_folder(folder: Path) -> ModelFolder:
    """Read the folder's own description.

    Raises Refused when files are missing, code is asked for or the architecture is not on the list.
    """
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        if not (folder / name).is_file():
            raise Refused(
                "file_missing",
                say("{name} is missing.", name=name),
                hint=say("Zip config.json, model.safetensors and tokenizer.json."),
            )
    config, tokenizer = _json(folder / "config.json"), _json(folder / "tokenizer_config.json")
    generation = _json(folder / "generation_config.json")
    if any(name in found for found in (config, tokenizer, generation) for name in ("auto_map", "custom_pipelines")):
        raise Refused("custom_code", say("The model asks for code of its own (auto_map). Such models are not taken."))
    kind, names = config.get("model_type"), config.get("architectures")
    task = _task(kind, names, config.get("id2label"))
    if task is None or not isinstance(names, list):
        raise Refused(
            "unknown_architecture",
            say("Models of kind “{value}” cannot be imported.", value=str(names or kind)[:100]),
            hint=say(
                "Known are text classifiers, rankers, taggers, readers and encoders ({classifiers}) and chat models "
                "({writers}).",
                classifiers=", ".join(sorted(CLASSIFIERS)),
                writers=", ".join(sorted(WRITERS)),
            ),
        )
    parameters = _tensor_parameters(folder / "model.safetensors")
    labels, multi_label = CHECKS[task](config, folder / "lingxi.json")
    if names == [CASE_TAGGER] and not (folder / "lingxi.json").is_file():
        raise Refused("file_missing", say("{name} is missing.", name="lingxi.json"))
    return ModelFolder(task, names[0], parameters, labels=labels, multi_label=multi_label)


def _task(kind: Any, names: Any, outputs: Any) -> Task | None:
    """What a model of this kind, architecture and names of outputs does; None for one that is not on a list."""
    if not isinstance(kind, str):
        return None
    if kind in CLASSIFIERS and names == [CLASSIFIERS[kind]] and isinstance(outputs, dict) and len(outputs) == 1:
        return Task.RERANKING
    if kind in TAGGERS and names == [CASE_TAGGER]:
        return Task.TAGGING
    return next((task for task, table in KNOWN.items() if kind in table and names == [table[kind]]), None)


def _classifier(config: Mapping[str, Any], described: Path) -> tuple[list[str], bool]:
    """(labels, whether a text may carry several)."""
    labels = _labels(config)
    multi_label = config.get("problem_type") == "multi_label_classification"
    found = _check_description(described, labels, multi_label, POOLING[config["model_type"]])
    outside = found.get("outside")
    return [*labels, *([outside["label"]] if outside else [])], multi_label


def _writer(_config: Mapping[str, Any], described: Path) -> tuple[list[str], bool]:
    _check_chat_description(described)
    return [], False


def _tagger(config: Mapping[str, Any], described: Path) -> tuple[list[str], bool]:
    """The labels behind the tags, which must be O, B-label and I-label of each."""
    tags = _labels(config)
    labels = sorted({tag[2:] for tag in tags if tag != "O"})
    if sorted(tags) != sorted(["O", *(f"{prefix}-{label}" for label in labels for prefix in "BI")]):
        raise Refused(
            "no_labels", say("The tags in id2label must be O, and B-… and I-… of each label (the scheme IOB2).")
        )
    if described.is_file():
        found = _json(described)
        shaped = all(isinstance(found.get(name), kind) for name, kind in TAGGER_DESCRIBED.items())
        if not shaped or found["labels"] != labels or found.get("recipe") != "tag" or found.get("format") != 1:
            raise _disagrees()
    return labels, False


def _reader(_config: Mapping[str, Any], described: Path) -> tuple[list[str], bool]:
    if described.is_file():
        found = _json(described)
        shaped = all(isinstance(found.get(name), kind) for name, kind in READER_DESCRIBED.items())
        if not shaped or found.get("recipe") != "extract" or found.get("format") != 1:
            raise _disagrees()
    return [], False


def _embedder(_config: Mapping[str, Any], described: Path) -> tuple[list[str], bool]:
    if described.is_file():
        found = _json(described)
        shaped = all(isinstance(found.get(name), kind) for name, kind in EMBEDDER_DESCRIBED.items())
        if not shaped or found.get("recipe") != "embed" or found.get("format") != 1:
            raise _disagrees()
    return [], False


def _ranker(config: Mapping[str, Any], described: Path) -> tuple[list[str], bool]:
    if described.is_file():
        found = _json(described)
        shaped = all(isinstance(found.get(name), kind) for name, kind in RANKER_DESCRIBED.items())
        known = found.get("recipe") == "rerank" and found.get("pooling") in POOLING[config["model_type"]]
        if not shaped or not known or found.get("format") != 1:
            raise _disagrees()
    return [], False


KNOWN = {
    Task.CLASSIFICATION: {**CLASSIFIERS, **DECIDERS},
    Task.TAGGING: TAGGERS,
    Task.EXTRACTION: READERS,
    Task.EMBEDDING: EMBEDDERS,
    Task.GENERATION: WRITERS,
}
CHECKS: dict[Task, Callable[[Mapping[str, Any], Path], tuple[list[str], bool]]] = {
    Task.CLASSIFICATION: _classifier,
    Task.TAGGING: _tagger,
    Task.EXTRACTION: _reader,
    Task.EMBEDDING: _embedder,
    Task.RERANKING: _ranker,
    Task.GENERATION: _writer,
}
"""For each task the architectures that are taken, and what their descriptions must hold."""


def _labels(config: Mapping[str, Any]) -> list[str]:
    names = config.get("id2label")
    if not isinstance(names, dict) or set(names) != {str(at) for at in range(len(names))} or len(names) < 2:
        raise Refused("no_labels", say("config.json must name at least two labels in id2label, numbered from 0."))
    labels = [names[str(at)] for at in range(len(names))]
    if not all(isinstance(label, str) and label.strip() and "\0" not in label for label in labels):
        raise Refused("no_labels", say("Every label in id2label must be a text."))
    if len(set(labels)) < len(labels):
        raise Refused("no_labels", say("Two labels in id2label are the same."))
    return labels


def _tensor_parameters(path: Path) -> int:
    """Number of parameters, from the safetensors header."""
    size = path.stat().st_size
    with path.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if not 2 <= length <= min(size, 100_000_000):
            raise Refused("weights_unreadable", say("model.safetensors is not a safetensors file."))
        try:
            header = json.loads(handle.read(length))
            count = 0
            for name, tensor in header.items():
                if name != "__metadata__":
                    product = 1
                    for extent in tensor["shape"]:
                        product *= int(extent)
                    count += product
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Refused("weights_unreadable", say("model.safetensors is not a safetensors file.")) from error
    return count


def _check_description(path: Path, labels: Sequence[str], multi_label: bool, pooling: Sequence[str]) -> dict[str, Any]:
    """lingxi.json, written by an export, must be whole and agree with the rest; {} where there is none."""
    if not path.is_file():
        return {}
    found = _json(path)
    shaped = all(isinstance(found.get(name), kind) for name, kind in DESCRIBED.items())
    agrees = found.get("labels") == list(labels) and found.get("multi_label") == multi_label
    outside = found.get("outside")
    bounded = outside is None or (
        isinstance(outside, dict)
        and set(outside) == {"label", "threshold", "scale"}
        and isinstance(outside["label"], str)
        and outside["label"].strip()
        and outside["label"] not in labels
        and all(isinstance(outside[name], float) and isfinite(outside[name]) for name in ("threshold", "scale"))
        and outside["scale"] > 0
        and not multi_label
    )
    if not shaped or not agrees or not bounded or found.get("pooling") not in pooling or found.get("format") != 1:
        raise _disagrees()
    return found


def _check_chat_description(path: Path) -> None:
    """lingxi.json of a chat model: its template must be named; the engine compares it with the tokenizer."""
    if not path.is_file():
        return
    found = _json(path)
    template, context = found.get("template"), found.get("context_tokens")
    named = isinstance(template, dict) and all(isinstance(template.get(name), str) for name in TEMPLATE)
    sized = isinstance(context, int) and not isinstance(context, bool) and context > 0
    if not (named and sized) or found.get("recipe") not in WRITING_RECIPES or found.get("format") != 1:
        raise _disagrees()


def _disagrees() -> Refused:
    return Refused(
        "description_disagrees",
        say("lingxi.json does not agree with config.json."),
        hint=say("Import the export as it is, or leave lingxi.json out."),
    )


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise Refused("json_unreadable", say("{name} is not readable JSON.", name=path.name)) from error
    if not isinstance(found, dict):
        raise Refused("json_unreadable", say("{name} is not a JSON object.", name=path.name))
    return found
