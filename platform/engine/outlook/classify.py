"""What a classifier run, or a distillation, would be like."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine import base_models
from engine.continuing import Earlier, joined
from engine.data import read_texts
from engine.decoder import empty_decoder_classifier, ends_texts, is_decoder
from engine.encoder import TextClassifier
from engine.int8 import weights_of
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
    truncation,
)
from engine.predict import Classifier, encode
from engine.recipes import classify_setup
from engine.recipes.distil import load_teacher
from engine.report import Report
from engine.seen import SHOWN_ROWS, seen_texts
from engine.specs.classify import ClassifySpec
from engine.specs.distil import DistilSpec
from words import say

ROUNDING = 1.1  # a step that rounds weights and tokens to the grid of int8 beside one that does not


def preflight_classify(
    spec: ClassifySpec, data: Path, report: Report, earlier: Sequence[Earlier] = ()
) -> dict[str, Any]:
    """The figures of a classifier run; reads and tokenises every row, loads no weights."""
    report.progress(0, 3, "checks", say("reading"))
    teacher = load_teacher(spec) if isinstance(spec, DistilSpec) else None
    parts, labels, problems = classify_setup.arrange(spec, read_texts(data), known=teacher.names if teacher else ())
    kept, tasks = classify_setup.kept_labels(spec), classify_setup.earlier_texts(spec, parts, earlier)
    problems += continuing.clashes(parts["train"], tasks)
    labels = classify_setup.all_labels(kept, joined(parts["train"], tasks)[0]) if kept else labels
    report.progress(1, 3, "checks", say("tokenising"))
    place = base_models.locate(spec.base_model)
    tokenizer = base_models.load_tokenizer(place, spec.base_model.revision)
    config = base_models.load_config(place, spec.base_model.revision)
    tokenizer = ends_texts(tokenizer) if is_decoder(config) else tokenizer
    limit = classify_setup.reading_length(spec, config, tokenizer)
    encoded = {name: encode(tokenizer, part.texts, WITHOUT_LIMIT) for name, part in parts.items()}
    lengths = {name: token_counts(found) for name, found in encoded.items()}
    cut = [part.ids[at] for name, part in parts.items() for at in np.flatnonzero(lengths[name] > limit)]
    problems += truncation(cut, sum(len(part) for part in parts.values()), limit)
    report.progress(2, 3, "checks", say("estimating"))
    model = _empty_classifier(spec, config, len(labels))
    total = sum(parameter.numel() for parameter in model.parameters())
    trainable = 0 if spec.method == "frozen" else added_parameters(model)
    encoder = sum(parameter.numel() for name, parameter in model.named_parameters() if "embeddings" not in name)
    read = {name: int(np.minimum(found, limit).sum()) for name, found in lengths.items()}
    seen = read["train"]
    epochs = 0 if spec.method == "frozen" else spec.epochs
    longest = int(np.sort(np.minimum(lengths["train"], limit))[-spec.batch_size :].sum()) if seen else 0
    at_once = min(max(longest, limit), spec.max_batch_tokens) if seen else 0
    probed = spec.method == "frozen" or spec.head_start == "probe"
    copies = 3 + bool(spec.average_decay) + 1 if epochs else 0  # gradients, two moments, average, best
    # A frozen weight needs no gradient of its own: forward, and backward to its inputs.
    per_token = 4 * encoder if spec.is_adapter else 6 * encoder
    lesson = _lesson(teacher, read, encoder)
    balance = {name: Counter(label for names in part.labels for label in names) for name, part in parts.items()}
    report.progress(3, 3, "checks", say("estimating"))
    return {
        "problems": [problem.as_mapping() for problem in problems],
        "rows": {name: len(part) for name, part in parts.items()},
        "labels": [{"label": label, **{name: found[label] for name, found in balance.items()}} for label in labels],
        "lengths": spread_of(np.concatenate(list(lengths.values()))),
        "truncated_share": len(cut) / max(1, sum(len(part) for part in parts.values())),
        "max_length_tokens": limit,
        "seen": seen_texts(
            tokenizer, parts["train"], encode(tokenizer, parts["train"].texts[:SHOWN_ROWS], limit), limit
        ),
        "parameters": {"total": total, "trainable": trainable},
        "estimate": {
            "steps": epochs * continuing.steps(spec, len(parts["train"])),
            "memory_bytes": PROCESS_BYTES
            + lesson.memory_bytes
            + 4 * (total + trainable * (copies + continuing.copies(spec) + classify_setup.makes_int8(spec)))
            + activation_bytes(spec, *size_of(config), at_once),
            "seconds": seconds_for(
                (ROUNDING if classify_setup.makes_int8(spec) else 1)
                * per_token
                * seen
                * epochs
                * (2 if spec.consistency else 1)
                * continuing.rows_a_new_one(spec)
                + 6 * encoder * continuing.fisher_tokens(spec, lengths["train"], limit)
                + 2 * encoder * (seen * bool(probed) + read["dev"] * (epochs + 1) + read["test"])
                + lesson.operations
            ),
        },
    }


@dataclass(frozen=True)
class Lesson:
    """What a teacher costs a run."""

    memory_bytes: int = 0
    operations: float = 0.0  # of reading every text once, and of the student reading dev and test again beside it


def _lesson(teacher: Classifier | None, read: Mapping[str, int], student: int) -> Lesson:
    """Nothing without a teacher; `read` are the tokens by part, `student` its weights that multiply."""
    if teacher is None:
        return Lesson()
    count, size = weights_of(teacher.model)
    count -= sum(p.numel() for name, p in teacher.model.named_parameters() if "embeddings" in name)
    measured = read["dev"] + read["test"]
    return Lesson(size, 2 * count * (read["train"] + measured) + 2 * student * measured)


def _empty_classifier(spec: ClassifySpec, config: Any, label_count: int) -> TextClassifier:
    """The network on the meta device: shapes without memory."""
    from transformers import AutoModelForSequenceClassification

    config.num_labels = max(label_count, 1)
    pooling = classify_setup.choose_pooling(spec, config)
    classify_setup.check_student(spec, config)
    with torch.device("meta"):
        if is_decoder(config):
            decoder = empty_decoder_classifier(config, max(label_count, 1))
            classify_setup.attach_method(decoder, spec, 0)
            return decoder
        network = AutoModelForSequenceClassification.from_config(config)
        classify_setup.keep_layers(network, getattr(spec, "student_layers", 0))
        model = TextClassifier(network, max(label_count, 1), pooling=pooling)
        classify_setup.attach_method(model, spec, 0)
        return model
