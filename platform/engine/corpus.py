"""Plain texts as token files: streamed from Parquet, written once, mapped into memory, reused by every attempt.

A file holds the end token, then each document followed by the end token. The token behind a place is what the model
has to say there, so every token of a document is learnt, its first and its end included.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.checkpoint import describe_file, sync_folder, sync_path
from engine.data import held_out, iterate_rows
from engine.failures import RunFailed, Stopped
from engine.report import Report
from engine.vocabulary import Vocabulary
from words import say

PARTS = ("train", "dev", "test")
ROWS_AT_ONCE = 64  # a document may be long
MANIFEST = "manifest.json"
FORMAT = 1
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Membership:
    """Which part each row of a data file belongs to, in file order; 255 for none."""

    data: Path
    parts: NDArray[np.uint8]

    def count(self, part: str) -> int:
        """Rows of a part."""
        return int((self.parts == PARTS.index(part)).sum())

    def rows(self) -> Iterator[tuple[str, int, str]]:
        """(part, example id, text) of the rows that belong to a part, streamed."""
        at, members = 0, np.flatnonzero(self.parts < len(PARTS))
        end = int(members[-1]) + 1 if len(members) else 0
        for rows in iterate_rows(self.data, ("example_id", "text"), ROWS_AT_ONCE):
            if at >= end:
                return
            for row in rows:
                if self.parts[at] < len(PARTS):
                    yield PARTS[self.parts[at]], int(row["example_id"]), row["text"] or ""
                at += 1

    def first(self, characters: int) -> "Membership":
        """The same, without the rows behind the first so many characters."""
        read, count = 0, 0
        for rows in iterate_rows(self.data, ("text",), ROWS_AT_ONCE):
            count += len(rows)
            read += sum(len(row["text"] or "") for row in rows)
            if read >= characters:
                break
        kept = self.parts.copy()
        kept[count:] = 255
        return Membership(self.data, kept)

    def texts(self, part: str) -> Iterator[str]:
        """The texts of a part, streamed."""
        return (text for owner, _, text in self.rows() if owner == part)


def membership(data: Path, splits: Mapping[str, str], *, holdout_share: float, seed: int) -> Membership:
    """Rows by part, `splits` from part to split name; dev is held out of train when the dataset has none."""
    of_split = {splits[part]: at for at, part in enumerate(PARTS)}
    names = [row["split"] or "" for rows in iterate_rows(data, ("split",)) for row in rows]
    parts = np.array([of_split.get(name, 255) for name in names], dtype=np.uint8)
    train = np.flatnonzero(parts == PARTS.index("train"))
    if not (parts == PARTS.index("dev")).any() and holdout_share > 0 and len(train) > 1:
        _, out = held_out(len(train), holdout_share, seed)
        parts[train[out]] = PARTS.index("dev")
    return Membership(data, parts)


def rows_of_split(data: Path, split: str) -> Membership:
    """The rows of a split, of all splits when it is empty, as the part "test"."""
    names = [row["split"] or "" for rows in iterate_rows(data, ("split",)) for row in rows]
    return Membership(data, np.array([2 if not split or name == split else 255 for name in names], dtype=np.uint8))


@dataclass(frozen=True)
class Corpus:
    """One part as tokens: D documents in one stream, mapped from disk."""

    tokens: NDArray[Any]  # uint16 or uint32, [1 + N]
    ends: Ints  # [D], where the token behind each document's end token stands
    ids: Ints  # [D], example ids
    bytes: Ints  # [D], of the texts in UTF-8

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def token_count(self) -> int:
        """Tokens to learn, N."""
        return len(self.tokens) - 1

    @property
    def starts(self) -> Ints:
        """[D], where the token before each document stands: what its first token is learnt from."""
        return np.concatenate([np.zeros(min(1, len(self.ends)), dtype=np.int64), self.ends[:-1] - 1])

    def documents(self) -> Iterator[tuple[int, list[int]]]:
        """(example id, ids) of each document, from the end token it begins behind to its own."""
        for number, start, end in zip(self.ids.tolist(), self.starts.tolist(), self.ends.tolist(), strict=True):
            yield number, self.tokens[start:end].astype(np.int64).tolist()

    def documents_at(self, places: Ints) -> Ints:
        """The numbers of the documents in which the tokens behind `places` stand."""
        return np.searchsorted(self.ends, places + 1, side="right")


def tokenised(
    rows: Membership, vocabulary: Vocabulary, cache: Path, *, data_hash: str, report: Report
) -> dict[str, Corpus]:
    """The three parts as token files in a folder of `cache`, made now unless an equal one is there.

    The folder's name is a hash over vocabulary, data and parts; its manifest comes last and holds the sha256 of every
    file. Of several processes one makes them while the others wait. Raises Stopped when asked to stop.
    """
    key = _key(rows, vocabulary, data_hash)
    folder = cache / f"tokens-{key[:16]}"
    with _one_at_a_time(cache):
        if not _is_whole(folder, key):
            _write(rows, vocabulary, folder, key, report)
    return {part: _open(folder, part) for part in PARTS}


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """The folder held by one process; the lock goes with the process, however that ends."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _key(rows: Membership, vocabulary: Vocabulary, data_hash: str) -> str:
    data = data_hash or describe_file(rows.data)["sha256"]
    parts = hashlib.sha256(rows.parts.tobytes()).hexdigest()
    said = [FORMAT, vocabulary.hash, vocabulary.end, data, parts]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _write(rows: Membership, vocabulary: Vocabulary, folder: Path, key: str, report: Report) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder.parent))
    try:
        counts = _write_parts(rows, vocabulary, beside, report)
        files = {path.name: describe_file(path) for path in sorted(beside.iterdir())}
        manifest = {"format": FORMAT, "key": key, "vocabulary_hash": vocabulary.hash, "parts": counts, "files": files}
        (beside / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        sync_folder(beside)
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)
    except OSError as error:
        raise RunFailed(
            "disk",
            say("The tokens could not be written: {value}.", value=error.strerror or error),
            say("Free disk space, then resume."),
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    sync_path(folder.parent)


def _write_parts(rows: Membership, vocabulary: Vocabulary, folder: Path, report: Report) -> dict[str, dict[str, int]]:
    kind = np.uint16 if vocabulary.size <= 1 << 16 else np.uint32
    files = {part: (folder / f"{part}.tokens").open("wb") for part in PARTS}
    try:
        for file in files.values():
            file.write(kind(vocabulary.end).tobytes())
        written = dict.fromkeys(PARTS, 1)
        documents: dict[str, list[tuple[int, int, int]]] = {part: [] for part in PARTS}
        total, done = int((rows.parts < len(PARTS)).sum()), 0
        for batch in _batches(rows.rows()):
            if report.should_stop():
                raise Stopped
            for (part, number, text), ids in zip(batch, vocabulary.encode(text for _, _, text in batch), strict=True):
                done += 1
                if not text.strip():
                    continue
                files[part].write(np.array([*ids, vocabulary.end], dtype=kind).tobytes())
                written[part] += len(ids) + 1
                documents[part].append((written[part], number, len(text.encode())))
            report.progress(done, total, "documents", say("tokenising"))
    finally:
        for file in files.values():
            file.close()
    for part, found in documents.items():
        np.save(folder / f"{part}.npy", np.array(found, dtype=np.int64).reshape(-1, 3))
    return {part: {"tokens": written[part] - 1, "documents": len(documents[part])} for part in PARTS}


def _batches(rows: Iterator[tuple[str, int, str]]) -> Iterator[list[tuple[str, int, str]]]:
    """At most 64 documents and about a million characters at once."""
    batch: list[tuple[str, int, str]] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(row[2])
        if len(batch) == ROWS_AT_ONCE or size > 1_000_000:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _is_whole(folder: Path, key: str) -> bool:
    """Whether the folder holds what its manifest says, byte by byte."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return manifest["key"] == key and all(
            describe_file(folder / name) == wanted for name, wanted in manifest["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _open(folder: Path, part: str) -> Corpus:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    bytes_each = manifest["files"][f"{part}.tokens"]["bytes"] // (manifest["parts"][part]["tokens"] + 1)
    tokens = np.memmap(folder / f"{part}.tokens", dtype={2: np.uint16, 4: np.uint32}[bytes_each], mode="r")
    documents = np.load(folder / f"{part}.npy")
    return Corpus(tokens, documents[:, 0].copy(), documents[:, 1].copy(), documents[:, 2].copy())
