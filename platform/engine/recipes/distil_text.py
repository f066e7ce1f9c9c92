"""Teach a smaller model that writes by a larger one, from Parquet rows to a model folder.

Hinton et al. 2015, token by token: the formula stands in engine.gpt.loss. Only tokens that carry loss are listened to,
and the teacher reads the student's own tokens, so both must have one vocabulary. The student is a base model with
layers spread evenly over it, the teacher itself among them, or a new decoder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine import metrics
from engine.chat_model import ChatModel, load_chat_model
from engine.data import ChatRows
from engine.evaluate_chat import loss_figures, measurable
from engine.failures import Stopped
from engine.gpt import NO_TARGET, Gpt, Lesson
from engine.gpt.hugging_face import load_gpt
from engine.methods import read_adapter
from engine.precision import mixed
from engine.predict import batches_by_tokens
from engine.recipes import sft
from engine.recipes.distil_text_setup import is_ours, taught, template_warnings
from engine.recipes.sft_setup import Beginning, LaidOut
from engine.render import Chat, Messages
from engine.report import Report, Silent
from engine.specs.distil_text import DistilTextSpec
from engine.specs.problems import Problem
from engine.teaching import rates
from words import say

TIMED_ANSWERS, TIMED_TOKENS = 8, 32


def train(
    spec: DistilTextSpec,
    data: Path,
    out: Path,
    report: Report,
    *,
    resume_from: Path | None = None,
    micro_batch: int | None = None,
    data_hash: str = "",
    data_kind: str = "chat",
) -> dict[str, Any]:
    """Train the student as any model is tuned on answers, by its teacher; returns the result event as plain JSON.

    Raises RunFailed for what the user can mend and Stopped after a checkpoint when the report asks to stop.
    """
    return sft.train(
        spec,
        data,
        out,
        report,
        resume_from=resume_from,
        micro_batch=micro_batch,
        data_hash=data_hash,
        data_kind=data_kind,
        teacher=Teacher.opened(spec),
    )


@dataclass(frozen=True)
class Teacher:
    """A loaded version that writes, and how it is listened to."""

    spec: DistilTextSpec
    place: Path
    network: Gpt | ChatModel  # ours where we know the shape: it reads packed chats
    beginning: Beginning

    @classmethod
    def opened(cls, spec: DistilTextSpec) -> "Teacher":
        """The spec's teacher; RunFailed when it is missing or the student does not go with it."""
        place, beginning = taught(spec)
        return cls(spec, place, opened_network(place), beginning)

    def warnings(self) -> list[Problem]:
        """A student that is asked by another template than its teacher was."""
        return template_warnings(self.spec, self.place, self.beginning)

    @torch.no_grad()
    def lesson(self, chats: Sequence[Chat], flat: LaidOut) -> Lesson:
        """Logits of the teacher for the learnt tokens of `flat`, from its states [M, D] portion by portion."""
        return Lesson(self._logits_of(chats, flat), self.spec.hard_share, self.spec.temperature)

    def _logits_of(self, chats: Sequence[Chat], flat: LaidOut) -> Any:
        if isinstance(self.network, ChatModel):
            order = torch.unique_consecutive(flat.owners).tolist()
            logits, _, _ = self.network.foretold([chats[at] for at in order])  # [M, V]
            return lambda rows: logits[rows]
        network = self.network
        device = network.tokens.weight.device
        with mixed(network):
            hidden = network.packed(flat.ids.to(device), flat.runs)  # [N, D]
        kept, matrix = hidden[(flat.targets != NO_TARGET).to(device)], network.head.weight
        return lambda rows: F.linear(kept[rows], matrix.to(kept.dtype))

    def compared(self, student: ChatModel, rows: ChatRows, report: Report) -> dict[str, Any]:
        """Student beside teacher on the same tokens: loss, agreement, size, and how fast they write."""
        known = self.network if isinstance(self.network, ChatModel) else load_chat_model(self.place)
        return beside(known, student, rows, seed=self.spec.seed, report=report)


def opened_network(place: Path) -> Gpt | ChatModel:
    """The teacher as it reads fastest, on the GPU if there is one."""
    if not is_ours(place):
        return load_chat_model(place)
    network = load_gpt(place)
    read_adapter(network, place)
    return (network.cuda() if torch.cuda.is_available() else network).eval()


def beside(teacher: ChatModel, student: ChatModel, rows: ChatRows, *, seed: int, report: Report) -> dict[str, Any]:
    """Loss of both and its paired difference, the share of tokens they both find likeliest, size and speed.

    Over chats that fit into both contexts; {} when there are none. Raises Stopped when asked.
    """
    limit = min(teacher.context_tokens, student.context_tokens)
    found = measurable(student.template, rows, limit)
    if not found:
        return {}
    chats, pair = list(found.values()), (teacher, student)
    sums, counts, agreed = np.zeros((2, len(chats))), np.zeros(len(chats)), 0
    done, at_once = 0, min(model.tokens_at_once for model in pair)
    for batch in batches_by_tokens([len(chat.ids) for chat in chats], at_once):
        if report.should_stop():
            raise Stopped
        said = []
        for side, model in enumerate(pair):
            losses, likeliest, owners = _said(model, [chats[at] for at in batch])
            np.add.at(sums[side], np.asarray(batch)[owners], losses)
            said.append(likeliest)
        np.add.at(counts, np.asarray(batch)[owners], 1)
        agreed += int((said[0] == said[1]).sum())
        done += len(batch)
        report.progress(done, len(chats), "chats", say("comparing with the teacher"))
    drawn = metrics.resampled_sums(np.stack([sums[1] - sums[0], counts], axis=1), metrics.BOOTSTRAP_ROUNDS, seed)
    sizes = [sum(parameter.numel() for parameter in model.model.parameters()) for model in pair]
    prompts = [rows.messages[at][:1] for at in list(found)[:TIMED_ANSWERS]]
    speeds = rates([partial(written_tokens, model, prompts) for model in pair])
    return {
        **_named("headline", [loss_figures(side, counts, seed=seed) for side in sums]),
        "difference": metrics.difference(
            float((sums[1] - sums[0]).sum() / counts.sum()), drawn[:, 0] / np.maximum(drawn[:, 1], 1)
        ),
        "agreement": agreed / int(counts.sum()),
        "tokens": int(counts.sum()),
        "rows": len(chats),
        **_named("parameters", sizes),
        **_named("tokens_per_second", speeds),
        "speed_up": speeds[1] / speeds[0],
    }


def _named(name: str, pair: Sequence[Any]) -> dict[str, Any]:
    return {name: dict(zip(("teacher", "student"), pair, strict=True))}


def _said(model: ChatModel, chats: Sequence[Chat]) -> tuple[Any, Tensor, Any]:
    """(losses [M], likeliest tokens [M], each token's chat [M]) of the learnt tokens."""
    logits, targets, owners = model.foretold(chats)
    losses = F.cross_entropy(logits, targets, reduction="none").double().cpu().numpy()
    return losses, logits.argmax(-1).cpu(), owners


def written_tokens(model: ChatModel, prompts: Sequence[Messages]) -> int:
    """Answer these prompts; how many tokens that took, at least one."""
    written = model.answers(prompts, max_new_tokens=TIMED_TOKENS, report=Silent())
    return max(1, sum(answer.tokens for answer in written))
