"""Registered versions for the registry's tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.registry.models import ModelVersion
from apps.registry.services import Making, register_version

REPORT = {
    "rows": 40,
    "headline": {
        "accuracy": {"value": 0.9, "low": 0.8, "high": 0.95},
        "macro_f1": {"value": 0.88, "low": 0.78, "high": 0.94},
        "loss": {"value": 0.4, "low": 0.3, "high": 0.5},
    },
    "per_class": [
        {
            "label": label,
            "precision": 0.9,
            "precision_interval": [0.8, 0.95],
            "recall": 0.9,
            "recall_interval": [0.8, 0.95],
            "f1": 0.9,
            "support": 20,
            "predicted": 20,
        }
        for label in ("card", "loan | <b>")
    ],
    "calibration": {"ece": 0.05, "bins": [{"from": 0.8, "to": 0.9, "count": 40, "confidence": 0.85, "accuracy": 0.9}]},
    "brier": 0.2,
    "roc_auc": 0.95,
    "confusion": {"labels": ["card", "loan | <b>"], "cells": [[0, 0, 18], [0, 1, 2]], "matrix": [[18, 2], [2, 18]]},
    "interval": {"method": "percentile bootstrap over rows", "rounds": 1000, "seed": 17},
}
SAMPLE = {
    "example_id": 4,
    "text": "<script>alert(1)</script> where is my card",
    "gold": ["card"],
    "predicted": ["loan | <b>"],
    "probability": 0.97,
    "loss": 3.5,
    "correct": False,
}


@pytest.fixture(autouse=True)
def no_beats(settings: Any) -> None:
    """A beat comes from another connection, which does not see what a test has not committed."""
    settings.JOB_BEAT_SECONDS = 3600


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A small folder that looks like a model; nobody loads it."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def register(workspace: Any, alice: Any, model_folder: Path) -> Callable[..., ModelVersion]:
    """Registers a version of the model "intents"."""

    def make(**columns: Any) -> ModelVersion:
        given: dict[str, Any] = {
            "workspace": workspace,
            "name": "intents",
            "folder": model_folder,
            "recipe": "classify",
            "task": "classification",
            "labels": ["card", "loan | <b>"],
            "metrics": {"test": REPORT},
            "samples": [SAMPLE],
            "making": Making(spec={"epochs": 3}, spec_hash="a" * 64, seed=17, timings={"train": 12.5}),
            "by": alice,
        }
        return register_version(**{**given, **columns})

    return make
