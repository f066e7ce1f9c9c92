"""The floor to beat where no pretrained encoder reads the language: multinomial naive Bayes, from train to test.

McCallum and Nigam 1998: log p(y) + sum over terms of n log p(term | y), with p(term | y) smoothed by adding alpha to
each count. Terms are words, and of scripts without spaces single characters and pairs of them; alpha is chosen on a
tenth of train, as is whether a term that comes twice counts twice.
"""

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

SEED = 7
ALPHAS = (0.03, 0.1, 0.3, 1.0)
PIECES = re.compile(r"[\u3400-\u9fff]+|[^\W_\u3400-\u9fff]+|[^\w\s]")


def terms(text: str) -> list[str]:
    """Words in lower case, signs, and of Chinese characters each and each pair."""
    found: list[str] = []
    for piece in PIECES.findall(text.lower()):
        if "\u3400" <= piece[0] <= "\u9fff":
            found += [*piece, *(piece[at : at + 2] for at in range(len(piece) - 1))]
        else:
            found.append(piece)
    return found


def right_of(
    train: Sequence[Sequence[str]], labels: np.ndarray, test: Sequence[Sequence[str]], gold: np.ndarray, alpha: float
) -> np.ndarray:
    """Which test rows [M] are right, learnt from train rows with labels [N] of 0 to K-1."""
    index = {term: at for at, term in enumerate(sorted({term for row in train for term in row}))}
    classes = int(labels.max()) + 1
    counts = np.full((classes, len(index)), alpha)
    for row, label in zip(train, labels, strict=True):
        np.add.at(counts[label], [index[term] for term in row], 1)
    scores = np.log(counts / counts.sum(1, keepdims=True))
    prior = np.log(np.bincount(labels, minlength=classes) / len(labels))
    said = [(prior + scores[:, [index[term] for term in row if term in index]].sum(1)).argmax() for row in test]
    found: np.ndarray = np.array(said) == gold
    return found


def numbers_of(labels: Sequence[Sequence[str]], names: Sequence[str]) -> np.ndarray:
    """The place of each row's label among the names, [N]; -1 for one that train does not have."""
    return np.array([names.index(row[0]) if row[0] in names else -1 for row in labels])


def naive_bayes(data: Path) -> dict[str, Any]:
    """Accuracy on test and {example id: right} for the rows of a frozen version."""
    from engine.data import held_out, read_texts

    splits = read_texts(data)
    names = sorted({name for found in splits["train"].labels for name in found})
    gold = {part: numbers_of(splits[part].labels, names) for part in ("train", "test")}
    read = {part: [terms(text) for text in splits[part].texts] for part in ("train", "test")}
    kept, out = held_out(len(read["train"]), 0.1, SEED, splits["train"].labels)
    chosen = {}
    for once in (False, True):
        rows = [list(dict.fromkeys(row)) if once else row for row in read["train"]]
        for alpha in ALPHAS:
            part = [rows[at] for at in kept], gold["train"][kept], [rows[at] for at in out], gold["train"][out]
            chosen[once, alpha] = float(right_of(*part, alpha).mean())
    once, alpha = max(chosen, key=lambda choice: chosen[choice])
    train, test = ([list(dict.fromkeys(row)) if once else row for row in read[part]] for part in ("train", "test"))
    found = right_of(train, gold["train"], test, gold["test"], alpha)
    return {
        "accuracy": float(found.mean()),
        "chosen": f"alpha {alpha:g}, {'each term once a text' if once else 'terms counted'}",
        "right": {int(at): bool(ok) for at, ok in zip(splits["test"].ids, found, strict=True)},
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="Parquet file of a frozen version with train and test")
    parser.add_argument("--threads", type=int, default=1, help="told to every peer; this one needs a single one")
    print(json.dumps(naive_bayes(parser.parse_args().data)))


if __name__ == "__main__":
    main()
