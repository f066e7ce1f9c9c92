"""Fine-tune a tagger from a pretrained encoder, from Parquet rows with spans to a frozen model folder."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from engine import base_models, checkpoint, span_metrics
from engine.continuing import Earlier, anchor_of, estimate_importance, hashes, joined, places_of
from engine.data import SpanRows, read_spans
from engine.evaluate_spans import evaluate_spans, write_span_rows
from engine.failures import refuse
from engine.loop import NotFinite
from engine.measured import kept_evaluation
from engine.plan import Window as Step
from engine.plan import divided_window
from engine.precision import mixed
from engine.preflight_tag import border_problems
from engine.rank import here
from engine.recipes.classify import hide_tokens
from engine.recipes.classify_setup import attach_method, hiding_token, reading_length
from engine.recipes.encoder_run import encoder_steps, encoder_training, longest_first, result_of
from engine.recipes.tag_setup import (
    all_labels,
    arrange,
    choose_unit,
    earlier_marked,
    kept_labels,
    open_network,
    stride,
)
from engine.report import Report
from engine.seen import seen_windows
from engine.spans import tag_names, tags_of
from engine.specs import TagSpec, spec_hash, to_mapping
from engine.specs.machine import rows_at_once
from engine.tagger import Tagger, Window
from engine.tagger_folder import save_tagger
from engine.units import Reading, read_units
from words import say


def train(
    spec: TagSpec,
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
    parts, labels, problems = arrange(spec, read_spans(data))
    refuse("bad_data", problems)
    kept = kept_labels(spec)
    tasks = earlier_marked(spec, parts, earlier)
    parts["train"], places = joined(parts["train"], tasks if spec.keep == "replay" else [])
    labels = all_labels(kept, parts["train"]) if kept else labels

    # 2. The network, its tokens, and what carries a tag.
    place = base_models.locate(spec.base_model)
    torch.manual_seed(spec.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = base_models.load_tokenizer(place, spec.base_model.revision)
    model = open_network(spec, place, tokenizer, labels, kept)
    max_length = reading_length(spec, model.config, tokenizer)
    attached = attach_method(model, spec, model.config.vocab_size)
    model.to(device)
    unit = choose_unit(spec, parts["train"].texts)
    description = {
        "recipe": "tag",
        "labels": labels,
        "unit": unit,
        "max_length_tokens": max_length,
        "stride_tokens": stride(spec, max_length),
        "template": None,
        "method": spec.method,
        "base_model": str(spec.base_model),
        "spec": to_mapping(spec),
        "spec_hash": spec_hash(spec),
        "data_hash": data_hash,
    }
    tagger = Tagger(model, tokenizer, description)
    readings = {name: read_units(tokenizer, part.texts, unit) for name, part in parts.items()}
    for problem in [*problems, *border_problems(parts, readings, labels)]:
        report.log("warning", problem.message)
    report.log(
        "info",
        say(
            "{parameters:,} parameters, {trainable:,} of them trained, {labels_count} labels, {max_length} tokens",
            parameters=sum(p.numel() for p in model.parameters()),
            trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
            labels_count=len(labels),
            max_length=max_length,
        ),
    )

    # 3. The loop.
    known = len(tag_names(kept)) if kept else 0
    new = range(known, len(tag_names(labels)))
    anchor = anchor_of(spec, model, {f"network.classifier.{part}": new for part in ("weight", "bias")})
    training = encoder_training(
        model,
        spec,
        attached or anchor,
        contract={
            "recipe": "tag",
            "spec_hash": spec_hash(spec),
            "data_hash": data_hash,
            "earlier_data": hashes(earlier),
            "labels": labels,
            "micro_batch": micro_batch,
        },
        report=report,
        out=out,
    )

    # 4. The epochs, from the start or from a checkpoint.
    if resume_from is not None:
        training.resume(checkpoint.find_checkpoint(resume_from))
    elif spec.keep == "ewc" and anchor is not None:
        drawn, where = joined(SpanRows(), tasks)
        windows = tagger.windows(drawn.texts, read_units(tokenizer, drawn.texts, unit))
        model.eval()
        of_tasks = places_of(windows, where)
        estimate_importance(
            anchor, spec, of_tasks, lambda at: model([windows[at]])[:, :known].float(), report, seed=spec.seed
        )
    at_once = rows_at_once(spec, micro_batch, here().count)
    work = TagWork.of(spec, tagger, parts, readings["train"], report, rows_at_once=at_once, earlier=places)
    report.seen(seen_windows(tokenizer, parts["train"], work.windows))
    training.fit(work)

    # 5. The best weights, measured once on dev and test, then written as the model.
    evaluations: dict[str, Any] = {}
    for name in ("dev", "test"):
        part = parts[name]
        if not len(part):
            continue
        marked = training.saving_when_stopped(partial(tagger.mark, part.texts, gold=part.spans, report=report))
        found, examples = evaluate_spans(marked, part, labels, seed=spec.seed)
        write_span_rows(out / f"examples-{name}.parquet", examples)
        evaluations[name] = kept_evaluation(out, found, name)
    headlines = {name: found["headline"] for name, found in evaluations.items()}
    written = save_tagger(out / "model", model, tokenizer, {**description, "metrics": headlines}, attached=attached)
    return result_of(training, written, evaluations, out=out, labels=labels, started=started)


@dataclass(frozen=True)
class TagWork:
    """The steps of a tagger's run: windows of like length together, the mean loss of their units."""

    spec: TagSpec
    tagger: Tagger
    windows: Sequence[Window]
    tags: Sequence[list[int]]  # of each window's units
    parts: Mapping[str, SpanRows]
    report: Report
    mask_id: int
    rows_at_once: int
    earlier: Sequence[range] = ()  # where windows of earlier tasks stand

    @classmethod
    def of(
        cls,
        spec: TagSpec,
        tagger: Tagger,
        parts: Mapping[str, SpanRows],
        readings: Sequence[Reading],
        report: Report,
        *,
        rows_at_once: int,
        earlier: Sequence[range] = (),
    ) -> "TagWork":
        """The work on rows by part; `readings` are those of train."""
        train, tokenizer = parts["train"], tagger.tokenizer
        windows = tagger.windows(train.texts, readings)
        whole = [
            tags_of(reading.spans, spans, tagger.labels).tags
            for reading, spans in zip(readings, train.spans, strict=True)
        ]
        mask_id = hiding_token(tokenizer)
        tags = [whole[window.row][slice(*window.units)] for window in windows]
        of_tasks = places_of(windows, earlier)
        return cls(spec, tagger, windows, tags, parts, report, mask_id, rows_at_once, of_tasks)

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
        """Units: the mean is taken over them."""
        return sum(len(self.tags[at]) for batch in step for at in batch)

    def divided(self, step: Step, processes: int) -> list[list[Step]]:
        """The micro-batches of each process."""
        at_once = {"rows_at_once": self.rows_at_once, "tokens_at_once": self.spec.max_batch_tokens}
        return divided_window(step, self.lengths(), processes, **at_once)

    def backward(self, step: Step, count: float) -> float:
        """Gradients of the units' summed loss over `count`, whatever the micro-batches; returns that."""
        sums = []
        for batch in step:
            losses = self.unit_losses(batch)
            (losses.sum() / count).backward()  # type: ignore[no-untyped-call]
            sums += [part.sum() for part in torch.split(losses.detach(), [len(self.tags[at]) for at in batch])]
        whole = torch.stack(sums)  # [rows of the step]
        if not torch.isfinite(whole).all():
            order = self.rows(step)
            raise NotFinite([order[at] for at in torch.nonzero(~torch.isfinite(whole)).flatten().tolist()])
        return float(whole.sum() / count)

    def unit_losses(self, batch: Sequence[int]) -> torch.Tensor:
        """The loss of each unit of the windows, [U]."""
        model = self.tagger.model
        windows = [hidden(self.windows[at], self.mask_id, self.spec.token_dropout) for at in batch]
        targets = torch.tensor(
            [tag for at in batch for tag in self.tags[at]], device=model.network.classifier.weight.device
        )
        with mixed(model):
            logits = model(windows).float()
        return F.cross_entropy(logits, targets, label_smoothing=self.spec.label_smoothing, reduction="none")

    def measure(self) -> dict[str, float]:
        """Loss and entity figures on dev."""
        dev = self.parts["dev"]
        if not len(dev):
            return {}
        self.tagger.model.eval()
        marked = self.tagger.mark(dev.texts, gold=dev.spans, report=self.report)
        said = [[span for span, _ in one.spans] for one in marked]
        table = span_metrics.row_counts(dev.spans, said, self.tagger.labels)
        units = max(1, sum(one.units for one in marked))
        figures = span_metrics.averages(table.sum(0, keepdims=True))
        loss = float(np.sum([one.loss for one in marked]) / units)
        return {"loss": loss, **{name: float(value[0]) for name, value in figures.items()}}

    def value(self, measured: Mapping[str, float]) -> float:
        """The spec's own choice; of losses the lower one."""
        return -measured["loss"] if self.spec.best_metric == "loss" else measured[self.spec.best_metric]

    def lengths(self) -> list[int]:
        """Tokens of each window."""
        return [len(window.ids) for window in self.windows]


def hidden(window: Window, mask_id: int, share: float) -> Window:
    """The window with about `share` of its inner tokens behind the mask, drawn from torch's generator."""
    return replace(window, ids=hide_tokens(window.ids, mask_id, share))
