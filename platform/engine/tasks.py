"""The tasks a run can be ordered to do, each from plain values to plain values."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from engine.base_models import own_description
from engine.chat_folder import holds_chat_model
from engine.chat_model import load_chat_model
from engine.chat_tasks import answer_rows, evaluate_chat_version
from engine.continuing import earlier_of
from engine.data import TextRows, read_texts
from engine.embed_tasks import embed_rows, evaluate_embedder
from engine.embedder_folder import holds_embedder, open_embedder
from engine.evaluate import evaluate, write_rows
from engine.explain import load_attributor
from engine.export import export
from engine.extract_tasks import evaluate_reader, find_answers
from engine.failures import RunFailed
from engine.fused import quick
from engine.gpt.explain import load_explainer
from engine.measured import kept_evaluation
from engine.portions import in_portions
from engine.predict import Predictions, load_classifier
from engine.preflight import preflight
from engine.rank import here
from engine.ranker_folder import holds_ranker, open_ranker
from engine.ranker_tasks import evaluate_ranker, score_rows
from engine.reader_folder import holds_reader, open_reader
from engine.recipes import classify, distil, distil_text, embed, extract, few_shot, prefer, pretrain, rerank, sft, tag
from engine.report import Report
from engine.specs import RECIPES, BaseModel, Spec
from engine.tag_tasks import evaluate_tagger, mark_rows
from engine.tagger_folder import holds_tagger, open_tagger
from engine.team import GoOnAlone, Together
from words import say


def perform(order: dict[str, Any], spec: Spec | None, report: Report) -> dict[str, Any]:
    """Do what the checked order says; the result is plain JSON."""
    out = Path(order["out"])
    out.mkdir(parents=True, exist_ok=True)
    if torch.cuda.is_available():
        torch.cuda.set_device(here().local)  # "cuda" then means this process's own
    if order["task"] == "export":
        return export(order, out, report)
    data = Path(order["data"]["path"])
    if order["task"] in ("evaluate", "predict"):
        act = {"evaluate": EVALUATE, "predict": PREDICT}[order["task"]]
        return act[task_of(Path(order["model"]))](order, data, out, report)
    if spec is None:
        raise RunFailed("bad_spec", say("This task needs a spec."), say("Give recipe and spec."))
    spec = with_places(spec, order.get("bases") or {})
    if order["task"] == "preflight":
        return preflight(spec, data, report, **looked_at(order))
    return train(order, spec, data, out, report)


def train(order: dict[str, Any], spec: Spec, data: Path, out: Path, report: Report) -> dict[str, Any]:
    """Train by the spec's recipe; with `estimate` the run says first what it will be like."""
    if order.get("estimate") and here().is_first:
        report.preflight(preflight(spec, data, report, **looked_at(order)))
    resume = order.get("resume_from")
    options: dict[str, Any] = {
        "resume_from": Path(resume) if resume else None,
        "micro_batch": order.get("micro_batch"),
        "data_hash": str(order["data"].get("hash", "")),
    }
    if order.get("earlier"):
        options["earlier"] = earlier_of(order)
    if order["recipe"] in KEEPS_TOKENS and order.get("cache"):
        options["cache"] = Path(order["cache"])
    if here().count > 1:
        report = Together(report, here())
    try:
        return TRAIN[order["recipe"]](spec, data, out, report, **options, **kind_of_rows(order))
    except GoOnAlone as shared:
        options["resume_from"] = shared.checkpoint
    return TRAIN[order["recipe"]](spec, data, out, report, **options, **kind_of_rows(order))


def looked_at(order: dict[str, Any]) -> dict[str, Any]:
    """What a preflight needs besides spec and rows."""
    return {**kind_of_rows(order), **({"earlier": earlier_of(order)} if order.get("earlier") else {})}


def with_places(spec: Spec, places: Mapping[str, str]) -> Spec:
    """The spec whose base models know where on this machine the versions they name lie, by "version:id"."""
    found: Any = spec
    for item in dataclasses.fields(found):
        value = getattr(found, item.name)
        if isinstance(value, BaseModel) and str(value) in places:
            found = dataclasses.replace(found, **{item.name: dataclasses.replace(value, place=places[str(value)])})
    checked: Spec = found
    return checked


def kind_of_rows(order: dict[str, Any]) -> dict[str, str]:
    """What the rows are, for recipes that learn from several kinds."""
    kinds = RECIPES[order["recipe"]].data_kinds
    return {"data_kind": order["data"].get("kind") or kinds[0]} if len(kinds) > 1 else {}


def task_of(folder: Path) -> str:
    """What the version in a folder does: by the recipe that wrote it, or by its architecture."""
    recipe = own_description(str(folder)).get("recipe", "")
    if recipe in RECIPES:
        return RECIPES[recipe].task
    return next((task for task, holds in FOREIGN.items() if holds(folder)), "classification")


def evaluate_version(order: dict[str, Any], data: Path, out: Path, report: Report) -> dict[str, Any]:
    """Measure a classifier folder on the labelled rows of data.split (all splits when it is empty)."""
    split = order["data"].get("split", "")
    found = read_texts(data)
    parts = [found[name] for name in sorted(found) if not split or name == split]
    classifier = quick(load_classifier(Path(order["model"])))
    rows = TextRows()
    for part in parts:
        rows.extend(part.pick([at for at, labels in enumerate(part.labels) if labels or classifier.multi_label]))
    if not len(rows):
        raise RunFailed(
            "no_rows", say("There are no labelled rows to measure on."), say("Choose another split or label rows.")
        )
    predictions = classifier.predict(rows.texts, report)
    measured, examples = evaluate(
        predictions.probabilities,
        rows.labels,
        rows.ids,
        classifier.names,
        multi_label=classifier.multi_label,
        threshold=classifier.threshold,
        turns_away=classifier.rejection is not None,
        seed=int(order.get("seed", 17)),
    )
    write_rows(out / "examples.parquet", examples)
    return kept_evaluation(out, measured)


def predict_rows(order: dict[str, Any], data: Path, out: Path, report: Report) -> dict[str, Any]:
    """Label every row of a Parquet file, one Parquet part per window; rows before `skip_rows` are already stored."""
    classifier = quick(load_classifier(Path(order["model"])))
    columns = [order["data"].get("column", "text")]
    done = in_portions(
        order, data, out, report, columns=columns, stream=classifier.stream, told=_labels_told, model=classifier
    )
    return {"rows": done, "labels": list(classifier.names)}


def _labels_told(predictions: Predictions) -> dict[str, pa.Array]:
    """Labels, and probabilities in the order of the model's labels."""
    return {
        "labels": pa.array([list(labels) for labels in predictions.labels], pa.list_(pa.string())),
        "probabilities": pa.array(list(predictions.probabilities), pa.list_(pa.float32())),
    }


FOREIGN = {
    "generation": holds_chat_model,
    "tagging": holds_tagger,
    "extraction": holds_reader,
    "embedding": holds_embedder,
    "reranking": holds_ranker,
}
TRAIN: dict[str, Callable[..., dict[str, Any]]] = {
    "classify": classify.train,
    "distil": distil.train,
    "distil_text": distil_text.train,
    "few_shot": few_shot.train,
    "tag": tag.train,
    "extract": extract.train,
    "embed": embed.train,
    "rerank": rerank.train,
    "prefer": prefer.train,
    "pretrain": pretrain.train,
    "sft": sft.train,
}
KEEPS_TOKENS = {"pretrain"}  # recipes whose attempts share a folder of tokens
EVALUATE = {
    "classification": evaluate_version,
    "tagging": evaluate_tagger,
    "extraction": evaluate_reader,
    "embedding": evaluate_embedder,
    "reranking": evaluate_ranker,
    "generation": evaluate_chat_version,
}
PREDICT = {
    "classification": predict_rows,
    "tagging": mark_rows,
    "extraction": find_answers,
    "embedding": embed_rows,
    "reranking": score_rows,
    "generation": answer_rows,
}
LOAD: dict[str, Callable[[Path], Any]] = {
    "classification": lambda folder: quick(load_classifier(folder)),
    "tagging": lambda folder: quick(open_tagger(folder)),
    "extraction": lambda folder: quick(open_reader(folder)),
    "embedding": lambda folder: quick(open_embedder(folder)),
    "reranking": lambda folder: quick(open_ranker(folder)),
    "generation": load_chat_model,
    "explain": load_explainer,
    "attribute": load_attributor,
}
"""Filled by name in this file only: how a folder of others shows its task, what each recipe trains with, what each task
of a version is measured, used and loaded by."""
