"""Fine-tune a GPT on answers (chats, pairs, questions), or train a small one new, from Parquet rows to a model folder."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from engine import checkpoint
from engine.chat_folder import save_chat_model
from engine.chat_model import ChatModel, load_chat_model
from engine.continuing import Earlier, anchor_of, estimate_importance, hashes, joined
from engine.data import ChatRows, read_chats
from engine.evaluate_chat import LARGEST_EXPONENT, ChatExample, evaluate_chats, last_answer
from engine.failures import Stopped, refuse
from engine.folders import describe_again
from engine.gpt import NO_TARGET, Gpt, token_losses
from engine.loop import NotFinite, Pace, Training
from engine.plan import divided_sequences
from engine.precision import mixed
from engine.rank import here
from engine.recipes.sft_setup import (
    arrange,
    attach_method,
    beginning,
    earlier_chats,
    epoch_steps,
    laid_out,
    pack,
    parameter_groups,
    rehearsed_steps,
    render_all,
    room,
)
from engine.render import Chat
from engine.report import Report
from engine.seen import seen_chats
from engine.specs import spec_hash, to_mapping
from engine.specs.machine import rows_at_once
from engine.specs.sft import SftSpec
from engine.teaching import TextTeacher
from words import say

Sequences = Sequence[Sequence[int]]  # rows packed into sequences


def train(
    spec: SftSpec,
    data: Path,
    out: Path,
    report: Report,
    *,
    resume_from: Path | None = None,
    micro_batch: int | None = None,
    data_hash: str = "",
    data_kind: str = "chat",
    earlier: Sequence[Earlier] = (),
    teacher: TextTeacher | None = None,
) -> dict[str, Any]:
    """Train, evaluate and write `out`/model; returns the result event as plain JSON.

    With a `teacher` the run is the recipe "distil_text"; `earlier` tasks are those a base version must not forget.
    `micro_batch` (sequences) lowers memory without changing which chats form a step. Raises RunFailed for what
    the user can mend and Stopped after a checkpoint when the report asks to stop.
    """
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)

    # 1. The chats, and where to begin: with a base model, or new with a vocabulary learnt on train.
    report.progress(0, 1, "datasets", say("reading"))
    parts, problems = arrange(spec, read_chats(data, data_kind, spec.instruction))
    refuse("bad_data", problems)
    tasks = earlier_chats(spec, parts, earlier, data_kind)
    parts["train"], places = joined(parts["train"], tasks if spec.keep == "replay" else [])
    saved = checkpoint.find_checkpoint(resume_from) if resume_from is not None else None
    known = bytes(saved.tensors("tokenizer")["json"].tolist()).decode() if saved and saved.has("tokenizer") else ""
    start = teacher.beginning if teacher else beginning(spec, parts["train"], known)
    problems += teacher.warnings() if teacher else []
    limit = room(spec, start.config)
    chats, found = render_all(parts, start, limit)
    refuse("bad_data", found)
    for problem in [*problems, *found]:
        report.log("warning", problem.message)
    report.seen(seen_chats(start.template, parts["train"], chats["train"]))

    # 2. The network, the method and the optimiser.
    torch.manual_seed(spec.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = start.network()
    attached = attach_method(model, spec)
    model.to(device)
    groups = parameter_groups(model, spec)
    anchor = anchor_of(spec, model, {})
    optimiser = torch.optim.AdamW(groups, lr=spec.learning_rate, betas=(0.9, spec.beta2), fused=True)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    report.log(
        "info",
        say(
            "{parameters:,} parameters, {trainable:,} of them trained, {vocabulary} tokens in the vocabulary",
            parameters=parameters,
            trainable=trainable,
            vocabulary=start.config.vocabulary_size,
        ),
    )

    # 3. The epochs.
    own = start.template.tokenizer.to_str() if start.words is None else ""  # learnt here, so nowhere else
    training = Training(
        model,
        optimiser,
        pace=Pace.of(spec, schedule="cosine"),
        report=report,
        out=out,
        contract={
            "recipe": "distil_text" if teacher else "sft",
            "spec_hash": spec_hash(spec),
            "data_hash": data_hash,
            "earlier_data": hashes(earlier),
            "template_hash": start.template.description()["hash"],
            "threads": torch.get_num_threads(),
            "micro_batch": micro_batch,
        },
        companion=attached or anchor,
        extra={"tokenizer": {"json": torch.tensor(list(own.encode()), dtype=torch.uint8)}} if own else {},
    )
    if saved is not None:
        training.resume(saved)
    elif spec.keep == "ewc" and anchor is not None:
        drawn, where = joined(ChatRows(), tasks)
        of_tasks, found = render_all({"train": drawn}, start, limit)
        refuse("bad_data", found)
        model.eval()
        estimate_importance(
            anchor, spec, where, lambda at: answer_logits(model, of_tasks["train"][at]), report, seed=spec.seed
        )
    at_once = rows_at_once(spec, micro_batch, here().count)
    cursor = training.fit(SftWork(spec, model, chats, parts, report, at_once, limit, places, teacher))

    # 4. The best weights written beside, as the folder that is served, and measured as any version is measured.
    description: dict[str, Any] = {
        "recipe": "distil_text" if teacher else "sft",
        "method": spec.method,
        "base_model": str(spec.base_model),
        "context_tokens": limit,
        "spec": to_mapping(spec),
        "spec_hash": spec_hash(spec),
        "data_hash": data_hash,
    }
    save_chat_model(out / "model", model, start.template, description, base=start.words, attached=attached)
    written = load_chat_model(out / "model")
    evaluations, samples = training.saving_when_stopped(lambda: measured(written, parts, spec, report, out, teacher))
    described = describe_again(
        out / "model", {"metrics": {name: found["headline"] for name, found in evaluations.items()}}
    )
    (out / "samples.json").write_text(json.dumps(samples, ensure_ascii=False), encoding="utf-8")
    return {
        "model": str(out / "model"),
        "files": described["files"],
        "parameters": parameters,
        "trainable_parameters": trainable,
        "vocabulary_size": start.config.vocabulary_size,
        "template_hash": described["template"]["hash"],
        "evaluations": evaluations,
        "samples": str(out / "samples.json"),
        **cursor.told(time.monotonic() - started),
        "spec_hash": spec_hash(spec),
        "environment": described["environment"],
    }


@dataclass(frozen=True)
class SftWork:
    """The steps of a chat run: chats packed into sequences, their loss per learnt token."""

    spec: SftSpec
    model: Gpt
    chats: Mapping[str, Sequence[Chat]]
    parts: Mapping[str, ChatRows]
    report: Report
    at_once: int  # sequences in one micro-batch
    limit: int  # tokens of a sequence
    earlier: Sequence[range] = ()  # where chats of earlier tasks stand among those of train
    teacher: TextTeacher | None = None

    def steps(self, epoch: int) -> Sequence[Sequences]:
        """Which chats form which step."""
        lengths = [len(chat.ids) for chat in self.chats["train"]]
        plan: dict[str, Any] = {
            "seed": self.spec.seed,
            "epoch": epoch,
            "capacity": self.limit,
            "packing": self.spec.packing,
            "sequences_per_step": self.spec.batch_size * self.spec.gradient_accumulation,
        }
        if not self.earlier:
            return epoch_steps(lengths, **plan)
        return rehearsed_steps(lengths, self.earlier, share=self.spec.replay_share, **plan)

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

    def count(self, step: Sequences) -> int:
        """Learnt tokens: the mean is taken over them."""
        chats = self.chats["train"]
        return sum(sum(chats[at].learnt[1:]) for sequence in step for at in sequence)

    def divided(self, step: Sequences, processes: int) -> list[list[Sequences]]:
        """The micro-batches of each process."""
        tokens = [self.tokens([sequence]) for sequence in step]
        return divided_sequences(step, tokens, processes, at_once=self.at_once)

    def backward(self, step: Sequences, count: float) -> float:
        """Gradients of the learnt tokens' summed loss over `count`, whatever the micro-batches; returns that."""
        chats = self.chats["train"]
        whole = 0.0
        for start in range(0, len(step), self.at_once):
            flat = [at for sequence in step[start : start + self.at_once] for at in sequence]
            total, losses, owners = chat_losses(
                self.model, [chats[at] for at in flat], scale=1 / count, teacher=self.teacher
            )
            total.backward()  # type: ignore[no-untyped-call]
            if not torch.isfinite(losses).all():
                bad = owners[~torch.isfinite(losses.cpu())].tolist()
                raise NotFinite([self.parts["train"].ids[flat[at]] for at in sorted(set(bad))])
            whole += float(losses.sum())
        return whole / count

    def measure(self) -> dict[str, float]:
        """Loss and perplexity on dev."""
        if not self.chats["dev"]:
            return {}
        loss = dev_loss(self.model, self.chats["dev"], self.limit, self.at_once, self.report)
        return {"loss": loss, "perplexity": math.exp(min(loss, LARGEST_EXPONENT))}

    def value(self, measured: Mapping[str, float]) -> float:
        """The lower loss is better."""
        return -measured["loss"]


def chat_losses(
    model: Gpt, chats: Sequence[Chat], *, scale: float = 1.0, teacher: TextTeacher | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """(scaled sum, loss of each learnt token [M] without gradient, its chat's number [M] on the CPU).

    With a teacher it is the loss of its student.
    """
    device = model.tokens.weight.device
    flat = laid_out(chats)
    wanted = flat.targets != NO_TARGET  # [N]
    with mixed(model):
        hidden = model.packed(flat.ids.to(device), flat.runs)  # [N, D]
    targets = flat.targets[wanted].to(device)
    lesson = teacher.lesson(chats, flat) if teacher else None
    total, losses = token_losses(hidden[wanted.to(device)], model.head.weight, targets, lesson=lesson)
    return total * scale, losses, flat.owners[wanted]


def answer_logits(model: Gpt, chat: Chat) -> Tensor:
    """Logits [M, V] of the learnt tokens of a chat."""
    flat = laid_out([chat])
    device = model.tokens.weight.device
    hidden = model.packed(flat.ids.to(device), flat.runs)[(flat.targets != NO_TARGET).to(device)]
    return F.linear(hidden, model.head.weight).float()


@torch.no_grad()
def dev_loss(model: Gpt, chats: Sequence[Chat], limit: int, at_once: int, report: Report) -> float:
    """Mean loss per learnt token of all chats; raises Stopped when asked."""
    model.eval()
    total, count = 0.0, 0
    sequences = pack_all(chats, limit)
    for start in range(0, len(sequences), at_once):
        if report.should_stop():
            raise Stopped
        flat = [at for sequence in sequences[start : start + at_once] for at in sequence]
        _, losses, _ = chat_losses(model, [chats[at] for at in flat])
        total += float(losses.double().sum())
        count += len(losses)
        report.progress(min(start + at_once, len(sequences)), len(sequences), "sequences", say("evaluating dev"))
    return total / count


def pack_all(chats: Sequence[Chat], capacity: int) -> list[list[int]]:
    """All chats packed in file order of 512."""
    lengths = [len(chat.ids) for chat in chats]
    return [
        found
        for at in range(0, len(chats), 512)
        for found in pack(lengths, range(at, min(at + 512, len(chats))), capacity)
    ]


def measured(
    model: ChatModel,
    parts: Mapping[str, ChatRows],
    spec: SftSpec,
    report: Report,
    out: Path,
    teacher: TextTeacher | None = None,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(evaluations of dev and test with their files, sample answers) of the folder that will be served."""
    evaluations: dict[str, Any] = {}
    samples: list[dict[str, Any]] = []
    for name in ("dev", "test"):
        if not len(parts[name]):
            continue
        found, examples = evaluate_chats(
            model,
            parts[name],
            seed=spec.seed,
            report=report,
            max_new_tokens=spec.sample_tokens,
            answered_rows=spec.answered_rows,
            phase=say("evaluating {name}", name=name),
        )
        if teacher:
            found["teacher"] = teacher.compared(model, parts[name], report)
        listed = [{"example_id": row.example_id, "loss": row.loss, "tokens": row.answer_tokens} for row in examples]
        path = out / f"evaluation-{name}.json"
        path.write_text(json.dumps({**found, "examples": listed}, allow_nan=False), encoding="utf-8")
        evaluations[name] = {"headline": found["headline"], "rows": found["rows"], "metrics": str(path)}
        samples = samples or sampled(parts[name], examples, spec)
    return evaluations, samples


def sampled(rows: ChatRows, examples: Sequence[ChatExample], spec: SftSpec) -> list[dict[str, Any]]:
    """The first written answers with all that was said before, beside the given ones."""
    said = dict(zip(rows.ids, rows.messages, strict=True))
    return [
        {
            "example_id": example.example_id,
            "prompt": [dict(message) for message in said[example.example_id][: last_answer(said[example.example_id])]],
            "expected": example.gold_text,
            "answer": example.predicted_text,
            "stopped": example.finish == "stop",
        }
        for example in examples[: spec.sample_count]
    ]
