"""Fine-tune a reader from a pretrained encoder, from Parquet rows of questions and passages to a frozen model folder."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine import base_models, checkpoint
from engine.answer_metrics import answer_f1, exact_match
from engine.continuing import Earlier, anchor_of, earlier_rows, estimate_importance, hashes, joined, places_of
from engine.data import QaRows, parts_of, read_questions
from engine.evaluate_answers import evaluate_answers, write_answer_rows
from engine.failures import refuse
from engine.loop import NotFinite
from engine.measured import kept_evaluation
from engine.plan import Window as Step
from engine.plan import divided_window
from engine.precision import mixed
from engine.preflight_extract import question_problems, window_problems
from engine.rank import here
from engine.reader import Pair, Passage, Reader, SpanReader, choices_of, target_of, window_losses
from engine.reader_folder import HEAD, save_reader
from engine.recipes.classify_setup import attach_method, reading_length
from engine.recipes.encoder_run import encoder_steps, encoder_training, longest_first, result_of
from engine.report import Report
from engine.seen import seen_passages
from engine.specs import ExtractSpec, Problem, spec_hash, to_mapping
from engine.specs.machine import rows_at_once
from words import say


def arrange(spec: ExtractSpec, splits: Mapping[str, QaRows]) -> tuple[dict[str, QaRows], list[Problem]]:
    """(rows by part, problems): dev is held out of train when the dataset has none."""
    parts = parts_of(spec, dict(splits), QaRows)
    return parts, question_problems(spec, parts)


def earlier_questions(spec: ExtractSpec, parts: Mapping[str, QaRows], earlier: Sequence[Earlier]) -> list[QaRows]:
    """The training rows of each earlier task where the spec reads them; RunFailed when there are none."""
    if not spec.rehearses:
        return []

    def asked(rows: QaRows) -> list[str]:
        return [f"{question}\n{context}" for question, context in pairs_of(rows)]

    return earlier_rows(spec, earlier, lambda task: read_questions(task.path), asked, [parts["dev"], parts["test"]])


def pairs_of(rows: QaRows) -> list[Pair]:
    """Question and passage of each row."""
    return list(zip(rows.questions, rows.contexts, strict=True))


def train(
    spec: ExtractSpec,
    data: Path,
    out: Path,
    report: Report,
    *,
    resume_from: Path | None = None,
    micro_batch: int | None = None,
    data_hash: str = "",
    earlier: Sequence[Earlier] = (),
) -> dict[str, Any]:
    """Train, evaluate and write `out`/model; returns the result event as plain JSON.

    `earlier` tasks are those a base version must not forget.
    `micro_batch` halves memory after an out-of-memory kill without changing which windows form a step. Raises
    RunFailed for what the user can mend and Stopped after a checkpoint when the report asks to stop.
    """
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)

    # 1. The rows, and a last look at them: the same checks as the preflight.
    report.progress(0, 1, "datasets", say("reading"))
    parts, problems = arrange(spec, read_questions(data))
    refuse("bad_data", problems)
    tasks = earlier_questions(spec, parts, earlier)
    parts["train"], rows_of = joined(parts["train"], tasks if spec.keep == "replay" else [])

    # 2. The network, its tokens, and the windows.
    place = base_models.locate(spec.base_model)
    torch.manual_seed(spec.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = base_models.load_tokenizer(place, spec.base_model.revision)
    network = base_models.load_network(place, 2, revision=spec.base_model.revision, head=HEAD)
    max_length = reading_length(spec, network.config, tokenizer)
    model = SpanReader(network, dropout=spec.dropout)
    attached = attach_method(model, spec, network.config.vocab_size)
    model.to(device)
    description = {
        "recipe": "extract",
        "max_length_tokens": max_length,
        "stride_tokens": min(spec.stride_tokens, max_length // 3),
        "max_answer_tokens": spec.max_answer_tokens,
        "no_answer": not all(parts["train"].answers),
        "no_answer_margin": spec.no_answer_margin,
        "template": None,
        "method": spec.method,
        "base_model": str(spec.base_model),
        "spec": to_mapping(spec),
        "spec_hash": spec_hash(spec),
        "data_hash": data_hash,
    }
    reader = Reader(model, tokenizer, description)
    windows = reader.windows(pairs_of(parts["train"]))
    for problem in [*problems, *window_problems(parts["train"], windows)]:
        report.log("warning", problem.message)
    report.seen(seen_passages(tokenizer, parts["train"], windows))
    report.log(
        "info",
        say(
            "{parameters:,} parameters, {trainable:,} of them trained, {windows:,} windows of {max_length} tokens",
            parameters=sum(p.numel() for p in model.parameters()),
            trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
            windows=len(windows),
            max_length=max_length,
        ),
    )

    # 3. The loop.
    anchor = anchor_of(spec, model, {})
    training = encoder_training(
        model,
        spec,
        attached or anchor,
        contract={
            "recipe": "extract",
            "spec_hash": spec_hash(spec),
            "data_hash": data_hash,
            "earlier_data": hashes(earlier),
            "micro_batch": micro_batch,
        },
        report=report,
        out=out,
    )

    # 4. The epochs, from the start or from a checkpoint.
    if resume_from is not None:
        training.resume(checkpoint.find_checkpoint(resume_from))
    elif spec.keep == "ewc" and anchor is not None:
        drawn, where = joined(QaRows(), tasks)
        asked = reader.windows(pairs_of(drawn))
        model.eval()

        def logits_of(at: int) -> Tensor:
            return choices_of(model([asked[at]]).float(), asked[at]).T

        estimate_importance(anchor, spec, places_of(asked, where), logits_of, report, seed=spec.seed)
    targets = [target_of(window, parts["train"].answers[window.row]) for window in windows]
    at_once = rows_at_once(spec, micro_batch, here().count)
    training.fit(ExtractWork(spec, reader, windows, targets, parts, report, at_once, places_of(windows, rows_of)))

    # 5. The best weights, measured once on dev and test, then written as the model.
    evaluations: dict[str, Any] = {}
    for name in ("dev", "test"):
        part = parts[name]
        if not len(part):
            continue
        said = training.saving_when_stopped(partial(reader.read, pairs_of(part), gold=part.answers, report=report))
        found, examples = evaluate_answers(said, part, seed=spec.seed)
        write_answer_rows(out / f"examples-{name}.parquet", examples)
        evaluations[name] = kept_evaluation(out, found, name)
    headlines = {name: found["headline"] for name, found in evaluations.items()}
    written = save_reader(out / "model", model, tokenizer, {**description, "metrics": headlines}, attached=attached)
    return result_of(training, written, evaluations, out=out, labels=[], started=started)


@dataclass(frozen=True)
class ExtractWork:
    """The steps of a reader's run: windows of like length together, their mean loss."""

    spec: ExtractSpec
    reader: Reader
    windows: Sequence[Passage]
    targets: Sequence[tuple[int, int]]
    parts: Mapping[str, QaRows]
    report: Report
    rows_at_once: int
    earlier: Sequence[range] = ()  # where windows of earlier tasks stand

    def steps(self, epoch: int) -> list[Step]:
        """Which windows form which step."""
        return encoder_steps(self.spec, self.lengths(), epoch, rows_at_once=self.rows_at_once, earlier=self.earlier)

    def heaviest(self) -> Step:
        """The longest windows as one micro-batch."""
        return longest_first(self.lengths(), rows_at_once=self.rows_at_once, tokens_at_once=self.spec.max_batch_tokens)

    def tokens(self, step: Step) -> int:
        """Tokens the step reads."""
        return sum(len(self.windows[at].ids) for batch in step for at in batch)

    def rows(self, step: Step) -> list[int]:
        """Example ids of the step."""
        return [self.parts["train"].ids[self.windows[at].row] for batch in step for at in batch]

    def count(self, step: Step) -> int:
        """Windows: the mean is taken over them."""
        return sum(len(batch) for batch in step)

    def divided(self, step: Step, processes: int) -> list[list[Step]]:
        """The micro-batches of each process."""
        at_once = {"rows_at_once": self.rows_at_once, "tokens_at_once": self.spec.max_batch_tokens}
        return divided_window(step, self.lengths(), processes, **at_once)

    def backward(self, step: Step, count: float) -> float:
        """Gradients of the windows' summed loss over `count`, whatever the micro-batches; returns that."""
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

    def losses(self, batch: Sequence[int]) -> Tensor:
        """The loss of each window, [B]."""
        windows = [self.windows[at] for at in batch]
        with mixed(self.reader.model):
            logits = self.reader.model(windows).float()
        return window_losses(logits, windows, [self.targets[at] for at in batch])

    def measure(self) -> dict[str, float]:
        """Loss, exact match and F1 on dev."""
        dev = self.parts["dev"]
        if not len(dev):
            return {}
        self.reader.model.eval()
        said = self.reader.read(pairs_of(dev), gold=dev.answers, report=self.report)
        gold = [[text for text, _ in answers] for answers in dev.answers]
        return {
            "loss": float(np.mean([one.loss for one in said])),
            "exact_match": float(
                np.mean([exact_match(one.answer, true) for one, true in zip(said, gold, strict=True)])
            ),
            "f1": float(np.mean([answer_f1(one.answer, true) for one, true in zip(said, gold, strict=True)])),
        }

    def value(self, measured: Mapping[str, float]) -> float:
        """The spec's own choice; of losses the lower one."""
        return -measured["loss"] if self.spec.best_metric == "loss" else measured[self.spec.best_metric]

    def lengths(self) -> list[int]:
        """Tokens of each window."""
        return [len(window.ids) for window in self.windows]
