"""What multiplies for a model folder: the network on torch, or OpenVINO on a CPU where the folder converts."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from engine.base_models import unusable
from engine.failures import RunFailed
from engine.generate.adapters import Company
from engine.generate.cache import TensorStore
from engine.generate.foreign import ForeignNetwork, open_foreign
from engine.generate.loop import Reader
from engine.generate.memory import Store
from engine.generate.network import Network
from engine.generate.openvino_agreement import measured_share
from engine.generate.openvino_convert import Precision, converted, read_manifest, why_not
from engine.generate.openvino_network import OpenVinoNetwork, PageStore
from engine.generate.packed import can_pack, pack
from engine.gpt import Gpt
from engine.gpt.hugging_face import load_gpt, read_config
from engine.methods import read_adapter
from engine.methods.folder import FOLDER as ADAPTER_FOLDER


@dataclass(frozen=True)
class Opened:
    """A reader with its store: tokens of a context (virtual ones included) and of all rows, and the memory of both."""

    reader: Reader
    store: Store
    context_tokens: int
    capacity_tokens: int
    vocabulary_size: int
    bytes: int
    virtual_tokens: int = 0
    way: str = "torch"  # what multiplies: torch, openvino fp32, openvino int8
    equal_share: float | None = None  # of int8: how many answers were torch's, token by token, when it was converted


def open_reader(
    folder: Path,
    *,
    context_tokens: int,
    cache_bytes: int,
    graphs: Path | None = None,
    content_hash: str = "",
    precision: Precision = "fp32",
) -> Opened:
    """By OpenVINO when there is a place for `graphs`, no GPU, and nothing speaks against it; else by torch.

    What int8 changes is measured on the model's own texts before it answers anybody, once for each converted model.
    """
    if graphs is not None and not torch.cuda.is_available() and not why_not(folder):
        place = converted(folder, graphs, content_hash=content_hash, precision=precision)
        opened = _on_openvino(place, context_tokens, cache_bytes)
        share = measured_share(folder, place) if precision == "int8" else None
        return replace(opened, way=f"openvino {precision}", equal_share=share)
    return _on_torch(folder, context_tokens, cache_bytes)


def _on_openvino(place: Path, context_tokens: int, cache_bytes: int) -> Opened:
    shape = read_manifest(place)["shape"]
    context = min(shape["context_tokens"], context_tokens)
    capacity = max(context, cache_bytes // PageStore.token_bytes(shape))
    store = PageStore(shape, capacity_tokens=capacity, context_tokens=context)
    reader = OpenVinoNetwork(place, store, threads=torch.get_num_threads())
    weights = sum(path.stat().st_size for path in place.glob("*.bin"))
    return Opened(reader, store, context, capacity, shape["vocabulary_size"], weights + store.bytes)


def _on_torch(folder: Path, context_tokens: int, cache_bytes: int) -> Opened:
    if not is_ours(folder):
        return _on_transformers(folder, context_tokens, cache_bytes)
    try:
        network: Any = load_gpt(folder)
        if (folder / ADAPTER_FOLDER).is_dir():
            network = read_adapter(network, folder).eval()
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise unusable(str(folder), "weights", error) from error
    network = placed(network)
    if not torch.cuda.is_available() and can_pack():
        pack(network)
    return read_by(network, context_tokens, cache_bytes)


def is_ours(folder: Path) -> bool:
    """Whether our own network has the shape of a folder's model."""
    try:
        read_config(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except RunFailed:
        return False
    return True


def _on_transformers(folder: Path, context_tokens: int, cache_bytes: int) -> Opened:
    try:
        model, shape, longest = open_foreign(folder)
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise unusable(str(folder), "weights", error) from error
    store = TensorStore(shape, device=model.device, dtype=model.dtype)
    context = min(longest, context_tokens)
    token_bytes = store.token_bytes(shape, model.dtype)
    capacity = max(context, cache_bytes // token_bytes)
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    size = weights + capacity * token_bytes
    reader = ForeignNetwork(model, store)
    return Opened(reader, store, context, capacity, model.config.vocab_size, size, way="transformers")


def placed(network: Gpt) -> Gpt:
    """On the GPU in bf16 where there is one that knows it."""
    if not torch.cuda.is_available():
        return network
    return network.to("cuda", torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32)


def read_by(network: Gpt, context_tokens: int, cache_bytes: int, company: Company | None = None) -> Opened:
    """The network's reader with a store of `cache_bytes`; with a `company` its matrices take adapters."""
    config, weight = network.config, network.tokens.weight
    store = TensorStore(config, device=weight.device, dtype=weight.dtype)
    reader = Network(network, store, company)
    context = min(config.context_tokens, context_tokens) + reader.virtual_tokens
    context = min(context, config.context_tokens) if not reader.takes_no_positions else context
    token_bytes = store.token_bytes(config, weight.dtype)
    capacity = max(context, cache_bytes // token_bytes)
    weights = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    size = weights + capacity * token_bytes
    return Opened(reader, store, context, capacity, config.vocabulary_size, size, reader.virtual_tokens)
