"""Exports of versions that score pairs: merged weights that CrossEncoder reads, the adapter, and ONNX."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from engine.base_models import load_network
from engine.export_folders import (
    NETWORK,
    TOKENIZER,
    adapted,
    base_of,
    copy_adapter,
    copy_files,
    copy_weights,
    open_network,
    save_head,
)
from engine.export_onnx import FILE, convert, session_of
from engine.export_parity import TEXTS, Logits, padded
from engine.ranker import PairScorer, TokenPair, encode_pairs
from engine.ranker_folder import open_ranker

TYPES = "token_type_ids"


class Scoring(nn.Module):
    """Ids, mask and, where the network has them, token types [B, T] -> logits [B, 1]."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """Padding on the right, mask 0 there."""
        given = {} if token_type_ids is None else {TYPES: token_type_ids}
        return cast(Tensor, self.network(input_ids=input_ids, attention_mask=attention_mask, **given).logits)


@torch.no_grad()
def served_scores(folder: Path) -> tuple[list[TokenPair], Logits]:
    """(fixed pairs as they are read, the logits [1] that a model folder is served with)."""
    ranker = open_ranker(folder)
    pairs = encode_pairs(ranker.tokenizer, list(zip(TEXTS, TEXTS[::-1], strict=True)), ranker.max_length_tokens)
    return pairs, list(ranker.model.scores(pairs)[:, None].float().cpu().numpy())


def write_merged(folder: Path, target: Path) -> tuple[str, Any, dict[str, Any]]:
    """The network with everything merged in, and its tokenizer; run by transformers alone."""
    copy_files(folder, target, [*NETWORK, *TOKENIZER])
    copy_weights(folder, target)

    @torch.no_grad()
    def run(pairs: Sequence[TokenPair]) -> Logits:
        network = open_network(str(target), like=folder)
        given = {name: torch.from_numpy(value) for name, value in _inputs(network.config, pairs).items()}
        return list(Scoring(network)(**given).float().numpy())

    return "transformers", run, {}


def write_adapter(
    folder: Path, target: Path, bases: Mapping[str, str] | None = None
) -> tuple[str, Any, dict[str, Any]]:
    """What was trained alone, and the head; run on the base model it was trained on."""
    copy_adapter(folder, target)
    base, served = base_of(folder, bases), open_ranker(folder).model
    save_head(served, target)

    @torch.no_grad()
    def run(pairs: Sequence[TokenPair]) -> Logits:
        model = PairScorer(load_network(base, 1), pooling=served.pooling)
        adapted(model, target)
        return list(model.scores(pairs)[:, None].float().numpy())

    return "peft", run, {}


def write_onnx(folder: Path, target: Path) -> tuple[str, Any, dict[str, Any]]:
    """model.onnx, ids, mask and token types to logits, with config and tokenizer beside it; run by ONNX Runtime."""
    network = open_network(str(folder), like=folder)
    ids = torch.zeros(2, 3, dtype=torch.int64)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if _has_types(network.config):
        inputs[TYPES] = torch.zeros_like(ids)
    convert(Scoring(network).eval(), inputs, target / FILE, longest=open_ranker(folder).max_length_tokens)
    copy_files(folder, target, ["config.json", *TOKENIZER])

    def run(pairs: Sequence[TokenPair]) -> Logits:
        return list(session_of(target / FILE).run(None, _inputs(network.config, pairs))[0])

    return "onnxruntime", run, {}


RANKING_WRITERS = {"merged": write_merged, "adapter": write_adapter, "onnx": write_onnx}


def _has_types(config: Any) -> bool:
    return int(getattr(config, "type_vocab_size", 0) or 0) > 1


def _inputs(config: Any, pairs: Sequence[TokenPair]) -> dict[str, Any]:
    """What the network is given of the pairs, padded, as arrays."""
    ids, mask = padded([pair.ids for pair in pairs], config.pad_token_id or 0)
    given = {"input_ids": ids, "attention_mask": mask}
    return given | ({TYPES: padded([pair.types for pair in pairs], 0)[0]} if _has_types(config) else {})
