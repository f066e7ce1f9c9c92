"""What the model sees: the first training rows as tokens a person can read, those that carry loss marked."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any

from engine.contrastive import class_batches
from engine.data import QaRows, Rows, SpanRows, TextRows
from engine.pairs import PairRows
from engine.predict import encode
from engine.ranker import encode_pairs
from engine.reader import Passage, target_of
from engine.render import AnyTemplate, Chat, Template
from engine.tagger import Window
from engine.verbaliser import Reading
from engine.vocabulary import Vocabulary

SHOWN_ROWS = 8
SHOWN_TOKENS = 400
UNCUT = 1 << 20


def seen_texts(tokenizer: Any, rows: TextRows, encoded: Sequence[Sequence[int]], limit: int) -> dict[str, Any]:
    """The first rows of a classifier: no token carries loss, the labels do. `encoded` are the ids the model reads."""
    rule = json.dumps([json.loads(tokenizer.backend_tokenizer.to_str()), limit], sort_keys=True)
    whole = encode(tokenizer, rows.texts[:SHOWN_ROWS], UNCUT)
    shown = [
        _row(tokenizer.backend_tokenizer, number, ids, labels=labels, is_cut=len(full) > len(ids))
        for number, full, ids, labels in zip(rows.ids, whole, encoded, rows.labels, strict=False)
    ]
    return {"template": {"name": "text", "hash": hashlib.sha256(rule.encode()).hexdigest()}, "rows": shown}


def seen_pairs(tokenizer: Any, rows: TextRows, encoded: Sequence[Sequence[int]], *, seed: int) -> dict[str, Any]:
    """The first texts that the contrastive way draws together, each pair of a class as one row."""
    classes = [labels[0] for labels in rows.labels]
    batches = class_batches(rows.texts, classes, seed=seed, epoch=0, batch_size=2 * SHOWN_ROWS)
    drawn = batches[0] if batches else []
    pairs = [pair for pair in zip(drawn[::2], drawn[1::2], strict=False) if classes[pair[0]] == classes[pair[1]]]
    shown = [
        _row(
            tokenizer.backend_tokenizer,
            rows.ids[one],
            [*encoded[one], *encoded[other]],
            labels=[classes[one]],
            is_cut=False,
        )
        for one, other in pairs
    ]
    return {"template": {"name": "pairs", "hash": _reading_hash(tokenizer)}, "rows": shown}


def seen_patterns(
    reading: Reading, rows: TextRows, encoded: Sequence[Sequence[int]], said: Mapping[str, Sequence[int]]
) -> dict[str, Any]:
    """The first texts in the pattern; the place of the word is marked, for a model that writes with the first word of `said`."""
    mask, shown = reading.tokenizer.mask_token_id if reading.is_masked else None, []
    whole = reading.whole_lengths(rows.texts[:SHOWN_ROWS])
    for number, ids, labels, full in zip(rows.ids, encoded, rows.labels, whole, strict=False):
        word = list(said.get(labels[0], ()))
        learnt = [token == mask for token in ids] + [True] * len(word)
        shown.append(
            _row(
                reading.tokenizer.backend_tokenizer,
                number,
                [*ids, *word],
                learnt=learnt,
                labels=labels,
                is_cut=full > len(ids),
            )
        )
    rule = json.dumps([_reading_hash(reading.tokenizer), reading.pattern])
    return {"template": {"name": "pattern", "hash": hashlib.sha256(rule.encode()).hexdigest()}, "rows": shown}


def seen_windows(tokenizer: Any, rows: SpanRows, windows: Sequence[Window]) -> dict[str, Any]:
    """The first windows of a tagger; the first token of each word (or character) carries loss."""
    first = [window for window in windows if window.row < SHOWN_ROWS][:SHOWN_ROWS]
    shown = []
    for window in first:
        tagged = set(window.firsts)
        row = _row(
            tokenizer.backend_tokenizer,
            rows.ids[window.row],
            window.ids,
            learnt=[at in tagged for at in range(len(window.ids))],
            labels=sorted({span.label for span in rows.spans[window.row]}),
            is_cut=False,
        )
        shown.append(row)
    return {"template": {"name": "text", "hash": _reading_hash(tokenizer)}, "rows": shown}


def seen_passages(tokenizer: Any, rows: QaRows, windows: Sequence[Passage]) -> dict[str, Any]:
    """The first windows of a reader; the answer's tokens, or the first token for “no answer”, are what is learnt."""
    shown = []
    for window in [window for window in windows if window.row < SHOWN_ROWS][:SHOWN_ROWS]:
        first, last = target_of(window, rows.answers[window.row])
        learnt = [first <= at <= last for at in range(len(window.ids))]
        number = rows.ids[window.row]
        shown.append(_row(tokenizer.backend_tokenizer, number, window.ids, learnt=learnt, is_cut=False))
    return {"template": {"name": "text", "hash": _reading_hash(tokenizer)}, "rows": shown}


def seen_vectors(tokenizer: Any, rows: PairRows | TextRows, limit: int) -> dict[str, Any]:
    """The first rows that vectors are learnt from; of a pair both texts, which are read apart. No token carries loss."""
    if isinstance(rows, TextRows):
        return seen_texts(tokenizer, rows, encode(tokenizer, rows.texts[:SHOWN_ROWS], limit), limit)
    sides = [some[:SHOWN_ROWS] for some in (rows.sources, rows.targets)]
    first, second = (encode(tokenizer, some, limit) for some in sides)
    whole = [encode(tokenizer, some, UNCUT) for some in sides]
    shown = [
        _row(
            tokenizer.backend_tokenizer,
            number,
            [*source, *target],
            is_cut=len(source) < len(whole[0][at]) or len(target) < len(whole[1][at]),
        )
        for at, (number, source, target) in enumerate(zip(rows.ids, first, second, strict=False))
    ]
    return {"template": {"name": "text", "hash": _reading_hash(tokenizer)}, "rows": shown}


def seen_ranked(
    tokenizer: Any, ids: Sequence[int], pairs: Sequence[tuple[str, str]], targets: Sequence[float], limit: int
) -> dict[str, Any]:
    """The first queries of a ranker, each with a text as it is read, and the number that is learnt of the pair."""
    first = list(zip(ids, pairs, targets, strict=True))[:SHOWN_ROWS]
    read = zip(*(encode_pairs(tokenizer, [pair for _, pair, _ in first], most) for most in (limit, UNCUT)), strict=True)
    shown = [
        _row(tokenizer.backend_tokenizer, number, cut.ids, labels=[f"{wanted:g}"], is_cut=len(cut.ids) < len(whole.ids))
        for (number, _, wanted), (cut, whole) in zip(first, read, strict=True)
    ]
    return {"template": {"name": "text", "hash": _reading_hash(tokenizer)}, "rows": shown}


def seen_chats(template: AnyTemplate, rows: Rows, chats: Sequence[Chat]) -> dict[str, Any]:
    """The first chats as rendered and cut, with the spans that are learnt."""
    tokenizer = template.tokenizer if isinstance(template, Template) else template.tokenizer.backend_tokenizer
    shown = [
        _row(tokenizer, number, chat.ids, learnt=chat.learnt, is_cut=len(chat.full) > len(chat.ids))
        for number, chat in zip(rows.ids[:SHOWN_ROWS], chats, strict=False)
    ]
    description = template.description()
    return {"template": {"name": description["name"], "hash": description["hash"]}, "rows": shown}


def seen_documents(vocabulary: Vocabulary, documents: Iterable[tuple[int, Sequence[int]]]) -> dict[str, Any]:
    """The first plain texts, (example id, ids) each, from the end token they begin behind to their own; all is learnt."""
    shown = [
        _row(vocabulary.tokenizer, number, ids, learnt=[False] + [True] * (len(ids) - 1), is_cut=False)
        for number, ids in islice(documents, SHOWN_ROWS)
    ]
    return {"template": {"name": "text", "hash": vocabulary.hash}, "rows": shown}


def _reading_hash(tokenizer: Any) -> str:
    """Of how the tokenizer reads, whatever it was last told to cut or pad."""
    rule = json.loads(tokenizer.backend_tokenizer.to_str())
    kept = {name: part for name, part in rule.items() if name not in ("truncation", "padding")}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _row(
    tokenizer: Any,
    number: int,
    ids: Sequence[int],
    *,
    learnt: Sequence[bool] = (),
    labels: Sequence[str] = (),
    is_cut: bool,
) -> dict[str, Any]:
    """One row: at most SHOWN_TOKENS tokens, positions of special ones, [start, end) spans of learnt ones."""
    special = {at for at, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    shown = ids[:SHOWN_TOKENS]
    return {
        "example_id": number,
        "tokens": visible(tokenizer, shown),
        "special": [at for at, token in enumerate(shown) if token in special],
        "learnt": spans(learnt[:SHOWN_TOKENS]),
        "labels": list(labels),
        "token_count": len(ids),
        "learnt_count": sum(learnt),
        "is_cut": is_cut,
    }


def visible(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    """Each token as text; bytes that are no whole character by themselves are written as \\xE6."""
    names = [tokenizer.id_to_token(at) or "" for at in ids]
    if "ByteLevel" not in repr(tokenizer.decoder):
        return names
    letters = _bytes_of_letters()
    return [_read(bytes(letters[c] for c in name)) if set(name) <= letters.keys() else name for name in names]


def spans(marks: Sequence[bool]) -> list[list[int]]:
    """[start, end) of each run of True."""
    found: list[list[int]] = []
    for at, mark in enumerate(marks):
        if mark and found and found[-1][1] == at:
            found[-1][1] = at + 1
        elif mark:
            found.append([at, at + 1])
    return found


def _read(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02X}" for byte in raw)


@cache
def _bytes_of_letters() -> dict[str, int]:
    """The byte behind each letter of a byte-level vocabulary: printable ones stand for themselves, others from U+0100."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + at): byte for at, byte in enumerate(others)}
