"""What a run of a ranker would be like."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine import base_models
from engine.evaluate_vectors import retrieval_of
from engine.methods import added_parameters
from engine.outlook.parts import PROCESS_BYTES, activation_bytes, seconds_for, size_of, spread_of, truncation
from engine.ranker import PairScorer
from engine.recipes import classify_setup, rerank_setup
from engine.recipes.embed_setup import AnyRows
from engine.report import Report
from engine.specs import has_errors
from engine.specs.rerank import RerankSpec
from words import say


def preflight_rerank(spec: RerankSpec, data: Path, report: Report, data_kind: str = "pairs") -> dict[str, Any]:
    """The figures of a run of a ranker; reads and tokenises every training row, loads no weights.

    Hard negatives are not looked for: any texts stand in their place.
    """
    report.progress(0, 3, "checks", say("reading"))
    parts, problems = rerank_setup.arrange(spec, data, data_kind)
    report.progress(1, 3, "checks", say("tokenising"))
    place = base_models.locate(spec.base_model)
    tokenizer = base_models.load_tokenizer(place, spec.base_model.revision)
    config = base_models.load_config(place, spec.base_model.revision)
    limit = classify_setup.reading_length(spec, config, tokenizer)
    rows = {name: len(part) for name, part in parts.items()}
    report.progress(2, 3, "checks", say("estimating"))
    if has_errors(problems):
        said = [problem.as_mapping() for problem in problems]
        return {"problems": said, "rows": rows, "max_length_tokens": limit}
    lesson = rerank_setup.lesson_of(spec, parts["train"])
    lengths = rerank_setup.Lengths.of(lesson, tokenizer, limit)
    lists = lesson.lists(0)
    pairs = [(row, text) for row, texts in lists for text in texts]
    whole = np.array([lengths.uncut(row, text) for row, text in pairs], dtype=np.int64)
    cut = sorted({lesson.ids[row] for (row, _), count in zip(pairs, whole, strict=True) if count > limit})
    problems += truncation(cut, len(lists), limit)
    model = _empty_scorer(spec, config)
    total, trainable = sum(parameter.numel() for parameter in model.parameters()), added_parameters(model)
    encoder = sum(parameter.numel() for name, parameter in model.named_parameters() if "embeddings" not in name)
    sizes = np.array([lengths.of_list(one) for one in lists], dtype=np.int64)
    longest = min(int(np.sort(sizes)[-spec.batch_size :].sum()), max(spec.max_batch_tokens, int(sizes.max())))
    per_token = (2 if spec.method == "frozen" else 4 if spec.is_adapter else 6) * encoder
    judged = measured_pairs(spec, parts["dev"], spec.dev_queries) * spec.epochs
    judged += sum(measured_pairs(spec, parts[name], 0) for name in ("dev", "test"))
    report.progress(3, 3, "checks", say("estimating"))
    return {
        "problems": [problem.as_mapping() for problem in problems],
        "rows": rows,
        "lengths": spread_of(whole),
        "truncated_share": float(np.mean(whole > limit)),
        "max_length_tokens": limit,
        "seen": rerank_setup.seen_lesson(tokenizer, lesson, limit),
        "parameters": {"total": total, "trainable": trainable},
        "estimate": {
            "steps": spec.epochs * -(-len(lists) // (spec.batch_size * spec.gradient_accumulation)),
            "memory_bytes": PROCESS_BYTES
            + 4 * (total + trainable * (4 + bool(spec.average_decay)))
            + activation_bytes(spec, *size_of(config), longest),
            "seconds": seconds_for(
                per_token * int(sizes.sum()) * spec.epochs
                + 2 * encoder * judged * float(np.minimum(whole, limit).mean())
            ),
        },
    }


def measured_pairs(spec: RerankSpec, part: AnyRows, most: int) -> int:
    """How many pairs are scored to measure a part, of at most so many queries (0: all)."""
    retrieval = retrieval_of(part, least_score=spec.least_score)
    queries = len(retrieval.queries)
    return (min(queries, most) if most else queries) * min(spec.candidates, len(retrieval.candidates))


def _empty_scorer(spec: RerankSpec, config: Any) -> PairScorer:
    """The network on the meta device: shapes without memory."""
    from transformers import AutoModelForSequenceClassification

    config.num_labels = 1
    with torch.device("meta"):
        network = AutoModelForSequenceClassification.from_config(config)
        model = PairScorer(network, pooling=classify_setup.choose_pooling(spec, config))
        classify_setup.attach_method(model, spec, 0)
        return model
