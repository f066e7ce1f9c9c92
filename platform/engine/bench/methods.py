"""One small GPT tuned by each method on the same chats: what it costs, how far it gets; JSON lines.

`python -m engine.bench.methods --data PLAY.txt`: the first part of a play is the corpus of a base model made from
scratch; of the rest each speech is answered by the next one. Every method goes on from that base over the same rows.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from engine.data import write_whole
from engine.export import export
from engine.recipes import pretrain, sft
from engine.report import Silent
from engine.specs import BaseModel, PretrainSpec, SftSpec, spec_hash

METHODS = ("full", "lora", "adalora", "prefix", "bottleneck")
CORPUS_SHARE, DEV_SHARE, SPLIT_SEED = 0.6, 0.1, 7
SPEECHES_A_DOCUMENT = 20
LONGEST_SPEECH = 250  # characters
BASE: Mapping[str, Any] = {"vocabulary_size": 2048, "epochs": 3, "batch_size": 8, "sample_count": 0, "holdout_share": 0}
TUNING: Mapping[str, Any] = {
    "epochs": 5,
    "batch_size": 8,
    "answered_rows": 0,
    "sample_count": 0,
    "learning_rate": 5e-4,
    "adapter_learning_rate": 5e-3,
    "holdout_share": 0,
}
MERGED = ("full", "lora", "adalora")  # the others cannot be merged


@dataclass
class Noted(Silent):
    """Keeps the dev loss of every step it is measured at."""

    dev: dict[int, float] = field(default_factory=dict)

    def metric(self, step: int, **values: float) -> None:
        """Only what is measured on dev."""
        if "dev_loss" in values:
            self.dev[step] = values["dev_loss"]


def speeches(text: str) -> list[str]:
    """What is said in turn, without the names of who says it."""
    blocks = [block.strip().split("\n", 1) for block in text.split("\n\n")]
    return [block[1].strip() for block in blocks if len(block) == 2 and block[1].strip()]


def corpus_and_chats(text: str, place: Path) -> tuple[Path, Path]:
    """Parquet files: documents of the first part, and pairs of speech and answer of the rest with a dev split."""
    said = speeches(text)
    begin = int(len(said) * CORPUS_SHARE)
    documents = [
        "\n\n".join(said[at : min(begin, at + SPEECHES_A_DOCUMENT)]) for at in range(0, begin, SPEECHES_A_DOCUMENT)
    ]
    pairs = list(zip(said[begin:-1], said[begin + 1 :], strict=True))[::2]  # no speech stands in two rows
    pairs = [pair for pair in pairs if max(map(len, pair)) <= LONGEST_SPEECH]  # so that both fit into the context
    dice = random.Random(SPLIT_SEED)
    dev = set(dice.sample(range(len(pairs)), round(len(pairs) * DEV_SHARE)))
    splits = ["dev" if at in dev else "train" for at in range(len(pairs))]
    corpus = _table(["train"] * len(documents), {"text": documents})
    chats = _table(splits, {"source": [one for one, _ in pairs], "target": [other for _, other in pairs]})
    return _written(place / "corpus.parquet", corpus), _written(place / "chats.parquet", chats)


def _table(splits: Sequence[str], columns: Mapping[str, Sequence[str]]) -> pa.Table:
    numbers = pa.array(range(len(splits)), pa.int64())
    meta = pa.array(["{}"] * len(splits))
    return pa.table(
        {"example_id": numbers, "split": pa.array(splits), "meta": meta, **{n: pa.array(v) for n, v in columns.items()}}
    )


def _written(path: Path, table: pa.Table) -> Path:
    write_whole(path, table)
    return path


def spec_of(base: Path, method: str, seed: int, options: Mapping[str, Any]) -> SftSpec:
    """What a run is asked with. Its hash does not tell where the base lies: that is another folder every time."""
    reference = BaseModel("version", "1", place=str(base))
    return SftSpec(base_model=reference, method=method, **{**TUNING, **options, "seed": seed})


def tuned(base: Path, chats: Path, method: str, seed: int, options: Mapping[str, Any], place: Path) -> dict[str, Any]:
    """One run: dev loss by step, what was trained, what it weighs on disk, and the parity of its export."""
    began = time.monotonic()
    spec = spec_of(base, method, seed, options)
    assert not spec.problems(), [str(problem.message) for problem in spec.problems()]
    noted = Noted()
    made = sft.train(spec, chats, place, noted, data_kind="pairs")
    bases = {str(spec.base_model): str(base)}
    kinds = [*(["merged"] if method in MERGED else []), *(["adapter"] if method != "full" else [])]
    parities = {
        kind: export({"kind": kind, "model": made["model"], "bases": bases}, place / kind, Silent())["parity"]
        for kind in kinds
    }
    kept = Path(made["model"]) / "adapter" if method != "full" else Path(made["model"])
    return {
        "method": method,
        "seed": seed,
        "spec_hash": spec_hash(spec),
        "trainable": made["trainable_parameters"],
        "parameters": made["parameters"],
        "dev": sorted(noted.dev.items()),
        "bytes": sum(path.stat().st_size for path in kept.glob("*.safetensors")),
        "parities": parities,
        "seconds": time.monotonic() - began,
    }


def results(
    data: Path,
    seeds: Sequence[int],
    methods: Sequence[str],
    options: Mapping[str, Any],
    base_options: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    """Seed by seed every method, from one base model."""
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        corpus, chats = corpus_and_chats(data.read_text(encoding="utf-8"), place)
        base = Path(pretrain.train(PretrainSpec(**{**BASE, **base_options}), corpus, place / "base", Silent())["model"])
        for seed in seeds:
            for method in methods:
                yield tuned(base, chats, method, seed, options, place / f"{method}-{seed}")


def main() -> None:
    """One JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="a play: blocks of a name with a colon and what is said"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[17])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--spec", type=json.loads, default={}, help="options of the tuning")
    parser.add_argument("--base", type=json.loads, default={}, help="options of the base model")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for found in results(given.data, given.seeds, given.methods, given.spec, given.base):
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
