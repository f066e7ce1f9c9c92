"""How far the answers of a converted model are those of torch, measured before it answers anybody."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.generate.openvino_convert import GRAPH, read_manifest
from engine.generate.openvino_loop import PAGE_TOKENS, OpenVinoLoop, page_bytes
from engine.generate.request import Request
from engine.gpt import Gpt
from engine.gpt.hugging_face import load_gpt
from engine.specs.sampling import Sampling


@dataclass(frozen=True)
class Agreement:
    """Likeliest tokens of both, prompt by prompt.

    `first_difference` is the smallest number of a written token that differs, from 0, None without one;
    `logit_difference` the largest between the logits behind all tokens of the prompts, by the graph before its attention
    goes over pages.
    """

    prompts: int
    new_tokens: int
    equal_share: float
    first_difference: int | None
    logit_difference: float


def agreement(folder: Path, place: Path, prompts: Sequence[Sequence[int]], *, new_tokens: int = 64) -> Agreement:
    """Measure a converted model in `place` against its model folder on prompts that leave room for `new_tokens`."""
    model = load_gpt(folder)
    ours = [_likeliest(model, prompt, new_tokens) for prompt in prompts]
    theirs = _answers(place, prompts, new_tokens)
    firsts = [
        next((at for at, pair in enumerate(zip(own, other, strict=True)) if pair[0] != pair[1]), None)
        for own, other in zip(ours, theirs, strict=True)
    ]
    return Agreement(
        prompts=len(prompts),
        new_tokens=new_tokens,
        equal_share=firsts.count(None) / len(firsts),
        first_difference=min((first for first in firsts if first is not None), default=None),
        logit_difference=_logit_difference(model, place, prompts),
    )


@torch.no_grad()
def _likeliest(model: Gpt, prompt: Sequence[int], count: int) -> list[int]:
    cache = model.empty_cache(len(prompt) + count)
    found: list[int] = []
    given = torch.tensor([list(prompt)])
    for _ in range(count):
        found.append(int(model(given, cache)[0, -1].argmax()))
        given = torch.tensor([[found[-1]]])
    return found


def _answers(place: Path, prompts: Sequence[Sequence[int]], count: int) -> list[list[int]]:
    shape = read_manifest(place)["shape"]
    pages = 8 * -(-shape["context_tokens"] // PAGE_TOKENS)
    loop = OpenVinoLoop(place, decode=lambda _: "", ends=(), cache_bytes=pages * page_bytes(shape))
    requests = [
        Request(str(at), list(prompt), Sampling(max_tokens=count, temperature=0)) for at, prompt in enumerate(prompts)
    ]
    for request in requests:
        loop.add(request)
    while loop.load().running or loop.load().waiting:
        loop.step()
    return [request.output for request in requests]


@torch.no_grad()
def _logit_difference(model: Gpt, place: Path, prompts: Sequence[Sequence[int]]) -> float:
    import openvino

    properties: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
    request = openvino.Core().compile_model(place / GRAPH, "CPU", properties).create_infer_request()
    largest = 0.0
    for prompt in prompts:
        ids = np.array([prompt], dtype=np.int64)
        request.reset_state()
        found = request.infer(
            {
                "input_ids": ids,
                "attention_mask": np.ones_like(ids),
                "position_ids": np.arange(len(prompt), dtype=np.int64)[None],
                "beam_idx": np.zeros(1, dtype=np.int32),
            }
        )
        largest = max(largest, float((torch.from_numpy(found["logits"]) - model(torch.from_numpy(ids))).abs().max()))
    return largest
