"""Fine-tune a text classifier from a pretrained encoder, from Parquet rows to a frozen model folder."""

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine import checkpoint, evaluate, int8, metrics
from engine.continuing import Earlier, anchor_of, estimate_importance, hashes, joined
from engine.data import TextRows, read_texts
from engine.encoder import TextClassifier
from engine.failures import RunFailed, refuse
from engine.int8 import serve_int8, settle_on_grid
from engine.loop import NotFinite
from engine.measured import kept_evaluation
from engine.model_folder import save_classifier
from engine.plan import Window, divided_window
from engine.precision import mixed
from engine.predict import encode, forward_all
from engine.probe import fit_probe
from engine.rank import here
from engine.recipes.classify_setup import (
    aims,
    all_labels,
    arrange,
    attach_method,
    beginning,
    earlier_texts,
    going_on,
    hiding_token,
    kept_labels,
    makes_int8,
    output_names,
    outside_label,
    reading_length,
)
from engine.recipes.encoder_run import encoder_steps, encoder_training, longest_first, result_of
from engine.rejection import Rejection, probabilities_of
from engine.report import Report
from engine.seen import seen_texts
from engine.specs import ClassifySpec, spec_hash, to_mapping
from engine.specs.machine import rows_at_once
from engine.teaching import Teacher, beside_teacher
from words import say


def train(
    spec: ClassifySpec,
    data: Path,
    out: Path,
    report: Report,
    *,
    resume_from: Path | None = None,
    micro_batch: int | None = None,
    data_hash: str = "",
    teacher: Teacher | None = None,
    earlier: Sequence[Earlier] = (),
) -> dict[str, Any]:
    """Train, evaluate and write `out`/model; returns the result event as plain JSON.

    With a `teacher` the run is the recipe "distil"; `earlier` tasks are those a base version must not forget.
    `micro_batch` halves memory after an out-of-memory kill without changing which rows form a step. Raises RunFailed for
    what the user can mend and Stopped after a checkpoint when the report asks to stop.
    """
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)

    # 1. The rows, and a last look at them: the same checks as the preflight.
    report.progress(0, 1, "datasets", say("reading"))
    splits = read_texts(data)
    parts, labels, problems = arrange(spec, splits, known=teacher.names if teacher else ())
    refuse("bad_data", problems)
    for problem in problems:
        report.log("warning", problem.message)
    kept = kept_labels(spec)
    tasks = earlier_texts(spec, parts, earlier)
    parts["train"], places = joined(parts["train"], tasks if spec.keep == "replay" else [])
    outside = outside_label(spec)
    labels = all_labels(kept, parts["train"], outside) if kept else labels

    # 2. The network and its tokens.
    torch.manual_seed(spec.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, tokenizer = going_on(spec, labels, kept) if kept else beginning(spec, len(labels))
    max_length = reading_length(spec, model.config, tokenizer)
    attached = attach_method(model, spec, model.config.vocab_size)
    model.to(device)
    mask_id = hiding_token(tokenizer)
    encoded = {name: encode(tokenizer, part.texts, max_length) for name, part in parts.items()}
    report.seen(seen_texts(tokenizer, parts["train"], encoded["train"], max_length))
    targets, inside = {}, {}
    for name, part in parts.items():
        targets[name], inside[name] = aims(part, labels, outside)  # [N, K]
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
    anchor = anchor_of(spec, model, {name: range(len(kept), len(labels)) for name in output_names(model)})
    training = encoder_training(
        model,
        spec,
        attached or anchor,
        contract={
            "recipe": "distil" if teacher else "classify",
            "spec_hash": spec_hash(spec),
            "data_hash": data_hash,
            "earlier_data": hashes(earlier),
            "labels": labels,
            "micro_batch": micro_batch,
        },
        report=report,
        out=out,
        epochs=0 if spec.method == "frozen" else spec.epochs,
    )

    # 4. The epochs, from a checkpoint or from a head fitted on the frozen encoder.
    if resume_from is not None:
        training.resume(checkpoint.find_checkpoint(resume_from))
    elif spec.keep == "ewc" and anchor is not None:
        drawn, where = joined(TextRows(), tasks)
        ids = encode(tokenizer, drawn.texts, max_length)
        logits_of = partial(known_logits, model.eval(), ids, len(kept), multi_label=spec.multi_label)
        estimate_importance(anchor, spec, where, logits_of, report, seed=spec.seed)
    elif (spec.head_start == "probe" and not kept) or spec.method == "frozen":
        start_head(model, encoded["train"], targets["train"], spec, report)
    at_once = rows_at_once(spec, micro_batch, here().count)
    soft = teacher.soft(parts["train"].texts, report) if teacher else None
    # What chooses the best epoch is how well the labels are told apart; how well others are turned away comes after.
    measured = {**encoded, "dev": [encoded["dev"][at] for at in inside["dev"]]}
    aimed = {**targets, "dev": targets["dev"][inside["dev"]]}
    work = ClassifyWork(
        spec, model, measured, aimed, parts["train"].ids, report, mask_id, at_once, places, teacher, soft
    )
    training.fit(work)
    judged = served(model) if makes_int8(spec) else model

    # 5. The best weights, measured once on dev and test, then written as the model.
    evaluations: dict[str, Any] = {}
    rejection: Rejection | None = None
    for name in ("dev", "test"):
        if name not in parts or not len(parts[name]):
            continue
        logits = training.saving_when_stopped(
            partial(forward_all, judged, encoded[name], report, phase=say("evaluating {name}", name=name))
        )
        if outside and name == "dev":
            rejection = Rejection.fitted(outside, logits[inside["dev"]], share=spec.outside_share)
        probabilities = probabilities_of(logits, rejection, multi_label=spec.multi_label)
        found, rows = evaluate.evaluate(
            probabilities.numpy(),
            parts[name].labels,
            parts[name].ids,
            [*labels, outside] if rejection else labels,
            turns_away=rejection is not None,
            multi_label=spec.multi_label,
            threshold=spec.decision_threshold,
            seed=spec.seed,
        )
        evaluate.write_rows(out / f"examples-{name}.parquet", rows)
        evaluations[name] = kept_evaluation(out, found, name)
    description = save_classifier(
        out / "model",
        model,
        tokenizer,
        labels,
        attached=attached,
        description={
            "recipe": "distil" if teacher else "classify",
            "multi_label": spec.multi_label,
            "decision_threshold": spec.decision_threshold,
            **({"outside": rejection.said()} if rejection else {}),
            **({"weights": int8.WEIGHTS} if makes_int8(spec) else {}),
            "max_length_tokens": max_length,
            "template": None,
            "base_model": str(spec.base_model),
            "method": spec.method,
            "spec": to_mapping(spec),
            "spec_hash": spec_hash(spec),
            "data_hash": data_hash,
            "metrics": {name: found["headline"] for name, found in evaluations.items()},
        },
    )
    if teacher:
        beside_teacher(teacher, out, parts, list(evaluations), spec.seed)
    return result_of(
        training, description, evaluations, out=out, labels=[*labels, outside] if rejection else labels, started=started
    )


@dataclass(frozen=True)
class ClassifyWork:
    """The steps of a classifier's run: rows of like length together, their mean loss."""

    spec: ClassifySpec
    model: TextClassifier
    encoded: Mapping[str, list[list[int]]]  # token ids by part
    targets: Mapping[str, Tensor]  # [N, K] by part
    ids: Sequence[int]  # of the training rows
    report: Report
    mask_id: int
    rows_at_once: int
    earlier: Sequence[range] = ()  # where rows of earlier tasks stand among those of train
    teacher: Teacher | None = None
    soft: Tensor | None = None  # [N, K] of the training rows, by the teacher

    def steps(self, epoch: int) -> list[Window]:
        """Which rows form which step."""
        return encoder_steps(self.spec, self.lengths(), epoch, rows_at_once=self.rows_at_once, earlier=self.earlier)

    def heaviest(self) -> Window:
        """The longest rows as one micro-batch."""
        return longest_first(self.lengths(), rows_at_once=self.rows_at_once, tokens_at_once=self.spec.max_batch_tokens)

    def tokens(self, step: Window) -> int:
        """Tokens the step reads."""
        return sum(len(self.encoded["train"][at]) for batch in step for at in batch)

    def rows(self, step: Window) -> list[int]:
        """Example ids of the step."""
        return [self.ids[at] for batch in step for at in batch]

    def count(self, step: Window) -> int:
        """Rows: the mean is taken over them."""
        return sum(len(batch) for batch in step)

    def divided(self, step: Window, processes: int) -> list[list[Window]]:
        """The micro-batches of each process."""
        at_once = {"rows_at_once": self.rows_at_once, "tokens_at_once": self.spec.max_batch_tokens}
        return divided_window(step, self.lengths(), processes, **at_once)

    def backward(self, step: Window, count: float) -> float:
        """Gradients of the summed loss over `count`, whatever the micro-batches; returns that."""
        device = next(self.model.parameters()).device
        losses = []
        for batch in step:
            sequences = [hide_tokens(self.encoded["train"][at], self.mask_id, self.spec.token_dropout) for at in batch]
            hard = self.targets["train"][batch].to(device)
            if self.teacher is not None and self.soft is not None:
                with mixed(self.model):
                    logits = self.model(sequences).float()
                rows = self.teacher.losses(logits, hard, self.soft[batch].to(device))
            else:
                rows = row_losses(self.model, sequences, hard, self.spec)
            (rows.sum() / count).backward()  # type: ignore[no-untyped-call]
            losses.append(rows.detach())
        whole = torch.cat(losses)
        if not torch.isfinite(whole).all():
            order = self.rows(step)
            raise NotFinite([order[at] for at in torch.nonzero(~torch.isfinite(whole)).flatten().tolist()])
        return float(whole.sum() / count)

    def measure(self) -> dict[str, float]:
        """Loss, accuracy and F1 on dev."""
        if not self.encoded["dev"]:
            return {}
        self.model.eval()
        logits = forward_all(self.model, self.encoded["dev"], self.report, phase=say("evaluating dev"))
        return dev_figures(logits, self.targets["dev"], self.spec)

    def value(self, measured: Mapping[str, float]) -> float:
        """The spec's own choice; of losses the lower one."""
        return -measured["loss"] if self.spec.best_metric == "loss" else measured[self.spec.best_metric]

    def lengths(self) -> list[int]:
        """Tokens of each training row."""
        return [len(sequence) for sequence in self.encoded["train"]]


def served(model: TextClassifier) -> TextClassifier:
    """A copy that computes as the saved int8 version will; the weights of `model` are rounded for that."""
    settle_on_grid(model)
    judged = copy.deepcopy(model).eval()
    serve_int8(judged)
    return judged


def known_logits(
    model: TextClassifier, sequences: Sequence[list[int]], known: int, at: int, *, multi_label: bool
) -> Tensor:
    """What the base version said of a text: [1, K], or of several labels [K, 2] for no and yes of each."""
    logits = model([sequences[at]])[:, :known].float()
    return torch.stack((torch.zeros_like(logits[0]), logits[0]), -1) if multi_label else logits


def start_head(
    model: TextClassifier, sequences: list[list[int]], targets: Tensor, spec: ClassifySpec, report: Report
) -> None:
    """Fit the head on the frozen encoder; a native head is too deep for that and keeps its random start."""
    if model.pooling == "native":
        if spec.method == "frozen":
            raise RunFailed(
                "not_together", say("Method “frozen” needs mean pooling."), say("Choose a BERT-like base model.")
            )
        report.log("info", say("The head starts at random: this architecture has its own pooling."))
        return
    model.eval()
    features = forward_all(model, sequences, report, phase=say("linear probe"), features=True)
    has_bias = model.head.bias is not None
    weight, bias = fit_probe(features, targets, multi_label=spec.multi_label, has_bias=has_bias)
    model.head.load_state_dict({"weight": weight, "bias": bias} if has_bias else {"weight": weight})


def hide_tokens(sequence: list[int], mask_id: int, share: float) -> list[int]:
    """The sequence with about `share` of its inner tokens replaced, drawn from torch's generator."""
    if not share:
        return sequence
    hidden = (torch.rand(len(sequence)) < share).tolist()
    hidden[0] = hidden[-1] = False
    return [mask_id if gone else token for token, gone in zip(sequence, hidden, strict=True)]


def row_losses(model: TextClassifier, sequences: list[list[int]], targets: Tensor, spec: ClassifySpec) -> Tensor:
    """The loss of each row, [B]."""
    with mixed(model):
        logits = model(sequences).float()  # [B, K]
        if spec.multi_label:
            return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(1)
        rows = F.cross_entropy(logits, targets, label_smoothing=spec.label_smoothing, reduction="none")
        if spec.consistency:
            other = model(sequences).float()
            rows = (rows + F.cross_entropy(other, targets, label_smoothing=spec.label_smoothing, reduction="none")) / 2
            first, second = F.log_softmax(logits, -1), F.log_softmax(other, -1)
            both = F.kl_div(first, second, reduction="none", log_target=True) + F.kl_div(
                second, first, reduction="none", log_target=True
            )
            rows = rows + spec.consistency * both.sum(1) / 4
        return rows


def dev_figures(logits: Tensor, targets: Tensor, spec: ClassifySpec) -> dict[str, float]:
    """Loss and averages of logits [N, K] against targets [N, K]."""
    if spec.multi_label:
        loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(1).mean()
        decided = evaluate.choose(torch.sigmoid(logits).numpy(), multi_label=True, threshold=spec.decision_threshold)
    else:
        loss = F.cross_entropy(logits, targets)
        decided = evaluate.choose(logits.numpy(), multi_label=False, threshold=0)
    return {"loss": float(loss), **metrics.averages(np.asarray(targets.numpy() > 0), decided)}
