"""The processes that share a run's steps: they meet when all is prepared, add up gradients, agree, and part.

Every process holds the same rows, cuts each step in the same parts (engine.plan.divided) and divides its losses by the
count of the whole step, so the *sum* of the gradients is that of one process, however uneven the parts are. One process
may find no row left: it adds zeros and still takes part.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import torch
import torch.distributed as dist
from torch import nn

from engine.failures import Finished, RunFailed
from engine.rank import Rank, forget, here, meeting
from engine.report import Report
from words import say

# A process waits for others while they read, tokenise, measure or write for hours. A dead one is noticed by the launcher
# (ours, torchrun or accelerate), a hanging step by the watchdog: no clock of a collective may end a run that is well.
PATIENCE = timedelta(days=7)
BUCKET_NUMBERS = 8_000_000  # gradients that travel together: 32 MB in fp32
Step = TypeVar("Step")


class NotFinite(Exception):
    """A loss that is no number any more, with the ids of the rows that made it."""

    def __init__(self, rows: Sequence[int]) -> None:
        super().__init__("loss not finite")
        self.rows = rows


class GoOnAlone(Exception):
    """The steps of a sharded run are done: a run of one process goes on from the checkpoint, whose weights are whole."""

    def __init__(self, checkpoint: Path) -> None:
        super().__init__(str(checkpoint))
        self.checkpoint = checkpoint


class Shared(Protocol[Step]):
    """What a team must know of a run's work (engine.loop.Work)."""

    def count(self, step: Step) -> float:
        """What the summed loss is divided by."""

    def tokens(self, step: Step) -> int:
        """Tokens the step reads."""

    def divided(self, step: Step, processes: int) -> list[list[Step]]:
        """The micro-batches of each process."""

    def backward(self, step: Step, count: float) -> float:
        """Add gradients of the summed loss over `count`; returns that."""


class Together:
    """The report of one of several processes: the first one tells, and a stop that any has heard is heard by all.

    Between `meet` and `part` all processes ask at the same points, so `should_stop` may compare what they heard.
    """

    def __init__(self, report: Report, rank: Rank) -> None:
        self.report = report
        self.rank = rank

    def should_stop(self) -> bool:
        asked = self.report.should_stop()
        return bool(added([float(asked)])[0]) if dist.is_initialized() else asked

    def progress(self, done: int, total: int, unit: str, phase: str) -> None:
        if self.rank.is_first:
            self.report.progress(done, total, unit, phase)

    def metric(self, step: int, **values: float) -> None:
        if self.rank.is_first:
            self.report.metric(step, **values)

    def log(self, level: str, message: str) -> None:
        if self.rank.is_first:
            self.report.log(level, message)

    def checkpoint(self, path: str, step: int, metrics: Mapping[str, float], *, is_best: bool) -> None:
        if self.rank.is_first:
            self.report.checkpoint(path, step, metrics, is_best=is_best)

    def part(self, path: str, first: int, rows: int) -> None:
        if self.rank.is_first:
            self.report.part(path, first, rows)

    def preflight(self, found: Mapping[str, Any]) -> None:
        if self.rank.is_first:
            self.report.preflight(found)

    def seen(self, found: Mapping[str, Any]) -> None:
        if self.rank.is_first:
            self.report.seen(found)

    def result(self, **values: Any) -> None:
        if self.rank.is_first:
            self.report.result(**values)


def alone() -> "Team":
    """A team of one, which meets nobody."""
    return Team(Rank())


def meet(contract: Mapping[str, Any]) -> "Team":
    """All processes of the run, once each of them has prepared; RunFailed when they did not prepare the same."""
    rank = here()
    if rank.count == 1:
        return alone()
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, init_method=meeting(), rank=rank.number, world_size=rank.count, timeout=PATIENCE)
    said = hashlib.sha256(json.dumps(dict(contract), sort_keys=True).encode()).hexdigest()
    if len(set(gathered(said))) > 1:
        raise RunFailed(
            "process_died",
            say("The processes of this run prepared different rows, labels or vocabularies."),
            say("Give all of them the same files and the same version of this program."),
        )
    return Team(rank)


class Team:
    """`rank.count` processes of which this is one; alone it computes as if it were not there."""

    def __init__(self, rank: Rank) -> None:
        self.rank = rank

    @property
    def is_alone(self) -> bool:
        """Whether there is nobody else."""
        return self.rank.count == 1

    def begin(self, parameters: Sequence[nn.Parameter], seed: int) -> None:
        """Start from the first process's weights, and with random numbers of one's own."""
        if self.is_alone:
            return
        for parameter in parameters:
            dist.broadcast(parameter.data, 0)
        self.draw_apart(seed, 0)

    def draw_apart(self, seed: int, step: int) -> None:
        """Random numbers that differ between processes; those of the first stay as they are."""
        if not self.rank.is_first:
            digest = hashlib.sha256(f"{seed} {self.rank.number} {step}".encode()).digest()
            torch.manual_seed(int.from_bytes(digest[:7]))

    def backward(
        self,
        work: Shared[Step],
        step: Step,
        parameters: Sequence[nn.Parameter],
        *,
        late: bool = False,
        divide: bool = True,
        sharded: bool = False,
    ) -> tuple[float, bool]:
        """Leave in `parameters` the gradients of a step's mean loss; (that mean, whether the first process is `late`).

        Each process makes those of its part over the count of the whole, and all are summed. Sharded weights sum them
        by themselves, but want every process to make as many passes: one that has fewer micro-batches reads the
        shortest again and gives it no weight. Raises NotFinite, on all processes alike.
        """
        count = work.count(step)
        if self.is_alone:
            return work.backward(step, count), late
        parts = work.divided(step, self.rank.count) if divide else [[step]] * self.rank.count
        passes = [(micro, float(count)) for micro in parts[self.rank.number]]
        if sharded:
            shortest = min((micro for part in parts for micro in part), key=work.tokens)
            passes += [(shortest, float("inf"))] * (max(len(part) for part in parts) - len(passes))
        loss, bad = 0.0, list[int]()
        for micro, divisor in passes:
            try:
                loss += work.backward(micro, divisor)
            except NotFinite as found:
                bad += found.rows
        has_gradient = [] if sharded else [float(parameter.grad is not None) for parameter in parameters]
        told = added([loss, float(bool(bad)), float(late and self.rank.is_first), *has_gradient])
        if told[1]:
            raise NotFinite(sorted({row for rows in gathered(bad) for row in rows}))
        if not sharded:
            _add_gradients([parameter for parameter, some in zip(parameters, told[3:], strict=True) if some])
        return told[0], bool(told[2])

    def of_first(self, value: Any) -> Any:
        """What the first process says, plain JSON."""
        return value if self.is_alone else gathered(value)[0]

    def part(self) -> None:
        """The steps are done: the first process goes on alone, the others raise Finished."""
        if self.is_alone:
            return
        added([0.0])
        dist.destroy_process_group()
        forget()
        if not self.rank.is_first:
            raise Finished


def added(values: Sequence[float]) -> list[float]:
    """Each value summed over all processes."""
    found = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(found)
    return cast(list[float], found.tolist())


def gathered(value: Any) -> list[Any]:
    """What every process says, in their order."""
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, value)
    return found


@torch.no_grad()
def _add_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replace every gradient by its sum over all processes; a process that has none adds zeros."""
    for bucket in _buckets(parameters):
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in bucket]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for parameter, part in zip(bucket, parts, strict=True):
            parameter.grad = part.view_as(parameter)


def _buckets(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Parameters of one kind and place in groups of about BUCKET_NUMBERS."""
    buckets: list[list[nn.Parameter]] = []
    kind, filled = None, 0
    for parameter in parameters:
        if kind != (parameter.dtype, parameter.device) or filled >= BUCKET_NUMBERS:
            buckets.append([])
            kind, filled = (parameter.dtype, parameter.device), 0
        buckets[-1].append(parameter)
        filled += parameter.numel()
    return buckets
