"""The training loop of every recipe, from top to bottom: steps, checkpoints, curves, best weights, early end.

A recipe says what its steps are and what their gradients are; everything that must survive a kill is here once.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from engine import checkpoint, precision
from engine.checkpoint import Checkpoint
from engine.failures import Stopped
from engine.memory import peak_memory_bytes
from engine.plan import learning_rate_share
from engine.rank import here
from engine.report import Report
from engine.resume import Cursor, check_contract, not_finite
from engine.shards import settle, shard, share, whole
from engine.team import GoOnAlone, Team, alone, gathered, meet
from engine.team import NotFinite as NotFinite  # what a Work raises
from words import say

METRIC_EVERY_SECONDS = 2.0
Step = TypeVar("Step")
Result = TypeVar("Result")


class Work(Protocol[Step]):
    """What differs between recipes."""

    def steps(self, epoch: int) -> Sequence[Step]:
        """The optimiser steps of an epoch, by seed and epoch only."""

    def heaviest(self) -> Step:
        """The step that needs most memory; it is tried first."""

    def tokens(self, step: Step) -> int:
        """Tokens the step reads."""

    def rows(self, step: Step) -> list[int]:
        """Ids of the examples of a step, for messages."""

    def count(self, step: Step) -> int:
        """What the step's mean loss is taken over: rows, or tokens that carry loss."""

    def divided(self, step: Step, processes: int) -> list[list[Step]]:
        """The step's micro-batches for each of so many processes, about equal in tokens; one may get none."""

    def backward(self, step: Step, count: float) -> float:
        """Add the gradients of the step's summed loss over `count`, whatever the micro-batches.

        Returns that sum over `count`, or raises NotFinite. `count` is that of a step of which this may be a part.
        """

    def measure(self) -> dict[str, float]:
        """Figures on dev by the weights as they are, {} without dev rows; raises Stopped when asked."""

    def value(self, measured: Mapping[str, float]) -> float:
        """The figure that chooses the best epoch, larger is better."""


class Companion(Protocol):
    """What a method does besides being trained (engine.methods.Attached)."""

    def begin(self, total_steps: int) -> None:
        """The run has so many optimiser steps."""

    def before_step(self) -> None:
        """A step's gradients are complete."""

    def after_step(self, step: int) -> None:
        """The optimiser has stepped for the `step`th time; gradients are still there."""

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint must hold besides weights."""

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Go on from what `tensors` gave."""


@dataclass(frozen=True)
class Pace:
    """How long, how fast, how often something is kept, and how it is computed; the meanings stand in the specs."""

    epochs: int
    max_steps: int = 0
    schedule: str = "linear"
    warmup_share: float = 0.0
    final_learning_rate_share: float = 0.0
    max_gradient_norm: float = 0.0
    average_decay: float = 0.0
    evaluate_every_steps: int = 0
    early_stopping_patience: int = 0
    checkpoint_every_steps: int = 0
    checkpoint_every_seconds: int = 120
    sharding: str = "replicated"
    precision: str = "auto"
    gradient_checkpointing: bool = False

    @classmethod
    def of(cls, spec: Any, **fixed: Any) -> "Pace":
        """The spec's options of the same names, and what the recipe itself fixes."""
        named = {option.name: getattr(spec, option.name) for option in fields(cls) if hasattr(spec, option.name)}
        return cls(**{**named, **fixed})


@dataclass
class Training:
    """One run in the making; `fit` leaves the best weights in the model and returns the cursor."""

    model: nn.Module
    optimiser: torch.optim.Optimizer  # a group's peak rate is its "peak", else the rate it comes with
    pace: Pace
    report: Report
    out: Path
    contract: Mapping[str, Any]
    extra: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)  # further files of each checkpoint
    companion: Companion | None = None
    cursor: Cursor = field(default_factory=Cursor)
    best: dict[str, Tensor] = field(default_factory=dict)
    average: dict[str, Tensor] = field(default_factory=dict)
    team: Team = field(default_factory=alone)  # until the steps begin, and when they are done
    _resumed: Checkpoint | None = None
    _began_at: float = field(default_factory=time.monotonic)
    _saved_at: float = field(default_factory=time.monotonic)
    _is_late: bool = False  # by the first process's clock the last checkpoint is too old

    def __post_init__(self) -> None:
        for group in self.optimiser.param_groups:
            group.setdefault("peak", group["lr"])
        self.names = {p: name for name, p in self.model.named_parameters() if p.requires_grad}
        self.contract = {**self.contract, "processes": here().count}
        precision.prepare(self.model, self.pace.precision, recompute=self.pace.gradient_checkpointing)

    def resume(self, saved: Checkpoint) -> None:
        """Go on from a checkpoint; RunFailed when it belongs to another run."""
        check_contract(saved.state["contract"], dict(self.contract), self.report)
        self.cursor = Cursor(**saved.state["cursor"])
        self.put(saved.tensors("weights"))
        device = next(self.model.parameters()).device
        if saved.has("average"):
            self.average = {name: tensor.to(device) for name, tensor in saved.tensors("average").items()}
        self.best = saved.tensors("best") if saved.has("best") else {}
        self._resumed = saved  # the optimiser waits until it is known who holds what of it
        checkpoint.restore_random(saved.tensors("random"))
        if self.companion is not None and saved.has("method"):
            self.companion.restore(saved.tensors("method"))
        self.report.log(
            "info", say("Resumed at step {step}, epoch {epoch}", step=self.cursor.step, epoch=self.cursor.epoch + 1)
        )

    def fit(self, work: Work[Step]) -> Cursor:
        """Train to the end of the pace; raises Stopped after a checkpoint when asked to stop."""
        self._meet()
        pace, cursor, report = self.pace, self.cursor, self.report
        if pace.average_decay and not self.average:
            self.average = self.copies()
        steps_per_epoch = len(work.steps(0))
        total = pace.epochs * steps_per_epoch
        total = min(total, pace.max_steps) if pace.max_steps else total
        if self.companion is not None:
            self.companion.begin(total)
        told_at, tokens_at = time.monotonic(), cursor.tokens_seen
        self._saved_at = told_at

        # The heaviest step first: if memory does not suffice, better now than in an hour.
        if cursor.step < total:
            state = checkpoint.random_tensors()
            self.model.train()
            self._backward(work, work.heaviest(), divide=False)
            self.model.zero_grad(set_to_none=True)
            checkpoint.restore_random(state)
            report.metric(cursor.step, memory_bytes=peak_memory_bytes())

        # An epoch begun is also measured: a resume may find all its steps done and only that missing.
        while cursor.epoch < pace.epochs and (cursor.step < total or cursor.position):
            self.model.train()
            for step in work.steps(cursor.epoch)[cursor.position :]:
                if pace.max_steps and cursor.step >= pace.max_steps:
                    break
                if pace.evaluate_every_steps and cursor.step and cursor.step % pace.evaluate_every_steps == 0:
                    self._look(work, epoch=cursor.step / steps_per_epoch)
                    told_at, tokens_at = time.monotonic(), cursor.tokens_seen
                    if self._is_out_of_patience():
                        break
                share = learning_rate_share(
                    min(cursor.step, total),
                    total,
                    warmup=pace.warmup_share,
                    schedule=pace.schedule,
                    floor=pace.final_learning_rate_share,
                )
                for group in self.optimiser.param_groups:
                    group["lr"] = group["peak"] * share
                loss = self._backward(work, step)
                if self.companion is not None:
                    self.companion.before_step()
                norm = self._clip()
                if not math.isfinite(norm):
                    raise not_finite(work.rows(step), cursor.step)
                self.optimiser.step()
                if self.companion is not None:
                    self.companion.after_step(cursor.step + 1)
                self.optimiser.zero_grad(set_to_none=True)
                cursor.step += 1
                cursor.position += 1
                cursor.tokens_seen += work.tokens(step)
                self._average()

                now = time.monotonic()
                report.progress(min(cursor.step, total), total, "steps", say("training"))
                if now - told_at >= METRIC_EVERY_SECONDS or cursor.step >= total:
                    report.metric(
                        cursor.step,
                        train_loss=loss,
                        gradient_norm=norm,
                        learning_rate=max(group["lr"] for group in self.optimiser.param_groups),
                        tokens_per_second=(cursor.tokens_seen - tokens_at) / max(now - told_at, 1e-9),
                        memory_bytes=peak_memory_bytes(),
                        epoch=cursor.step / steps_per_epoch,
                    )
                    told_at, tokens_at = now, cursor.tokens_seen
                if report.should_stop():
                    self.save()
                    raise Stopped
                due = pace.checkpoint_every_steps and cursor.step % pace.checkpoint_every_steps == 0
                if due or self._is_late:
                    self.save()
            self._end_epoch(work)
            told_at, tokens_at = time.monotonic(), cursor.tokens_seen
        self._part()
        if self.best:
            self.put(self.best)
        self.model.eval()
        return cursor

    def _meet(self) -> None:
        """All processes begin alike, but for their random numbers; all is prepared, so none lets the others wait long."""
        if here().count > 1:
            self.report.progress(0, 1, "processes", say("waiting for the other processes"))
        self.team = meet(self.contract)
        seed = torch.initial_seed()
        self.team.begin(list(self.names), seed)
        if self.is_sharded:
            self.names = shard(self.model, self.optimiser, self.names, self.team.rank.count)
            parameters = {name: parameter for parameter, name in self.names.items()}
            self.average = {name: share(tensor, parameters[name]) for name, tensor in self.average.items()}
        saved, self._resumed = self._resumed, None
        if saved is None:
            return
        checkpoint.restore_optimiser(self.optimiser, self.names, saved.tensors("optimiser"))
        mine = f"random-{self.team.rank.number}"
        if saved.has(mine):
            checkpoint.restore_random(saved.tensors(mine))
        else:
            self.team.draw_apart(seed, self.cursor.step)

    @property
    def is_sharded(self) -> bool:
        """Whether each process holds its share of the weights only."""
        return self.pace.sharding == "sharded" and not self.team.is_alone

    def _part(self) -> None:
        """The first process goes on alone: with its weights, or where they are shared from a whole checkpoint."""
        team, is_sharded = self.team, self.is_sharded
        path = self.save(for_one=True) if is_sharded else None
        self.team = alone()
        team.part()
        if path is not None:
            raise GoOnAlone(path)

    def _backward(self, work: Work[Step], step: Step, *, divide: bool = True) -> float:
        """Gradients of the step's mean loss, over all processes; returns that mean."""
        late = time.monotonic() - self._saved_at >= self.pace.checkpoint_every_seconds
        try:
            loss, self._is_late = self.team.backward(
                work, step, list(self.names), late=late, divide=divide, sharded=self.is_sharded
            )
        except NotFinite as bad:
            raise not_finite(bad.rows, self.cursor.step) from bad
        return loss

    def _clip(self) -> float:
        """Scale gradients down to the largest norm; returns the norm before."""
        limit = self.pace.max_gradient_norm or math.inf
        return float(whole(torch.nn.utils.clip_grad_norm_(list(self.names), limit)))

    def _end_epoch(self, work: Work[Step]) -> None:
        """Measure; the cursor moves on, to the end when patience has run out."""
        pace, cursor = self.pace, self.cursor
        is_best = self._look(work, epoch=cursor.epoch + 1)
        cursor.epoch, cursor.position = cursor.epoch + 1, 0
        if self._is_out_of_patience():
            self.report.log(
                "info",
                say(
                    "Nothing better in {patience} measurements; stopped after step {step}",
                    patience=pace.early_stopping_patience,
                    step=cursor.step,
                ),
            )
            cursor.epoch = pace.epochs
        if cursor.epoch < pace.epochs and pace.checkpoint_every_steps:
            self.save(is_best=is_best)

    def _look(self, work: Work[Step], *, epoch: float) -> bool:
        """Measure the weights as they are, once a step, and keep the best; whether these are."""
        cursor = self.cursor
        if cursor.history and cursor.history[-1]["step"] == cursor.step:
            return False
        # Every process measures: it costs no more time than waiting, and sharded weights need all. The first one's count.
        measured = self.team.of_first(self.saving_when_stopped(lambda: self._with_average(work.measure)))
        settle(self.model)
        value = work.value(measured) if measured else float(cursor.step)  # without dev rows the last are the best
        is_best = cursor.is_best(value, cursor.epoch)
        if is_best:
            self.best = self._kept(self.average or self._named())
        named = {f"dev_{name}": value for name, value in measured.items()}
        cursor.history.append(named | {"step": cursor.step})
        self.report.metric(cursor.step, **named, epoch=float(epoch))
        self.model.train()
        return is_best

    def _is_out_of_patience(self) -> bool:
        patience = self.pace.early_stopping_patience
        return bool(patience) and self.cursor.epochs_without_better >= patience

    def save(self, *, is_best: bool = False, for_one: bool = False) -> Path:
        """Everything a resume needs, complete or not there, by the first process; with `for_one` one will resume it."""
        files: dict[str, Mapping[str, Tensor]] = {
            "weights": self._whole(self._named()),
            "optimiser": self._whole(checkpoint.optimiser_tensors(self.optimiser, self.names)),
            "random": checkpoint.random_tensors(),
            **self.extra,
        }
        beside = self.companion.tensors() if self.companion is not None else {}
        files |= {"method": beside} if beside else {}
        files |= {"average": self._whole(self.average)} if self.average else {}
        files |= {"best": self.best} if self.best else {}
        contract = {**self.contract, "processes": 1 if for_one else self.team.rank.count}
        if contract["processes"] > 1:
            others = gathered(files["random"])
            files |= {f"random-{number}": found for number, found in enumerate(others) if number}
        place = self.out / "checkpoints"
        if not self.team.rank.is_first:
            return place
        seconds = self.cursor.seconds_before + time.monotonic() - self._began_at
        state = {"contract": contract, "cursor": {**vars(self.cursor), "seconds_before": seconds}}
        path = checkpoint.save_checkpoint(place, step=self.cursor.step, tensors=files, state=state)
        self._saved_at = time.monotonic()
        newest = self.cursor.history[-1] if self.cursor.history else {}
        measured = {name: value for name, value in newest.items() if name != "step"}
        self.report.checkpoint(str(path), self.cursor.step, measured, is_best=is_best)
        return path

    def saving_when_stopped(self, act: Callable[[], Result]) -> Result:
        """What `act` returns; a stop on the way saves first."""
        try:
            return act()
        except Stopped:
            self.save()
            raise

    @torch.no_grad()
    def put(self, weights: Mapping[str, Tensor]) -> None:
        """Copy named weights into the trained parameters."""
        for parameter, name in self.names.items():
            parameter.copy_(share(weights[name], parameter))

    def copies(self) -> dict[str, Tensor]:
        """The trained parameters as they are now."""
        return {name: tensor.detach().clone() for name, tensor in self._named().items()}

    def _whole(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Of sharded tensors what the first process needs to write them; others as they are."""
        if not self.is_sharded:
            return tensors
        return {name: self._for_first(whole(tensor)) for name, tensor in tensors.items()}

    def _kept(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Copies in memory of the first process."""
        return {name: self._for_first(whole(tensor)).clone() for name, tensor in tensors.items()}

    def _for_first(self, tensor: Tensor) -> Tensor:
        return tensor.cpu() if self.team.rank.is_first else tensor.new_empty(0)

    def _named(self) -> dict[str, Tensor]:
        return {name: parameter.detach() for parameter, name in self.names.items()}

    def _with_average(self, act: Callable[[], Result]) -> Result:
        """What `act` returns with the averaged weights in the model, if there are any."""
        if not self.average:
            return act()
        current = self.copies()
        self.put(self.average)
        try:
            return act()
        finally:
            settle(self.model)
            self.put(current)

    def _average(self) -> None:
        """Move the averaged weights towards the current ones; faster in the beginning."""
        if self.average:
            decay = min(self.pace.average_decay, (1 + self.cursor.step) / (10 + self.cursor.step))
            now = self._named()
            torch._foreach_lerp_([self.average[name] for name in now], list(now.values()), 1 - decay)
