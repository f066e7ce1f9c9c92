"""Run one engine task as a child of a job: progress up, stops down, failures as sentences."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from core.errors import Refused
from core.jobs.run import HandBack, Run
from words import say
from workers.child import Child, engine_child

Event = Mapping[str, Any]


def run_engine(
    run: Run,
    order: Mapping[str, Any],
    folder: Path,
    *,
    threads: int,
    on_part: Callable[[Event], None] | None = None,
) -> dict[str, Any]:
    """The result of `order`, done by a child whose files lie in `folder`.

    Raises Stopped when a person or the process says so (the child is ended), Refused for an expected failure,
    HandBack when the child died of memory or without a word.
    """
    with engine_child(order, folder, threads=threads) as child:
        for event in child.events():
            run.check()
            if event is None:
                continue
            if event["type"] == "progress":
                run.progress(event["done"], event["total"], unit=event["unit"], phase=event["phase"])
            elif event["type"] == "log":
                run.log(event["message"], level=event["level"])
            elif event["type"] == "part" and on_part is not None:
                on_part(event)
        run.check()
        return _result(run, child)


def _result(run: Run, child: Child) -> dict[str, Any]:
    if child.failure is not None:
        raise Refused(child.failure["code"], child.failure["message"], hint=child.failure["hint"])
    if child.result is not None:
        return child.result
    if child.out_of_memory:
        raise HandBack(
            say("The model process was ended by the system, most likely for lack of memory."),
            code="out_of_memory",
            hint=say("Let fewer jobs run at once, or give the machine more memory."),
        )
    run.log(child.last_words(), level="error")
    raise HandBack(
        say("The model process ended without a result."),
        code="engine_died",
        hint=say("Its last words are in the job's log."),
    )
