"""What a tagger run would be like."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine import base_models
from engine.continuing import Earlier, joined
from engine.data import read_spans
from engine.methods import added_parameters
from engine.outlook import continuing
from engine.outlook.parts import PROCESS_BYTES, activation_bytes, seconds_for, size_of, spread_of
from engine.preflight_tag import border_problems
from engine.recipes import classify_setup, tag_setup
from engine.report import Report
from engine.seen import seen_windows
from engine.specs import has_errors
from engine.specs.tag import TagSpec
from engine.tagger import TokenTagger, windows_of
from engine.units import read_units, surroundings
from words import say


def preflight_tag(spec: TagSpec, data: Path, report: Report, earlier: Sequence[Earlier] = ()) -> dict[str, Any]:
    """The figures of a tagger run; reads and tokenises every row, loads no weights."""
    report.progress(0, 3, "checks", say("reading"))
    parts, labels, problems = tag_setup.arrange(spec, read_spans(data))
    kept, tasks = tag_setup.kept_labels(spec), tag_setup.earlier_marked(spec, parts, earlier)
    labels = tag_setup.all_labels(kept, joined(parts["train"], tasks)[0]) if kept else labels
    report.progress(1, 3, "checks", say("tokenising"))
    place = base_models.locate(spec.base_model)
    tokenizer = base_models.load_tokenizer(place, spec.base_model.revision)
    config = base_models.load_config(place, spec.base_model.revision)
    limit = classify_setup.reading_length(spec, config, tokenizer)
    unit = tag_setup.choose_unit(spec, parts["train"].texts)
    readings = {name: read_units(tokenizer, part.texts, unit) for name, part in parts.items()}
    if not has_errors(problems):
        problems += border_problems(parts, readings, labels)
    special = sum(len(some) for some in surroundings(tokenizer))
    lengths = np.array([len(one.tokens) + special for some in readings.values() for one in some], dtype=np.int64)
    windows = windows_of(
        tokenizer,
        parts["train"].texts,
        readings["train"],
        max_length_tokens=limit,
        stride_tokens=tag_setup.stride(spec, limit),
    )
    report.progress(2, 3, "checks", say("estimating"))
    model = _empty_tagger(spec, config, tokenizer, len(labels))
    total = sum(parameter.numel() for parameter in model.parameters())
    encoder = sum(parameter.numel() for name, parameter in model.named_parameters() if "embeddings" not in name)
    trainable = added_parameters(model)
    per_token = (2 if spec.method == "frozen" else 4 if spec.is_adapter else 6) * encoder
    read = {name: sum(len(one.tokens) + special for one in some) for name, some in readings.items()}
    sizes = sorted(len(window.ids) for window in windows)
    at_once = min(max(sum(sizes[-spec.batch_size :]), limit), spec.max_batch_tokens) if sizes else 0
    balance = {name: Counter(span.label for spans in part.spans for span in spans) for name, part in parts.items()}
    report.progress(3, 3, "checks", say("estimating"))
    return {
        "problems": [problem.as_mapping() for problem in problems],
        "rows": {name: len(part) for name, part in parts.items()},
        "labels": [{"label": label, **{name: found[label] for name, found in balance.items()}} for label in labels],
        "unit": unit,
        "lengths": spread_of(lengths),
        "truncated_share": 0.0,
        "windowed_share": float(np.mean(lengths > limit)) if len(lengths) else 0.0,
        "max_length_tokens": limit,
        "seen": seen_windows(tokenizer, parts["train"], windows),
        "parameters": {"total": total, "trainable": trainable},
        "estimate": {
            "steps": spec.epochs * continuing.steps(spec, len(windows)),
            "memory_bytes": PROCESS_BYTES
            + 4 * (total + trainable * (4 + bool(spec.average_decay) + continuing.copies(spec)))
            + activation_bytes(spec, *size_of(config), at_once),
            "seconds": seconds_for(
                per_token * sum(sizes) * spec.epochs * continuing.rows_a_new_one(spec)
                + 6 * encoder * continuing.fisher_tokens(spec, np.array(sizes), limit)
                + 2 * encoder * (read["dev"] * (spec.epochs + 1) + read["test"])
            ),
        },
    }


def _empty_tagger(spec: TagSpec, config: Any, tokenizer: Any, label_count: int) -> TokenTagger:
    """The network on the meta device: shapes without memory."""
    from transformers import AutoModelForTokenClassification

    config.num_labels = 1 + 2 * max(label_count, 1)
    with torch.device("meta"):
        network = AutoModelForTokenClassification.from_config(config)
        model = TokenTagger(network, case_features=tag_setup.reads_case(spec, tokenizer))
        classify_setup.attach_method(model, spec, 0)
        return model
