"""Texts per second of labelling and text vectors beside transformers, and agreement with its labels, in one run."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from django.conf import settings

from workers.bench.measure import Measure, Options

AIMS = {"pipeline": 3.7, "padded": 1.25}


def measures(options: Options) -> Iterator[Measure]:
    """A fresh process does it: torch and its threads stay out of this one."""
    command = [sys.executable, "-m", "engine.bench.encoders", "--threads", str(options.spec.get("threads", 1))]
    command += ["--texts", "64", "--rounds", "1"] if options.small else []
    files = [str(path.resolve()) for path in (options.data, options.test) if path]
    command += ["--data", *files] if files else []
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=settings.ROOT / "platform")
    found = json.loads(done.stdout.splitlines()[-1])
    for part in ("labels", "vectors"):
        yield from _speeds(part, found[part])
    yield Measure("labels equal to padded torch's, made texts", found["labels"]["equal"], "", at_least=1)
    yield Measure("vectors, least cosine with the others'", found["vectors"]["least_cosine"], "", at_least=0.99999)
    for name in ("fp32", "int8"):
        yield _agreement(name, found)


def _speeds(part: str, found: dict[str, Any]) -> Iterator[Measure]:
    for name, aim in AIMS.items():
        row = found[name]
        detail = f"by round {row['times_by_round']}, by processor time {row['times_busy']:.2f} x"
        yield Measure(f"{part}, times {name}", row["times"], "x", at_least=aim, detail=detail)
    for name in ("ours", *AIMS):
        yield Measure(f"{part}, {name}", found[name]["texts_per_second"], "texts/s")


def _agreement(name: str, found: dict[str, Any]) -> Measure:
    row, whole = found["agreement"][name], found["agreement"]
    detail = f"{whole['texts']} texts, accuracy {row['accuracy']:.4f} against {whole['accuracy']:.4f}"
    detail += f", largest difference of a probability {row['largest_difference']:.1e}"
    if name == "fp32":
        return Measure(
            "labels equal to transformers'", row["equal_labels"], "", at_least=0.9999, detail=detail + _list(row)
        )
    speed = found["int8"]["int8"]
    detail += f", mean cosine of vectors {found['int8_cosine']:.5f}"
    detail += f", {1 / speed['times']:.2f} x as fast as fp32 (by processor time {1 / speed['times_busy']:.2f} x)"
    return Measure(f"labels equal to transformers', {name}", row["equal_labels"], "", detail=detail)


def _list(row: dict[str, Any]) -> str:
    return "".join(
        f"; row {each['row']}: {each['label']} {each['probability']:.6f}, here {each['said']} {each['said_probability']:.6f}"
        for each in row["mismatches"]
    )
