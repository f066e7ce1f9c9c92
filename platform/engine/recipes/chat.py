"""Train a small GPT from scratch on chats, from Parquet rows to a frozen model folder."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from engine import checkpoint
from engine.chat_folder import save_chat_model
from engine.chat_model import ChatModel, load_chat_model
from engine.data import ChatRows, read_chats
from engine.evaluate_chat import LARGEST_EXPONENT, last_answer, loss_figures
from engine.failures import Stopped, refuse
from engine.gpt import NO_TARGET, Gpt, token_losses
from engine.loop import NotFinite, Pace, Training
from engine.recipes.chat_setup import arrange, epoch_steps, laid_out, learn_template, model_config, pack, render_all
from engine.render import Chat, Template
from engine.report import Report
from engine.seen import seen_chats
from engine.specs import spec_hash, to_mapping
from engine.specs.chat import ChatSpec
from words import say

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
    report.seen(seen_chats(template, parts["train"], chats["train"]))

    # 2. The network and its optimiser: matrices decay, vectors do not.
    torch.manual_seed(spec.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = Gpt(model_config(spec, template)).to(device)
    optimiser = torch.optim.AdamW(
        [
            {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": spec.weight_decay},
            {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=spec.learning_rate,
        betas=(0.9, spec.beta2),
        fused=True,
    )
    parameters = sum(parameter.numel() for parameter in model.parameters())
    report.log(
        "info",
        say(
            "{parameters:,} parameters, {vocabulary} tokens in the vocabulary",
            parameters=parameters,
            vocabulary=template.tokenizer.get_vocab_size(),
        ),
    )

    # 3. The epochs.
    training = Training(
        model,
        optimiser,
        pace=Pace.of(spec, schedule="cosine"),
        report=report,
        out=out,
        contract={
            "recipe": "chat",
            "spec_hash": spec_hash(spec),
            "data_hash": data_hash,
            "template_hash": template.description()["hash"],
            "threads": torch.get_num_threads(),
            "micro_batch": micro_batch,
        },
        extra={"tokenizer": {"json": torch.tensor(list(template.tokenizer.to_str().encode()), dtype=torch.uint8)}},
    )
    if saved is not None:
        training.resume(saved)
    at_once = min(spec.batch_size, micro_batch or spec.batch_size)
    cursor = training.fit(ChatWork(spec, model, chats, parts, report, at_once))

    # 4. The best weights, measured once on dev and test, written as the model, and answers of that model to look at.
    evaluations = training.saving_when_stopped(
        lambda: {
            name: measure(model, chats[name], parts[name], spec, report, out, name)
            for name in ("dev", "test")
            if len(chats[name])
        }
    )
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
    writer = load_chat_model(out / "model")
    samples = training.saving_when_stopped(lambda: answers(writer, parts["dev"], spec, report))
    (out / "samples.json").write_text(json.dumps(samples, ensure_ascii=False), encoding="utf-8")
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


@dataclass(frozen=True)
class ChatWork:
    """The steps of a chat run: chats packed into sequences, their loss per learnt token."""

    spec: ChatSpec
    model: Gpt
    chats: Mapping[str, Sequence[Chat]]
    parts: Mapping[str, ChatRows]
    report: Report
    at_once: int  # sequences in one micro-batch

    def steps(self, epoch: int) -> Sequence[Sequences]:
        """Which chats form which step."""
        return epoch_steps(
            [len(chat.ids) for chat in self.chats["train"]],
            seed=self.spec.seed,
            epoch=epoch,
            capacity=self.spec.context_tokens,
            packing=self.spec.packing,
            sequences_per_step=self.spec.batch_size * self.spec.gradient_accumulation,
        )

    def heaviest(self) -> Sequences:
        """The fullest micro-batch of the first epoch."""
        fullest = sorted((s for step in self.steps(0) for s in step), key=lambda s: -self.tokens([s]))
        return fullest[: self.at_once]

    def tokens(self, step: Sequences) -> int:
        """Tokens the step reads."""
        return sum(len(self.chats["train"][at].ids) for sequence in step for at in sequence)

    def rows(self, step: Sequences) -> list[int]:
        """Example ids of the step's chats."""
        return [self.parts["train"].ids[at] for sequence in step for at in sequence]

    def backward(self, step: Sequences) -> float:
        """Gradients of the step's mean loss per learnt token, whatever the micro-batches; returns that mean."""
        chats = self.chats["train"]
        count = sum(sum(chats[at].learnt[1:]) for sequence in step for at in sequence)
        whole = 0.0
        for start in range(0, len(step), self.at_once):
            flat = [at for sequence in step[start : start + self.at_once] for at in sequence]
            total, losses, owners = chat_losses(self.model, [chats[at] for at in flat], scale=1 / count)
            total.backward()  # type: ignore[no-untyped-call]
            if not torch.isfinite(losses).all():
                bad = owners[~torch.isfinite(losses.cpu())].tolist()
                raise NotFinite([self.parts["train"].ids[flat[at]] for at in sorted(set(bad))])
            whole += float(losses.sum())
        return whole / count

    def measure(self) -> dict[str, float]:
        """Loss and perplexity on dev."""
        found = summed_losses(self.model, self.chats["dev"], self.spec, self.report, say("evaluating dev"))
        loss = float(found[0].sum() / found[1].sum())
        return {"loss": loss, "perplexity": math.exp(min(loss, LARGEST_EXPONENT))}

    def value(self, measured: Mapping[str, float]) -> float:
        """The lower loss is better."""
        return -measured["loss"]


def chat_losses(model: Gpt, chats: Sequence[Chat], *, scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """(scaled sum, loss of each learnt token [M] without gradient, its chat's number [M] on the CPU)."""
    device = model.tokens.weight.device
    flat = laid_out(chats)
    wanted = flat.targets != NO_TARGET  # [N]
    with torch.autocast("cuda", dtype=torch.bfloat16, enabled=device.type == "cuda"):
        hidden = model.packed(flat.ids.to(device), flat.runs)  # [N, D]
    targets = flat.targets[wanted].to(device)
    total, losses = token_losses(hidden[wanted.to(device)], model.head.weight, targets)
    return total * scale, losses, flat.owners[wanted]


@torch.no_grad()
def summed_losses(
    model: Gpt, chats: Sequence[Chat], spec: ChatSpec, report: Report, phase: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Summed loss and number of learnt tokens of each chat, [N] each; raises Stopped when asked."""
    model.eval()
    sums, learnt = np.zeros(len(chats)), np.zeros(len(chats))
    sequences = pack_all(chats, spec.context_tokens)
    for start in range(0, len(sequences), spec.batch_size):
        if report.should_stop():
            raise Stopped
        flat = np.array([at for sequence in sequences[start : start + spec.batch_size] for at in sequence])
        _, losses, owners = chat_losses(model, [chats[at] for at in flat])
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
    model: Gpt, chats: Sequence[Chat], rows: ChatRows, spec: ChatSpec, report: Report, out: Path, name: str
) -> dict[str, Any]:
    """Loss and perplexity per learnt token with bootstrap intervals over chats; one loss per chat in a file."""
    sums, learnt = summed_losses(model, chats, spec, report, say("evaluating {name}", name=name))
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
