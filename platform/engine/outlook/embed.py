"""What a run on vectors would be like."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine import base_models
from engine.continuing import Earlier
from engine.embedder import TextEmbedder
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
from engine.pairs import PairRows
from engine.predict import encode
from engine.recipes import classify_setup, embed, embed_rehearsal, embed_setup
from engine.report import Report
from engine.seen import seen_vectors
from engine.specs.embed import EmbedSpec
from words import say


def preflight_embed(
    spec: EmbedSpec, data: Path, report: Report, data_kind: str = "pairs", earlier: Sequence[Earlier] = ()
) -> dict[str, Any]:
    """The figures of a run on vectors; reads and tokenises every row, loads no weights."""
    report.progress(0, 3, "checks", say("reading"))
    parts, problems = embed_setup.arrange(spec, data, data_kind)
    report.progress(1, 3, "checks", say("tokenising"))
    pooling = embed_setup.choose_pooling(spec)
    place = base_models.locate(spec.base_model)
    tokenizer = base_models.load_tokenizer(place, spec.base_model.revision)
    config = base_models.load_config(place, spec.base_model.revision)
    limit = classify_setup.reading_length(spec, config, tokenizer)
    lesson, _ = embed_rehearsal.lessons_of(spec, parts, earlier, tokenizer, limit, data_kind)
    first = embed.drawn_steps(lesson, spec.batch_size, 0)
    later = (embed.drawn_steps(lesson, spec.batch_size, at, most=len(first)) for at in range(1, spec.epochs))
    texts = {name: texts_of(part) for name, part in parts.items()}
    lengths = {name: token_counts(encode(tokenizer, some, WITHOUT_LIMIT)) for name, some in texts.items()}
    whole = np.concatenate(list(lengths.values()))
    cut = [part.ids[at % len(part)] for name, part in parts.items() for at in np.flatnonzero(lengths[name] > limit)]
    problems += truncation(sorted(set(cut)), len(whole), limit)
    report.progress(2, 3, "checks", say("estimating"))
    model = _empty_embedder(spec, config, pooling)
    total, trainable = sum(parameter.numel() for parameter in model.parameters()), added_parameters(model)
    encoder = sum(parameter.numel() for name, parameter in model.named_parameters() if "embeddings" not in name)
    read = {name: int(np.minimum(found, limit).sum()) for name, found in lengths.items()}
    rows, per_row = len(parts["train"]), len(texts["train"]) // max(1, len(parts["train"]))
    longest = int(np.sort(np.minimum(lengths["train"], limit))[-spec.batch_size * per_row :].sum()) if rows else 0
    # What does not fit into one portion is read a second time, with gradients.
    per_token = ((4 if spec.is_adapter else 6) + 2 * (longest > spec.max_batch_tokens)) * encoder
    report.progress(3, 3, "checks", say("estimating"))
    return {
        "problems": [problem.as_mapping() for problem in problems],
        "rows": {name: len(part) for name, part in parts.items()},
        "lengths": spread_of(whole),
        "truncated_share": float(np.mean(whole > limit)) if len(whole) else 0.0,
        "max_length_tokens": limit,
        "seen": seen_vectors(tokenizer, parts["train"], limit),
        "parameters": {"total": total, "trainable": trainable},
        "estimate": {
            "steps": len(first) + sum(map(len, later)),
            "memory_bytes": PROCESS_BYTES
            + 4 * (total + trainable * (4 + bool(spec.average_decay) + continuing.copies(spec)))
            + activation_bytes(spec, *size_of(config), min(longest, max(spec.max_batch_tokens, limit))),
            "seconds": seconds_for(
                per_token * spec.epochs * sum(len(ids) for step in first for ids in lesson.sequences(step))
                + per_token * per_row * continuing.fisher_tokens(spec, lengths["train"], limit)
                + 2 * encoder * (read["dev"] * (spec.epochs + 1) + read["test"])
            ),
        },
    }


def texts_of(rows: embed_setup.AnyRows) -> list[str]:
    """All texts that are read: of pairs the sources, then the targets."""
    return [*rows.sources, *rows.targets] if isinstance(rows, PairRows) else rows.texts


def _empty_embedder(spec: EmbedSpec, config: Any, pooling: str) -> TextEmbedder:
    """The network on the meta device: shapes without memory."""
    from transformers import AutoModel

    with torch.device("meta"):
        model = TextEmbedder(AutoModel.from_config(config), pooling=pooling, normalise=spec.normalise)
        classify_setup.attach_method(model, spec, 0)
        return model
