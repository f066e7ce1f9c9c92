"""What a few-shot run would be like, all counts of its learning curve together."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.continuing import Earlier
from engine.data import read_texts
from engine.outlook import continuing
from engine.outlook.parts import PROCESS_BYTES, activation_bytes, seconds_for, size_of, spread_of, truncation
from engine.recipes import few_shot, few_shot_setup
from engine.report import Report
from engine.specs import has_errors
from engine.specs.few_shot import FewShotSpec
from words import say


def preflight_few_shot(
    spec: FewShotSpec, data: Path, report: Report, earlier: Sequence[Earlier] = ()
) -> dict[str, Any]:
    """The figures of a few-shot run, all counts of its learning curve together; loads no weights."""
    report.progress(0, 3, "checks", say("reading"))
    parts, drawn, labels, problems = few_shot_setup.arrange(spec, read_texts(data))
    rows = {name: len(part) for name, part in parts.items()}
    drawn, labels, tasks = few_shot_setup.rehearsed(spec, parts, drawn, labels, earlier)
    report.progress(1, 3, "checks", say("tokenising"))
    start, found = few_shot_setup.beginning(spec, labels)
    problems += found
    if start is None or has_errors(found):
        return {"problems": [problem.as_mapping() for problem in problems], "rows": rows}
    encoded = {name: start.read(part.texts) for name, part in parts.items()}
    whole = {name: np.array(start.whole_lengths(part.texts), dtype=np.int64) for name, part in parts.items()}
    cut = [part.ids[at] for name, part in parts.items() for at in np.flatnonzero(whole[name] > start.limit)]
    problems += truncation(cut, sum(len(part) for part in parts.values()), start.limit)
    report.progress(2, 3, "checks", say("estimating"))
    model = start.empty_model()
    few_shot_setup.attached(model, spec, 0)
    total = sum(parameter.numel() for parameter in model.parameters())
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    trainable = 0 if spec.method == "frozen" else trainable
    read = sum(
        p.numel() for name, p in model.named_parameters() if not name.endswith(("embeddings.weight", "tokens.weight"))
    )
    run = few_shot.Run(spec, start, parts, drawn, encoded, report, Path(), None, tasks)
    works = [run.work(model, count) for count in spec.counts]
    epochs = spec.epochs if trainable else 0
    seen = [sum(work.tokens(step) for step in work.steps(0)) for work in works]
    measured = {name: works[-1].tokens_measured(some) for name, some in encoded.items()}
    at_once = max((sum(works[-1].lengths[at] for at in part) for part in works[-1].heaviest()), default=0)
    per_token = (4 if spec.is_adapter else 6) * read
    balance = {name: Counter(names[0] for names in part.labels) for name, part in parts.items()}
    report.progress(3, 3, "checks", say("estimating"))
    return {
        "problems": [problem.as_mapping() for problem in problems],
        "rows": rows,
        "labels": [{"label": label, **{name: some[label] for name, some in balance.items()}} for label in labels],
        "lengths": spread_of(np.concatenate(list(whole.values()))),
        "truncated_share": len(cut) / max(1, sum(len(part) for part in parts.values())),
        "max_length_tokens": start.limit,
        "seen": few_shot.seen_of(start, parts["train"], encoded["train"]),
        "parameters": {"total": total, "trainable": trainable},
        "estimate": {
            "steps": epochs * sum(len(work.steps(0)) for work in works),
            "memory_bytes": PROCESS_BYTES
            + 4
            * (total + trainable * (5 + bool(spec.average_decay) + continuing.copies(spec)))  # the base beside the best
            + activation_bytes(spec, *size_of(start.config), at_once),
            "seconds": seconds_for(
                per_token * sum(seen) * epochs
                + 2 * read * len(works) * measured["dev"] * (epochs + 1)
                + 2 * read * (measured["test"] + (sum(seen) * (epochs + 1) if spec.way == "contrastive" else 0))
            ),
        },
    }
