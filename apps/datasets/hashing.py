"""Hashes of examples and of whole versions: over canonical JSON, never over the bytes of a file."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode
_LANE_BYTES = 256
_MODULUS = 1 << (8 * _LANE_BYTES)


def canonical_json(value: Mapping[str, Any]) -> str:
    """JSON with sorted keys, no white space, characters as they are."""
    return _encode(value)


def content_hash(kind: str, record: Mapping[str, Any]) -> str:
    """sha256 (hex) of what a record says: the order of labels and of spans does not count, empty meta is no meta."""
    value = dict(record)
    if not value.get("meta"):
        value.pop("meta", None)
    if kind == "classification" and len(value["labels"]) > 1:
        value["labels"] = sorted(value["labels"])
    elif kind == "spans" and len(value["spans"]) > 1:
        value["spans"] = sorted(value["spans"], key=lambda span: (span["start"], span["end"], span["label"]))
    return hashlib.sha256(_encode(value).encode()).hexdigest()


class VersionHasher:
    """The hash of a multiset of rows: the order does not count, rows may be added one at a time in constant memory.

    Each row is stretched to 2048 bits (SHAKE-256) and added modulo 2^2048, after Bellare and Micciancio, "A New
    Paradigm for Collision-free Hashing" (1997); the sum and the count are hashed once more.
    """

    def __init__(self) -> None:
        self._sum = 0
        self.rows = 0

    def add(self, content: str, split: str, external_id: str | None) -> None:
        row = json.dumps([content, split, external_id], ensure_ascii=False).encode()
        self._sum = (self._sum + int.from_bytes(hashlib.shake_256(row).digest(_LANE_BYTES), "big")) % _MODULUS
        self.rows += 1

    def hexdigest(self) -> str:
        return hashlib.sha256(f"{self.rows}:".encode() + self._sum.to_bytes(_LANE_BYTES, "big")).hexdigest()


def version_hash(rows: Iterable[tuple[str, str, str | None]]) -> str:
    """The hash of (content hash, split, external id) rows in any order."""
    hasher = VersionHasher()
    for content, split, external_id in rows:
        hasher.add(content, split, external_id)
    return hasher.hexdigest()
