"""How a run that ended without a result ends its job."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from core.errors import Refused
from core.jobs.run import HandBack
from workers.training import _reason


@pytest.mark.parametrize(("code", "kind"), [("process_died", HandBack), ("bad_data", Refused)])
def test_a_run_one_of_whose_processes_died_is_tried_again(code: str, kind: type[Exception]) -> None:
    failure = {"type": "failed", "code": code, "message": "Process 2 of 2 died (exit code 3).", "hint": "", "rows": []}
    child = SimpleNamespace(failure=failure, out_of_memory=False, hung=False)

    reason = _reason(cast(Any, None), cast(Any, None), cast(Any, child))

    assert type(reason) is kind and "Process 2 of 2" in str(reason)
