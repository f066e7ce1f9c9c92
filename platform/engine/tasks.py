"""The tasks a run can be ordered to do, each from plain values to plain values."""

import json
from pathlib import Path
from typing import Any

from engine.evaluate import evaluate, write_rows
from engine.failures import RunFailed
from engine.predict import load_classifier
from engine.recipes import classify
from engine.report import Report
from engine.specs import ClassifySpec, Spec


def perform(order: dict[str, Any], spec: Spec | None, report: Report) -> dict[str, Any]:
    """Do what the checked order says; the result is plain JSON."""
    data, out = Path(order["data"]["path"]), Path(order["out"])
    out.mkdir(parents=True, exist_ok=True)
    if order["task"] == "train":
        return train(order, spec, data, out, report)
    raise RunFailed("bad_spec", "not yet", "")


def train(order: dict[str, Any], spec: Spec | None, data: Path, out: Path, report: Report) -> dict[str, Any]:
    """Train by the spec's recipe."""
    resume = order.get("resume_from")
    assert isinstance(spec, ClassifySpec)
    return classify.train(
        spec,
        data,
        out,
        report,
        resume_from=Path(resume) if resume else None,
        micro_batch=order.get("micro_batch"),
        data_hash=order["data"].get("hash", ""),
    )
