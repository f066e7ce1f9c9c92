"""Tokens per second of answers written at once: our back ends beside transformers' static and continuous batches, in one run.

    python -m engine.bench.generation --threads 1 --rounds 3 --at-once 1 8 32

Each contender is a function of prompts and the number of new tokens; ends are not looked for, tokens are the likeliest.
With `--shared 300` all prompts, of all rounds, begin with the same so many tokens, as under one system prompt.
"""

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.threads import use_threads

CONTEXT = 512
VOCABULARY = 16384
AT_MOST = 32
PAD = 0
PEERS = ("static", "continuous")


@dataclass(frozen=True)
class Timed:
    """Tokens [N][t] of N answers, seconds for all of them, the mean seconds to a first token, and of all threads' work."""

    tokens: list[list[int]]
    seconds: float
    first_seconds: float
    processor_seconds: float = 0.0

    @property
    def rate(self) -> float:
        """New tokens per second."""
        return sum(map(len, self.tokens)) / self.seconds


Answers = Callable[[Sequence[Sequence[int]], int], Timed]


def make_model(folder: Path, seed: int = 0) -> Path:
    """A Llama-shaped GPT of 16.9 million weights with random values."""
    import torch

    from engine.gpt import Gpt, GptConfig
    from engine.gpt.hugging_face import save_gpt

    torch.manual_seed(seed)
    config = GptConfig(vocabulary_size=VOCABULARY, context_tokens=CONTEXT, layers=6, heads=6, width=384)
    save_gpt(Gpt(config), folder, special={"pad_token_id": PAD, "eos_token_id": None})
    return folder


def random_prompts(count: int, seed: int, shared: int = 0) -> list[list[int]]:
    """Prompts of 64 to 200 random tokens; behind `shared` tokens that all have in common, of 32 to 100."""
    maker, common = random.Random(seed), random.Random(0)
    first = [common.randrange(1, VOCABULARY) for _ in range(shared)]
    low, high = (32, 100) if shared else (64, 200)
    return [[*first, *(maker.randrange(1, VOCABULARY) for _ in range(maker.randint(low, high)))] for _ in range(count)]


def through_the_seam(backend: Any) -> Answers:
    """A back end of ours: requests are added at once, steps are made until all have ended."""
    from engine.generate.request import Request
    from engine.specs.sampling import Sampling

    def answers(prompts: Sequence[Sequence[int]], new_tokens: int) -> Timed:
        sampling = Sampling(max_tokens=new_tokens, temperature=0, ignore_end=True)
        begun = time.perf_counter()
        found: dict[str, list[int]] = {str(at): [] for at in range(len(prompts))}
        firsts: dict[str, float] = {}
        for key, prompt in zip(found, prompts, strict=True):
            backend.add(Request(key, list(prompt), sampling))
        while backend.load().running or backend.load().waiting:
            for delta in backend.step():
                firsts.setdefault(delta.key, time.perf_counter() - begun)
                found[delta.key] += [drawn.token for drawn in delta.tokens]
        return Timed(list(found.values()), time.perf_counter() - begun, statistics.mean(firsts.values()))

    return answers


def our_loop(network: Any, *, keeps_prefixes: bool = False) -> Any:
    """Our loop over a network and its store, with room for 32 contexts."""
    from engine.generate.loop import TorchLoop
    from engine.generate.memory import Memory
    from engine.generate.scheduler import Limits, Scheduler

    memory = Memory(
        network.store, capacity_tokens=AT_MOST * CONTEXT, context_tokens=CONTEXT, keeps_prefixes=keeps_prefixes
    )
    limits = Limits(step_tokens=512, running=AT_MOST, context_tokens=CONTEXT)
    return TorchLoop(network, Scheduler(memory, limits), decode=lambda _: "", ends=[1])


def openvino_backend(folder: Path, graphs: Path, *, threads: int, precision: str = "fp32", **more: Any) -> Any:
    """Read by OpenVINO."""
    from engine.generate.openvino_convert import converted, read_manifest
    from engine.generate.openvino_network import OpenVinoNetwork, PageStore

    place = converted(folder, graphs, precision="int8" if precision == "int8" else "fp32")
    shape = read_manifest(place)["shape"]
    store = PageStore(shape, capacity_tokens=AT_MOST * CONTEXT, context_tokens=CONTEXT)
    return our_loop(OpenVinoNetwork(place, store, threads=threads), **more)


def torch_backend(folder: Path, **more: Any) -> Any:
    """Read by torch."""
    from engine.generate.cache import TensorStore
    from engine.generate.network import Network
    from engine.generate.packed import can_pack, pack
    from engine.gpt.hugging_face import load_gpt

    model = load_gpt(folder)
    if can_pack():
        pack(model)
    return our_loop(Network(model, TensorStore(model.config)), **more)


def static_batch(folder: Path) -> Answers:
    """transformers' generate over one batch, padded on the left."""
    import torch
    from transformers import AutoModelForCausalLM, StoppingCriteria, StoppingCriteriaList

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    class Watch(StoppingCriteria):  # type: ignore[misc]
        """Notes when the first token of the batch was there."""

        at = 0.0

        def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
            self.at = self.at or time.perf_counter()
            return torch.zeros(len(input_ids), dtype=torch.bool)

    def answers(prompts: Sequence[Sequence[int]], new_tokens: int) -> Timed:
        begun, watch, longest = time.perf_counter(), Watch(), max(map(len, prompts))
        ids = torch.tensor([[PAD] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        with torch.inference_mode():
            written = model.generate(
                ids,
                attention_mask=mask,
                max_new_tokens=new_tokens,
                min_new_tokens=new_tokens,
                do_sample=False,
                pad_token_id=PAD,
                stopping_criteria=StoppingCriteriaList([watch]),
            )
        return Timed(written[:, longest:].tolist(), time.perf_counter() - begun, watch.at - begun)

    return answers


def continuous_batch(folder: Path, *, keeps_prefixes: bool = False) -> Answers:
    """transformers' continuous batching; its threads' start and end are not counted."""
    import torch
    from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    room = ContinuousBatchingConfig(
        page_size=32, num_blocks=AT_MOST * CONTEXT // 32, max_batch_tokens=512, allow_block_sharing=keeps_prefixes
    )

    def answers(prompts: Sequence[Sequence[int]], new_tokens: int) -> Timed:
        config = GenerationConfig(max_new_tokens=new_tokens, do_sample=False, eos_token_id=-1, pad_token_id=PAD)
        found = list(
            model.generate_batch(
                [list(prompt) for prompt in prompts],
                generation_config=config,
                continuous_batching_config=room,
                record_timestamps=True,
            ).values()
        )
        if len(found) < len(prompts) or any(one.error or not one.timestamps for one in found):
            raise RuntimeError("transformers' continuous batching did not answer all prompts")
        begun = min(one.created_time for one in found)
        firsts = [one.timestamps[0] - begun for one in found]
        last = max(one.timestamps[-1] for one in found)
        return Timed([one.generated_tokens for one in found], last - begun, statistics.mean(firsts))

    return answers


def measure(
    contenders: dict[str, Answers], *, at_once: Sequence[int], rounds: int, new_tokens: int, shared: int = 0
) -> list[dict[str, Any]]:
    """Alternating rounds; medians, ratios to both peers of the same round (their median), and equal answers."""
    rows = []
    for count in at_once:
        runs: dict[str, list[Timed]] = {name: [] for name in contenders}
        for number in range(rounds + 1):
            prompts = random_prompts(count, 100 * count + number, shared)
            for name, answers in contenders.items():
                begun = time.process_time()
                timed = answers(prompts, new_tokens if number else 4)
                if number:  # the first round warms up
                    runs[name].append(replace(timed, processor_seconds=time.process_time() - begun))
        rows += [_row(name, count, runs) for name in contenders]
    return rows


def _row(name: str, count: int, runs: dict[str, list[Timed]]) -> dict[str, Any]:
    rates = [one.rate for one in runs[name]]
    row: dict[str, Any] = {
        "contender": name,
        "at_once": count,
        "tokens_per_second": round(statistics.median(rates), 1),
        "lowest": round(min(rates), 1),
        "highest": round(max(rates), 1),
        "per_processor_second": round(
            statistics.median(one.rate * one.seconds / one.processor_seconds for one in runs[name])
        ),
        "first_token_ms": round(1000 * statistics.median(one.first_seconds for one in runs[name])),
    }
    for peer in PEERS:
        if peer in runs:
            pairs = list(zip(runs[name], runs[peer], strict=True))
            row[f"times_{peer}"] = round(statistics.median(own.rate / other.rate for own, other in pairs), 2)
            row[f"first_token_of_{peer}"] = round(
                statistics.median(own.first_seconds / other.first_seconds for own, other in pairs), 2
            )
            same = [a == b for own, other in pairs for a, b in zip(own.tokens, other.tokens, strict=True)]
            row[f"equal_to_{peer}"] = round(sum(same) / len(same), 3)
    return row


def main() -> None:
    """Print one line per contender and number at once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--shared", type=int, default=0, help="tokens that all prompts begin with")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    use_threads(options.threads)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with tempfile.TemporaryDirectory() as place:
        folder, graphs = make_model(Path(place) / "model"), Path(place) / "graphs"
        threads: dict[str, Any] = {"threads": options.threads}
        keeps: dict[str, Any] = {"keeps_prefixes": bool(options.shared)}
        makers: dict[str, Callable[[], Answers]] = {
            "openvino": lambda: through_the_seam(openvino_backend(folder, graphs, **threads, **keeps)),
            "openvino int8": lambda: through_the_seam(
                openvino_backend(folder, graphs, precision="int8", **threads, **keeps)
            ),
            "torch": lambda: through_the_seam(torch_backend(folder, **keeps)),
            "static": lambda: static_batch(folder),
            "continuous": lambda: continuous_batch(folder, **keeps),
        }
        chosen = {name: make() for name, make in makers.items() if not options.only or name in options.only}
        rows = measure(
            chosen,
            at_once=options.at_once,
            rounds=options.rounds,
            new_tokens=options.new_tokens,
            shared=options.shared,
        )
    for row in rows:
        print(json.dumps(row) if options.json else "  ".join(f"{name} {value}" for name, value in row.items()))


if __name__ == "__main__":
    main()
