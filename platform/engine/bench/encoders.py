"""Labelling and text vectors beside transformers in one run: texts per second, and how many labels of real texts are equal.

Contenders take turns. `pipeline` is transformers.pipeline(batch_size=32); `padded` is plain torch over texts sorted by length,
32 at once, each batch padded to its longest. All read the same encoder (22 million weights) and tokenise themselves. Of labels
`pipeline` reads the saved folder, in which the mean of the token vectors is one more layer, so it computes 7 layers against 6.
"""

import argparse
import csv
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from engine.threads import use_threads

BATCH = 32
MAX_TOKENS = 200
LEARNT_ROWS = 6_000
LISTED = 50  # mismatches that are shown
WORDS = (  # noqa: SIM905 (a list of sixty lines reads worse)
    "account balance bank branch card cash charge cheque credit currency customer debit deposit exchange "
    "fee fraud insurance interest invoice limit loan merchant mobile money mortgage payment pension pin "
    "please rate receipt refund saving security statement support transaction transfer why when where how "
    "is are the a my your not been"
).split()
Rows = list[tuple[str, str]]  # text and label
Work = Callable[[Sequence[str]], Any]


def mixed_texts(count: int, seed: int) -> list[str]:
    """Texts of 5 to 200 tokens whose lengths are lognormal: median about 20 words, some beyond 100."""
    maker = random.Random(seed)
    sizes = [max(3, min(MAX_TOKENS - 2, round(maker.lognormvariate(3.0, 0.8)))) for _ in range(count)]
    return [" ".join(maker.choices(WORDS, k=size)) for size in sizes]


def read_rows(paths: Sequence[Path]) -> Rows:
    """The first two columns of CSV files with a header: text and label."""
    found: Rows = []
    for path in paths:
        with path.open(newline="", encoding="utf-8") as file:
            found += [(row[0], row[1]) for row in list(csv.reader(file))[1:]]
    return found


def made_rows(count: int, seed: int) -> Rows:
    """Rows without a file: texts that say their label at their end."""
    labels = ("card", "transfer", "loan")
    return [(f"{text} {labels[at % 3]}", labels[at % 3]) for at, text in enumerate(mixed_texts(count, seed))]


def make_model(folder: Path, rows: Rows, seed: int) -> Path:
    """A saved classifier: a head fitted to a draw of the rows on the bundled encoder's vectors."""
    import torch

    from engine import base_models
    from engine.encoder import TextClassifier
    from engine.model_folder import save_classifier
    from engine.predict import encode, forward_all
    from engine.probe import fit_probe
    from engine.report import Silent
    from engine.specs import BaseModel

    labels = sorted({label for _, label in rows})
    place = base_models.locate(BaseModel())
    tokenizer = base_models.load_tokenizer(place)
    network = base_models.load_network(place, len(labels))
    model = TextClassifier(network, len(labels), pooling="mean").eval()
    learnt = random.Random(seed).sample(rows, min(LEARNT_ROWS, len(rows)))
    targets = torch.zeros(len(learnt), len(labels))
    targets[range(len(learnt)), [labels.index(label) for _, label in learnt]] = 1
    sequences = encode(tokenizer, [text for text, _ in learnt], MAX_TOKENS)
    features = forward_all(model, sequences, Silent(), phase="bench", features=True)
    weight, bias = fit_probe(features, targets, l2=1e-5)
    model.head.load_state_dict({"weight": weight, "bias": bias})
    description = {
        "recipe": "classify",
        "multi_label": False,
        "decision_threshold": 0.5,
        "max_length_tokens": MAX_TOKENS,
    }
    save_classifier(folder, model, tokenizer, labels, description)
    return folder


def in_order(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Positions by length, the longest first, BATCH at once."""
    order = sorted(range(len(lengths)), key=lambda at: -lengths[at])
    return (order[start : start + BATCH] for start in range(0, len(order), BATCH))


def padded(network: Any, tokenizer: Any, texts: Sequence[str], pool: Callable[[Any, Any], Any]) -> Any:
    """What `pool` makes of the token states [N, T, D] and the mask [N, T] of padded batches, in the order of the texts."""
    import torch

    lengths = [len(ids) for ids in tokenizer(list(texts), truncation=True, max_length=MAX_TOKENS)["input_ids"]]
    found: list[Any] = [None] * len(texts)
    with torch.inference_mode():
        for batch in in_order(lengths):
            given = tokenizer(
                [texts[at] for at in batch],
                truncation=True,
                max_length=MAX_TOKENS,
                padding="longest",
                return_tensors="pt",
            )
            rows = pool(network(**given).last_hidden_state, given["attention_mask"])
            for at, row in zip(batch, rows, strict=True):
                found[at] = row
    return torch.stack(found)


def mean_of(hidden: Any, mask: Any) -> Any:
    """The mean over the tokens that are none of the padding, [N, D]."""
    weights = mask[:, :, None].float()
    return (hidden * weights).sum(1) / weights.sum(1)


def labellers(folder: Path) -> dict[str, Work]:
    """Contenders that give label numbers."""
    import torch
    import torch.nn.functional as F
    from transformers import pipeline

    from engine.encoder import MEAN_SCALE, POOL_SCALE
    from engine.fused import quick
    from engine.predict import load_classifier

    ours, plain = quick(load_classifier(folder)), load_classifier(folder)
    judge = pipeline("text-classification", model=str(folder), device="cpu", batch_size=BATCH)
    numbers = {name: at for at, name in enumerate(ours.names)}

    def head(hidden: Any, mask: Any) -> Any:
        found = mean_of(hidden, mask) * MEAN_SCALE + hidden[:, 0]
        found = F.layer_norm(found, found.shape[-1:], eps=float(plain.model.config.layer_norm_eps))  # type: ignore[arg-type,union-attr]
        logits: torch.Tensor = plain.model.head(torch.tanh(found / POOL_SCALE) * POOL_SCALE)  # type: ignore[operator]
        return logits.argmax(-1)

    def theirs(texts: Sequence[str]) -> list[int]:
        return [numbers[row["label"]] for row in judge(list(texts), truncation=True, max_length=MAX_TOKENS)]

    return {
        "ours": lambda texts: ours.predict(texts).probabilities.argmax(-1).tolist(),
        "pipeline": theirs,
        "padded": lambda texts: padded(plain.model.encoder, plain.tokenizer, texts, head).tolist(),
    }


def embedders() -> dict[str, Work]:
    """Contenders that give vectors of length 1."""
    import torch.nn.functional as F
    from transformers import AutoModel, pipeline

    from engine import base_models
    from engine.embedder_folder import base_embedder
    from engine.fused import quick
    from engine.specs import BaseModel

    place = base_models.locate(BaseModel())
    ours, plain = quick(base_embedder(BaseModel(), MAX_TOKENS)), AutoModel.from_pretrained(place).eval()
    tokenizer = base_models.load_tokenizer(place)
    reader = pipeline("feature-extraction", model=plain, tokenizer=tokenizer, device="cpu", batch_size=BATCH)

    def theirs(texts: Sequence[str]) -> Any:
        import torch

        options = {"truncation": True, "max_length": MAX_TOKENS}
        lengths = [len(ids) for ids in tokenizer(list(texts), **options)["input_ids"]]
        states = reader(list(texts), return_tensors=True, tokenize_kwargs=options)
        means = [each[0, :length].mean(0) for each, length in zip(states, lengths, strict=True)]
        return F.normalize(torch.stack(means), dim=-1).numpy()

    def sorted_padded(texts: Sequence[str]) -> Any:
        return F.normalize(padded(plain, tokenizer, texts, mean_of), dim=-1).numpy()

    return {"ours": ours.embed, "pipeline": theirs, "padded": sorted_padded}


def compare(contenders: dict[str, Work], texts: Sequence[str], rounds: int) -> dict[str, Any]:
    """Medians of alternating rounds: texts per second by the clock, and ratios by clock and by processor time."""
    for work in contenders.values():
        work(texts[: 2 * BATCH])
    clock: dict[str, list[float]] = {name: [] for name in contenders}
    busy: dict[str, list[float]] = {name: [] for name in contenders}
    said: dict[str, Any] = {}
    for _ in range(rounds):
        for name, work in contenders.items():
            begun, begun_busy = time.perf_counter(), time.process_time()
            said[name] = work(texts)
            clock[name].append(time.perf_counter() - begun)
            busy[name].append(time.process_time() - begun_busy)
    found: dict[str, Any] = {"texts": len(texts), "rounds": rounds}
    for name in contenders:
        ratios = [mine and theirs / mine for mine, theirs in zip(clock["ours"], clock[name], strict=True)]
        found[name] = {
            "texts_per_second": len(texts) / statistics.median(clock[name]),
            "times": statistics.median(clock[name]) / statistics.median(clock["ours"]),
            "times_by_round": [round(each, 2) for each in ratios],
            "times_busy": statistics.median(busy[name]) / statistics.median(busy["ours"]),
        }
    return found | {"said": said}


def agreement(folder: Path, rows: Rows) -> dict[str, Any]:
    """Our labels beside those of transformers' fp32 network on real texts, with every mismatch; and those by int8 products."""
    import torch
    from transformers import AutoModelForSequenceClassification

    from engine.fused import quick
    from engine.int8 import serve_int8
    from engine.predict import load_classifier

    texts = [text for text, _ in rows]
    ours, rough = quick(load_classifier(folder)), load_classifier(folder)
    network = AutoModelForSequenceClassification.from_pretrained(folder).eval()

    def reference() -> Any:
        lengths = [len(text) for text in texts]
        found = torch.zeros(len(texts), len(ours.names))
        with torch.inference_mode():
            for batch in in_order(lengths):
                given = ours.tokenizer(
                    [texts[at] for at in batch],
                    truncation=True,
                    max_length=MAX_TOKENS,
                    padding="longest",
                    return_tensors="pt",
                )
                found[batch] = network(**given).logits.softmax(-1)
        return found.numpy()

    wanted = reference()
    serve_int8(rough.model)
    found = {"fp32": ours.predict(texts).probabilities, "int8": rough.predict(texts).probabilities}
    right = [ours.names.index(label) for _, label in rows]
    told: dict[str, Any] = {"texts": len(texts), "accuracy": float((wanted.argmax(1) == right).mean())}
    for name, probabilities in found.items():
        other = [int(at) for at in (probabilities.argmax(1) != wanted.argmax(1)).nonzero()[0]]
        told[name] = {
            "equal_labels": 1 - len(other) / len(texts),
            "largest_difference": float(abs(probabilities - wanted).max()),
            "accuracy": float((probabilities.argmax(1) == right).mean()),
            "mismatches": [
                {
                    "row": at,
                    "label": ours.names[wanted[at].argmax()],
                    "probability": float(wanted[at].max()),
                    "said": ours.names[probabilities[at].argmax()],
                    "said_probability": float(probabilities[at].max()),
                }
                for at in other[:LISTED]
            ],
        }
    return told


def closeness(texts: Sequence[str]) -> float:
    """The mean cosine of vectors by int8 products and those of fp32."""
    from engine.embedder_folder import base_embedder
    from engine.fused import quick
    from engine.int8 import serve_int8
    from engine.specs import BaseModel

    exact, rough = quick(base_embedder(BaseModel(), MAX_TOKENS)), base_embedder(BaseModel(), MAX_TOKENS)
    serve_int8(rough.model)
    wanted = exact.embed(texts)
    return float((rough.embed(texts) * wanted).sum(1).mean())


def rough_labellers(folder: Path) -> dict[str, Work]:
    """The same version with int8 products."""
    from engine.fused import quick
    from engine.int8 import serve_int8
    from engine.predict import load_classifier

    ours, rough = quick(load_classifier(folder)), load_classifier(folder)
    serve_int8(rough.model)
    return {"ours": lambda texts: ours.predict(texts).labels, "int8": lambda texts: rough.predict(texts).labels}


def measure(rows: Rows, *, texts: int, rounds: int, seed: int) -> dict[str, Any]:
    """All figures of one run."""
    mixed = mixed_texts(texts, seed)
    with tempfile.TemporaryDirectory() as place:
        folder = make_model(Path(place) / "model", rows, seed)
        labelled = compare(labellers(folder), mixed, rounds)
        said = labelled.pop("said")
        labelled["equal"] = sum(one == other for one, other in zip(said["ours"], said["padded"], strict=True)) / texts
        vectors = compare(embedders(), mixed, rounds)
        said = vectors.pop("said")
        vectors["least_cosine"] = min(
            float((said["ours"] * said[name]).sum(1).min()) for name in ("pipeline", "padded")
        )
        rough = compare(rough_labellers(folder), mixed, rounds)
        rough.pop("said")
        return {
            "labels": labelled,
            "vectors": vectors,
            "int8": rough,
            "agreement": agreement(folder, rows),
            "int8_cosine": closeness([text for text, _ in rows[:2000]]),
        }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="CSV files of texts and labels")
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=17)
    options = parser.parse_args()
    threads = use_threads(options.threads)
    rows = read_rows(options.data) if options.data else made_rows(600, options.seed)
    found = measure(rows, texts=options.texts, rounds=options.rounds, seed=options.seed)
    print(json.dumps({**found, "threads": threads, "seed": options.seed}))


if __name__ == "__main__":
    main()
