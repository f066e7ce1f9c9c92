"""Fine-tune a text classifier from a pretrained encoder, from Parquet rows to a frozen model folder."""

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine import base_models, checkpoint, evaluate, metrics
from engine.data import read_texts
from engine.encoder import TextClassifier
from engine.failures import RunFailed, Stopped, refuse
from engine.memory import peak_memory_bytes
from engine.model_folder import save_classifier
from engine.plan import Window, epoch_windows, learning_rate_share
from engine.predict import encode, forward_all
from engine.probe import fit_probe
from engine.recipes.classify_setup import arrange, choose_pooling, parameter_groups, reading_length
from engine.report import Report
from engine.resume import Cursor, check_contract, checkpoint_due, not_finite
from engine.specs import ClassifySpec, spec_hash, to_mapping
from words import say

METRIC_EVERY_SECONDS = 2.0


def train(
    spec: ClassifySpec,
    data: Path,
    out: Path,
    report: Report,
    *,
    resume_from: Path | None = None,
    micro_batch: int | None = None,
    data_hash: str = "",
) -> dict[str, Any]:
    """Train, evaluate and write `out`/model; returns the result event as plain JSON.

    `micro_batch` halves memory after an out-of-memory kill without changing which rows form a step. Raises
    RunFailed for what the user can mend and Stopped after a checkpoint when the report asks to stop.
    """
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)

    # 1. The rows, and a last look at them: the same checks as the preflight.
    report.progress(0, 1, "datasets", say("reading"))
    splits = read_texts(data)
    parts, labels, problems = arrange(spec, splits)
    refuse("bad_data", problems)
    for problem in problems:
        report.log("warning", problem.message)

    # 2. The network and its tokens.
    place = base_models.locate(spec.base_model)
    torch.manual_seed(spec.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = base_models.load_tokenizer(place, spec.base_model.revision)
    network = base_models.load_network(place, len(labels), revision=spec.base_model.revision)
    max_length = reading_length(spec, network.config, tokenizer)
    model = TextClassifier(network, len(labels), pooling=choose_pooling(spec, network.config), dropout=spec.dropout)
    model.to(device)
    mask_id = tokenizer.mask_token_id if tokenizer.mask_token_id is not None else tokenizer.unk_token_id
    encoded = {name: encode(tokenizer, part.texts, max_length) for name, part in parts.items()}
    targets = {
        name: torch.from_numpy(evaluate.gold_table(part.labels, labels, part.ids)).float()
        for name, part in parts.items()
    }  # [N, K] each
    report.log(
        "info",
        say(
            "{parameters:,} parameters, {labels_count} labels, {max_length} tokens",
            parameters=sum(p.numel() for p in model.parameters()),
            labels_count=len(labels),
            max_length=max_length,
        ),
    )

    # 3. The optimiser: lower layers learn slower, the head faster, vectors do not decay.
    names = {parameter: name for name, parameter in model.named_parameters()}
    optimiser = torch.optim.AdamW(parameter_groups(model, spec), lr=0.0, betas=(0.9, 0.999), eps=1e-8, fused=True)
    average: dict[str, Tensor] = {}
    best: dict[str, Tensor] = {}
    cursor = Cursor()
    contract = {
        "recipe": "classify",
        "spec_hash": spec_hash(spec),
        "data_hash": data_hash,
        "labels": labels,
        "threads": torch.get_num_threads(),
        "micro_batch": micro_batch,
    }

    # 4. Where to begin: a checkpoint, or a head fitted on the frozen encoder.
    if resume_from is not None:
        saved = checkpoint.find_checkpoint(resume_from)
        check_contract(saved.state["contract"], contract, report)
        cursor = Cursor(**saved.state["cursor"])
        model.load_state_dict(saved.tensors("weights"))
        average = to_device(saved.tensors("average"), device) if saved.has("average") else {}
        best = saved.tensors("best") if saved.has("best") else {}
        checkpoint.restore_optimiser(optimiser, names, saved.tensors("optimiser"))
        checkpoint.restore_random(saved.tensors("random"))
        report.log("info", say("Resumed at step {step}, epoch {epoch}", step=cursor.step, epoch=cursor.epoch + 1))
    elif spec.head_start == "probe" or spec.method == "frozen":
        start_head(model, encoded["train"], targets["train"], spec, report)
    if spec.average_decay and not average:
        average = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    epochs = spec.epochs if spec.method == "full" else 0
    lengths = [len(sequence) for sequence in encoded["train"]]
    rows_per_step = spec.batch_size * spec.gradient_accumulation
    steps_per_epoch = math.ceil(len(lengths) / rows_per_step)
    total_steps = epochs * steps_per_epoch
    rows_at_once = min(spec.batch_size, micro_batch or spec.batch_size)
    saved_at = told_at = time.monotonic()
    tokens_at = cursor.tokens_seen
    checkpoints = out / "checkpoints"

    def save(is_best: bool = False) -> None:
        nonlocal saved_at
        tensors = {
            "weights": model.state_dict(),
            "optimiser": checkpoint.optimiser_tensors(optimiser, names),
            "random": checkpoint.random_tensors(),
        }
        if average:
            tensors["average"] = average
        if best:
            tensors["best"] = best
        state = {"contract": contract, "cursor": vars(cursor)}
        path = checkpoint.save_checkpoint(checkpoints, step=cursor.step, tensors=tensors, state=state)
        saved_at = time.monotonic()
        report.checkpoint(str(path), cursor.step, cursor.history[-1] if cursor.history else {}, is_best=is_best)

    def windows_of(epoch: int) -> list[Window]:
        return epoch_windows(
            lengths,
            seed=spec.seed,
            epoch=epoch,
            rows_per_step=rows_per_step,
            rows_at_once=rows_at_once,
            tokens_at_once=spec.max_batch_tokens,
        )

    def backward(window: Window) -> float:
        """Gradients of the window's mean loss, whatever the micro-batches; returns that mean."""
        count = sum(len(batch) for batch in window)
        losses = []
        for batch in window:
            sequences = [hide_tokens(encoded["train"][at], mask_id, spec.token_dropout) for at in batch]
            rows = row_losses(model, sequences, targets["train"][batch].to(device), spec)
            (rows.sum() / count).backward()  # type: ignore[no-untyped-call]
            losses.append(rows.detach())
        whole = torch.cat(losses)
        if not torch.isfinite(whole).all():
            order = [at for batch in window for at in batch]
            bad = [parts["train"].ids[order[at]] for at in torch.nonzero(~torch.isfinite(whole)).flatten().tolist()]
            raise not_finite(bad, cursor.step)
        return float(whole.mean())

    # 5. The longest micro-batch first: if memory does not suffice, better now than in an hour.
    if epochs and cursor.step < total_steps:
        state = checkpoint.random_tensors()
        longest = sorted(range(len(lengths)), key=lambda at: -lengths[at])[:rows_at_once]
        model.train()
        backward([fit_tokens(longest, lengths, spec.max_batch_tokens)])
        model.zero_grad(set_to_none=True)
        checkpoint.restore_random(state)
        report.metric(cursor.step, memory_bytes=peak_memory_bytes())

    # 6. The epochs.
    for epoch in range(cursor.epoch, epochs):
        windows = windows_of(epoch)
        model.train()
        for window in windows[cursor.position :]:
            share = learning_rate_share(cursor.step, total_steps, warmup=spec.warmup_share, schedule=spec.schedule)
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * share
            loss = backward(window)
            norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), spec.max_gradient_norm or math.inf))
            if not math.isfinite(norm):
                raise not_finite([parts["train"].ids[at] for batch in window for at in batch], cursor.step)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            cursor.step += 1
            cursor.position += 1
            cursor.tokens_seen += sum(lengths[at] for batch in window for at in batch)
            update_average(average, model, min(spec.average_decay, (1 + cursor.step) / (10 + cursor.step)))

            now = time.monotonic()
            report.progress(cursor.step, total_steps, "steps", say("training"))
            if now - told_at >= METRIC_EVERY_SECONDS or cursor.step == total_steps:
                report.metric(
                    cursor.step,
                    train_loss=loss,
                    gradient_norm=norm,
                    learning_rate=max(group["lr"] for group in optimiser.param_groups),
                    tokens_per_second=(cursor.tokens_seen - tokens_at) / max(now - told_at, 1e-9),
                    memory_bytes=peak_memory_bytes(),
                    epoch=cursor.step / steps_per_epoch,
                )
                told_at, tokens_at = now, cursor.tokens_seen
            if report.should_stop():
                save()
                raise Stopped
            if checkpoint_due(spec, cursor.step, now - saved_at):
                save()

        try:
            measured = measure(model, average, encoded["dev"], targets["dev"], spec, report) if encoded["dev"] else {}
        except Stopped:
            save()
            raise
        value = chosen_by(spec, measured) if measured else float(epoch)  # without dev rows the last epoch is the best
        is_best = cursor.is_best(value, epoch)
        if is_best:
            kept = average or model.state_dict()
            best = {name: tensor.detach().cpu().clone() for name, tensor in kept.items()}
        cursor.epoch, cursor.position = epoch + 1, 0
        cursor.history.append({f"dev_{name}": value for name, value in measured.items()} | {"step": cursor.step})
        report.metric(cursor.step, **{f"dev_{name}": value for name, value in measured.items()}, epoch=float(epoch + 1))
        told_at, tokens_at = time.monotonic(), cursor.tokens_seen
        patience = spec.early_stopping_patience
        if patience and cursor.epochs_without_better >= patience:
            report.log(
                "info",
                say(
                    "No better {best_metric} for {patience} epochs; stopped after epoch {epoch}",
                    best_metric=spec.best_metric,
                    patience=patience,
                    epoch=epoch + 1,
                ),
            )
            cursor.epoch = epochs
            break
        if cursor.epoch < epochs and spec.checkpoint_every_steps:
            save(is_best=is_best)

    # 7. The best weights, measured once on dev and test, then written as the model.
    if best:
        model.load_state_dict(best)
    model.eval()
    evaluations: dict[str, Any] = {}
    for name in ("dev", "test"):
        if name not in parts or not len(parts[name]):
            continue
        try:
            logits = forward_all(model, encoded[name], report, phase=say("evaluating {name}", name=name))
        except Stopped:
            save()
            raise
        probabilities = torch.sigmoid(logits) if spec.multi_label else torch.softmax(logits, -1)
        found, rows = evaluate.evaluate(
            probabilities.numpy(),
            parts[name].labels,
            parts[name].ids,
            labels,
            multi_label=spec.multi_label,
            threshold=spec.decision_threshold,
            seed=spec.seed,
        )
        evaluate.write_rows(out / f"examples-{name}.parquet", rows)
        (out / f"evaluation-{name}.json").write_text(
            json.dumps(found, ensure_ascii=False, allow_nan=False), encoding="utf-8"
        )
        evaluations[name] = {
            "headline": found["headline"],
            "rows": found["rows"],
            "metrics": str(out / f"evaluation-{name}.json"),
            "examples": str(out / f"examples-{name}.parquet"),
        }
    description = save_classifier(
        out / "model",
        model,
        tokenizer,
        labels,
        {
            "recipe": "classify",
            "multi_label": spec.multi_label,
            "decision_threshold": spec.decision_threshold,
            "max_length_tokens": max_length,
            "template": None,
            "base_model": str(spec.base_model),
            "spec": to_mapping(spec),
            "spec_hash": spec_hash(spec),
            "data_hash": data_hash,
            "metrics": {name: found["headline"] for name, found in evaluations.items()},
        },
    )
    return {
        "model": str(out / "model"),
        "files": description["files"],
        "labels": labels,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "evaluations": evaluations,
        **cursor.told(time.monotonic() - started),
        "spec_hash": spec_hash(spec),
        "environment": description["environment"],
    }


def start_head(
    model: TextClassifier, sequences: list[list[int]], targets: Tensor, spec: ClassifySpec, report: Report
) -> None:
    """Fit the head on the frozen encoder; a native head is too deep for that and keeps its random start."""
    if model.pooling != "mean":
        if spec.method == "frozen":
            raise RunFailed(
                "not_together", say("Method “frozen” needs mean pooling."), say("Choose a BERT-like base model.")
            )
        report.log("info", say("The head starts at random: this architecture has its own pooling."))
        return
    model.eval()
    features = forward_all(model, sequences, report, phase=say("linear probe"), features=True)
    weight, bias = fit_probe(features, targets, multi_label=spec.multi_label)
    model.head.load_state_dict({"weight": weight, "bias": bias})


def chosen_by(spec: ClassifySpec, measured: dict[str, float]) -> float:
    """The figure that chooses the best epoch, larger is better."""
    return -measured["loss"] if spec.best_metric == "loss" else measured[spec.best_metric]


def hide_tokens(sequence: list[int], mask_id: int, share: float) -> list[int]:
    """The sequence with about `share` of its inner tokens replaced, drawn from torch's generator."""
    if not share:
        return sequence
    hidden = (torch.rand(len(sequence)) < share).tolist()
    hidden[0] = hidden[-1] = False
    return [mask_id if gone else token for token, gone in zip(sequence, hidden, strict=True)]


def row_losses(model: TextClassifier, sequences: list[list[int]], targets: Tensor, spec: ClassifySpec) -> Tensor:
    """The loss of each row, [B]."""
    with torch.autocast("cuda", dtype=torch.bfloat16, enabled=targets.is_cuda):
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


def measure(
    model: TextClassifier,
    average: dict[str, Tensor],
    sequences: list[list[int]],
    targets: Tensor,
    spec: ClassifySpec,
    report: Report,
) -> dict[str, float]:
    """Loss, accuracy and macro F1 of the averaged (or the current) weights."""
    current = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()} if average else {}
    if average:
        model.load_state_dict(average)
    model.eval()
    try:
        logits = forward_all(model, sequences, report, phase=say("evaluating dev"))
    finally:
        if current:
            model.load_state_dict(current)
    gold = targets.numpy() > 0
    if spec.multi_label:
        loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(1).mean()
        decided = evaluate.choose(torch.sigmoid(logits).numpy(), multi_label=True, threshold=spec.decision_threshold)
    else:
        loss = F.cross_entropy(logits, targets)
        decided = evaluate.choose(logits.numpy(), multi_label=False, threshold=0)
    return {"loss": float(loss), **metrics.averages(np.asarray(gold), decided)}


def update_average(average: dict[str, Tensor], model: TextClassifier, decay: float) -> None:
    """Move the averaged weights towards the current ones; nothing to do without an average."""
    if not average:
        return
    current = model.state_dict()
    torch._foreach_lerp_([average[name] for name in current], list(current.values()), 1 - decay)


def to_device(tensors: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The same tensors on `device`."""
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def fit_tokens(batch: list[int], lengths: Sequence[int], limit: int) -> list[int]:
    """The longest prefix of `batch` within `limit` tokens, at least one row."""
    total = np.cumsum([lengths[at] for at in batch])
    return batch[: max(1, int(np.searchsorted(total, limit, side="right")))]
