"""What a run can be ordered to do with a ranker: measure it on pairs or classes, score many pairs."""

from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from engine.embed_tasks import LEAST_SCORE, measured_rows, require_found
from engine.evaluate_ranking import evaluate_ranking, write_ranked_rows
from engine.fused import quick
from engine.measured import kept_evaluation
from engine.portions import in_portions
from engine.ranker import Scores, chances
from engine.ranker_folder import open_ranker
from engine.report import Report

CANDIDATES = 50


def evaluate_ranker(order: dict[str, Any], data: Path, out: Path, report: Report) -> dict[str, Any]:
    """Measure a ranker on the pairs or labelled texts of data.split (all splits when it is empty)."""
    rows = measured_rows(data, order["data"].get("kind") or "pairs", order["data"].get("split", ""))
    ranker = quick(open_ranker(Path(order["model"])))
    measured, examples = evaluate_ranking(
        rows,
        partial(ranker.score, report=report),
        candidates=int(ranker.description.get("candidates", CANDIDATES)),
        least_score=float(ranker.description.get("least_score", LEAST_SCORE)),
        seed=int(order.get("seed", 17)),
    )
    require_found(measured)
    write_ranked_rows(out / "examples.parquet", examples)
    return kept_evaluation(out, measured)


def score_rows(order: dict[str, Any], data: Path, out: Path, report: Report) -> dict[str, Any]:
    """Score every pair of a Parquet file, a Parquet part per window; rows before `skip_rows` are stored.

    The query stands in `data.column`, the text in the column `context`.
    """
    ranker = quick(open_ranker(Path(order["model"])))
    columns = [order["data"].get("column", "text"), "context"]
    done = in_portions(order, data, out, report, columns=columns, stream=ranker.stream, told=_scores_told, model=ranker)
    return {"rows": done}


def _scores_told(logits: Scores) -> dict[str, pa.Array]:
    return {"score": pa.array(chances(logits), pa.float32())}
