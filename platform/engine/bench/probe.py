"""The floor to beat: logistic regression on the frozen encoder, from the train split of a frozen version to its test split."""

import argparse
import json
from pathlib import Path
from typing import Any

from engine.threads import use_threads

SEED = 7
L2_CHOICES = (1e-4, 3e-4, 1e-3, 3e-3)


def probe(data: Path, l2_choices: tuple[float, ...] = L2_CHOICES) -> dict[str, Any]:
    """Accuracy on test and {example id: right}; the penalty is chosen on a tenth of train, then all of it is fitted."""
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
    kept, out = held_out(len(splits["train"]), 0.1, SEED, splits["train"].labels)

    def right(weight: Any, bias: Any, vectors: Any, targets: Any) -> Any:
        return ((vectors @ weight.T + bias).argmax(1) == targets.argmax(1)).numpy()

    chosen = {}
    for l2 in l2_choices:
        fitted = fit_probe(features["train"][kept], gold["train"][kept], l2=l2)
        chosen[l2] = float(right(*fitted, features["train"][out], gold["train"][out]).mean())
    best = max(chosen, key=lambda l2: chosen[l2])
    found = right(*fit_probe(features["train"], gold["train"], l2=best), features["test"], gold["test"])
    pairs = zip(splits["test"].ids, found.tolist(), strict=True)
    return {
        "accuracy": float(found.mean()),
        "chosen": f"l2 {best:g}",
        "right": {int(at): ok for at, ok in pairs},
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="Parquet file of a frozen version with train and test")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    use_threads(options.threads)
    print(json.dumps(probe(options.data)))


if __name__ == "__main__":
    main()
