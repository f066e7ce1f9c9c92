"""`./lingxi test` runs every step, shows what failed, and ends with pytest's closing line."""

import os
import sys
from pathlib import Path

import pytest
from django.core.management import call_command

from config.management.commands import test as checking
from config.management.commands.test import Check, checks, perform

ROOT = Path(__file__).resolve().parents[2]


def step(name: str, program: str, *, shown: bool = False) -> Check:
    return Check(name, [sys.executable, "-c", program], shown)


def test_a_step_keeps_quiet_unless_it_fails_or_wants_to_be_seen(capsys: pytest.CaptureFixture[str]) -> None:
    quiet = perform(step("quiet", "print('fine')"))
    failed = perform(step("failed", "print('wrong here'); raise SystemExit(1)"))
    shown = perform(step("shown", "print('12 passed')\nprint()", shown=True))

    assert (quiet.passed, failed.passed, shown.passed) == (True, False, True)
    assert shown.closing == "12 passed"
    assert (quiet.untold, failed.untold, shown.untold) == ("", "wrong here\n", "")
    assert capsys.readouterr().out == "12 passed\n\n"


def test_all_steps_run_after_a_failure_and_the_exit_code_tells(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [step("ruff", "raise SystemExit(1)"), step("pytest", "print('3 passed in 1 s')", shown=True)]
    monkeypatch.setattr(checking, "checks", lambda **_options: steps)

    with pytest.raises(SystemExit, match="Failed: ruff"):
        call_command("test")

    said = capsys.readouterr().out
    assert said.rstrip().endswith("3 passed in 1 s")
    assert "passed" in said.split("Summary")[1]


def test_a_step_beside_runs_with_the_next_and_is_told_when_that_has_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    meeting = tmp_path / "meeting"
    os.mkfifo(meeting)  # who opens it waits for the other: one after the other would never end
    types = Check("mypy", [sys.executable, "-c", f"open({str(meeting)!r}).read(); exit('wrong type')"], beside=True)
    steps = [types, step("pytest", f"open({str(meeting)!r}, 'w').write('x'); print('3 passed in 1 s')", shown=True)]
    monkeypatch.setattr(checking, "checks", lambda **_options: steps)

    with pytest.raises(SystemExit, match="Failed: mypy"):
        call_command("test")

    during, summary = capsys.readouterr().out.split("Summary")
    assert during.index("3 passed in 1 s") < during.index("wrong type") < during.index("FAILED")
    assert summary.index("mypy") < summary.index("pytest")
    assert summary.rstrip().endswith("3 passed in 1 s")


def test_fast_leaves_the_browser_out_and_other_words_go_to_pytest() -> None:
    whole, fast = checks(fast=False, extra=["-k", "jobs"])[-1].argv, checks(fast=True, extra=[])[-1].argv

    assert whole[-2:] == ["-k", "jobs"]
    assert "--ignore=tests/e2e" in fast
    assert "--ignore=tests/e2e" not in whole


def test_lines_that_ran_are_counted_only_when_asked() -> None:
    plain, counted = (checks(fast=False, extra=[], coverage=asked)[-1].argv for asked in (False, True))

    assert "--cov" not in plain and "--cov" in counted


def test_the_tests_run_side_by_side_on_several_cores_and_alone_on_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def processes(cores: int) -> str:
        monkeypatch.setattr("os.sched_getaffinity", lambda _process: set(range(cores)))
        argv = checks(fast=False, extra=[])[-1].argv
        return str(argv[argv.index("-n") + 1])

    assert [processes(1), processes(2), processes(64)] == ["0", "2", "4"]


def test_ci_calls_the_same_checks() -> None:
    script = (ROOT / ".ci/run").read_text()

    assert "./lingxi test" in script
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    assert (ROOT / "lingxi").stat().st_mode & 0o111
