"""Learn from preferences (DPO), from Parquet rows of a prompt and two answers to a frozen model folder.

Direct preference optimisation (Rafailov et al. 2023, equation 7): with log p(a) the summed log-probability of an answer's tokens,

    reward(a) = beta (log p(a) - log p_base(a))        margin = reward(chosen) - reward(rejected)
    loss = -log sigmoid(margin)        conservative: -(1 - e) log sigmoid(margin) - e log sigmoid(-margin)

The base's log-probabilities are taken once, before the first step. Win rate is the share of pairs with a margin above 0;
one of exactly 0 is half a win.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from engine import checkpoint
from engine.chat_folder import save_chat_model
from engine.chat_model import ChatModel, load_chat_model
from engine.continuing import Earlier, anchor_of, estimate_importance, hashes, joined
from engine.failures import Stopped, refuse
from engine.folders import describe_again
from engine.gpt import NO_TARGET, Gpt
from engine.loop import NotFinite, Pace, Training
from engine.plan import Window, divided_window, epoch_windows, rehearsed_windows
from engine.precision import mixed, prepare
from engine.preferences import PreferenceRows, pair_figures, read_preferences, wins
from engine.rank import here
from engine.recipes.prefer_setup import Pair, arrange, earlier_preferences, render_pairs
from engine.recipes.sft_setup import attach_method, beginning, laid_out, parameter_groups, room
from engine.report import Report
from engine.seen import seen_chats
from engine.specs import spec_hash, to_mapping
from engine.specs.machine import rows_at_once
from engine.specs.prefer import PreferSpec
from words import say

MEASURED_AT_ONCE = 8


def train(
    spec: PreferSpec,
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

    `earlier` tasks are those a base version must not forget; their rewards too are held against the base of this run.
    `micro_batch` (pairs) lowers memory without changing which pairs form a step. Raises RunFailed for what the user
    can mend and Stopped after a checkpoint when the report asks to stop.
    """
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)

    # 1. The pairs, as the base's template writes them.
    report.progress(0, 1, "datasets", say("reading"))
    parts, problems = arrange(spec, read_preferences(data))
    refuse("bad_data", problems)
    tasks = earlier_preferences(spec, parts, earlier)
    parts["train"], places = joined(parts["train"], tasks if spec.keep == "replay" else [])
    start = beginning(spec)
    limit = room(spec, start.config)
    pairs, found = render_pairs(parts, start, limit)
    refuse("bad_data", found)
    for problem in [*problems, *found]:
        report.log("warning", problem.message)
    report.seen(seen_chats(start.template, parts["train"], [pair.chosen for pair in pairs["train"]]))

    # 2. The network, what the base thinks of every answer, the method and the optimiser.
    torch.manual_seed(spec.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = start.network().to(device)
    prepare(model, spec.precision, recompute=False)  # base and tuned model are read alike
    base = {name: log_probabilities(model, some, report, say("reading with the base")) for name, some in pairs.items()}
    attached = attach_method(model, spec)
    model.to(device)
    groups = parameter_groups(model, spec)
    anchor = anchor_of(spec, model, {})
    optimiser = torch.optim.AdamW(groups, lr=spec.learning_rate, betas=(0.9, spec.beta2), fused=True)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    report.log(
        "info",
        say("{parameters:,} parameters, {trainable:,} of them trained", parameters=parameters, trainable=trainable),
    )

    # 3. The epochs.
    training = Training(
        model,
        optimiser,
        pace=Pace.of(spec, schedule="cosine"),
        report=report,
        out=out,
        contract={
            "recipe": "prefer",
            "spec_hash": spec_hash(spec),
            "data_hash": data_hash,
            "earlier_data": hashes(earlier),
            "template_hash": start.template.description()["hash"],
            "threads": torch.get_num_threads(),
            "micro_batch": micro_batch,
        },
        companion=attached or anchor,
    )
    if resume_from is not None:
        training.resume(checkpoint.find_checkpoint(resume_from))
    elif spec.keep == "ewc" and anchor is not None:
        drawn, where = joined(PreferenceRows(), tasks)
        of_tasks, found = render_pairs({"train": drawn}, start, limit)
        refuse("bad_data", found)
        model.eval()
        logits_of = partial(preference_logits, model, of_tasks["train"], spec.beta)
        estimate_importance(anchor, spec, where, logits_of, report, seed=spec.seed)
    at_once = rows_at_once(spec, micro_batch, here().count)
    work = PreferWork(spec, model, pairs, base, parts["train"].ids, report, at_once, places)
    cursor = training.fit(work)

    # 4. The best weights measured on dev and test against the base, written as the model, and answers to look at.
    evaluations = training.saving_when_stopped(
        lambda: {name: work.evaluation(name, parts[name].ids, out) for name in ("dev", "test") if len(parts[name])}
    )
    description: dict[str, Any] = {
        "recipe": "prefer",
        "method": spec.method,
        "base_model": str(spec.base_model),
        "context_tokens": limit,
        "spec": to_mapping(spec),
        "spec_hash": spec_hash(spec),
        "data_hash": data_hash,
        "metrics": {name: found["headline"] for name, found in evaluations.items()},
    }
    save_chat_model(out / "model", model, start.template, description, base=start.base, attached=attached)
    writer = load_chat_model(out / "model")
    samples = training.saving_when_stopped(lambda: sampled(writer, parts["dev"], spec, report))
    described = describe_again(out / "model", {})
    (out / "samples.json").write_text(json.dumps(samples, ensure_ascii=False), encoding="utf-8")
    return {
        "model": str(out / "model"),
        "files": described["files"],
        "parameters": parameters,
        "trainable_parameters": trainable,
        "template_hash": described["template"]["hash"],
        "evaluations": evaluations,
        "samples": str(out / "samples.json"),
        **cursor.told(time.monotonic() - started),
        "spec_hash": spec_hash(spec),
        "environment": described["environment"],
    }


@dataclass(frozen=True)
class PreferWork:
    """The steps of a run: pairs of like length together, the mean of their losses."""

    spec: PreferSpec
    model: Gpt
    pairs: Mapping[str, Sequence[Pair]]
    base: Mapping[str, Tensor]  # [N, 2] log-probabilities of chosen and rejected answers under the base, by part
    ids: Sequence[int]  # of the training pairs
    report: Report
    at_once: int  # pairs in one micro-batch
    earlier: Sequence[range] = ()  # where pairs of earlier tasks stand among those of train

    def steps(self, epoch: int) -> list[Window]:
        """Which pairs form which step."""
        plan: dict[str, Any] = {
            "seed": self.spec.seed,
            "epoch": epoch,
            "rows_per_step": self.spec.batch_size * self.spec.gradient_accumulation,
            **self.limits(),
        }
        if not self.earlier:
            return epoch_windows(self.lengths(), **plan)
        return rehearsed_windows(self.lengths(), self.earlier, share=self.spec.replay_share, **plan)

    def heaviest(self) -> Window:
        """The longest pairs as one micro-batch."""
        lengths = self.lengths()
        return [sorted(range(len(lengths)), key=lambda at: -lengths[at])[: self.at_once]]

    def lengths(self) -> list[int]:
        """Tokens of each training pair, both answers."""
        return [len(pair.chosen.ids) + len(pair.rejected.ids) for pair in self.pairs["train"]]

    def tokens(self, step: Window) -> int:
        """Tokens the step reads."""
        lengths = self.lengths()
        return sum(lengths[at] for batch in step for at in batch)

    def rows(self, step: Window) -> list[int]:
        """Example ids of the step."""
        return [self.ids[at] for batch in step for at in batch]

    def limits(self) -> dict[str, int]:
        """Of a micro-batch."""
        return {"rows_at_once": self.at_once, "tokens_at_once": 2 * self.spec.context_tokens * self.at_once}

    def count(self, step: Window) -> int:
        """Pairs: the mean is taken over them."""
        return sum(len(batch) for batch in step)

    def divided(self, step: Window, processes: int) -> list[list[Window]]:
        """The micro-batches of each process."""
        return divided_window(step, self.lengths(), processes, **self.limits())

    def backward(self, step: Window, count: float) -> float:
        """Gradients of the pairs' summed loss over `count`, whatever the micro-batches; returns that."""
        whole = []
        for batch in step:
            rows = self.losses("train", batch)[0]
            (rows.sum() / count).backward()  # type: ignore[no-untyped-call]
            whole.append(rows.detach())
        losses = torch.cat(whole)
        if not torch.isfinite(losses).all():
            order = self.rows(step)
            raise NotFinite([order[at] for at in torch.nonzero(~torch.isfinite(losses)).flatten().tolist()])
        return float(losses.sum() / count)

    def losses(self, part: str, batch: Sequence[int]) -> tuple[Tensor, Tensor]:
        """(losses [B], margins [B] without gradient) of pairs of a part."""
        found, counts = answer_sums(self.model, [self.pairs[part][at] for at in batch])  # [B, 2] each
        known = self.base[part][list(batch)].to(found.device)
        margins = self.spec.beta * ((found - known)[:, 0] - (found - known)[:, 1])
        wrong = self.spec.label_smoothing
        rows = -(1 - wrong) * F.logsigmoid(margins) - wrong * F.logsigmoid(-margins)
        if self.spec.answer_weight:
            rows = rows - self.spec.answer_weight * found[:, 0] / counts[:, 0]
        return rows, margins.detach()

    def measure(self) -> dict[str, float]:
        """Loss, reward margin and win rate on dev."""
        if not self.pairs["dev"]:
            return {}
        losses, margins = self.measured("dev", say("evaluating dev"))
        return {
            "loss": float(losses.mean()),
            "reward_margin": float(margins.mean()),
            "win_rate": float(wins(margins).mean()),
        }

    def value(self, measured: Mapping[str, float]) -> float:
        """The lower loss is better."""
        return -measured["loss"]

    @torch.no_grad()
    def measured(self, part: str, phase: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Losses and margins of all pairs of a part, [N] each; raises Stopped when asked."""
        self.model.eval()
        losses, margins = [], []
        total = len(self.pairs[part])
        for at in range(0, total, self.at_once):
            if self.report.should_stop():
                raise Stopped
            rows, found = self.losses(part, range(at, min(at + self.at_once, total)))
            losses.append(rows.double().cpu().numpy())
            margins.append(found.double().cpu().numpy())
            self.report.progress(min(at + self.at_once, total), total, "pairs", phase)
        return np.concatenate(losses), np.concatenate(margins)

    def evaluation(self, part: str, ids: Sequence[int], out: Path) -> dict[str, Any]:
        """Figures of a part with 95 % bootstrap intervals over pairs, and a row per pair, in a file."""
        losses, margins = self.measured(part, say("evaluating {name}", name=part))
        headline = pair_figures(losses, margins, seed=self.spec.seed)
        listed = [
            {"example_id": number, "loss": float(loss), "reward_margin": float(margin)}
            for number, loss, margin in zip(ids, losses, margins, strict=True)
        ]
        path = out / f"evaluation-{part}.json"
        found = {"headline": headline, "rows": len(listed), "examples": listed}
        path.write_text(json.dumps(found, allow_nan=False), encoding="utf-8")
        return {"headline": headline, "rows": len(listed), "metrics": str(path)}


def answer_sums(model: Gpt, pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
    """(summed log-probability, tokens) of the chosen and the rejected answers, [B, 2] each."""
    device = model.tokens.weight.device
    flat = laid_out([chat for pair in pairs for chat in (pair.chosen, pair.rejected)])
    wanted = flat.targets != NO_TARGET
    with mixed(model):
        hidden = model.packed(flat.ids.to(device), flat.runs)  # [N, D]
        logits = model.head(hidden[wanted.to(device)])  # [M, V]
    found = -F.cross_entropy(logits.float(), flat.targets[wanted].to(device), reduction="none")  # [M]
    owners = flat.owners[wanted].to(device)
    sums = torch.zeros(2 * len(pairs), device=device).index_add(0, owners, found)
    counts = torch.zeros(2 * len(pairs), device=device).index_add(0, owners, torch.ones_like(found))
    return sums.view(-1, 2), counts.view(-1, 2)


def preference_logits(model: Gpt, pairs: Sequence[Pair], beta: float, at: int) -> Tensor:
    """[1, 2]: what says that the chosen answer of a pair is preferred, and that the rejected one is, at the run's own base.

    There the margin is 0 and both are equally likely; what counts is how the weights move it.
    """
    sums = answer_sums(model, [pairs[at]])[0]  # [1, 2]
    margin = beta * (sums[:, :1] - sums[:, 1:])
    return torch.cat((margin - margin.detach(), torch.zeros_like(margin)), dim=1)


@torch.no_grad()
def log_probabilities(model: Gpt, pairs: Sequence[Pair], report: Report, phase: str) -> Tensor:
    """What `answer_sums` gives for all pairs, [N, 2]; raises Stopped when asked."""
    model.eval()
    found = [torch.zeros(0, 2)]
    for at in range(0, len(pairs), MEASURED_AT_ONCE):
        if report.should_stop():
            raise Stopped
        found.append(answer_sums(model, pairs[at : at + MEASURED_AT_ONCE])[0].cpu())
        report.progress(min(at + MEASURED_AT_ONCE, len(pairs)), len(pairs), "pairs", phase)
    return torch.cat(found)


def sampled(model: ChatModel, rows: PreferenceRows, spec: PreferSpec, report: Report) -> list[dict[str, Any]]:
    """Answers to the first dev prompts, beside the chosen ones."""
    prompts = rows.prompts[: spec.sample_count]
    written = model.answers(prompts, max_new_tokens=spec.sample_tokens, report=report)
    return [
        {
            "example_id": number,
            "prompt": [dict(message) for message in prompt],
            "expected": chosen,
            "answer": answer.text,
            "stopped": answer.finish == "stop",
        }
        for number, prompt, chosen, answer in zip(rows.ids, prompts, rows.chosen, written, strict=False)
    ]
