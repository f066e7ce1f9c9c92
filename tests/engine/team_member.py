"""One of the processes of tests/engine/test_engine_team.py: does several orders one after the other, writes what came out.

Usage: python team_member.py FOLDER NUMBER COUNT; FOLDER/orders.json is a list of [name, order, options].
"""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from engine import corpus, tasks, team
from engine.failures import Finished, RunFailed, Stopped
from engine.rank import MEETING
from engine.recipes import pretrain
from engine.report import Silent
from engine.specs import parse_spec


class Heard(Silent):
    """A report that remembers, and is asked to stop after so many training steps."""

    def __init__(self, stop_after: int) -> None:
        self.stop_after, self.stop = stop_after, False
        self.checkpoints: list[str] = []
        self.logs: list[str] = []

    def progress(self, done: int, total: int, unit: str, phase: str) -> None:
        self.stop = self.stop or (bool(self.stop_after) and phase == "training" and done >= self.stop_after)

    def log(self, level: str, message: str) -> None:
        self.logs.append(f"{level}: {message}")

    def checkpoint(self, path: str, step: int, metrics: Mapping[str, float], *, is_best: bool) -> None:
        self.checkpoints.append(path)

    def should_stop(self) -> bool:
        return self.stop


def watch(events: list[str], *, poisoned: bool) -> None:
    """Note in which order tokens are made and processes meet; with `poisoned` losses are no numbers from now on."""
    join, write, losses = dist.init_process_group, corpus._write, pretrain.piece_losses

    def noted(name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def acting(*given: Any, **named: Any) -> Any:
            events.append(name)
            return act(*given, **named)

        return acting

    def poisoning(*given: Any, **named: Any) -> Any:
        total, found, owners = losses(*given, **named)
        return total, found * math.nan, owners

    dist.init_process_group = noted("met", join)
    corpus._write = noted("tokenised", write)
    if poisoned:
        pretrain.piece_losses = poisoning


def told_to_all(self: team.Together, *given: Any) -> None:
    self.report.progress(*given)


def do(folder: Path, rank: tuple[int, int], name: str, order: dict[str, Any], options: dict[str, Any]) -> None:
    """One order; FOLDER/NAME-NUMBER.json says how it ended."""
    number, count = rank
    os.environ |= {
        "RANK": str(number),
        "WORLD_SIZE": str(count),
        "LOCAL_RANK": str(number),
        MEETING: str(folder / f"{name}.meeting"),
    }
    report = Heard(options["stop_after"] if options.get("stops") == number else 0)
    known = dist.init_process_group, corpus._write, pretrain.piece_losses
    said: dict[str, Any] = {"events": []}
    watch(said["events"], poisoned=options.get("poisoned") == number)
    try:
        spec, problems = parse_spec(order["recipe"], order["spec"])
        assert not problems, problems
        said["result"] = tasks.perform(order, spec, report)
    except (Finished, Stopped) as end:
        said["end"] = type(end).__name__
    except RunFailed as failure:
        said["failed"] = [failure.code, list(failure.rows)]
    finally:
        dist.init_process_group, corpus._write, pretrain.piece_losses = known
        if dist.is_initialized():
            dist.destroy_process_group()
    said |= {"checkpoints": report.checkpoints, "logs": report.logs}
    with (folder / f"{name}-{number}.part").open("w") as file:
        json.dump(said, file)
    (folder / f"{name}-{number}.part").rename(folder / f"{name}-{number}.json")


def main() -> None:
    folder, number, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    team.Together.progress = told_to_all  # type: ignore[method-assign] - whoever shall stop must hear of the steps
    before = ""
    for name, order, options in json.loads((folder / "orders.json").read_text()):
        while before and not (folder / f"{before}-0.json").exists():
            time.sleep(0.05)  # an order may begin with what the one before has written
        do(folder, (number, count), name, order, options)
        before = name


main()
