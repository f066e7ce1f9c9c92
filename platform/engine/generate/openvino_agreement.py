"""How far the answers of a converted model are those of torch, measured before it answers anybody."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from engine.folders import describe_again
from engine.generate.loop import TorchLoop
from engine.generate.memory import Memory, Place
from engine.generate.network import Reading
from engine.generate.openvino_convert import read_manifest
from engine.generate.openvino_network import OpenVinoNetwork, PageStore
from engine.generate.request import Request
from engine.generate.scheduler import Limits, Scheduler
from engine.gpt import Gpt
from engine.gpt.hugging_face import load_gpt
from engine.specs.sampling import Sampling

AT_ONCE = 8
OWN_TEXTS, OWN_TOKENS, OWN_NEW_TOKENS = 16, 32, 32


@dataclass(frozen=True)
class Agreement:
    """Likeliest tokens of both, prompt by prompt, many of them read at once.

    `first_difference` is the smallest number of a written token that differs, from 0, None without one;
    `logit_difference` the largest between the logits behind all tokens of the prompts.
    """

    prompts: int
    new_tokens: int
    equal_share: float
    first_difference: int | None
    logit_difference: float


def agreement(
    folder: Path, place: Path, prompts: Sequence[Sequence[int]], *, new_tokens: int = 64, threads: int = 1
) -> Agreement:
    """Measure a converted model in `place` against its model folder on prompts that leave room for `new_tokens`."""
    model = load_gpt(folder)
    ours = [_likeliest(model, prompt, new_tokens) for prompt in prompts]
    theirs = _answers(place, prompts, new_tokens, threads)
    firsts = [
        next((at for at, pair in enumerate(zip(own, other, strict=True)) if pair[0] != pair[1]), None)
        for own, other in zip(ours, theirs, strict=True)
    ]
    return Agreement(
        prompts=len(prompts),
        new_tokens=new_tokens,
        equal_share=firsts.count(None) / len(firsts),
        first_difference=min((first for first in firsts if first is not None), default=None),
        logit_difference=_logit_difference(model, place, prompts, threads),
    )


def measured_share(folder: Path, place: Path) -> float:
    """Share of answers to prompts of the model's own writing that are torch's; measured once, then kept in lingxi.json."""
    kept = read_manifest(place).get("agreement")
    if kept is None:
        found = agreement(folder, place, own_texts(load_gpt(folder)), new_tokens=OWN_NEW_TOKENS)
        kept = describe_again(place, {"agreement": asdict(found)})["agreement"]
    return float(kept["equal_share"])


@torch.no_grad()
def own_texts(model: Gpt, count: int = OWN_TEXTS, tokens: int = OWN_TOKENS, seed: int = 17) -> list[list[int]]:
    """Texts that the model itself writes, drawn at temperature 1: what it is good for, without anybody's data."""
    draw = torch.Generator().manual_seed(seed)
    length = min(tokens, model.config.context_tokens - OWN_NEW_TOKENS)
    found = torch.randint(model.config.vocabulary_size, (count, 1), generator=draw)
    for _ in range(length - 1):
        chances = model(found)[:, -1].softmax(-1)
        found = torch.cat([found, torch.multinomial(chances, 1, generator=draw)], dim=1)
    texts: list[list[int]] = found.tolist()
    return texts


@torch.no_grad()
def _likeliest(model: Gpt, prompt: Sequence[int], count: int) -> list[int]:
    cache = model.empty_cache(len(prompt) + count)
    found: list[int] = []
    given = torch.tensor([list(prompt)])
    for _ in range(count):
        found.append(int(model(given, cache)[0, -1].argmax()))
        given = torch.tensor([[found[-1]]])
    return found


def _answers(place: Path, prompts: Sequence[Sequence[int]], count: int, threads: int) -> list[list[int]]:
    network, context = _opened(place, AT_ONCE, threads)
    memory = Memory(network.store, capacity_tokens=AT_ONCE * context, context_tokens=context)
    limits = Limits(running=AT_ONCE, context_tokens=context)
    loop = TorchLoop(network, Scheduler(memory, limits), decode=lambda _: "", ends=())
    sampling = Sampling(max_tokens=count, temperature=0)
    requests = [Request(str(at), list(prompt), sampling) for at, prompt in enumerate(prompts)]
    for request in requests:
        loop.add(request)
    while loop.load().running or loop.load().waiting:
        loop.step()
    return [request.output for request in requests]


@torch.no_grad()
def _logit_difference(model: Gpt, place: Path, prompts: Sequence[Sequence[int]], threads: int) -> float:
    network, context = _opened(place, 1, threads)
    network.store.resize(context, 1)
    largest = 0.0
    for prompt in prompts:
        found = network.logits([Reading(Place(context, 0), 0, prompt, len(prompt))], range(len(prompt)))
        largest = max(largest, float((found - model(torch.tensor([list(prompt)]))[0]).abs().max()))
    return largest


def _opened(place: Path, contexts: int, threads: int) -> tuple[OpenVinoNetwork, int]:
    """(the network with room for so many contexts, tokens of one)"""
    shape = read_manifest(place)["shape"]
    context = shape["context_tokens"]
    store = PageStore(shape, capacity_tokens=contexts * context, context_tokens=context)
    return OpenVinoNetwork(place, store, threads=threads), context
