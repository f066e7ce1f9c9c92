"""Fine-tuned encoder against a linear probe on the frozen one, on held-out rows of BANKING77's training file."""

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.threads import use_threads

SPLIT_SEED = 7
L2_CHOICES = (1e-4, 3e-4, 1e-3, 3e-3)


def prepare(source: Path, target: Path, held_out_rows: int) -> tuple[int, int]:
    """Write the rows as Parquet: `held_out_rows` stratified ones as test, the rest as train; their numbers.

    Held-out texts that also stand in train (after folding case and space) are left out.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from engine.data import held_out
    from engine.texts import normalised

    with source.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    labels = [row["category"] for row in rows]
    kept, out = held_out(len(rows), held_out_rows / len(rows), SPLIT_SEED, labels)
    seen = {normalised(rows[at]["text"]) for at in kept}
    out = [at for at in out if normalised(rows[at]["text"]) not in seen]
    order = [*kept, *out]
    table = pa.table(
        {
            "example_id": pa.array(order, pa.int64()),
            "external_id": pa.array([None] * len(order), pa.string()),
            "split": ["train"] * len(kept) + ["test"] * len(out),
            "meta": ["{}"] * len(order),
            "text": [rows[at]["text"] for at in order],
            "labels": pa.array([[labels[at]] for at in order], pa.list_(pa.string())),
        }
    )
    pq.write_table(table, target)
    return len(kept), len(out)


def probe(data: Path) -> tuple[Any, dict[str, Any]]:
    """([M] booleans right on test, figures) of logistic regression on the frozen encoder's text vectors.

    The penalty is chosen on a tenth of train, then the probe is fitted on all of it.
    """
    import torch

    from engine import base_models
    from engine.data import held_out, read_texts
    from engine.encoder import TextClassifier
    from engine.evaluate import gold_table
    from engine.predict import encode, forward_all
    from engine.probe import fit_probe
    from engine.report import Silent
    from engine.specs import BaseModel

    splits = read_texts(data)
    labels = sorted({name for names in splits["train"].labels for name in names})
    place = base_models.locate(BaseModel())
    tokenizer = base_models.load_tokenizer(place)
    model = TextClassifier(base_models.load_network(place, len(labels)), len(labels), pooling="mean").eval()
    features, gold = {}, {}
    for name in ("train", "test"):
        sequences = encode(tokenizer, splits[name].texts, 128)
        features[name] = forward_all(model, sequences, Silent(), phase="probe", features=True)
        gold[name] = torch.from_numpy(gold_table(splits[name].labels, labels)).float()
    kept, out = held_out(len(splits["train"]), 0.1, SPLIT_SEED, splits["train"].labels)

    def right(weight: Any, bias: Any, vectors: Any, targets: Any) -> Any:
        return ((vectors @ weight.T + bias).argmax(1) == targets.argmax(1)).numpy()

    chosen = {}
    for l2 in L2_CHOICES:
        fitted = fit_probe(features["train"][kept], gold["train"][kept], l2=l2)
        chosen[l2] = float(right(*fitted, features["train"][out], gold["train"][out]).mean())
    best = max(chosen, key=lambda l2: chosen[l2])
    found = right(*fit_probe(features["train"], gold["train"], l2=best), features["test"], gold["test"])
    return found, {"accuracy": float(found.mean()), "l2": best, "chosen_on": chosen}


def fine_tune(data: Path, out: Path, seed: int, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """([M] booleans right on test, figures) of one run of the recipe with its default spec."""
    import numpy as np
    import pyarrow.parquet as pq

    from engine.recipes import classify
    from engine.report import Silent
    from engine.specs import ClassifySpec, parse_spec

    spec, problems = parse_spec("classify", {"seed": seed, **options})
    if not isinstance(spec, ClassifySpec):
        raise SystemExit("; ".join(problem.message for problem in problems))
    started = time.monotonic()
    result = classify.train(spec, data, out, Silent())
    rows = pq.read_table(out / "examples-test.parquet", columns=["correct"])
    figures = {
        "seed": seed,
        "spec_hash": result["spec_hash"],
        **{name: result["evaluations"]["test"]["headline"][name] for name in ("accuracy", "macro_f1")},
        "seconds": time.monotonic() - started,
        "model": result["files"]["model.safetensors"]["sha256"],
    }
    return np.array(rows["correct"].to_pylist()), figures


def measure(
    source: Path, out: Path, seeds: Sequence[int], held_out_rows: int, options: dict[str, Any]
) -> dict[str, Any]:
    """Probe once, fine-tune once per seed, and McNemar's test of each pair."""
    from engine import metrics

    data = out / "banking77.parquet"
    train_rows, test_rows = prepare(source, data, held_out_rows)
    base, found = probe(data)
    runs = []
    for seed in seeds:
        tuned, figures = fine_tune(data, out / f"seed-{seed}", seed, options)
        runs.append(figures | {"gain": float(tuned.mean() - base.mean()), "mcnemar": metrics.mcnemar(base, tuned)})
    gain = sum(run["gain"] for run in runs) / len(runs)
    return {"train_rows": train_rows, "held_out_rows": test_rows, "probe": found, "runs": runs, "mean_gain": gain}


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="train.csv with the columns text and category")
    parser.add_argument("--seeds", type=int, nargs="+", default=[17, 18, 19])
    parser.add_argument("--held-out", type=int, default=2200, help="rows kept for measuring")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="where models and rows stay; a temporary folder without it")
    parser.add_argument(
        "--spec", type=json.loads, default={}, help="options that differ from the recipe's defaults, as JSON"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    threads = use_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        out = options.out or Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        found = measure(options.data, out, options.seeds, options.held_out, options.spec) | {"threads": threads}
    if options.json:
        print(json.dumps(found))
        return
    print(f"{found['train_rows']} rows to learn from, {found['held_out_rows']} held out, {threads} thread(s)")
    print(f"linear probe       {found['probe']['accuracy']:.4f}")
    for run in found["runs"]:
        accuracy, test = run["accuracy"], run["mcnemar"]
        print(
            f"fine-tuned seed {run['seed']:<4}{accuracy['value']:.4f} [{accuracy['low']:.4f}, {accuracy['high']:.4f}]  "
            f"{run['gain'] * 100:+.2f} points  mid-p {test['mid_p']:.4f}  {run['seconds'] / 60:.1f} min"
        )
    print(f"mean gain          {found['mean_gain'] * 100:+.2f} points")


if __name__ == "__main__":
    main()
