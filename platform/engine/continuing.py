"""What a run needs that goes on from a model version: rows of earlier tasks, a wider head, and a pull to old weights.

L2-SP (Li, Grandvalet and Davoine 2018) with w0 the weights the run begins with, and new outputs N:

    penalty = alpha / 2 |w - w0|^2 over the weights of the base version + beta / 2 |w|^2 over N

EWC (Kirkpatrick et al. 2017) with F the diagonal of the Fisher information on the earlier tasks, at w0:

    penalty = lambda / 2 sum F (w - w0)^2        F = E over rows x, labels y ~ p(y | x, w0) of (d log p(y | x, w0) / d w)^2

Both pull each weight by importance * (w - w0), which is added to the gradients before they are clipped.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.data import R
from engine.failures import RunFailed, Stopped
from engine.plan import taken_in_turns
from engine.report import Report
from engine.specs.continuing import HOLDING, ContinueOptions
from engine.texts import normalised
from words import say


@dataclass(frozen=True)
class Earlier:
    """The frozen rows of an earlier task."""

    path: Path
    hash: str
    name: str = ""
    kind: str = ""


def earlier_of(order: Mapping[str, Any]) -> list[Earlier]:
    """The earlier tasks an order names, the first task first."""
    return [
        Earlier(Path(found["path"]), str(found.get("hash", "")), str(found.get("name", "")), str(found.get("kind", "")))
        for found in order.get("earlier") or ()
    ]


def hashes(earlier: Sequence[Earlier]) -> list[str] | None:
    """What a checkpoint must agree in; None without earlier tasks."""
    return [found.hash for found in earlier] or None


def earlier_rows(
    spec: Any,
    earlier: Sequence[Earlier],
    read: Callable[[Earlier], Mapping[str, R]],
    texts_of: Callable[[R], Sequence[str]],
    measured: Sequence[R],
) -> list[R]:
    """The training rows of each earlier task, without texts that this run is measured on; RunFailed when there are none."""
    seen = {normalised(text) for part in measured for text in texts_of(part)}
    found = []
    for task in earlier:
        rows = read(task).get(spec.train_split)
        if rows is None:
            continue
        kept = rows.pick([at for at, text in enumerate(texts_of(rows)) if normalised(text) not in seen])
        if len(kept):
            found.append(kept)
    if not found:
        raise no_earlier_data()
    return found


def no_earlier_data() -> RunFailed:
    """The failure of a run that keeps what was learnt by rows, and has none."""
    return RunFailed(
        "no_earlier_data",
        say("There are no rows of earlier tasks to keep what was learnt."),
        say("Name dataset versions in earlier_data, or choose L2-SP."),
    )


def joined(new: R, earlier: Sequence[R]) -> tuple[R, list[range]]:
    """(new rows and behind them those of each earlier task, where these stand)."""
    rows, places = new.pick(range(len(new))), []
    for part in earlier:
        places.append(range(len(rows), len(rows) + len(part)))
        rows.extend(part)
    return rows, places


class Piece(Protocol):
    """A window of a text: it knows its row."""

    @property
    def row(self) -> int:
        """The text it is of."""


def places_of(pieces: Sequence[Piece], tasks: Sequence[range]) -> list[range]:
    """Where the pieces of each task stand, when its rows stand at `tasks` and pieces follow their rows; none if it has none."""
    rows = [piece.row for piece in pieces]
    found = [range(bisect_left(rows, task.start), bisect_left(rows, task.stop)) for task in tasks]
    return [place for place in found if len(place)]


def union(known: Sequence[str], labels: Sequence[str]) -> list[str]:
    """The labels of a version in their order, then the new ones."""
    return [*known, *(label for label in labels if label not in known)]


def widened(linear: nn.Linear, known: Sequence[str], names: Sequence[str]) -> nn.Linear:
    """A layer of one output a name: those that are known keep their rows as they are, new ones begin at random."""
    made = nn.Linear(linear.in_features, len(names), bias=linear.bias is not None)
    nn.init.normal_(made.weight, std=0.02)
    if made.bias is not None:
        nn.init.zeros_(made.bias)
    place = {name: at for at, name in enumerate(known)}
    with torch.no_grad():
        for at, name in enumerate(names):
            if name in place:
                made.weight[at] = linear.weight[place[name]]
                if made.bias is not None:
                    made.bias[at] = linear.bias[place[name]]
    return made


@dataclass
class Anchor:
    """Pulls trained parameters back to where they began; a companion of the loop."""

    parameters: Mapping[str, nn.Parameter]
    start: dict[str, Tensor]
    importance: dict[str, Tensor] = field(default_factory=dict)
    is_learnt: bool = False  # the importance was estimated: a checkpoint must hold it

    def begin(self, total_steps: int) -> None:
        """Nothing: the pull is the same in every step."""

    @torch.no_grad()
    def before_step(self) -> None:
        """Add the gradient of the penalty."""
        for name, parameter in self.parameters.items():
            pull = self.importance[name] * (parameter - self.start[name])
            parameter.grad = pull if parameter.grad is None else parameter.grad.add_(pull)

    def after_step(self, step: int) -> None:
        """Nothing."""

    def tensors(self) -> dict[str, Tensor]:
        """The importance where it was estimated."""
        return self.importance if self.is_learnt else {}

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Take the importance an earlier attempt estimated."""
        self.importance = {name: saved[name].to(tensor.device) for name, tensor in self.start.items()}


def anchor_of(spec: ContinueOptions, model: nn.Module, new_outputs: Mapping[str, Sequence[int]]) -> Anchor | None:
    """The pull a spec asks for, None for the others; `new_outputs` are the rows of parameters the base does not have.

    Of EWC the importance is still to be estimated.
    """
    if spec.keep not in HOLDING:
        return None
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    found = Anchor(parameters, {name: p.detach().clone() for name, p in parameters.items()})
    if spec.keep == "ewc":
        found.is_learnt = True
        return found
    for name, parameter in parameters.items():
        found.importance[name] = torch.full_like(parameter, spec.l2_sp_alpha)
        rows = list(new_outputs.get(name, ()))
        found.importance[name][rows] = spec.l2_sp_beta
        found.start[name][rows] = 0
    return found


def estimate_importance(
    anchor: Anchor,
    spec: ContinueOptions,
    places: Sequence[range],
    logits_of: Callable[[int], Tensor],
    report: Report,
    *,
    seed: int,
    rows_each: int = 1,
) -> None:
    """Let `anchor` know lambda times the Fisher diagonal, from rows of earlier tasks in turns.

    `logits_of` gives [U, K] of the row, or `rows_each` rows, at a position, over what the base version knows; a label of
    each of the U is drawn from them. Raises Stopped when asked: nothing is lost, the estimate is made again.
    """
    generator = torch.Generator().manual_seed(seed)
    count = min(-(-spec.fisher_rows // rows_each), sum(map(len, places)))
    rows = taken_in_turns(places, count, seed=seed, epoch=0)
    sums = {name: torch.zeros_like(p) for name, p in anchor.parameters.items()}
    for done, row in enumerate(rows):
        if report.should_stop():
            raise Stopped
        said = F.log_softmax(logits_of(row), -1)  # [U, K]
        drawn = torch.multinomial(said.detach().exp().cpu(), 1, generator=generator).to(said.device)
        gradients = torch.autograd.grad(
            said.gather(1, drawn).sum(), list(anchor.parameters.values()), allow_unused=True
        )
        for name, gradient in zip(anchor.parameters, gradients, strict=True):
            if gradient is not None:
                sums[name].add_(gradient.detach().square())
        report.progress(
            (done + 1) * rows_each, count * rows_each, "texts", say("what each weight means to the earlier tasks")
        )
    anchor.importance = {name: total * (spec.ewc_lambda / (count * rows_each)) for name, total in sums.items()}
