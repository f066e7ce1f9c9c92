"""The child process of one run: `python -m engine.run spec.json`, JSON lines out, SIGTERM to save and leave."""

import argparse
import ctypes
import json
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.failures import Finished, Refused, RunFailed, Stopped
from engine.launch import PARENT, launch, processes
from engine.rank import here
from engine.report import JsonLines
from engine.specs import Problem, Spec, has_errors, parse_spec
from engine.threads import use_threads
from engine.watchdog import Watchdog
from words import say

STOPPED = 75  # EX_TEMPFAIL: run me again, from my checkpoint
FAILED = 2
CRASHED = 1
_PR_SET_PDEATHSIG = 1
TASKS = ("train", "evaluate", "predict", "preflight", "export")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 done, 2 expected failure, 75 stopped with a checkpoint, 1 unexpected (traceback on stderr)."""
    parser = argparse.ArgumentParser(prog="python -m engine.run", description=__doc__)
    parser.add_argument("spec_file", type=Path, help="JSON with task, recipe, spec, data, out, ...")
    parser.add_argument("--report-fd", type=int, help="file descriptor for the JSON lines (default: stdout)")
    options = parser.parse_args(arguments)
    die_with_parent()
    rank = here()
    report = JsonLines(options.report_fd or (1 if rank.is_first else 2))
    signal.signal(signal.SIGTERM, lambda *_: setattr(report, "stop_requested", True))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor sends SIGTERM
    try:
        order = read_order(options.spec_file)
        spec = checked(order)
        count = processes(order, spec)
        if count > 1:
            return launch(options.spec_file, report, count, int(order.get("threads") or 1))
        report.result(**perform(order, spec, report))
    except Finished:
        return 0
    except Stopped:
        if rank.is_first:
            report.event("stopped")
        return STOPPED
    except Refused as refused:
        problems = [problem.as_mapping() for problem in refused.problems]
        report.failed(refused.code, refused.message, refused.hint, refused.rows, problems)
        return FAILED
    except RunFailed as failure:
        report.failed(failure.code, failure.message, failure.hint, failure.rows)
        return FAILED
    except MemoryError:
        report.failed(*OUT_OF_MEMORY)
        return FAILED
    except BrokenPipeError:  # nobody reads any more: the supervisor is gone
        return STOPPED
    except RuntimeError as error:
        traceback.print_exc()
        if is_out_of_memory(error):
            report.failed(*OUT_OF_MEMORY)
            return FAILED
        return CRASHED
    return 0


OUT_OF_MEMORY = (
    "out_of_memory",
    say("There was not enough memory for one micro-batch."),
    say("Lower batch_size or max_length_tokens; raise gradient_accumulation to keep the same steps."),
)


def checked(order: dict[str, Any]) -> Spec | None:
    """The order's spec, None where its task needs none; Refused with everything that is wrong."""
    problems = order_problems(order)
    spec: Spec | None = None
    if order.get("task") in ("train", "preflight"):
        spec, found = parse_spec(order.get("recipe", ""), order.get("spec", {}))
        problems += found
    if has_errors(problems):
        raise Refused("bad_spec", problems)
    return spec


def perform(order: dict[str, Any], spec: Spec | None, report: JsonLines) -> dict[str, Any]:
    """Load what the task needs and do it, as one process of several where there are several; the result is plain JSON."""
    rank = here()
    if order["task"] == "train" and order.get("stall_seconds"):
        report.watchdog = Watchdog(float(order["stall_seconds"]))
    use_threads(max(1, int(order.get("threads") or 1) // rank.count))
    from engine import tasks  # loads torch: a wrong spec is refused before that

    return tasks.perform(order, spec, report)


def order_problems(order: dict[str, Any]) -> list[Problem]:
    """What is missing from the order itself, apart from its spec."""
    if order.get("task") not in TASKS:
        return [
            Problem(
                "bad_choice",
                "task",
                say("There is no task “{task}”.", task=order.get("task")),
                say("Choose one of: {tasks}.", tasks=", ".join(TASKS)),
            )
        ]
    problems = []
    data = order.get("data")
    reads = order["task"] != "export"
    if reads and (not isinstance(data, dict) or not isinstance(data.get("path"), str)):
        problems.append(Problem("required", "data.path", say("No dataset file is named."), say("Give data.path.")))
    if not isinstance(order.get("out"), str) or not order["out"]:
        problems.append(Problem("required", "out", say("No output folder is named."), say("Give out.")))
    if order["task"] in ("evaluate", "predict", "export") and not isinstance(order.get("model"), str):
        problems.append(Problem("required", "model", say("No model folder is named."), say("Give model.")))
    for name, least in (("threads", 1), ("micro_batch", 1)):
        value = order.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            problems.append(
                Problem(
                    "wrong_type",
                    name,
                    say("{name} must be a whole number of at least {least}.", name=name, least=least),
                    say("Mend it."),
                )
            )
    return problems


def read_order(path: Path) -> dict[str, Any]:
    """The order file as a mapping; Refused if it is not a JSON object."""
    try:
        order = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFailed(
            "bad_spec", say("The order file cannot be read: {error}.", error=error), say("Write it again.")
        ) from error
    if not isinstance(order, dict):
        raise RunFailed("bad_spec", say("The order file is not a JSON object."), say("Write it again."))
    return order


def die_with_parent() -> None:
    """Ask Linux for SIGKILL when the parent thread dies, so that no run outlives it; elsewhere the pipe must do."""
    if not sys.platform.startswith("linux"):
        return
    parent = int(os.environ.get(PARENT) or os.getppid())
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os._exit(STOPPED)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch ran out of memory on the GPU or in the CPU allocator."""
    words = str(error).lower()
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in words or "out of memory" in words


if __name__ == "__main__":
    sys.exit(main())
