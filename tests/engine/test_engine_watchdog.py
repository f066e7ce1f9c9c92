"""A step that hangs ends the process with the stacks of its threads; steps of the usual length do not."""

import subprocess
import sys
from pathlib import Path

PLATFORM = Path(__file__).resolve().parents[2] / "platform"
PROGRAM = """
import sys, time
from engine.report import JsonLines
from engine.watchdog import Watchdog

def hang():
    time.sleep(60)

report = JsonLines(1)
report.watchdog = Watchdog(floor_seconds=2, medians=3)
for done in range(1, 6):
    report.progress(done, 6, "steps", "training")
{then}
"""


def run(then: str) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.replace("{then}", then)
    environment = {"PYTHONPATH": str(PLATFORM)}
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50, env=environment, check=False
    )


def test_a_step_that_hangs_ends_the_process_and_says_where_it_was() -> None:
    ended = run("hang()")

    assert ended.returncode == 1
    assert "Timeout (" in ended.stderr and "in hang" in ended.stderr


def test_what_comes_after_the_steps_may_take_its_time() -> None:
    measuring = run("report.progress(1, 9, 'rows', 'evaluating'); time.sleep(2.5)")
    registering = run("report.progress(6, 6, 'steps', 'training'); time.sleep(2.5)")

    assert (measuring.returncode, registering.returncode) == (0, 0), measuring.stderr
