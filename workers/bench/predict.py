"""Texts per second of the labelling engine beside transformers.pipeline, in one run."""

import json
import subprocess
import sys
from collections.abc import Iterator

from workers.bench.measure import Measure, Options


def measures(options: Options) -> Iterator[Measure]:
    """A fresh process does it: torch and its threads stay out of this one."""
    command = [sys.executable, "-m", "engine.bench.predict", "--json", "--texts", "64" if options.small else "512"]
    found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    speeds = found["texts_per_second"]
    detail = f"{found['texts']} texts, {found['rounds']} rounds, {found['threads']} thread"
    yield Measure("labelling, times transformers.pipeline(32)", found["ratio"], "x", at_least=3, detail=detail)
    yield Measure("labelling", speeds["ours"], "texts/s")
    yield Measure("transformers.pipeline(batch_size=32)", speeds["pipeline"], "texts/s")
    yield Measure("equal labels", found["equal_labels"] / found["texts"], "", at_least=1)
