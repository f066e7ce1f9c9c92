"""What was measured, as files and as the result event tells it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def kept_evaluation(out: Path, found: Mapping[str, Any], part: str = "") -> dict[str, Any]:
    """Write the figures beside the example rows, which are there; of a training with the name of the part measured."""
    end = f"-{part}" if part else ""
    path = out / f"evaluation{end}.json"
    path.write_text(json.dumps(found, ensure_ascii=False, allow_nan=False), encoding="utf-8")
    return {
        "headline": found["headline"],
        "rows": found["rows"],
        "metrics": str(path),
        "examples": str(out / f"examples{end}.parquet"),
    }
