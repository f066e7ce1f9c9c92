"""Texts to label probabilities: deduplicated, sorted by length, packed without padding."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine import int8
from engine.encoder import TextClassifier
from engine.evaluate import choose
from engine.failures import Stopped
from engine.int8 import serve_int8
from engine.model_folder import open_classifier
from engine.rejection import Rejection, names_of, probabilities_of
from engine.report import Report, Silent
from engine.verbaliser import WordScorer
from engine.verbaliser_folder import holds_verbaliser, open_verbaliser
from words import say

BATCH_TOKENS = 2048
WINDOW = 4096


@dataclass(frozen=True)
class Predictions:
    """Decisions for N texts: `labels` are tuples (one name each unless multi-label), `probabilities` [N, K] float32."""

    names: tuple[str, ...]
    labels: list[tuple[str, ...]]
    probabilities: NDArray[np.float32]


class Classifier:
    """A loaded model version that labels texts; the same text gets the same label in any company."""

    def __init__(
        self,
        model: TextClassifier | WordScorer,
        tokenizer: Any,
        description: dict[str, Any],
        read: Callable[[Sequence[str]], list[list[int]]] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.names = tuple(names_of(description))
        self.rejection = Rejection.read(description.get("outside"))
        self.multi_label = bool(description["multi_label"])
        self.threshold = float(description["decision_threshold"])
        self.max_length_tokens = int(description["max_length_tokens"])
        self.description = description
        self.folder = folder
        self.read = read or partial(encode, tokenizer, max_length_tokens=self.max_length_tokens)

    def predict(self, texts: Sequence[str], report: Report | None = None) -> Predictions:
        """Labels and probabilities of `texts` in their order; raises Stopped when the report asks for it."""
        parts = [part for _, part in self.stream(texts, report=report, total=len(texts))]
        probabilities = np.concatenate([part.probabilities for part in parts]) if parts else self._nothing()
        return Predictions(self.names, [labels for part in parts for labels in part.labels], probabilities)

    def stream(
        self,
        texts: Iterable[str],
        *,
        report: Report | None = None,
        total: int = 0,
        start: int = 0,
        window: int = WINDOW,
    ) -> Iterator[tuple[int, Predictions]]:
        """(position of the first text, its predictions) window by window, in order; positions begin at `start`."""
        report = report or Silent()
        remaining = iter(texts)
        while chunk := list(islice(remaining, window)):
            yield start, self.decided(self._window(chunk, report, start, total))
            start += len(chunk)

    def decided(self, probabilities: NDArray[np.float32]) -> Predictions:
        """The labels of probabilities [N, K]."""
        decided = choose(probabilities, multi_label=self.multi_label, threshold=self.threshold)
        labels = [tuple(self.names[k] for k in np.flatnonzero(row)) for row in decided]
        return Predictions(self.names, labels, probabilities)

    def _window(self, texts: Sequence[str], report: Report, start: int, total: int) -> NDArray[np.float32]:
        distinct = {text: at for at, text in enumerate(dict.fromkeys(texts))}
        sequences = self.read(list(distinct))
        whole = total or start + len(texts)
        logits = forward_all(self.model, sequences, report, phase=say("labelling"), start=start, total=whole)
        probabilities = probabilities_of(logits, self.rejection, multi_label=self.multi_label)  # [distinct, K]
        found: NDArray[np.float32] = probabilities.numpy()
        return found[[distinct[text] for text in texts]]

    def _nothing(self) -> NDArray[np.float32]:
        return np.zeros((0, len(self.names)), dtype=np.float32)


def load_classifier(folder: Path, *, is_served: bool = True) -> Classifier:
    """The classifier of a model folder, on the GPU if there is one; RunFailed if it cannot be used.

    One that is not served computes in floats whatever its weights are, so that gradients pass through it.
    """
    model: TextClassifier | WordScorer
    read = None
    if holds_verbaliser(folder):
        model, tokenizer, description, read = open_verbaliser(folder)
    else:
        model, tokenizer, description = open_classifier(folder)
    if torch.cuda.is_available():
        model = model.cuda()
    if is_served and description.get("weights") == int8.WEIGHTS:
        serve_int8(model)
    return Classifier(model, tokenizer, description, read, folder)


def encode(tokenizer: Any, texts: Sequence[str], max_length_tokens: int) -> list[list[int]]:
    """Token ids of each text with its special tokens, cut to `max_length_tokens`."""
    if not texts:
        return []
    found = tokenizer(
        list(texts),
        truncation=True,
        max_length=max_length_tokens,
        return_attention_mask=False,
        return_token_type_ids=False,
    )
    return [list(ids) for ids in found["input_ids"]]


def batches_by_tokens(lengths: Sequence[int], limit: int) -> list[list[int]]:
    """Positions sorted by length, longest first, in batches of at most `limit` tokens (or one text)."""
    batches: list[list[int]] = []
    filled = limit
    for at in sorted(range(len(lengths)), key=lambda at: (-lengths[at], at)):
        if filled + lengths[at] > limit:
            batches.append([])
            filled = 0
        batches[-1].append(at)
        filled += lengths[at]
    return batches


@torch.no_grad()
def forward_all(
    model: TextClassifier | WordScorer,
    sequences: Sequence[Sequence[int]],
    report: Report,
    *,
    phase: str,
    start: int = 0,
    total: int = 0,
    features: bool = False,
) -> torch.Tensor:
    """Logits [N, K] (or text vectors [N, D]) on the CPU in the order of `sequences`; raises Stopped when asked."""
    function: Callable[..., torch.Tensor] = model.features if features else model  # type: ignore[assignment]
    results: list[torch.Tensor] = [torch.empty(0)] * len(sequences)
    done = 0
    for batch in batches_by_tokens([len(sequence) for sequence in sequences], BATCH_TOKENS):
        if report.should_stop():
            raise Stopped
        for at, row in zip(batch, function([sequences[at] for at in batch]).float().cpu(), strict=True):
            results[at] = row
        done += len(batch)
        report.progress(start + done, total or len(sequences), "texts", phase)
    return torch.stack(results) if results else torch.zeros(0, 0)
