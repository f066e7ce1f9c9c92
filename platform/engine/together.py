"""Several classifiers asked at once: those on the same encoder read each text once, and each applies its own head.

Versions whose encoder was never trained (method "frozen") have the encoder of their base, bit by bit; so have two heads on any
one encoder. What is compared is what counts for a text vector: encoder weights, its shape, tokenizer and cutting length.
"""

import hashlib
import json
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from engine import int8
from engine.encoder import TextClassifier
from engine.predict import Classifier, Predictions, forward_all
from engine.rejection import probabilities_of
from engine.report import Silent
from words import say

HEAD = "classifier."
OF_LABELS = ("id2label", "label2id", "num_labels", "problem_type", "_name_or_path", "architectures")
_keys: WeakKeyDictionary[Classifier, str] = WeakKeyDictionary()


def predict_together(asked: Sequence[tuple[Any, Sequence[str]]]) -> list[Predictions]:
    """(classifier, its texts) -> what each says of its texts, in order, as `predict` says it up to the order of sums."""
    groups: dict[str, list[int]] = {}
    for at, (model, _texts) in enumerate(asked):
        groups.setdefault(encoder_key(model) or f"alone {id(model)}", []).append(at)
    found: dict[int, Predictions] = {}
    for group in groups.values():
        members = [asked[at] for at in group]
        is_one = all(model is members[0][0] for model, _texts in members)
        found.update(zip(group, _one_call(members) if is_one else _one_pass(members), strict=True))
    return [found[at] for at in range(len(asked))]


def encoder_key(model: Any) -> str:
    """Equal for classifiers whose text vectors are the same; empty where they cannot be shared."""
    if not isinstance(model, Classifier):
        return ""
    if model not in _keys:
        _keys[model] = _key_of(model)
    return _keys[model]


def _one_call(members: Sequence[tuple[Any, Sequence[str]]]) -> list[Predictions]:
    """Of one classifier that was asked several times."""
    whole = members[0][0].predict([text for _model, texts in members for text in texts])
    ends = [0, *accumulate(len(texts) for _model, texts in members)]
    return [
        Predictions(whole.names, whole.labels[start:end], whole.probabilities[start:end])
        for start, end in pairwise(ends)
    ]


@torch.no_grad()
def _one_pass(members: Sequence[tuple[Classifier, Sequence[str]]]) -> list[Predictions]:
    first = members[0][0]
    distinct = {text: at for at, text in enumerate(dict.fromkeys(text for _model, texts in members for text in texts))}
    assert isinstance(first.model, TextClassifier)
    vectors = forward_all(
        first.model, first.read(list(distinct)), Silent(), phase=say("labelling"), total=len(distinct), features=True
    )  # [distinct, D]
    return [
        model.decided(_probabilities(model, vectors, [distinct[text] for text in texts])) for model, texts in members
    ]


def _probabilities(model: Classifier, vectors: torch.Tensor, rows: Sequence[int]) -> NDArray[np.float32]:
    """[N, K] of the text vectors at `rows`."""
    assert isinstance(model.model, TextClassifier)
    head = model.model.head
    logits = head(vectors[list(rows)].to(head.weight.device, head.weight.dtype)).float().cpu()
    found: NDArray[np.float32] = probabilities_of(logits, model.rejection, multi_label=model.multi_label).numpy()
    return found


def _key_of(model: Classifier) -> str:
    network, folder = model.model, model.folder
    if folder is None or not isinstance(network, TextClassifier) or network.pooling != "mean":
        return ""
    if getattr(network.encoder, "virtual", None) is not None:
        return ""
    if model.description.get("weights") == int8.WEIGHTS:
        return ""  # its weights are rounded for its own head
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{model.max_length_tokens}".encode())
    digest.update(model.tokenizer.backend_tokenizer.to_str().encode())
    _digest_folder(folder, digest)
    return digest.hexdigest()


def _digest_folder(folder: Path, digest: Any) -> None:
    """Every weight but the head's, and the shape but for the labels."""
    shape = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    digest.update(json.dumps({name: shape[name] for name in sorted(shape) if name not in OF_LABELS}).encode())
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as weights:
            for name in sorted(weights.keys()):
                if not name.startswith(HEAD):
                    digest.update(name.encode())
                    digest.update(weights.get_tensor(name).contiguous().view(torch.uint8).numpy())
