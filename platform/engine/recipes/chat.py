"""Train a small GPT from scratch on chats, from Parquet rows to a frozen model folder."""

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from engine import checkpoint
from engine.chat_folder import save_chat_model
from engine.chat_model import ChatModel
from engine.data import ChatRows, read_chats
from engine.evaluate_chat import last_answer, loss_figures
from engine.failures import Stopped, refuse
from engine.memory import peak_memory_bytes
from engine.plan import learning_rate_share
from engine.recipes.chat_setup import (
    NO_TARGET,
    arrange,
    epoch_steps,
    learn_template,
    model_config,
    new_model,
    pack,
    render_all,
    tensors,
)
from engine.render import END, PAD, Chat, Template
from engine.report import Report
from engine.resume import Cursor, check_contract, checkpoint_due, not_finite
from engine.specs import spec_hash, to_mapping
from engine.specs.chat import ChatSpec
from words import say

METRIC_EVERY_SECONDS = 2.0
Sequences = Sequence[Sequence[int]]  # rows packed into sequences


def train(
    spec: ChatSpec,
    data: Path,
    out: Path,
    report: Report,
    *,
    resume_from: Path | None = None,
    micro_batch: int | None = None,
    data_hash: str = "",
) -> dict[str, Any]:
    """Train, evaluate and write `out`/model; returns the result event as plain JSON.

    `micro_batch` (sequences) lowers memory without changing which chats form a step. Raises RunFailed for what
    the user can mend and Stopped after a checkpoint when the report asks to stop.
    """
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)

    # 1. The chats, and where to begin: the vocabulary is learnt on train, or comes with the checkpoint.
    report.progress(0, 1, "datasets", say("reading"))
    parts, problems = arrange(spec, read_chats(data))
    refuse("bad_data", problems)
    saved = checkpoint.find_checkpoint(resume_from) if resume_from is not None else None
    if saved is None:
        template = learn_template(spec, parts["train"])
    else:
        stored = bytes(saved.tensors("tokenizer")["json"].tolist()).decode()
        template = Template(Tokenizer.from_str(stored), spec.template, spec.loss_on)
    chats, found = render_all(spec, parts, template)
    refuse("bad_data", found)
    for problem in [*problems, *found]:
        report.log("warning", problem.message)

    # 2. The network and its optimiser: matrices decay, vectors do not.
    torch.manual_seed(spec.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = new_model(model_config(spec, template)).to(device)
    names = {parameter: name for name, parameter in model.named_parameters()}
    optimiser = torch.optim.AdamW(
        [
            {"params": [p for p in names if p.ndim > 1], "weight_decay": spec.weight_decay},
            {"params": [p for p in names if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=spec.learning_rate,
        betas=(0.9, spec.beta2),
        fused=True,
    )
    parameters = sum(parameter.numel() for parameter in names)
    report.log(
        "info",
        say(
            "{parameters:,} parameters, {vocabulary} tokens in the vocabulary",
            parameters=parameters,
            vocabulary=template.tokenizer.get_vocab_size(),
        ),
    )
    cursor = Cursor()
    best: dict[str, Tensor] = {}
    contract = {
        "recipe": "chat",
        "spec_hash": spec_hash(spec),
        "data_hash": data_hash,
        "template_hash": template.description()["hash"],
        "threads": torch.get_num_threads(),
        "micro_batch": micro_batch,
    }
    if saved is not None:
        check_contract(saved.state["contract"], contract, report)
        cursor = Cursor(**saved.state["cursor"])
        put(model, saved.tensors("weights"))
        best = saved.tensors("best") if saved.has("best") else {}
        checkpoint.restore_optimiser(optimiser, names, saved.tensors("optimiser"))
        checkpoint.restore_random(saved.tensors("random"))
        report.log("info", say("Resumed at step {step}, epoch {epoch}", step=cursor.step, epoch=cursor.epoch + 1))

    lengths = [len(chat.ids) for chat in chats["train"]]
    at_once = min(spec.batch_size, micro_batch or spec.batch_size)
    saved_at = told_at = time.monotonic()
    tokens_at = cursor.tokens_seen

    def steps_of(epoch: int) -> list[list[list[int]]]:
        return epoch_steps(
            lengths,
            seed=spec.seed,
            epoch=epoch,
            capacity=spec.context_tokens,
            packing=spec.packing,
            sequences_per_step=spec.batch_size * spec.gradient_accumulation,
        )

    steps_per_epoch = len(steps_of(0))
    total_steps = spec.epochs * steps_per_epoch  # packing may make a later epoch a step longer or shorter
    total_steps = min(total_steps, spec.max_steps) if spec.max_steps else total_steps

    def save(is_best: bool = False) -> None:
        nonlocal saved_at
        files = {
            "weights": dict(model.named_parameters()),
            "optimiser": checkpoint.optimiser_tensors(optimiser, names),
            "random": checkpoint.random_tensors(),
            "tokenizer": {"json": torch.tensor(list(template.tokenizer.to_str().encode()), dtype=torch.uint8)},
        }
        if best:
            files["best"] = best
        state = {"contract": contract, "cursor": vars(cursor)}
        path = checkpoint.save_checkpoint(out / "checkpoints", step=cursor.step, tensors=files, state=state)
        saved_at = time.monotonic()
        report.checkpoint(str(path), cursor.step, cursor.history[-1] if cursor.history else {}, is_best=is_best)

    def backward(step: Sequences) -> float:
        """Gradients of the step's mean loss per learnt token, whatever the micro-batches; returns that mean."""
        count = sum(sum(chats["train"][at].learnt[1:]) for sequence in step for at in sequence)
        total = 0.0
        for start in range(0, len(step), at_once):
            some = step[start : start + at_once]
            batch = tensors([[chats["train"][at] for at in sequence] for sequence in some])
            losses, owners = token_losses(model, batch, device, dropout=spec.dropout)
            (losses.sum() / count).backward()  # type: ignore[no-untyped-call]
            if not torch.isfinite(losses).all():
                flat = [parts["train"].ids[at] for sequence in some for at in sequence]
                bad = owners[~torch.isfinite(losses.detach().cpu())].tolist()
                raise not_finite([flat[at] for at in sorted(set(bad))], cursor.step)
            total += float(losses.detach().sum())
        return total / count

    # 3. The fullest micro-batch first: if memory does not suffice, better now than in an hour.
    if cursor.step < total_steps:
        state = checkpoint.random_tensors()
        model.train()
        longest = sorted(
            (sequence for step in steps_of(0) for sequence in step), key=lambda s: -sum(lengths[at] for at in s)
        )
        backward(longest[:at_once])
        model.zero_grad(set_to_none=True)
        checkpoint.restore_random(state)
        report.metric(cursor.step, memory_bytes=peak_memory_bytes())

    # 4. The epochs.
    epoch = cursor.epoch
    while epoch < spec.epochs and cursor.step < total_steps:
        model.train()
        for step in steps_of(epoch)[cursor.position :]:
            share = learning_rate_share(
                min(cursor.step, total_steps),
                total_steps,
                warmup=spec.warmup_share,
                schedule="cosine",
                floor=spec.final_learning_rate_share,
            )
            for group in optimiser.param_groups:
                group["lr"] = spec.learning_rate * share
            loss = backward(step)
            norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), spec.max_gradient_norm or math.inf))
            if not math.isfinite(norm):
                raise not_finite([parts["train"].ids[at] for sequence in step for at in sequence], cursor.step)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            cursor.step += 1
            cursor.position += 1
            cursor.tokens_seen += sum(lengths[at] for sequence in step for at in sequence)

            now = time.monotonic()
            report.progress(min(cursor.step, total_steps), total_steps, "steps", say("training"))
            if now - told_at >= METRIC_EVERY_SECONDS or cursor.step >= total_steps:
                report.metric(
                    cursor.step,
                    train_loss=loss,
                    gradient_norm=norm,
                    learning_rate=spec.learning_rate * share,
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
            if spec.max_steps and cursor.step >= spec.max_steps:
                break

        try:
            sums, learnt = chat_losses(model, chats["dev"], spec, report, say("evaluating dev"))
        except Stopped:
            save()
            raise
        value = float(sums.sum() / learnt.sum())
        is_best = cursor.is_best(value, epoch, lower=True)
        if is_best:
            best = {name: tensor.detach().cpu().clone() for name, tensor in model.named_parameters()}
        epoch += 1
        cursor.epoch, cursor.position = epoch, 0
        measured = {"dev_loss": value, "dev_perplexity": math.exp(min(value, 700.0))}
        cursor.history.append({**measured, "step": cursor.step})
        report.metric(cursor.step, **measured, epoch=float(epoch))
        told_at, tokens_at = time.monotonic(), cursor.tokens_seen
        if spec.early_stopping_patience and cursor.epochs_without_better >= spec.early_stopping_patience:
            report.log(
                "info",
                say(
                    "No lower dev loss for {patience} epochs; stopped after epoch {epoch}",
                    patience=spec.early_stopping_patience,
                    epoch=epoch,
                ),
            )
            cursor.epoch = epoch = spec.epochs
        if epoch < spec.epochs and spec.checkpoint_every_steps:
            save(is_best=is_best)

    # 5. The best weights, measured once on dev and test, with answers to look at, then written as the model.
    if best:
        put(model, best)
    try:
        evaluations = {
            name: measure(model, chats[name], parts[name], spec, report, out, name)
            for name in ("dev", "test")
            if len(chats[name])
        }
        writer = ChatModel(
            model, template, context_tokens=spec.context_tokens, ends=[template.ids[END]], pad=template.ids[PAD]
        )
        samples = answers(writer, parts["dev"], spec, report)
    except Stopped:
        save()
        raise
    (out / "samples.json").write_text(json.dumps(samples, ensure_ascii=False), encoding="utf-8")
    description = save_chat_model(
        out / "model",
        model,
        template,
        {
            "recipe": "chat",
            "context_tokens": spec.context_tokens,
            "spec": to_mapping(spec),
            "spec_hash": spec_hash(spec),
            "data_hash": data_hash,
            "metrics": {name: found["headline"] for name, found in evaluations.items()},
        },
    )
    return {
        "model": str(out / "model"),
        "files": description["files"],
        "parameters": parameters,
        "vocabulary_size": template.tokenizer.get_vocab_size(),
        "template_hash": description["template"]["hash"],
        "evaluations": evaluations,
        "samples": str(out / "samples.json"),
        **cursor.told(time.monotonic() - started),
        "spec_hash": spec_hash(spec),
        "environment": description["environment"],
    }


def token_losses(
    model: Any, batch: dict[str, Tensor], device: torch.device, *, dropout: float
) -> tuple[Tensor, Tensor]:
    """(loss of each learnt token [M], its chat's number [M] on the CPU); logits are made for learnt tokens only."""
    wanted = batch["targets"] != NO_TARGET  # [B, T]
    embedded = model.get_input_embeddings()(batch["ids"].to(device))  # [B, T, D]
    embedded = F.dropout(embedded, dropout, model.training)
    with torch.autocast("cuda", dtype=torch.bfloat16, enabled=device.type == "cuda"):
        hidden = model.model(
            inputs_embeds=embedded, position_ids=batch["positions"].to(device), use_cache=False
        ).last_hidden_state
        logits = model.lm_head(hidden[wanted.to(device)]).float()  # [M, V]
    return F.cross_entropy(logits, batch["targets"][wanted].to(device), reduction="none"), batch["owners"][wanted]


@torch.no_grad()
def chat_losses(
    model: Any, chats: Sequence[Chat], spec: ChatSpec, report: Report, phase: str
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, np.dtype[np.float64]]]:
    """Summed loss and number of learnt tokens of each chat, [N] each; raises Stopped when asked."""
    model.eval()
    device = next(model.parameters()).device
    sums, learnt = np.zeros(len(chats)), np.zeros(len(chats))
    sequences = pack_all(chats, spec.context_tokens)
    for start in range(0, len(sequences), spec.batch_size):
        if report.should_stop():
            raise Stopped
        some = sequences[start : start + spec.batch_size]
        losses, owners = token_losses(model, tensors([[chats[at] for at in s] for s in some]), device, dropout=0.0)
        flat = np.array([at for sequence in some for at in sequence])
        np.add.at(sums, flat[owners.numpy()], losses.cpu().double().numpy())
        np.add.at(learnt, flat[owners.numpy()], 1)
        report.progress(min(start + spec.batch_size, len(sequences)), len(sequences), "sequences", phase)
    return sums, learnt


def pack_all(chats: Sequence[Chat], capacity: int) -> list[list[int]]:
    """All chats packed in file order of 512."""
    lengths = [len(chat.ids) for chat in chats]
    return [
        found
        for at in range(0, len(chats), 512)
        for found in pack(lengths, range(at, min(at + 512, len(chats))), capacity)
    ]


def measure(
    model: Any, chats: Sequence[Chat], rows: ChatRows, spec: ChatSpec, report: Report, out: Path, name: str
) -> dict[str, Any]:
    """Loss and perplexity per learnt token with bootstrap intervals over chats; one loss per chat in a file."""
    sums, learnt = chat_losses(model, chats, spec, report, say("evaluating {name}", name=name))
    headline = loss_figures(sums, learnt, seed=spec.seed)
    per_chat = [
        {"example_id": number, "loss": float(total / count), "tokens": int(count)}
        for number, total, count in zip(rows.ids, sums, learnt, strict=True)
    ]
    found = {"headline": headline, "rows": len(chats), "tokens": int(learnt.sum()), "examples": per_chat}
    (out / f"evaluation-{name}.json").write_text(json.dumps(found, allow_nan=False), encoding="utf-8")
    return {"headline": headline, "rows": len(chats), "metrics": str(out / f"evaluation-{name}.json")}


def answers(model: ChatModel, rows: ChatRows, spec: ChatSpec, report: Report) -> list[dict[str, Any]]:
    """Greedy answers to the last question of the first dev chats, beside the real ones."""
    shown = [
        (number, messages, last)
        for number, messages in zip(rows.ids[: spec.sample_count], rows.messages, strict=False)
        if (last := last_answer(messages))
    ]
    written = model.answers(
        [messages[:last] for _, messages, last in shown],
        max_new_tokens=spec.sample_tokens,
        report=report,
        phase=say("sample answers"),
    )
    return [
        {
            "example_id": number,
            "prompt": [dict(message) for message in messages[:last]],
            "expected": messages[last]["content"],
            "answer": answer.text,
            "stopped": answer.finish == "stop",
        }
        for (number, messages, last), answer in zip(shown, written, strict=True)
    ]


@torch.no_grad()
def put(model: Any, weights: dict[str, Tensor]) -> None:
    """Copy named weights into the model."""
    for name, parameter in model.named_parameters():
        parameter.copy_(weights[name])
