"""Texts per second of our classifier beside transformers.pipeline on the same mixed-length texts, in one run."""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from engine.threads import use_threads

LABELS = ("card", "transfer", "loan")
WORDS = (  # noqa: SIM905 (a list of sixty lines reads worse)
    "account balance bank branch card cash charge cheque credit currency customer debit deposit exchange "
    "fee fraud insurance interest invoice limit loan merchant mobile money mortgage payment pension pin "
    "please rate receipt refund saving security statement support transaction transfer why when where how "
    "is are the a my your not been"
).split()


def mixed_texts(count: int, seed: int) -> list[str]:
    """Texts of lognormal length: median about 20 words, some beyond 100."""
    maker = random.Random(seed)
    sizes = [max(2, min(160, round(maker.lognormvariate(3.0, 0.8)))) for _ in range(count)]
    return [" ".join(maker.choices(WORDS, k=size)) for size in sizes]


def make_model(folder: Path, seed: int) -> Path:
    """A saved classifier on the bundled encoder, its head fitted to tell three groups of words apart."""
    import torch

    from engine import base_models
    from engine.encoder import TextClassifier
    from engine.model_folder import save_classifier
    from engine.predict import encode, forward_all
    from engine.probe import fit_probe
    from engine.report import Silent
    from engine.specs import BaseModel

    place = base_models.locate(BaseModel())
    tokenizer = base_models.load_tokenizer(place)
    model = TextClassifier(base_models.load_network(place, len(LABELS)), len(LABELS), pooling="mean").eval()
    maker = random.Random(seed)
    texts = [f"{text} {LABELS[at % 3]}" for at, text in enumerate(mixed_texts(90, seed + 1))]
    maker.shuffle(texts)
    targets = torch.tensor([[float(text.endswith(label)) for label in LABELS] for text in texts])
    features = forward_all(model, encode(tokenizer, texts, 128), Silent(), phase="bench", features=True)
    weight, bias = fit_probe(features, targets)
    model.head.load_state_dict({"weight": weight, "bias": bias})
    description = {"recipe": "classify", "multi_label": False, "decision_threshold": 0.5, "max_length_tokens": 128}
    save_classifier(folder, model, tokenizer, LABELS, description)
    return folder


def timed(work: Callable[[Sequence[str]], list[str]], texts: Sequence[str]) -> tuple[float, list[str]]:
    """(texts per second, labels)."""
    started = time.perf_counter()
    labels = work(texts)
    return len(texts) / (time.perf_counter() - started), labels


def measure(model: Path, texts: Sequence[str], rounds: int) -> dict[str, Any]:
    """Alternating rounds of both; the medians, their ratio and how many labels agree."""
    from transformers import pipeline

    from engine.predict import load_classifier

    classifier = load_classifier(model)
    judge = pipeline("text-classification", model=str(model), device="cpu", batch_size=32)

    def ours(lines: Sequence[str]) -> list[str]:
        return [labels[0] for labels in classifier.predict(lines).labels]

    def theirs(lines: Sequence[str]) -> list[str]:
        return [row["label"] for row in judge(list(lines), truncation=True, max_length=classifier.max_length_tokens)]

    ours(texts[:8])
    theirs(texts[:8])
    speeds: dict[str, list[float]] = {"ours": [], "pipeline": []}
    labels: dict[str, list[str]] = {}
    for _ in range(rounds):
        for name, work in (("ours", ours), ("pipeline", theirs)):
            speed, labels[name] = timed(work, texts)
            speeds[name].append(speed)
    middle = {name: sorted(found)[len(found) // 2] for name, found in speeds.items()}
    return {
        "texts": len(texts),
        "rounds": rounds,
        "texts_per_second": middle,
        "ratio": middle["ours"] / middle["pipeline"],
        "equal_labels": sum(one == other for one, other in zip(labels["ours"], labels["pipeline"], strict=True)),
        "label_counts": {label: labels["ours"].count(label) for label in LABELS},
    }


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="a classifier folder; without it one is made on the bundled encoder")
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    threads = use_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or make_model(Path(folder) / "model", options.seed)
        found = measure(model, mixed_texts(options.texts, options.seed), options.rounds) | {"threads": threads}
    if options.json:
        print(json.dumps(found))
        return
    speed = found["texts_per_second"]
    print(f"{found['texts']} texts, {found['rounds']} rounds, {threads} thread(s)")
    print(
        f"ours {speed['ours']:.1f}/s   pipeline(batch_size=32) {speed['pipeline']:.1f}/s   ratio {found['ratio']:.2f}"
    )
    print(f"equal labels {found['equal_labels']} of {found['texts']}")


if __name__ == "__main__":
    main()
