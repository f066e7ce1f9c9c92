"""Tokens per second of our training loop beside loops of others, and what isolated packing saves; in one process.

The contenders take turns, so that a slow minute of the machine is slow for all of them.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.bench.padding import packing_rounds
from engine.bench.plain import Pace, PlainGpt, Shape, optimiser_of, plain_steps
from engine.corpus import Corpus
from engine.gpt import Gpt, GptConfig
from engine.gpt.hugging_face import save_gpt
from engine.loop import Training
from engine.recipes.pretrain import PretrainWork
from engine.report import Silent
from engine.specs import PretrainSpec
from engine.threads import use_threads

SHAPE = Shape("llama", vocabulary=16_384, context=256, layers=6, heads=6, width=384)  # 16.9 M parameters
WARM_STEPS = 1
Round = Callable[[int], float]  # steps -> tokens per second of those behind the warm ones


def gemm_peak() -> float:
    """The fastest of five fp32 products of 2048 x 2048 matrices, in operations per second."""
    left, right = torch.randn(2048, 2048), torch.randn(2048, 2048)
    left @ right
    best = 0.0
    for _ in range(5):
        started = time.perf_counter()
        left @ right
        best = max(best, 2 * 2048**3 / (time.perf_counter() - started))
    return best


def config_of(shape: Shape) -> GptConfig:
    """The same decoder in our words."""
    return GptConfig(
        vocabulary_size=shape.vocabulary,
        context_tokens=shape.context,
        layers=shape.layers,
        heads=shape.heads,
        width=shape.width,
    )


def stream_of(shape: Shape, tokens: int) -> NDArray[np.uint16]:
    """Random tokens; how fast they are learnt from does not depend on what they say."""
    return np.random.default_rng(1).integers(6, shape.vocabulary, tokens).astype(np.uint16)


@dataclass
class Clock(Silent):
    """Notes when each step was done."""

    times: list[float] = field(default_factory=list)

    def progress(self, done: int, total: int, unit: str, phase: str) -> None:
        """Called by the loop after each step."""
        self.times.append(time.perf_counter())


def ours(shape: Shape, batch: int, stream: NDArray[np.uint16], out: Path) -> Round:
    """Our loop with our model, as the recipe "pretrain" calls it."""
    torch.manual_seed(1)
    model = Gpt(config_of(shape))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1, fused=True)
    ends = np.array([len(stream)])
    empty = np.zeros(0, dtype=np.int64)
    corpora = {
        "train": Corpus(stream, ends, np.array([1]), np.array([len(stream)])),
        "dev": Corpus(stream[:1], empty, empty, empty),
    }

    def run(steps: int) -> float:
        spec = PretrainSpec(
            layout="blocks",
            context_tokens=shape.context,
            batch_size=batch,
            max_tokens=(steps + WARM_STEPS) * batch * shape.context,
            max_gradient_norm=1.0,
        )
        clock = Clock()
        work = PretrainWork(spec, model, corpora, clock, batch)
        Training(model, optimiser, pace=work.pace(), report=clock, out=out, contract={}).fit(work)
        return _speed(clock.times, batch * shape.context)

    return run


def nano_gpt(shape: Shape, batch: int, stream: NDArray[np.uint16]) -> Round:
    """nanoGPT's loop in our words."""
    torch.manual_seed(1)
    model = PlainGpt(shape)
    pace = Pace(steps=10_000, batch=batch)
    optimiser = optimiser_of(model, pace)
    loop = plain_steps(model, optimiser, stream, pace, seed=1)

    def run(steps: int) -> float:
        times = []
        for _ in range(steps + WARM_STEPS):
            next(loop)
            times.append(time.perf_counter())
        return _speed(times, batch * shape.context)

    return run


def transformers_loop(folder: Path, batch: int, shape: Shape, stream: NDArray[np.uint16]) -> Round:
    """A loop over transformers' model, as its documentation shows it."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)

    def run(steps: int) -> float:
        times = []
        for ids in batches(stream, batch, shape.context, steps + WARM_STEPS):
            model(input_ids=ids, labels=ids).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
            times.append(time.perf_counter())
        return _speed(times, batch * shape.context)

    return run


def trainer(folder: Path, batch: int, shape: Shape, stream: NDArray[np.uint16], out: Path) -> Round:
    """Hugging Face's Trainer with its own defaults."""
    from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

    model = AutoModelForCausalLM.from_pretrained(folder)
    times: list[float] = []

    class Clocked(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_given: Any, **_named: Any) -> None:
            times.append(time.perf_counter())

    def run(steps: int) -> float:
        times.clear()
        rows = [
            {"input_ids": row, "labels": row}
            for ids in batches(stream, batch, shape.context, steps + WARM_STEPS)
            for row in ids
        ]
        arguments = TrainingArguments(
            str(out / "trainer"),
            per_device_train_batch_size=batch,
            max_steps=steps + WARM_STEPS,
            learning_rate=1e-3,
            weight_decay=0.1,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
            dataloader_pin_memory=False,
        )
        Trainer(model, arguments, train_dataset=rows, callbacks=[Clocked()]).train()
        return _speed(times, batch * shape.context)

    return run


def batches(stream: NDArray[np.uint16], batch: int, context: int, count: int) -> Iterator[torch.Tensor]:
    """So many batches [B, T] of windows of the stream."""
    generator = np.random.default_rng(2)
    for _ in range(count):
        places = generator.integers(0, len(stream) - context, batch)
        yield torch.from_numpy(np.stack([stream[at : at + context] for at in places]).astype(np.int64))


def _speed(times: Sequence[float], tokens_per_step: int) -> float:
    counted = times[WARM_STEPS - 1 :]
    return (len(counted) - 1) * tokens_per_step / (counted[-1] - counted[0])


def speed(shape: Shape, batch: int, *, rounds: int, steps: int) -> dict[str, Any]:
    """Tokens per second of each contender, round by round, the product's peak before each round."""
    stream = stream_of(shape, 400_000)
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name) / "model", Path(name)
        torch.manual_seed(1)
        network = Gpt(config_of(shape))
        save_gpt(network, folder)
        contenders = {
            "ours": ours(shape, batch, stream, out),
            "nanoGPT loop": nano_gpt(shape, batch, stream),
            "transformers loop": transformers_loop(folder, batch, shape, stream),
            "HF Trainer": trainer(folder, batch, shape, stream, out),
        }
        found, peaks = alternating(contenders, rounds, steps)
    best = max(median(values) for name, values in found.items() if name != "ours")
    total = config_of(shape).parameter_count()
    return {
        "parameters": total,
        "batch": batch,
        "context": shape.context,
        "threads": torch.get_num_threads(),
        "gemm": median(peaks),
        "rounds": found,
        "tokens_per_second": {name: median(values) for name, values in found.items()},
        "ratio": median(found["ours"]) / best,
        "ratios_by_round": [
            found["ours"][at] / max(values[at] for name, values in found.items() if name != "ours")
            for at in range(rounds)
        ],
        "share_of_gemm": 6 * total * median(found["ours"]) / median(peaks),
    }


def alternating(contenders: Mapping[str, Round], rounds: int, steps: int) -> tuple[dict[str, list[float]], list[float]]:
    """Each contender once a round, in an order that turns."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    peaks = []
    for at in range(rounds):
        peaks.append(gemm_peak())
        names = list(contenders)
        for name in names[at % len(names) :] + names[: at % len(names)]:
            found[name].append(contenders[name](steps))
    return found, peaks


def main() -> None:
    """Print one comparison as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("speed", "packing"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="a tiny shape, to try the bench itself")
    options = parser.parse_args()
    use_threads(options.threads)
    shape = Shape("llama", 512, 256, 2, 2, 32) if options.small else SHAPE
    if options.what == "speed":
        found = speed(shape, options.batch, rounds=options.rounds, steps=options.steps)
    else:
        found = packing_rounds(config_of(shape), rounds=options.rounds, small=options.small)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
