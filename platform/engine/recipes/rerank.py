"""Train a ranker, which reads a query and a text together, from a pretrained encoder: from Parquet rows to a frozen folder.

A query is read with a text that belongs to it and some that do not, the hardest of which are found before the first step
(engine/negatives.py); the losses stand at engine/recipes/rerank_setup.py.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine import checkpoint
from engine.evaluate_ranking import Search, dev_figures, evaluate_ranking, part_of, searched, write_ranked_rows
from engine.evaluate_vectors import retrieval_of
from engine.failures import refuse
from engine.loop import NotFinite
from engine.measured import kept_evaluation
from engine.plan import divided_window
from engine.precision import mixed
from engine.rank import here
from engine.ranker import Ranker
from engine.ranker_folder import save_ranker
from engine.recipes.classify_setup import attach_method, reading_length
from engine.recipes.embed_setup import AnyRows
from engine.recipes.encoder_run import encoder_steps, encoder_training, longest_first, result_of
from engine.recipes.rerank_setup import (
    Drawn,
    Lengths,
    Lesson,
    arrange,
    beginning,
    lesson_of,
    read_as_pairs,
    seen_lesson,
)
from engine.report import Report
from engine.specs import spec_hash, to_mapping
from engine.specs.machine import rows_at_once
from engine.specs.rerank import RerankSpec
from words import say

Step = list[list[Drawn]]  # the micro-batches of an optimiser step


def train(
    spec: RerankSpec,
    data: Path,
    out: Path,
    report: Report,
    *,
    resume_from: Path | None = None,
    micro_batch: int | None = None,
    data_hash: str = "",
    data_kind: str = "pairs",
) -> dict[str, Any]:
    """Train, evaluate and write `out`/model; returns the result event as plain JSON.

    `micro_batch` halves memory after an out-of-memory kill without changing which rows form a step. Raises RunFailed for
    what the user can mend and Stopped after a checkpoint when the report asks to stop.
    """
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)

    # 1. The rows, and a last look at them: the same checks as the preflight.
    report.progress(0, 1, "datasets", say("reading"))
    parts, problems = arrange(spec, data, data_kind)
    refuse("bad_data", problems)
    for problem in problems:
        report.log("warning", problem.message)

    # 2. The network, its tokens, and the texts that are hardest to tell apart.
    torch.manual_seed(spec.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, tokenizer = beginning(spec)
    max_length = reading_length(spec, model.config, tokenizer)
    attached = attach_method(model, spec, model.config.vocab_size)
    model.to(device)
    description = {
        "recipe": "rerank",
        "max_length_tokens": max_length,
        "candidates": spec.candidates,
        "least_score": spec.least_score,
        "template": None,
        "method": spec.method,
        "base_model": str(spec.base_model),
        "spec": to_mapping(spec),
        "spec_hash": spec_hash(spec),
        "data_hash": data_hash,
    }
    ranker = Ranker(model, tokenizer, description)
    lesson = lesson_of(spec, parts["train"])
    lesson.mine(report)
    lengths = Lengths.of(lesson, tokenizer, max_length)
    report.seen(seen_lesson(tokenizer, lesson, max_length))
    report.log(
        "info",
        say(
            "{parameters:,} parameters, {trainable:,} of them trained, {rows:,} queries, {max_length} tokens",
            parameters=sum(p.numel() for p in model.parameters()),
            trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
            rows=len(lesson.ids),
            max_length=max_length,
        ),
    )

    # 3. The loop, from the start or from a checkpoint.
    contract = {"recipe": "rerank", "spec_hash": spec_hash(spec), "data_hash": data_hash, "micro_batch": micro_batch}
    training = encoder_training(model, spec, attached, contract=contract, report=report, out=out)
    if resume_from is not None:
        training.resume(checkpoint.find_checkpoint(resume_from))
    at_once = rows_at_once(spec, micro_batch, here().count)
    training.fit(RerankWork(spec, ranker, lesson, lengths, dev_search(spec, parts["dev"]), parts, report, at_once))

    # 4. The best weights, measured once on dev and test, then written as the model.
    evaluations: dict[str, Any] = {}
    measure = partial(evaluate_ranking, candidates=spec.candidates, least_score=spec.least_score, seed=spec.seed)
    for name in ("dev", "test"):
        if not len(parts[name]):
            continue
        score = partial(ranker.score, report=report)
        found, examples = training.saving_when_stopped(partial(measure, parts[name], score))
        write_ranked_rows(out / f"examples-{name}.parquet", examples)
        evaluations[name] = kept_evaluation(out, found, name)
    headlines = {name: found["headline"] for name, found in evaluations.items()}
    written = save_ranker(out / "model", model, tokenizer, {**description, "metrics": headlines}, attached=attached)
    return result_of(training, written, evaluations, out=out, labels=[], started=started)


def dev_search(spec: RerankSpec, dev: AnyRows) -> Search:
    """What is found for the dev queries that are measured after each epoch."""
    retrieval = part_of(retrieval_of(dev, least_score=spec.least_score), spec.dev_queries, seed=spec.seed)
    return searched(retrieval, candidates=spec.candidates)


@dataclass(frozen=True)
class RerankWork:
    """The steps of a ranker's run: queries of like length with their texts, their mean loss."""

    spec: RerankSpec
    ranker: Ranker
    lesson: Lesson
    lengths: Lengths
    search: Search
    parts: Mapping[str, AnyRows]
    report: Report
    rows_at_once: int
    _drawn: dict[int, list[Step]] = field(default_factory=dict)  # of the newest epoch

    def steps(self, epoch: int) -> list[Step]:
        """Which lists form which step."""
        if epoch not in self._drawn:
            self._drawn.clear()
            lists = self.lesson.lists(epoch)
            sizes = [self.lengths.of_list(one) for one in lists]
            windows = encoder_steps(self.spec, sizes, epoch, rows_at_once=self.rows_at_once)
            self._drawn[epoch] = [[[lists[at] for at in batch] for batch in window] for window in windows]
        return self._drawn[epoch]

    def heaviest(self) -> Step:
        """The longest lists as one micro-batch."""
        lists = self.lesson.lists(0)
        sizes = [self.lengths.of_list(one) for one in lists]
        longest = longest_first(sizes, rows_at_once=self.rows_at_once, tokens_at_once=self.spec.max_batch_tokens)
        return [[lists[at] for at in batch] for batch in longest]

    def tokens(self, step: Step) -> int:
        """Tokens the step reads."""
        return sum(self.lengths.of_list(one) for batch in step for one in batch)

    def rows(self, step: Step) -> list[int]:
        """Example ids of the step."""
        return [self.lesson.ids[row] for batch in step for row, _texts in batch]

    def count(self, step: Step) -> int:
        """Lists: the mean is taken over them."""
        return sum(len(batch) for batch in step)

    def divided(self, step: Step, processes: int) -> list[list[Step]]:
        """The micro-batches of each process."""
        flat = [one for batch in step for one in batch]
        parts = divided_window(
            [list(range(len(flat)))],
            [self.lengths.of_list(one) for one in flat],
            processes,
            rows_at_once=self.rows_at_once,
            tokens_at_once=self.spec.max_batch_tokens,
        )
        return [[[[flat[at] for at in batch] for batch in window] for window in part] for part in parts]

    def backward(self, step: Step, count: float) -> float:
        """Gradients of the lists' summed loss over `count`, whatever the micro-batches; returns that."""
        losses = []
        for batch in step:
            rows = self.losses(batch)
            (rows.sum() / count).backward()  # type: ignore[no-untyped-call]
            losses.append(rows.detach())
        whole = torch.cat(losses)
        if not torch.isfinite(whole).all():
            order = self.rows(step)
            raise NotFinite([order[at] for at in torch.nonzero(~torch.isfinite(whole)).flatten().tolist()])
        return float(whole.sum() / count)

    def losses(self, batch: Sequence[Drawn]) -> Tensor:
        """The loss of each list, [B]."""
        pairs = read_as_pairs(self.ranker.tokenizer, self.lesson, batch, self.ranker.max_length_tokens)
        with mixed(self.ranker.model):
            scores = self.ranker.model.scores(pairs).float()
        return self.lesson.losses(scores, batch)

    def measure(self) -> dict[str, float]:
        """Figures on dev."""
        dev = self.parts["dev"]
        if not len(dev):
            return {}
        self.ranker.model.eval()
        return dev_figures(dev, self.search, partial(self.ranker.score, report=self.report))

    def value(self, measured: Mapping[str, float]) -> float:
        """The spec's own choice; of losses the lower one."""
        return -measured["loss"] if self.spec.best_metric == "loss" else measured[self.spec.best_metric]
