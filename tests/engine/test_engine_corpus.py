"""Plain texts become tokens once: streamed, hashed, cut into pieces that learn each token exactly once."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import vocabulary as vocabularies
from engine.corpus import Corpus, membership, tokenised
from engine.failures import Stopped
from engine.recipes.pretrain_setup import learn_vocabulary, rows_of
from engine.report import Silent
from engine.specs import BaseModel, PretrainSpec
from engine.vocabulary import PORTION_CHARACTERS, Vocabulary, portions
from engine.windows import block_pieces, document_pieces, laid_out, plan

SPLITS = {"train": "train", "dev": "dev", "test": "test"}
TEXT = "Look at the map.\n\n卡在哪里? 🙂 <|end|> and  back"


def made(path: Path, vocabulary: Vocabulary, folder: Path, report: Any = None) -> dict[str, Corpus]:
    rows = membership(path, SPLITS, holdout_share=0.1, seed=1)
    return tokenised(rows, vocabulary, folder, data_hash="d" * 64, report=report or Silent())


@pytest.fixture
def by_bytes() -> Vocabulary:
    return vocabularies.own(vocabularies.bytes_alone())


def test_every_document_and_its_end_is_in_the_stream_once(corpus: Path, by_bytes: Vocabulary, tmp_path: Path) -> None:
    rows = membership(corpus, SPLITS, holdout_share=0.1, seed=1)

    parts = made(corpus, by_bytes, tmp_path)

    for name, part in parts.items():
        texts = list(rows.texts(name))
        assert len(part) == len(texts) and part.tokens[0] == by_bytes.end
        for at, text in enumerate(texts):
            ids = part.tokens[part.starts[at] + 1 : part.ends[at]].tolist()
            assert ids[-1] == by_bytes.end and by_bytes.tokenizer.decode(ids[:-1]) == text
            assert part.bytes[at] == len(text.encode())
    assert parts["dev"].ids.tolist() == list(range(140, 150))


def test_dev_is_held_out_of_train_when_there_is_none(corpus_file: Any, tmp_path: Path) -> None:
    path = corpus_file(tmp_path / "c.parquet", [(f"text {at}", "train") for at in range(20)] + [("x", "other")])

    rows = membership(path, SPLITS, holdout_share=0.2, seed=1)

    assert (rows.count("train"), rows.count("dev"), rows.count("test")) == (16, 4, 0)
    assert not set(rows.texts("train")) & set(rows.texts("dev"))


def test_tokens_are_made_once_and_made_again_when_anything_differs(
    corpus: Path, by_bytes: Vocabulary, tmp_path: Path
) -> None:
    made(corpus, by_bytes, tmp_path)
    (folder,) = tmp_path.glob("tokens-*")
    written = (folder / "manifest.json").stat().st_mtime_ns

    made(corpus, by_bytes, tmp_path)
    assert (folder / "manifest.json").stat().st_mtime_ns == written

    other = vocabularies.own(vocabularies.byte_level_bpe([TEXT], 300))
    made(corpus, other, tmp_path)
    assert len(list(tmp_path.glob("tokens-*"))) == 2


def test_an_altered_token_file_is_made_again(corpus: Path, by_bytes: Vocabulary, tmp_path: Path) -> None:
    whole = made(corpus, by_bytes, tmp_path)["train"].tokens.copy()
    (folder,) = tmp_path.glob("tokens-*")
    path = folder / "train.tokens"
    path.write_bytes(path.read_bytes()[:-2] + b"\1\0")

    again = made(corpus, by_bytes, tmp_path)["train"].tokens

    assert np.array_equal(again, whole)


def test_a_stop_while_tokenising_leaves_nothing_half(
    corpus: Path, by_bytes: Vocabulary, tmp_path: Path, told: Any
) -> None:
    class Impatient(told):  # type: ignore[misc]
        def should_stop(self) -> bool:
            return True

    with pytest.raises(Stopped):
        made(corpus, by_bytes, tmp_path, Impatient())

    assert list(tmp_path.iterdir()) == []


def test_the_manifest_names_what_the_tokens_were_made_of(corpus: Path, by_bytes: Vocabulary, tmp_path: Path) -> None:
    parts = made(corpus, by_bytes, tmp_path)

    (folder,) = tmp_path.glob("tokens-*")
    manifest = json.loads((folder / "manifest.json").read_text())

    assert manifest["vocabulary_hash"] == by_bytes.hash and folder.name == f"tokens-{manifest['key'][:16]}"
    assert manifest["parts"]["train"] == {"tokens": parts["train"].token_count, "documents": 40}
    assert set(manifest["files"]) == {f"{part}.{kind}" for part in SPLITS for kind in ("tokens", "npy")}


@pytest.mark.parametrize("kind", ["bpe", "byte", "character"])
def test_texts_come_back_from_the_tokens_of_each_own_vocabulary(kind: str, corpus_file: Any, tmp_path: Path) -> None:
    path = corpus_file(tmp_path / "c.parquet", [(TEXT, "train"), (TEXT, "dev")])
    spec = PretrainSpec(vocabulary=kind, vocabulary_size=320)

    found = learn_vocabulary(spec, rows_of(spec, path))

    assert found.keeps(TEXT)
    assert found.end not in found.encode([TEXT])[0]
    assert max(found.encode([TEXT])[0]) < found.size


def test_a_rare_character_is_unknown_and_the_vocabulary_keeps_its_size() -> None:
    found = vocabularies.own(vocabularies.characters(["aaabbbc"], 9))

    assert found.size == 9
    assert found.encode(["abc"])[0] == [7, 8, found.tokenizer.token_to_id("<|unknown|>")]


def test_a_vocabulary_is_taken_over_without_the_lengths_of_its_own_use() -> None:
    found = vocabularies.taken_over(BaseModel())

    long, short = found.encode(["word " * 500, "word"])

    assert (len(long), len(short)) == (500, 1)
    assert found.end == found.tokenizer.token_to_id("[SEP]")


@pytest.mark.parametrize("text", ["a b\n\n c  d " * 40, "x" * 100, "", "  \n" * 30])
def test_cutting_a_long_text_changes_none_of_its_tokens(text: str, by_bytes: Vocabulary) -> None:
    bpe = vocabularies.own(vocabularies.byte_level_bpe([text * 3, TEXT], 320))

    pieces = list(portions(text, 17))

    assert "".join(pieces) == text and all(len(piece) <= 17 for piece in pieces)
    if "a b" in text:
        assert [token for piece in pieces for token in bpe.encode([piece])[0]] == bpe.encode([text])[0]
    assert len(list(portions("y" * (PORTION_CHARACTERS + 1)))) == 2


def stream(*sizes: int) -> Corpus:
    """Documents of so many tokens, ends included; token t of the stream is t."""
    ends = 1 + np.cumsum(sizes)
    ids = np.arange(len(sizes)) + 7
    return Corpus(np.arange(1 + sum(sizes), dtype=np.uint16), ends, ids, np.array(sizes) - 1)


def test_pieces_of_documents_learn_every_token_once_and_stay_in_their_document() -> None:
    corpus = stream(3, 10, 1, 4)

    pieces = document_pieces(corpus, 4)

    assert pieces.tolist() == [[0, 3], [3, 4], [7, 4], [11, 2], [13, 1], [14, 4]]
    assert corpus.documents_at(pieces[:, 0]).tolist() == [0, 1, 1, 1, 2, 3]


def test_blocks_are_whole_lie_end_to_end_and_begin_elsewhere_each_epoch() -> None:
    first, second = (block_pieces(1000, 32, seed=3, epoch=epoch) for epoch in (0, 1))

    assert (first[:, 1] == 32).all() and (np.diff(first[:, 0]) == 32).all()
    assert first[0, 0] >= 0 and first[-1].sum() <= 1000
    assert len(first) == len(second) == 30 and first[0, 0] != second[0, 0]
    assert block_pieces(20, 32, seed=3, epoch=0).tolist() == [[0, 20]]


def test_a_plan_holds_every_piece_once_in_sequences_that_fit() -> None:
    sizes = [1 + at * 13 % 70 for at in range(200)]
    pieces = document_pieces(stream(*sizes), 32)

    made = plan(pieces, 32, seed=5, epoch=2, sequences_per_step=4)

    steps = list(made)
    assert len(steps) == len(made) and [len(step) for step in steps[:-1]] == [4] * (len(made) - 1)
    found = np.concatenate([sequence for step in steps for sequence in step])
    assert sorted(found.tolist()) == sorted(pieces.tolist())
    sums = [int(sequence[:, 1].sum()) for step in steps for sequence in step]
    assert max(sums) <= 32 and sum(sums) / (32 * len(sums)) > 0.95
    later = list(made[3:])
    assert all(np.array_equal(np.concatenate(a), np.concatenate(b)) for a, b in zip(later, steps[3:], strict=True))
    again = plan(pieces, 32, seed=5, epoch=2, sequences_per_step=4)
    assert np.array_equal(again.pieces, made.pieces)
    assert not np.array_equal(plan(pieces, 32, seed=5, epoch=3, sequences_per_step=4).pieces, made.pieces)


def test_pieces_are_laid_out_without_padding_and_know_what_comes_next() -> None:
    corpus = stream(3, 10)

    flat = laid_out(corpus, document_pieces(corpus, 4))

    assert flat.ids.tolist() == [11, 12, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert (flat.targets - flat.ids).tolist() == [1] * 13
    assert flat.owners.tolist() == [3] * 2 + [0] * 3 + [1] * 4 + [2] * 4
    assert [(run.count, run.length) for run in flat.runs] == [(1, 2), (1, 3), (2, 4)]
