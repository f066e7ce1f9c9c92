"""From the name of a base model to its folder, network and tokenizer."""

import importlib.metadata
import json
import os
from pathlib import Path
from typing import Any

from engine.failures import RunFailed
from engine.specs.base_models import BaseModel
from words import say

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

MODEL_FILE = "lingxi.json"


def locate(reference: BaseModel) -> str:
    """The folder of a package or folder reference, the id of a hub one; RunFailed("base_model_missing")."""
    if reference.kind == "hub":
        return reference.name
    if reference.kind == "package":
        folder = _package_folder(reference.name)
    else:
        folder = Path(reference.place if reference.kind == "version" else reference.name)
    if folder is None or not (folder / "config.json").is_file():
        raise RunFailed(
            "base_model_missing",
            say("The base model {reference} is not on this machine.", reference=reference),
            say(
                "Install the package, or give the folder of a Hugging Face model with config.json and model.safetensors."
            ),
        )
    return str(folder)


def fetched(reference: BaseModel) -> Path:
    """The folder of a base model, brought from the hub where it lies there; RunFailed when it cannot be had."""
    place = locate(reference)
    if reference.kind != "hub":
        return Path(place)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    wanted = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]
    try:
        return Path(snapshot_download(place, revision=reference.revision or "main", allow_patterns=wanted))
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise unusable(place, "folder", error) from error


def load_tokenizer(place: str, revision: str = "") -> Any:
    """The fast tokenizer of a folder or hub id."""
    from transformers import AutoTokenizer  # loading transformers takes seconds; spec errors must not wait for it

    try:
        return AutoTokenizer.from_pretrained(place, revision=revision or "main", trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise unusable(place, "tokenizer", error) from error


def load_config(place: str, revision: str = "") -> Any:
    """The configuration, with the pooling layer of an own export taken off again."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(place, revision=revision or "main", trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise unusable(place, "configuration", error) from error
    if own_description(place).get("pooling") == "mean":
        config.num_hidden_layers -= 1
    return config


def load_network(
    place: str, label_count: int, *, revision: str = "", keep_head: bool = False, head: str = "SequenceClassification"
) -> Any:
    """A network of transformers in fp32 with a `head` of `label_count` outputs, new unless `keep_head`; "" is no head."""
    import transformers

    quiet_transformers()
    config = load_config(place, revision)
    if head and not keep_head:
        config.num_labels = label_count
    try:
        return getattr(transformers, f"AutoModelFor{head}" if head else "AutoModel").from_pretrained(
            place,
            config=config,
            revision=revision or "main",
            trust_remote_code=False,
            use_safetensors=True,
            ignore_mismatched_sizes=not keep_head,
            dtype="float32",
        )
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise unusable(place, "weights", error) from error


def own_description(place: str) -> dict[str, Any]:
    """What lingxi.json says of a folder this platform wrote; {} for any other place."""
    path = Path(place) / MODEL_FILE
    if not path.is_file():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    return found if isinstance(found, dict) else {}


def _package_folder(name: str) -> Path | None:
    """The folder inside an installed distribution that holds a config.json beside a model.safetensors."""
    try:
        files = importlib.metadata.files(name) or []
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None
    folders = {path.parent for path in files if path.name == "config.json"}
    folders &= {path.parent for path in files if path.name == "model.safetensors"}
    for folder in sorted(folders):
        return Path(str(importlib.metadata.distribution(name).locate_file(folder)))
    return None


def quiet_transformers() -> None:
    """No warnings and no bars: what matters comes as a failure."""
    from transformers import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def unusable(place: str, part: str, error: Exception) -> RunFailed:
    """The failure of a folder or hub id whose `part` could not be loaded."""
    first_line = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
    return RunFailed(
        "base_model_unusable",
        say("The {part} of the base model could not be loaded: {first_line}", part=part, first_line=first_line),
        say("Check the name; a hub id needs a network, a folder needs safetensors weights and a known architecture."),
    )


def without_end() -> RunFailed:
    """The failure of a tokenizer that names no token that ends a text, and none that pads it."""
    return RunFailed(
        "base_model_unusable",
        say("The tokenizer names no token that ends a text."),
        say("Choose another base model, or let a vocabulary be learnt."),
    )
