"""What a run of a reader of passages would be like."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine import base_models, reader
from engine.continuing import Earlier
from engine.data import read_questions
from engine.methods import added_parameters
from engine.outlook import continuing
from engine.outlook.parts import (
    PROCESS_BYTES,
    WITHOUT_LIMIT,
    activation_bytes,
    seconds_for,
    size_of,
    spread_of,
    token_counts,
)
from engine.predict import encode
from engine.preflight_extract import window_problems
from engine.reader import SpanReader
from engine.recipes import classify_setup, extract
from engine.report import Report
from engine.seen import seen_passages
from engine.specs import has_errors
from engine.specs.extract import ExtractSpec
from words import say


def preflight_extract(spec: ExtractSpec, data: Path, report: Report, earlier: Sequence[Earlier] = ()) -> dict[str, Any]:
    """The figures of a reader's run; reads and tokenises every row, loads no weights."""
    report.progress(0, 3, "checks", say("reading"))
    parts, problems = extract.arrange(spec, read_questions(data))
    extract.earlier_questions(spec, parts, earlier)  # refused when they are needed and not there
    report.progress(1, 3, "checks", say("tokenising"))
    place = base_models.locate(spec.base_model)
    tokenizer = base_models.load_tokenizer(place, spec.base_model.revision)
    config = base_models.load_config(place, spec.base_model.revision)
    limit = classify_setup.reading_length(spec, config, tokenizer)
    cut_to = {"max_length_tokens": limit, "stride_tokens": min(spec.stride_tokens, limit // 3)}
    windows = {name: reader.windows_of(tokenizer, extract.pairs_of(part), **cut_to) for name, part in parts.items()}
    if not has_errors(problems):
        problems += window_problems(parts["train"], windows["train"])
    sizes = {name: sorted(len(window.ids) for window in some) for name, some in windows.items()}
    pairs = [pair for part in parts.values() for pair in extract.pairs_of(part)]
    lengths = token_counts(encode(tokenizer, [f"{question} {context}" for question, context in pairs], WITHOUT_LIMIT))
    report.progress(2, 3, "checks", say("estimating"))
    model = _empty_reader(spec, config)
    total, trainable = sum(parameter.numel() for parameter in model.parameters()), added_parameters(model)
    encoder = sum(parameter.numel() for name, parameter in model.named_parameters() if "embeddings" not in name)
    at_once = min(sum(sizes["train"][-spec.batch_size :]), max(spec.max_batch_tokens, limit))
    per_token = (2 if spec.method == "frozen" else 4 if spec.is_adapter else 6) * encoder
    report.progress(3, 3, "checks", say("estimating"))
    return {
        "problems": [problem.as_mapping() for problem in problems],
        "rows": {name: len(part) for name, part in parts.items()},
        "without_answer": {name: sum(not answers for answers in part.answers) for name, part in parts.items()},
        "lengths": spread_of(lengths),
        "truncated_share": 0.0,
        "windows": {name: len(some) for name, some in windows.items()},
        "max_length_tokens": limit,
        "seen": seen_passages(tokenizer, parts["train"], windows["train"]),
        "parameters": {"total": total, "trainable": trainable},
        "estimate": {
            "steps": spec.epochs * continuing.steps(spec, len(windows["train"])),
            "memory_bytes": PROCESS_BYTES
            + 4 * (total + trainable * (4 + bool(spec.average_decay) + continuing.copies(spec)))
            + activation_bytes(spec, *size_of(config), at_once),
            "seconds": seconds_for(
                per_token * sum(sizes["train"]) * spec.epochs * continuing.rows_a_new_one(spec)
                + 6 * encoder * continuing.fisher_tokens(spec, np.array(sizes["train"]), limit)
                + 2 * encoder * (sum(sizes["dev"]) * (spec.epochs + 1) + sum(sizes["test"]))
            ),
        },
    }


def _empty_reader(spec: ExtractSpec, config: Any) -> SpanReader:
    """The network on the meta device: shapes without memory."""
    from transformers import AutoModelForQuestionAnswering

    with torch.device("meta"):
        model = SpanReader(AutoModelForQuestionAnswering.from_config(config))
        classify_setup.attach_method(model, spec, 0)
        return model
