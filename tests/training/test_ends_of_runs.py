"""How a run that ended without a result ends its job."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from apps.training import services
from core.errors import Refused
from core.jobs import services as jobs
from core.jobs.run import HandBack
from workers.training import _reason


@pytest.mark.parametrize(("code", "kind"), [("process_died", HandBack), ("bad_data", Refused)])
def test_a_run_one_of_whose_processes_died_is_tried_again(code: str, kind: type[Exception]) -> None:
    failure = {"type": "failed", "code": code, "message": "Process 2 of 2 died (exit code 3).", "hint": "", "rows": []}
    child = SimpleNamespace(failure=failure, out_of_memory=False, hung=False)

    reason = _reason(cast(Any, None), cast(Any, None), cast(Any, child))

    assert type(reason) is kind and "Process 2 of 2" in str(reason)


@pytest.mark.parametrize("is_killed", [True, False])
def test_out_of_memory_halves_the_micro_batch_until_one_row_is_too_much(
    actor: Any, frozen: Any, is_killed: bool
) -> None:
    said = {"type": "failed", "code": "out_of_memory", "message": "No memory.", "hint": "", "rows": []}
    child = SimpleNamespace(failure=None if is_killed else said, out_of_memory=is_killed, hung=False)
    training_job = services.start(actor=actor, recipe="classify", spec={"batch_size": 4}, version=frozen, name="Run")
    run = jobs.claim(queue="train", worker="w")
    assert run is not None

    ends = []
    for _ in range(3):
        training_job.refresh_from_db()
        ends.append((type(_reason(run, training_job, cast(Any, child))), training_job.micro_batch))

    training_job.refresh_from_db()
    assert ends == [(HandBack, None), (HandBack, 2), (Refused, 1)]
    assert training_job.micro_batch == 1
