"""What a run that goes on from a model version needs besides, and where its rows say otherwise than earlier tasks did."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.data import TextRows
from engine.plan import rehearsed_rows
from engine.preflight_rows import naming
from engine.specs.continuing import HOLDING
from engine.specs.problems import Problem
from engine.texts import normalised
from words import say


def clashes(new: TextRows, tasks: Sequence[TextRows]) -> list[Problem]:
    """A warning that names new texts which carry other labels than an earlier task gave them."""
    known = {
        normalised(text): frozenset(labels)
        for task in tasks
        for text, labels in zip(task.texts, task.labels, strict=True)
    }
    rows = [
        number
        for number, text, labels in zip(new.ids, new.texts, new.labels, strict=True)
        if known.get(normalised(text), frozenset(labels)) != frozenset(labels)
    ]
    return naming(
        rows,
        "label_clash",
        "keep",
        say("{rows_count} texts carry other labels than in an earlier task.", rows_count=len(rows)),
        say("Decide which label is right; both are learnt otherwise."),
        severity="warning",
    )


def steps(spec: Any, rows: int) -> int:
    """Optimiser steps of an epoch over so many new rows."""
    return -(-rows // int(step_rows(spec) - drawn(spec)))


def drawn(spec: Any) -> int:
    """Rows of a step that come from earlier tasks."""
    return rehearsed_rows(step_rows(spec), spec.replay_share) if spec.keep == "replay" else 0


def rows_a_new_one(spec: Any) -> float:
    """Rows that are read for each new one."""
    size = step_rows(spec)
    return float(size / (size - drawn(spec)))


def step_rows(spec: Any) -> int:
    """Rows of an optimiser step."""
    return int(spec.batch_size * getattr(spec, "gradient_accumulation", 1))


def copies(spec: Any) -> int:
    """Further copies of the trained weights: where they began, and what each means."""
    return 2 if spec.keep in HOLDING else 0


def fisher_tokens(spec: Any, lengths: Any, limit: int) -> float:
    """Tokens read to estimate what each weight means, taken to be as long as the new rows."""
    if spec.keep != "ewc" or not len(lengths):
        return 0.0
    return float(spec.fisher_rows * np.minimum(lengths, limit).mean())
