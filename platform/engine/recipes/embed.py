"""Train sentence vectors by contrast from a pretrained encoder, from Parquet rows to a frozen model folder.

Pairs that belong together, or texts of one class, are brought together, and all others of the step are pushed apart
(engine/contrastive.py has the formulas). The step's texts are read in portions, and its gradient is that of the step as a
whole (engine/grad_cache.py).
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine import base_models, checkpoint
from engine.continuing import Earlier, anchor_of, hashes
from engine.embedder import Embedder, TextEmbedder
from engine.embedder_folder import save_embedder
from engine.evaluate_vectors import dev_figures, evaluate_vectors, write_query_rows
from engine.failures import refuse
from engine.grad_cache import cached_backward
from engine.loop import NotFinite
from engine.measured import kept_evaluation
from engine.plan import cut
from engine.precision import mixed
from engine.recipes.classify_setup import attach_method, reading_length
from engine.recipes.embed_rehearsal import estimate, lessons_of
from engine.recipes.embed_setup import AnyRows, Lesson, arrange, choose_pooling
from engine.recipes.encoder_run import encoder_training, result_of
from engine.report import Report
from engine.seen import seen_vectors
from engine.specs import spec_hash, to_mapping
from engine.specs.embed import EmbedSpec
from words import say

Step = list[int]


def train(
    spec: EmbedSpec,
    data: Path,
    out: Path,
    report: Report,
    *,
    resume_from: Path | None = None,
    micro_batch: int | None = None,
    data_hash: str = "",
    data_kind: str = "pairs",
    earlier: Sequence[Earlier] = (),
) -> dict[str, Any]:
    """Train, evaluate and write `out`/model; returns the result event as plain JSON.

    `earlier` tasks are those a base version must not forget.
    `micro_batch` reads smaller portions after an out-of-memory kill, which changes neither steps nor gradients. Raises
    RunFailed for what the user can mend and Stopped after a checkpoint when the report asks to stop.
    """
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)

    # 1. The rows, and a last look at them: the same checks as the preflight.
    report.progress(0, 1, "datasets", say("reading"))
    parts, problems = arrange(spec, data, data_kind)
    refuse("bad_data", problems)
    for problem in problems:
        report.log("warning", problem.message)

    # 2. The network and its tokens.
    pooling = choose_pooling(spec)
    place = base_models.locate(spec.base_model)
    torch.manual_seed(spec.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = base_models.load_tokenizer(place, spec.base_model.revision)
    network = base_models.load_network(place, 0, revision=spec.base_model.revision, head="")
    max_length = reading_length(spec, network.config, tokenizer)
    model = TextEmbedder(network, pooling=pooling, normalise=spec.normalise, dropout=spec.dropout)
    attached = attach_method(model, spec, network.config.vocab_size)
    model.to(device)
    description = {
        "recipe": "embed",
        "max_length_tokens": max_length,
        "temperature": spec.temperature,
        "least_score": spec.least_score,
        "width": model.width,
        "template": None,
        "method": spec.method,
        "base_model": str(spec.base_model),
        "spec": to_mapping(spec),
        "spec_hash": spec_hash(spec),
        "data_hash": data_hash,
    }
    embedder = Embedder(model, tokenizer, description)
    lesson, tasks = lessons_of(spec, parts, earlier, tokenizer, max_length, data_kind)
    report.seen(seen_vectors(tokenizer, parts["train"], max_length))
    report.log(
        "info",
        say(
            "{parameters:,} parameters, {trainable:,} of them trained, vectors of {width} numbers, {max_length} tokens",
            parameters=sum(p.numel() for p in model.parameters()),
            trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
            width=model.width,
            max_length=max_length,
        ),
    )

    # 3. The loop, from the start or from a checkpoint.
    anchor = anchor_of(spec, model, {})
    contract = {
        "recipe": "embed",
        "spec_hash": spec_hash(spec),
        "data_hash": data_hash,
        "earlier_data": hashes(earlier),
        "micro_batch": micro_batch,
    }
    training = encoder_training(model, spec, attached or anchor, contract=contract, report=report, out=out)
    if resume_from is not None:
        training.resume(checkpoint.find_checkpoint(resume_from))
    elif spec.keep == "ewc" and anchor is not None:
        estimate(anchor, spec, tasks, model, report)
    rows_at_once = min(spec.batch_size, micro_batch or spec.batch_size)
    training.fit(EmbedWork(spec, embedder, lesson, parts, report, rows_at_once))

    # 4. The best weights, measured once on dev and test, then written as the model.
    evaluations: dict[str, Any] = {}
    measure = partial(evaluate_vectors, scale=embedder.scale, least_score=spec.least_score, seed=spec.seed)
    for name in ("dev", "test"):
        if not len(parts[name]):
            continue
        embed = partial(embedder.embed, report=report)
        found, examples = training.saving_when_stopped(partial(measure, parts[name], embed))
        write_query_rows(out / f"examples-{name}.parquet", examples)
        evaluations[name] = kept_evaluation(out, found, name)
    headlines = {name: found["headline"] for name, found in evaluations.items()}
    written = save_embedder(out / "model", model, tokenizer, {**description, "metrics": headlines}, attached=attached)
    return result_of(training, written, evaluations, out=out, labels=[], started=started)


def drawn_steps(lesson: Lesson, size: int, epoch: int, *, most: int | None = None) -> list[Step]:
    """The steps of an epoch, without rows that are alone; the smallest are left out where there are more than `most`."""
    drawn = [batch for batch in lesson.batches(epoch, size) if len(batch) > 1]
    kept = set(sorted(range(len(drawn)), key=lambda at: -len(drawn[at]))[:most])
    return [batch for at, batch in enumerate(drawn) if at in kept]


@dataclass(frozen=True)
class EmbedWork:
    """The steps of the run: the rows of a contrastive batch, their mean loss."""

    spec: EmbedSpec
    embedder: Embedder
    lesson: Lesson
    parts: Mapping[str, AnyRows]
    report: Report
    rows_at_once: int
    _drawn: dict[int, list[Step]] = field(default_factory=dict)  # of the newest epoch, and of the first

    def steps(self, epoch: int) -> list[Step]:
        """Which rows form which step."""
        if epoch not in self._drawn:
            drawn = drawn_steps(self.lesson, self.spec.batch_size, epoch, most=len(self.steps(0)) if epoch else None)
            for other in [other for other in self._drawn if other]:
                del self._drawn[other]
            self._drawn[epoch] = drawn
        return self._drawn[epoch]

    def heaviest(self) -> Step:
        """The longest rows as one step."""
        sizes = {at: sum(map(len, self.lesson.sequences([at]))) for at in range(len(self.lesson.ids))}
        return sorted(sizes, key=lambda at: -sizes[at])[: self.spec.batch_size]

    def tokens(self, step: Step) -> int:
        """Tokens the step reads."""
        return sum(map(len, self.lesson.sequences(step)))

    def rows(self, step: Step) -> list[int]:
        """Example ids of the step."""
        return [self.lesson.ids[at] for at in step]

    def count(self, step: Step) -> int:
        """Rows: the mean is taken over them."""
        return len(step)

    def divided(self, step: Step, processes: int) -> list[list[Step]]:
        """A step is one piece, because each of its texts is told apart from all others: the first process takes it."""
        return [[step], *([] for _ in range(processes - 1))]

    def backward(self, step: Step, count: float) -> float:
        """Gradients of the rows' summed loss over `count`, whatever the portions; returns that."""
        sequences = self.lesson.sequences(step)
        found: list[float] = []

        def loss_of(vectors: Tensor) -> Tensor:
            losses = self.lesson.losses(vectors, step)
            if not torch.isfinite(losses).all():
                bad = torch.nonzero(~torch.isfinite(losses)).flatten().tolist()
                raise NotFinite([self.lesson.ids[step[at]] for at in bad])
            whole = losses.sum() / count
            found.append(float(whole.detach()))
            return whole

        cached_backward(self.vectors, sequences, self.portions(sequences), loss_of)
        return found[0]

    def portions(self, sequences: Sequence[Sequence[int]]) -> list[list[int]]:
        """Texts of like length that are read together."""
        lengths = [len(sequence) for sequence in sequences]
        order = sorted(range(len(sequences)), key=lambda at: -lengths[at])
        at_once = self.rows_at_once * self.lesson.texts_per_row
        if self.rows_at_once == self.spec.batch_size:  # memory has not been short: only the tokens count
            at_once = len(order)
        return cut(order, lengths, rows_at_once=at_once, tokens_at_once=self.spec.max_batch_tokens)

    def vectors(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """Vectors [N, D] with gradients."""
        with mixed(self.embedder.model):
            found: Tensor = self.embedder.model(sequences)
        return found.float()

    def measure(self) -> dict[str, float]:
        """Retrieval figures on dev."""
        dev = self.parts["dev"]
        if not len(dev):
            return {}
        self.embedder.model.eval()
        return dev_figures(
            dev,
            partial(self.embedder.embed, report=self.report),
            scale=self.embedder.scale,
            least_score=self.spec.least_score,
        )

    def value(self, measured: Mapping[str, float]) -> float:
        """The spec's own choice; of losses the lower one."""
        return -measured["loss"] if self.spec.best_metric == "loss" else measured[self.spec.best_metric]
