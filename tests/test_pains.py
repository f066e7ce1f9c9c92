"""Every pain of docs/pains.md is kept away by tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROW = re.compile(r"^\| (\d+) \|.*\| ((?:`[^`]+` ?)+) \|$", re.MULTILINE)


def test_each_pain_has_a_test_named_after_the_behaviour() -> None:
    rows = {
        int(number): re.findall(r"`([^`]+)`", names)
        for number, names in ROW.findall((ROOT / "docs/pains.md").read_text())
    }

    assert sorted(rows) == list(range(1, 18)) and all(rows.values())
    for named in rows.values():
        for place in named:
            path, _, name = place.partition("::")
            assert f"\ndef {name}(" in (ROOT / path).read_text(), place
