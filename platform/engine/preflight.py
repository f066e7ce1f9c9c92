"""What a run would be like, before it is queued: problems with rows named, lengths, balance, size and time."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine import base_models, preflight_corpus, reader
from engine.corpus import PARTS
from engine.data import read_chats, read_questions, read_spans, read_texts
from engine.encoder import TextClassifier
from engine.methods import added_parameters
from engine.predict import encode
from engine.preferences import read_preferences
from engine.preflight_extract import window_problems
from engine.preflight_tag import border_problems
from engine.reader import SpanReader
from engine.recipes import classify_setup, extract, prefer_setup, pretrain_setup, sft_setup, tag_setup
from engine.recipes.distil import load_teacher
from engine.report import Report
from engine.seen import SHOWN_ROWS, seen_chats, seen_documents, seen_passages, seen_texts, seen_windows
from engine.specs import Problem, Spec, has_errors
from engine.specs.classify import ClassifySpec
from engine.specs.distil import DistilSpec
from engine.specs.extract import ExtractSpec
from engine.specs.prefer import PreferSpec
from engine.specs.pretrain import PretrainSpec
from engine.specs.sft import SftSpec
from engine.specs.tag import TagSpec
from engine.tagger import TokenTagger, surroundings, windows_of
from engine.units import read_units
from words import say

WITHOUT_LIMIT = 1 << 20
SAMPLED_CHARACTERS = 2_000_000
PROCESS_BYTES = 450_000_000  # python, torch and transformers before the first weight
CELLS_PER_TOKEN = (
    34  # activations kept for backward per token and layer, in hidden widths (own count of the packed layer)
)


def preflight(spec: Spec, data: Path, report: Report, **options: Any) -> dict[str, Any]:
    """Problems and figures as plain JSON; the run may start when no problem is an error.

    `data_kind` says what the rows are to a recipe that learns from several kinds.
    """
    return CHECKS[type(spec)](spec, data, report, **options)


def preflight_classify(spec: ClassifySpec, data: Path, report: Report) -> dict[str, Any]:
    """The figures of a classifier run; reads and tokenises every row, loads no weights."""
    report.progress(0, 3, "checks", say("reading"))
    known = load_teacher(spec).names if isinstance(spec, DistilSpec) else ()
    parts, labels, problems = classify_setup.arrange(spec, read_texts(data), known=known)
    report.progress(1, 3, "checks", say("tokenising"))
    place = base_models.locate(spec.base_model)
    tokenizer = base_models.load_tokenizer(place, spec.base_model.revision)
    config = base_models.load_config(place, spec.base_model.revision)
    limit = classify_setup.reading_length(spec, config, tokenizer)
    encoded = {name: encode(tokenizer, part.texts, WITHOUT_LIMIT) for name, part in parts.items()}
    lengths = {name: _counts(found) for name, found in encoded.items()}
    cut = [part.ids[at] for name, part in parts.items() for at in np.flatnonzero(lengths[name] > limit)]
    problems += _truncation(cut, sum(len(part) for part in parts.values()), limit)
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
    balance = {name: Counter(label for names in part.labels for label in names) for name, part in parts.items()}
    report.progress(3, 3, "checks", say("estimating"))
    return {
        "problems": [problem.as_mapping() for problem in problems],
        "rows": {name: len(part) for name, part in parts.items()},
        "labels": [{"label": label, **{name: found[label] for name, found in balance.items()}} for label in labels],
        "lengths": _lengths(np.concatenate(list(lengths.values()))),
        "truncated_share": len(cut) / max(1, sum(len(part) for part in parts.values())),
        "max_length_tokens": limit,
        "seen": seen_texts(
            tokenizer, parts["train"], encode(tokenizer, parts["train"].texts[:SHOWN_ROWS], limit), limit
        ),
        "parameters": {"total": total, "trainable": trainable},
        "estimate": {
            "steps": epochs * -(-len(parts["train"]) // (spec.batch_size * spec.gradient_accumulation)),
            "memory_bytes": PROCESS_BYTES + 4 * (total + trainable * copies) + _activations(*_size(config), at_once),
            "seconds": _seconds(
                per_token * seen * epochs * (2 if spec.consistency else 1)
                + 2 * encoder * (seen * bool(probed) + read["dev"] * (epochs + 1) + read["test"])
            ),
        },
    }


def preflight_tag(spec: TagSpec, data: Path, report: Report) -> dict[str, Any]:
    """The figures of a tagger run; reads and tokenises every row, loads no weights."""
    report.progress(0, 3, "checks", say("reading"))
    parts, labels, problems = tag_setup.arrange(spec, read_spans(data))
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
        "lengths": _lengths(lengths),
        "truncated_share": 0.0,
        "windowed_share": float(np.mean(lengths > limit)) if len(lengths) else 0.0,
        "max_length_tokens": limit,
        "seen": seen_windows(tokenizer, parts["train"], windows),
        "parameters": {"total": total, "trainable": trainable},
        "estimate": {
            "steps": spec.epochs * -(-len(windows) // (spec.batch_size * spec.gradient_accumulation)),
            "memory_bytes": PROCESS_BYTES
            + 4 * (total + trainable * (4 + bool(spec.average_decay)))
            + _activations(*_size(config), at_once),
            "seconds": _seconds(
                per_token * sum(sizes) * spec.epochs + 2 * encoder * (read["dev"] * (spec.epochs + 1) + read["test"])
            ),
        },
    }


def preflight_extract(spec: ExtractSpec, data: Path, report: Report) -> dict[str, Any]:
    """The figures of a reader's run; reads and tokenises every row, loads no weights."""
    report.progress(0, 3, "checks", say("reading"))
    parts, problems = extract.arrange(spec, read_questions(data))
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
    lengths = _counts(encode(tokenizer, [f"{question} {context}" for question, context in pairs], WITHOUT_LIMIT))
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
        "lengths": _lengths(lengths),
        "truncated_share": 0.0,
        "windows": {name: len(some) for name, some in windows.items()},
        "max_length_tokens": limit,
        "seen": seen_passages(tokenizer, parts["train"], windows["train"]),
        "parameters": {"total": total, "trainable": trainable},
        "estimate": {
            "steps": spec.epochs * -(-len(windows["train"]) // (spec.batch_size * spec.gradient_accumulation)),
            "memory_bytes": PROCESS_BYTES
            + 4 * (total + trainable * (4 + bool(spec.average_decay)))
            + _activations(*_size(config), at_once),
            "seconds": _seconds(
                per_token * sum(sizes["train"]) * spec.epochs
                + 2 * encoder * (sum(sizes["dev"]) * (spec.epochs + 1) + sum(sizes["test"]))
            ),
        },
    }


def preflight_sft(spec: SftSpec, data: Path, report: Report, data_kind: str = "chat") -> dict[str, Any]:
    """The figures of a fine-tuning run; renders every chat, of a new network after learning the vocabulary."""
    report.progress(0, 3, "checks", say("reading"))
    parts, problems = sft_setup.arrange(spec, read_chats(data, data_kind, spec.instruction))
    result: dict[str, Any] = {"rows": {name: len(part) for name, part in parts.items()}}
    if any(problem.severity == "error" for problem in problems):
        return {"problems": [problem.as_mapping() for problem in problems], **result}
    report.progress(1, 3, "checks", say("rendering"))
    start = sft_setup.beginning(spec, parts["train"])
    limit = sft_setup.room(spec, start.config)
    chats, found = sft_setup.render_all(parts, start, limit)
    lengths = {name: _counts([one.full for one in some]) for name, some in chats.items()}
    report.progress(2, 3, "checks", say("estimating"))
    config = start.config
    total, trainable = sft_setup.sizes(spec, config)
    read = {name: int(np.minimum(found, limit).sum()) for name, found in lengths.items()}
    seen = read["train"]
    sequences = max(1, -(-seen // limit)) if spec.packing else len(parts["train"])
    steps = spec.epochs * -(-sequences // (spec.batch_size * spec.gradient_accumulation))
    share = min(1.0, spec.max_steps / steps) if spec.max_steps else 1.0
    report.progress(3, 3, "checks", say("estimating"))
    return {
        "problems": [problem.as_mapping() for problem in [*problems, *found]],
        **result,
        "lengths": _lengths(np.concatenate(list(lengths.values()))),
        "truncated_share": float(np.mean(np.concatenate(list(lengths.values())) > limit)),
        "vocabulary_size": config.vocabulary_size,
        "seen": seen_chats(start.template, parts["train"], chats["train"]),
        "parameters": {"total": total, "trainable": trainable},
        "estimate": {
            "steps": int(steps * share),
            # weights; gradients, two moments and the best of what is trained
            "memory_bytes": PROCESS_BYTES
            + 4 * total
            + 16 * trainable
            + _activations(config.layers, config.width, spec.batch_size * limit),
            # A frozen weight needs no gradient of its own: forward, and backward to its inputs.
            "seconds": _seconds(
                (4 if spec.is_adapter else 6) * total * seen * spec.epochs * share
                + 2 * total * (read["dev"] * (spec.epochs * share + 1) + read["test"])
            ),
        },
    }


def preflight_prefer(spec: PreferSpec, data: Path, report: Report) -> dict[str, Any]:
    """The figures of a preference run; renders both answers of every row."""
    report.progress(0, 3, "checks", say("reading"))
    parts, problems = prefer_setup.arrange(spec, read_preferences(data))
    result: dict[str, Any] = {"rows": {name: len(part) for name, part in parts.items()}}
    if any(problem.severity == "error" for problem in problems):
        return {"problems": [problem.as_mapping() for problem in problems], **result}
    report.progress(1, 3, "checks", say("rendering"))
    start = sft_setup.beginning(spec)
    limit = sft_setup.room(spec, start.config)
    pairs, found = prefer_setup.render_pairs(parts, start, limit)
    chats = {name: [chat for pair in some for chat in (pair.chosen, pair.rejected)] for name, some in pairs.items()}
    lengths = {name: _counts([one.full for one in some]) for name, some in chats.items()}
    report.progress(2, 3, "checks", say("estimating"))
    config = start.config
    total, trainable = sft_setup.sizes(spec, config)
    read = {name: int(np.minimum(found, limit).sum()) for name, found in lengths.items()}
    steps = spec.epochs * -(-len(pairs["train"]) // (spec.batch_size * spec.gradient_accumulation))
    share = min(1.0, spec.max_steps / steps) if spec.max_steps and steps else 1.0
    every = np.concatenate(list(lengths.values()))
    longest = int(np.sort(np.minimum(lengths["train"], limit))[-2 * spec.batch_size :].sum())
    report.progress(3, 3, "checks", say("estimating"))
    return {
        "problems": [problem.as_mapping() for problem in [*problems, *found]],
        **result,
        "lengths": _lengths(every),
        "truncated_share": float(np.mean(every > limit)) if len(every) else 0.0,
        "vocabulary_size": config.vocabulary_size,
        "seen": seen_chats(start.template, parts["train"], [pair.chosen for pair in pairs["train"]]),
        "parameters": {"total": total, "trainable": trainable},
        "estimate": {
            "steps": int(steps * share),
            "memory_bytes": PROCESS_BYTES
            + 4 * total
            + 16 * trainable
            + _activations(config.layers, config.width, longest)
            + 8 * longest * config.vocabulary_size,  # logits of the answers and their gradient
            "seconds": _seconds(
                (4 if spec.is_adapter else 6) * total * read["train"] * spec.epochs * share
                + 2 * total * (sum(read.values()) + read["dev"] * (spec.epochs * share + 1) + read["test"])
            ),
        },
    }


def preflight_pretrain(spec: PretrainSpec, data: Path, report: Report) -> dict[str, Any]:
    """The figures of a pretraining run; looks at every text, learns a vocabulary and counts tokens on the first ones."""
    report.progress(0, 3, "checks", say("reading"))
    rows = pretrain_setup.rows_of(spec, data)
    found = preflight_corpus.survey(rows)
    problems = preflight_corpus.corpus_problems(spec, found)
    result: dict[str, Any] = {"rows": {part: rows.count(part) for part in PARTS}}
    if any(problem.severity == "error" for problem in problems):
        return {"problems": [problem.as_mapping() for problem in problems], **result}
    report.progress(1, 3, "checks", say("tokenising"))
    first = rows.first(SAMPLED_CHARACTERS)
    vocabulary = pretrain_setup.learn_vocabulary(spec, first)
    problems += preflight_corpus.vocabulary_problems(vocabulary, first)
    numbers, texts = zip(*((number, text) for part, number, text in first.rows() if part == "train"), strict=True)
    encoded = vocabulary.encode(texts)
    lengths = _counts(encoded) + 1
    tokens_per_character = int(lengths.sum()) / sum(map(len, texts))
    tokens = {part: int(count * tokens_per_character) for part, count in found.characters.items()}
    report.progress(2, 3, "checks", say("estimating"))
    total = pretrain_setup.model_config(spec, vocabulary.size).parameter_count()
    learnt = spec.max_tokens or tokens["train"] * spec.epochs
    steps = max(1, round(learnt / (spec.context_tokens * spec.batch_size * spec.gradient_accumulation)))
    looks = steps // spec.evaluate_every_steps if spec.evaluate_every_steps else spec.epochs
    looked_at = min(tokens["dev"], spec.dev_tokens or tokens["dev"])
    report.progress(3, 3, "checks", say("estimating"))
    return {
        "problems": [problem.as_mapping() for problem in problems],
        **result,
        "lengths": _lengths(lengths),
        "truncated_share": 0.0,
        "vocabulary_size": vocabulary.size,
        "tokens": tokens,
        "seen": seen_documents(
            vocabulary,
            ((at, [vocabulary.end, *ids, vocabulary.end]) for at, ids in zip(numbers, encoded, strict=True)),
        ),
        "parameters": {"total": total, "trainable": total},
        "estimate": {
            "steps": steps,
            "memory_bytes": PROCESS_BYTES
            + 20 * total
            + _activations(spec.layers, spec.width, spec.batch_size * spec.context_tokens),
            "seconds": _seconds(6 * total * learnt + 2 * total * (looks * looked_at + tokens["dev"] + tokens["test"])),
        },
    }


def _counts(sequences: Sequence[Sequence[int]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array([len(ids) for ids in sequences], dtype=np.int64)


def _truncation(rows: Sequence[int], total: int, limit: int) -> list[Problem]:
    if not rows:
        return []
    share = len(rows) / total
    return [
        Problem(
            "truncated",
            "max_length_tokens",
            say(
                "{rows_count} of {total} texts ({share:.1%}) are longer than {limit} tokens and lose their end.",
                rows_count=len(rows),
                total=total,
                share=share,
                limit=limit,
            ),
            say("Raise max_length_tokens."),
            "warning",
            tuple(int(row) for row in rows[:20]),
        )
    ]


def _empty_classifier(spec: ClassifySpec, config: Any, label_count: int) -> TextClassifier:
    """The network on the meta device: shapes without memory."""
    from transformers import AutoModelForSequenceClassification

    config.num_labels = max(label_count, 1)
    with torch.device("meta"):
        network = AutoModelForSequenceClassification.from_config(config)
        classify_setup.keep_layers(network, getattr(spec, "student_layers", 0))
        model = TextClassifier(network, max(label_count, 1), pooling=classify_setup.choose_pooling(spec, config))
        classify_setup.attach_method(model, spec, 0)
        return model


def _empty_tagger(spec: TagSpec, config: Any, tokenizer: Any, label_count: int) -> TokenTagger:
    """The network on the meta device: shapes without memory."""
    from transformers import AutoModelForTokenClassification

    config.num_labels = 1 + 2 * max(label_count, 1)
    with torch.device("meta"):
        network = AutoModelForTokenClassification.from_config(config)
        model = TokenTagger(network, case_features=tag_setup.reads_case(spec, tokenizer))
        classify_setup.attach_method(model, spec, 0)
        return model


def _empty_reader(spec: ExtractSpec, config: Any) -> SpanReader:
    """The network on the meta device: shapes without memory."""
    from transformers import AutoModelForQuestionAnswering

    with torch.device("meta"):
        model = SpanReader(AutoModelForQuestionAnswering.from_config(config))
        classify_setup.attach_method(model, spec, 0)
        return model


def _lengths(counts: np.ndarray[Any, np.dtype[np.int64]]) -> Mapping[str, Any]:
    """Quantiles and a histogram of token counts over all parts."""
    if not len(counts):
        return {"mean": 0.0, "p50": 0, "p95": 0, "p99": 0, "max": 0, "histogram": []}
    number, edges = np.histogram(counts, bins=min(20, int(counts.max() - counts.min()) + 1))
    bins = [
        {"from": float(low), "to": float(high), "count": int(count)}
        for count, low, high in zip(number, edges, edges[1:], strict=False)
    ]
    quantiles = {f"p{at}": int(np.percentile(counts, at)) for at in (50, 95, 99)}
    return {"mean": float(counts.mean()), **quantiles, "max": int(counts.max()), "histogram": bins}


def _size(config: Any) -> tuple[int, int]:
    """(layers, width) of a Hugging Face configuration, 0 where it does not say."""
    return int(getattr(config, "num_hidden_layers", 0) or 0), int(getattr(config, "hidden_size", 0) or 0)


def _activations(layers: int, width: int, tokens: int) -> int:
    return 4 * tokens * width * (layers + 1) * CELLS_PER_TOKEN


def _seconds(operations: float) -> float:
    """Time for so many floating-point operations at the speed this machine multiplies matrices right now."""
    left = torch.randn(512, 384)
    right = torch.randn(384, 1536)
    left @ right
    started, rounds = time.perf_counter(), 0
    while time.perf_counter() - started < 0.2:
        left @ right
        rounds += 1
    speed = rounds * 2 * 512 * 384 * 1536 / (time.perf_counter() - started)
    return operations / (0.7 * speed)


CHECKS: Mapping[type[Any], Callable[..., dict[str, Any]]] = {
    ClassifySpec: preflight_classify,
    DistilSpec: preflight_classify,
    PreferSpec: preflight_prefer,
    SftSpec: preflight_sft,
    TagSpec: preflight_tag,
    ExtractSpec: preflight_extract,
    PretrainSpec: preflight_pretrain,
}
