"""Model folders as OpenVINO graphs: which can be written as one, and graphs that are made once and kept."""

import hashlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

from engine.base_models import MODEL_FILE
from engine.checkpoint import describe_file
from engine.failures import RunFailed
from engine.folders import write_folder
from engine.gpt import Gpt
from engine.gpt.hugging_face import load_gpt, read_config
from engine.methods.folder import FOLDER as ADAPTER_FOLDER
from engine.methods.folder import OPTIONS
from engine.specs.methods import MERGEABLE
from words import say

GRAPH = "model.xml"  # its weights lie beside it in model.bin
CONVERTER = 1  # one more whenever `openvino_graph` writes another graph for the same model
Precision = Literal["fp32", "int8"]


def is_available() -> bool:
    """Whether this installation has OpenVINO; there are no packages of it for some machines."""
    return importlib.util.find_spec("openvino") is not None


def why_not(folder: Path) -> str:
    """A sentence for why a model folder stays with the loop on torch; "" when it can be converted."""
    if not is_available():
        return say("This worker lacks the package {name}.", name="openvino")
    options = folder / ADAPTER_FOLDER / OPTIONS
    method = json.loads(options.read_text(encoding="utf-8"))["method"] if options.is_file() else "full"
    if method not in ("full", "frozen", *MERGEABLE):
        return say("What {method} learnt is not in the weights, and OpenVINO reads nothing else.", method=method)
    try:
        read_config(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except RunFailed as failure:
        return failure.message
    return ""


def converted(folder: Path, cache: Path, *, precision: Precision = "fp32", content_hash: str = "") -> Path:
    """The folder with the graph of a model folder, from `cache` or made now; RunFailed("not_convertible").

    `content_hash` names the weights where the caller knows it (a version's), else they are read once more for it. A
    graph in the cache that is damaged, or from another converter, is made again.
    """
    if reason := why_not(folder):
        raise RunFailed("not_convertible", reason, say("The engine's own loop answers instead."))
    wanted = {
        "kind": "openvino",
        "content_hash": content_hash or weights_hash(folder),
        "converter": CONVERTER,
        "openvino": importlib.metadata.version("openvino"),
        "precision": precision,
    }
    place = cache / hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:32]
    if not is_whole(place, wanted):
        _convert(folder, place, wanted)
    return place


def weights_hash(folder: Path) -> str:
    """sha256 over the configuration and the weights of a model folder."""
    files = [folder / "config.json", *sorted(folder.glob("*.safetensors"))]
    described = {path.name: describe_file(path) for path in files}
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def is_whole(place: Path, wanted: Mapping[str, Any]) -> bool:
    """Whether the folder holds what is wanted and every file is as it was written."""
    try:
        found = read_manifest(place)
        return all(found[name] == value for name, value in wanted.items()) and all(
            describe_file(place / name) == described for name, described in found["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def read_manifest(place: Path) -> dict[str, Any]:
    """What lingxi.json says of a converted model: `shape` and what it was made from."""
    found: dict[str, Any] = json.loads((place / MODEL_FILE).read_text(encoding="utf-8"))
    return found


def _convert(folder: Path, place: Path, wanted: Mapping[str, Any]) -> None:
    model = load_gpt(folder)
    config = model.config
    shape = {
        "vocabulary_size": config.vocabulary_size,
        "context_tokens": config.context_tokens,
        "layers": config.layers,
        "kv_heads": config.kv_heads,
        "head_width": config.head_width,
    }
    precision = cast(Precision, wanted["precision"])
    try:
        write_folder(place, lambda beside: write_graph(model, beside, precision), {**wanted, "shape": shape})
    except RunFailed:
        if not is_whole(place, wanted):  # else another process has just made the same
            raise


def write_graph(model: Gpt, folder: Path, precision: Precision) -> None:
    """The two files of a graph."""
    import openvino  # not on every machine

    from engine.generate.openvino_graph import graph_of

    openvino.save_model(graph_of(model, is_int8=precision == "int8"), folder / GRAPH, compress_to_fp16=False)
