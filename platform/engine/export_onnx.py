"""Networks as ONNX graphs for ONNX Runtime: ids (and mask) in, logits out, any batch and length."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from engine.chat_folder import holds_chat_model, open_chat_model
from engine.export_folders import TOKENIZER, copy_files, open_network
from engine.export_parity import Logits, Run, padded
from engine.failures import RunFailed
from engine.model_folder import open_classifier
from words import say

FILE = "model.onnx"
LARGEST_GRAPH_BYTES = 1_500_000_000  # beyond that the weights lie beside the graph; protobuf ends at 2 GB
LARGEST_BATCH = 4096


class Classifying(nn.Module):
    """Ids and mask [B, T] -> logits [B, K]."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Padding on the right, mask 0 there."""
        return cast(Tensor, self.network(input_ids=input_ids, attention_mask=attention_mask).logits)


class Writing(nn.Module):
    """Ids [B, T] -> logits [B, T, V], without padding and without a cache."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor) -> Tensor:
        """Row t of the logits is the distribution of token t + 1."""
        return cast(Tensor, self.network(input_ids=input_ids, use_cache=False).logits)


def write_onnx(folder: Path, target: Path) -> tuple[str, Run, dict[str, Any]]:
    """model.onnx with config and tokenizer beside it; run by ONNX Runtime."""
    writes = holds_chat_model(folder)
    ids = torch.zeros(2, 3, dtype=torch.int64)
    inputs: dict[str, Tensor] = {"input_ids": ids}
    if writes:
        opened = open_chat_model(folder)
        module: nn.Module = Writing(opened.model)
        longest, pad = opened.context_tokens, opened.pad
    else:
        _model, _tokenizer, description = open_classifier(folder)
        network = open_network(str(folder), like=folder)
        module, inputs["attention_mask"] = Classifying(network), torch.ones_like(ids)
        longest, pad = int(description["max_length_tokens"]), network.config.pad_token_id or 0
    convert(module.eval(), inputs, target / FILE, longest=longest)
    copy_files(folder, target, ["config.json", *TOKENIZER])
    return "onnxruntime", graph_run(target / FILE, pad=pad, writes=writes), {}


def convert(
    module: nn.Module, inputs: dict[str, Tensor], path: Path, *, longest: int, outputs: Sequence[str] = ("logits",)
) -> None:
    """Trace the module with free batch and length (at most `longest`) and write the graph."""
    try:
        import onnxscript  # noqa: F401 - the exporter of torch needs it
    except ImportError as error:
        raise RunFailed(
            "export_unavailable",
            say("This worker lacks the package {name}.", name="onnxscript"),
            say("Install requirements/worker.txt."),
        ) from error
    sizes = {0: torch.export.Dim("batch", min=1, max=LARGEST_BATCH), 1: torch.export.Dim("tokens", min=1, max=longest)}
    weights = sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of tracing; what matters is measured afterwards
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            str(path),
            dynamo=True,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=dict.fromkeys(inputs, sizes),
            external_data=weights > LARGEST_GRAPH_BYTES,
            verbose=False,
        )


def graph_run(path: Path, *, pad: int, writes: bool) -> Run:
    """Runs the graph as it was written."""

    def run(sequences: Sequence[Sequence[int]]) -> Logits:
        session = session_of(path)
        if writes:
            return [session.run(None, {"input_ids": padded([ids], pad)[0]})[0][0] for ids in sequences]
        ids, mask = padded(sequences, pad)
        return list(session.run(None, {"input_ids": ids, "attention_mask": mask})[0])

    return run


def session_of(path: Path) -> Any:
    """The graph in ONNX Runtime, with as many threads as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
