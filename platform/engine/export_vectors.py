"""Exports of versions that make vectors: merged weights that sentence-transformers reads, the adapter, and ONNX."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.base_models import load_network
from engine.embedder import TextEmbedder
from engine.embedder_folder import POOLING, SENTENCE_FILES, open_embedder
from engine.export_folders import NETWORK, TOKENIZER, adapted, base_of, copy_adapter, copy_files, copy_weights
from engine.export_onnx import FILE, convert, graph_run
from engine.export_parity import TEXTS, Logits, Run, padded
from engine.predict import encode


class Embedding(nn.Module):
    """Ids and mask [B, T] -> vectors [B, D]: plain transformers, and the pooling written out."""

    def __init__(self, network: Any, *, pooling: str, normalise: bool) -> None:
        super().__init__()
        self.network = network
        self.pooling = pooling
        self.normalise = normalise

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Padding on the right, mask 0 there."""
        hidden = self.network(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state  # [B, T, D]
        mask = attention_mask[:, :, None].to(hidden.dtype)
        pooled = (hidden * mask).sum(1) / mask.sum(1) if self.pooling == "mean" else hidden[:, 0]
        return cast(Tensor, F.normalize(pooled, dim=-1) if self.normalise else pooled)


@torch.no_grad()
def served_vectors(folder: Path) -> tuple[list[list[int]], Logits]:
    """(token ids of the fixed texts, the vectors that a model folder is served with)."""
    embedder = open_embedder(folder)
    sequences = encode(embedder.tokenizer, list(TEXTS), embedder.max_length_tokens)
    return sequences, list(embedder.model(sequences).float().cpu().numpy())


def write_merged(folder: Path, target: Path) -> tuple[str, Run, dict[str, Any]]:
    """The network with everything merged in, tokenizer, and what sentence-transformers asks for; run by transformers."""
    _copy_beside(folder, target, [*NETWORK, *TOKENIZER])
    copy_weights(folder, target)
    model = open_embedder(folder).model

    def run(sequences: Sequence[Sequence[int]]) -> Logits:
        network = load_network(str(target), 0, keep_head=True, head="")
        return _vectors(Embedding(network, pooling=model.pooling, normalise=model.normalise), sequences)

    return "transformers", run, {}


def write_adapter(
    folder: Path, target: Path, bases: Mapping[str, str] | None = None
) -> tuple[str, Run, dict[str, Any]]:
    """What was trained alone; run on the base model it was trained on."""
    copy_adapter(folder, target)
    _copy_beside(folder, target, [])
    served, base = open_embedder(folder).model, base_of(folder, bases)

    @torch.no_grad()
    def run(sequences: Sequence[Sequence[int]]) -> Logits:
        network = load_network(base, 0, keep_head=True, head="")
        model = TextEmbedder(network, pooling=served.pooling, normalise=served.normalise)
        return list(adapted(model, target)(sequences).float().numpy())

    return "peft", run, {}


def write_onnx(folder: Path, target: Path) -> tuple[str, Run, dict[str, Any]]:
    """model.onnx, ids and mask to vectors, with config and tokenizer beside it; run by ONNX Runtime."""
    embedder = open_embedder(folder)
    network = load_network(str(folder), 0, keep_head=True, head="")
    module = Embedding(network, pooling=embedder.model.pooling, normalise=embedder.model.normalise).eval()
    ids = torch.zeros(2, 3, dtype=torch.int64)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    convert(module, inputs, target / FILE, longest=embedder.max_length_tokens, outputs=("sentence_embedding",))
    copy_files(folder, target, ["config.json", *TOKENIZER])
    return "onnxruntime", graph_run(target / FILE, pad=network.config.pad_token_id or 0, writes=False), {}


VECTOR_WRITERS = {"merged": write_merged, "adapter": write_adapter, "onnx": write_onnx}


@torch.no_grad()
def _vectors(module: Embedding, sequences: Sequence[Sequence[int]]) -> Logits:
    ids, mask = padded(sequences, module.network.config.pad_token_id or 0)
    return list(module.eval()(torch.from_numpy(ids), torch.from_numpy(mask)).float().numpy())


def _copy_beside(folder: Path, target: Path, names: Sequence[str]) -> None:
    (target / POOLING).parent.mkdir()
    copy_files(folder, target, [*names, *SENTENCE_FILES])
