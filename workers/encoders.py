"""What loaded encoders say to several requests that are read together: the texts of all in one call, to each its own rows."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from apps.inference.models import OnlineRequest
from apps.registry.models import Task

T = TypeVar("T")
Rows = list[dict[str, Any]]
TOP = 5
DECIMALS = 7  # of a vector's numbers, which are 32-bit


def token_counts(model: Any, requests: Sequence[OnlineRequest]) -> list[int]:
    """For each request the tokens of its texts as the tokenizer of the version reads them."""
    texts = _texts(requests)
    read = model.tokenizer(texts, truncation=True, max_length=getattr(model, "max_length_tokens", None))
    return [sum(counts) for counts in _shared_out([len(ids) for ids in read["input_ids"]], _sizes(requests))]


def labelled(classifier: Any, requests: Sequence[OnlineRequest]) -> list[Rows]:
    """Labels and the highest probabilities of each text, or all of them."""
    found = classifier.predict(_texts(requests))
    pairs = list(zip(found.labels, found.probabilities, strict=True))
    return [
        [_labels_told(found.names, labels, values, is_whole=request.is_whole) for labels, values in mine]
        for request, mine in zip(requests, _shared_out(pairs, _sizes(requests)), strict=True)
    ]


def _labels_told(names: Sequence[str], labels: Sequence[str], values: Any, *, is_whole: bool) -> dict[str, Any]:
    if is_whole:
        every = [[name, round(float(value), DECIMALS)] for name, value in zip(names, values, strict=True)]
        return {"labels": list(labels), "all": every}
    top = sorted(zip(names, values, strict=True), key=lambda pair: -pair[1])[:TOP]
    return {"labels": list(labels), "probabilities": [[name, round(float(value), 6)] for name, value in top]}


def marked(tagger: Any, requests: Sequence[OnlineRequest]) -> list[Rows]:
    """The spans of each text."""
    rows = [
        {"spans": [{**span._asdict(), "probability": round(sure, 6)} for span, sure in one.spans]}
        for one in tagger.mark(_texts(requests))
    ]
    return list(_shared_out(rows, _sizes(requests)))


def found(reader: Any, requests: Sequence[OnlineRequest]) -> list[Rows]:
    """The answer to each question, from its passage."""
    answers = reader.read([(request.texts[0], request.texts[1]) for request in requests])
    return [
        [{"answer": one.answer, "start": one.start, "end": one.end, "probability": round(min(1.0, one.probability), 6)}]
        for one in answers
    ]


def embedded(embedder: Any, requests: Sequence[OnlineRequest]) -> list[Rows]:
    """The vector of each text."""
    rows = [{"vector": [round(value, DECIMALS) for value in row]} for row in embedder.embed(_texts(requests)).tolist()]
    return list(_shared_out(rows, _sizes(requests)))


def ranked(ranker: Any, requests: Sequence[OnlineRequest]) -> list[Rows]:
    """The texts behind each query in order, the best first."""
    queries = [(request.texts[0], request.texts[1:]) for request in requests]
    return [
        [{"index": at, "score": round(score, DECIMALS)} for at, score in order] for order in ranker.rank_each(queries)
    ]


def _texts(requests: Sequence[OnlineRequest]) -> list[str]:
    return [text for request in requests for text in request.texts]


def _sizes(requests: Sequence[OnlineRequest]) -> list[int]:
    return [len(request.texts) for request in requests]


def _shared_out(values: Sequence[T], sizes: Sequence[int]) -> Iterator[list[T]]:
    """The values in portions of these sizes."""
    remaining = iter(values)
    for size in sizes:
        yield list(islice(remaining, size))


TOGETHER: dict[str, Callable[[Any, Sequence[OnlineRequest]], list[Rows]]] = {
    Task.CLASSIFICATION: labelled,
    Task.TAGGING: marked,
    Task.EXTRACTION: found,
    Task.EMBEDDING: embedded,
    Task.RERANKING: ranked,
}
"""For each task of an encoder what a loaded version says to requests that are read together."""
