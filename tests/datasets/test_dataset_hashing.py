"""Hashes: what says the same hashes the same, in any order of rows."""

import hashlib
import random

from apps.datasets.hashing import canonical_json, content_hash, version_hash


def test_the_hash_is_sha256_of_canonical_json() -> None:
    record = {"text": "你好 é", "labels": ["a"]}

    assert canonical_json(record) == '{"labels":["a"],"text":"你好 é"}'
    assert content_hash("classification", record) == hashlib.sha256(canonical_json(record).encode()).hexdigest()


def test_order_of_labels_and_spans_and_empty_meta_do_not_count() -> None:
    one = {"text": "t", "labels": ["b", "a"], "meta": {}}
    spans = [{"start": 0, "end": 1, "label": "x"}, {"start": 0, "end": 2, "label": "a"}]

    assert content_hash("classification", one) == content_hash("classification", {"text": "t", "labels": ["a", "b"]})
    assert content_hash("spans", {"text": "abc", "spans": spans}) == content_hash(
        "spans", {"text": "abc", "spans": spans[::-1]}
    )
    assert one["labels"] == ["b", "a"]


def test_texts_that_only_look_equal_differ() -> None:
    texts = ["é", "e\u0301", "a b", "a  b", "a\nb", "a\r\nb"]

    assert len({content_hash("corpus", {"text": text}) for text in texts}) == len(texts)


def test_a_version_hash_knows_no_order_but_every_row() -> None:
    rows: list[tuple[str, str, str | None]] = [
        (f"{n:064x}", "train" if n % 2 else "", None if n % 3 else str(n)) for n in range(50)
    ]
    whole = version_hash(rows)
    shuffled = random.Random(1).sample(rows, len(rows))

    assert version_hash(shuffled) == whole
    assert version_hash(rows[:-1]) != whole
    assert version_hash([*rows, rows[0]]) != whole
    assert version_hash([(rows[0][0], "dev", rows[0][2]), *rows[1:]]) != whole
    assert version_hash([(rows[0][0], rows[0][1], ""), *rows[1:]]) != version_hash(
        [(rows[0][0], rows[0][1], None), *rows[1:]]
    )
    assert version_hash([]) != whole
