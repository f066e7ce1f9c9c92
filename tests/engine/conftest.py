"""Tiny random encoders, tokenizers and datasets for the engine's tests."""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizerFast,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
)

WORDS = {
    "card": ["card", "plastic", "chip", "pin"],
    "transfer": ["transfer", "wire", "send", "iban"],
    "loan": ["loan", "rate", "credit", "mortgage"],
}
FILLER = ["please", "my", "the", "help", "why", "is", "it", "not", "with", "today", "where", "a"]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


def sentences(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Distinct (text, label) pairs whose label shows in one word."""
    maker = random.Random(seed)
    found: dict[str, str] = {}
    while len(found) < count:
        label = sorted(WORDS)[len(found) % 3]
        words = maker.choices(FILLER, k=maker.randint(2, 12))
        words.insert(maker.randint(0, len(words)), maker.choice(WORDS[label]))
        found.setdefault(" ".join(words), label)
    return list(found.items())


def tiny_tokenizer(folder: Path, *, roberta: bool = False) -> None:
    special = ["<s>", "<pad>", "</s>", "<unk>"] if roberta else ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = [word for group in WORDS.values() for word in group]
    vocabulary = {word: at for at, word in enumerate([*special, *FILLER, *words])}
    unknown = "<unk>" if roberta else "[UNK]"
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    first, last = ("<s>", "</s>") if roberta else ("[CLS]", "[SEP]")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", special_tokens=[(first, vocabulary[first]), (last, vocabulary[last])]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=unknown,
        pad_token="<pad>" if roberta else "[PAD]",
        cls_token=first,
        sep_token=last,
        model_max_length=64,
        model_input_names=["input_ids", "attention_mask"],
    ).save_pretrained(folder)


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of width 16 with random weights."""
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        pad_token_id=0,
    )
    BertModel(config).save_pretrained(folder)
    tiny_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A RoBERTa of width 16 with random weights."""
    folder = tmp_path_factory.mktemp("roberta")
    torch.manual_seed(3)
    config = RobertaConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=66,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        type_vocab_size=1,
    )
    RobertaModel(config).save_pretrained(folder)
    tiny_tokenizer(folder, roberta=True)
    return folder


Rows = Sequence[tuple[str, Sequence[str], str]]  # text, labels, split


def write_texts(path: Path, rows: Rows) -> Path:
    table = pa.table(
        {
            "example_id": pa.array(range(100, 100 + len(rows)), pa.int64()),
            "external_id": pa.array([None] * len(rows), pa.string()),
            "split": pa.array([row[2] for row in rows], pa.string()),
            "meta": pa.array(["{}"] * len(rows), pa.string()),
            "text": pa.array([row[0] for row in rows], pa.string()),
            "labels": pa.array([list(row[1]) for row in rows], pa.list_(pa.string())),
        }
    )
    pq.write_table(table, path)
    return path


def write_chats(path: Path, chats: Sequence[tuple[list[dict[str, str]], str]]) -> Path:
    kind = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    table = pa.table(
        {
            "example_id": pa.array(range(100, 100 + len(chats)), pa.int64()),
            "external_id": pa.array([None] * len(chats), pa.string()),
            "split": pa.array([split for _, split in chats], pa.string()),
            "meta": pa.array(["{}"] * len(chats), pa.string()),
            "messages": pa.array([messages for messages, _ in chats], kind),
        }
    )
    pq.write_table(table, path)
    return path


def write_corpus(path: Path, documents: Sequence[tuple[str, str]]) -> Path:
    """(text, split) pairs as a frozen corpus; example ids begin at 100."""
    table = pa.table(
        {
            "example_id": pa.array(range(100, 100 + len(documents)), pa.int64()),
            "external_id": pa.array([None] * len(documents), pa.string()),
            "split": pa.array([split for _, split in documents], pa.string()),
            "meta": pa.array(["{}"] * len(documents), pa.string()),
            "text": pa.array([text for text, _ in documents], pa.string()),
        }
    )
    pq.write_table(table, path)
    return path


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 documents of 2 to 60 words: 40 train, 10 dev, 10 test."""
    maker = random.Random(9)
    words = [*FILLER, *(word for group in WORDS.values() for word in group), "卡", "é"]
    texts = [" ".join(maker.choices(words, k=2 + at * 7 % 59)) + f" {at}." for at in range(60)]
    splits = ["train"] * 40 + ["dev"] * 10 + ["test"] * 10
    return write_corpus(tmp_path_factory.mktemp("corpus") / "corpus.parquet", list(zip(texts, splits, strict=True)))


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 labelled sentences: 84 train, 18 dev, 18 test."""
    splits = ["train"] * 84 + ["dev"] * 18 + ["test"] * 18
    rows = [(text, [label], split) for (text, label), split in zip(sentences(120), splits, strict=True)]
    return write_texts(tmp_path_factory.mktemp("texts") / "texts.parquet", rows)


@pytest.fixture(scope="session")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 short chats: 36 train, 6 dev, 6 test."""
    maker = random.Random(5)
    rows = []
    for at in range(48):
        first = [{"role": "system", "content": "Be brief."}] if at % 5 == 0 else []
        asked = {"role": "user", "content": f"{' '.join(maker.choices(FILLER, k=at % 7 + 1))} {at}?"}
        answer = {"role": "assistant", "content": f"Look at {maker.choice(WORDS['card'])} {at}."}
        rows.append(([*first, asked, answer], "train" if at < 36 else "dev" if at < 42 else "test"))
    return write_chats(tmp_path_factory.mktemp("chats") / "chats.parquet", rows)


class Told:
    """A report that remembers, and asks to stop after a number of training steps, some questions later."""

    def __init__(self, stop_after: int = 0, *, questions_later: int = 0) -> None:
        self.stop_after = stop_after
        self.questions_left = questions_later
        self.steps = 0
        self.metrics: list[dict[str, float]] = []
        self.checkpoints: list[str] = []
        self.logs: list[str] = []
        self.sights: list[Any] = []
        self.estimates: list[Any] = []

    def progress(self, done: int, total: int, unit: str, phase: str) -> None:
        self.steps = done if phase == "training" else self.steps

    def metric(self, step: int, **values: float) -> None:
        self.metrics.append({"step": step, **values})

    def log(self, level: str, message: str) -> None:
        self.logs.append(f"{level}: {message}")

    def checkpoint(self, path: str, step: int, metrics: Any, *, is_best: bool) -> None:
        self.checkpoints.append(path)

    def part(self, path: str, first: int, rows: int) -> None: ...
    def preflight(self, found: Any) -> None:
        self.estimates.append(found)

    def seen(self, found: Any) -> None:
        self.sights.append(found)

    def result(self, **values: Any) -> None: ...
    def should_stop(self) -> bool:
        if not self.stop_after or self.steps < self.stop_after:
            return False
        self.questions_left -= 1
        return self.questions_left < 0


@pytest.fixture
def told() -> type[Told]:
    return Told


@pytest.fixture
def text_file() -> Callable[[Path, Rows], Path]:
    return write_texts


@pytest.fixture(scope="session")
def write_chat_file() -> Callable[[Path, Sequence[tuple[list[dict[str, str]], str]]], Path]:
    return write_chats


@pytest.fixture
def chat_file() -> Callable[[Path, Sequence[tuple[list[dict[str, str]], str]]], Path]:
    return write_chats


@pytest.fixture
def corpus_file() -> Callable[[Path, Sequence[tuple[str, str]]], Path]:
    return write_corpus


@pytest.fixture
def labelled() -> Callable[..., list[tuple[str, str]]]:
    return sentences


@pytest.fixture
def order(tmp_path: Path) -> Callable[..., Path]:
    """Writes an order file for engine.run and returns its path."""

    def write(**values: Any) -> Path:
        path = tmp_path / "order.json"
        path.write_text(json.dumps(values), encoding="utf-8")
        return path

    return write


MarkedRows = Sequence[tuple[str, Sequence[tuple[int, int, str]], str]]  # text, spans, split


def write_spans(path: Path, rows: MarkedRows) -> Path:
    kind = pa.list_(pa.struct([("start", pa.int64()), ("end", pa.int64()), ("label", pa.string())]))
    spans = [[{"start": start, "end": end, "label": label} for start, end, label in row[1]] for row in rows]
    table = pa.table(
        {
            "example_id": pa.array(range(100, 100 + len(rows)), pa.int64()),
            "external_id": pa.array([None] * len(rows), pa.string()),
            "split": pa.array([row[2] for row in rows], pa.string()),
            "meta": pa.array(["{}"] * len(rows), pa.string()),
            "text": pa.array([row[0] for row in rows], pa.string()),
            "spans": pa.array(spans, kind),
        }
    )
    pq.write_table(table, path)
    return path


def marked_sentences(count: int, seed: int = 0) -> list[tuple[str, list[tuple[int, int, str]]]]:
    """Distinct texts in which a key word, and the filler word after it if it is "my", is a span of its group's label."""
    maker = random.Random(seed)
    found: dict[str, list[tuple[int, int, str]]] = {}
    while len(found) < count:
        words, spans = [], []
        for _ in range(maker.randint(3, 9)):
            label = maker.choice([*WORDS, "", "", ""])
            chosen = [maker.choice(WORDS[label]), *["my"] * maker.randint(0, 1)] if label else [maker.choice(FILLER)]
            start = len(" ".join(words)) + bool(words)
            words += chosen
            if label:
                spans.append((start, len(" ".join(words)), label))
                words.append("the")
        found.setdefault(" ".join(words), spans)
    return list(found.items())


@pytest.fixture(scope="session")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 marked sentences: 84 train, 18 dev, 18 test."""
    splits = ["train"] * 84 + ["dev"] * 18 + ["test"] * 18
    rows = [(text, spans, split) for (text, spans), split in zip(marked_sentences(120), splits, strict=True)]
    return write_spans(tmp_path_factory.mktemp("marked") / "marked.parquet", rows)


@pytest.fixture
def span_file() -> Callable[[Path, MarkedRows], Path]:
    return write_spans


@pytest.fixture
def marked_texts() -> Callable[..., list[tuple[str, list[tuple[int, int, str]]]]]:
    return marked_sentences


QaRecords = Sequence[tuple[str, str, Sequence[tuple[str, int]], str]]  # question, context, answers, split


def write_questions(path: Path, rows: QaRecords) -> Path:
    kind = pa.list_(pa.struct([("text", pa.string()), ("start", pa.int64())]))
    table = pa.table(
        {
            "example_id": pa.array(range(100, 100 + len(rows)), pa.int64()),
            "external_id": pa.array([None] * len(rows), pa.string()),
            "split": pa.array([row[3] for row in rows], pa.string()),
            "meta": pa.array(["{}"] * len(rows), pa.string()),
            "question": pa.array([row[0] for row in rows], pa.string()),
            "context": pa.array([row[1] for row in rows], pa.string()),
            "answers": pa.array([[{"text": text, "start": at} for text, at in row[2]] for row in rows], kind),
        }
    )
    pq.write_table(table, path)
    return path


def asked(count: int, seed: int = 0, *, unanswered: bool = False) -> list[tuple[str, str, list[tuple[str, int]]]]:
    """Questions for the one key word (with "my" before it) of a passage; every fourth passage may hold none."""
    maker = random.Random(seed)
    found: dict[str, list[tuple[str, int]]] = {}
    while len(found) < count:
        words = [word for word in maker.choices(FILLER, k=maker.randint(4, 14)) if word != "my"]
        if unanswered and len(found) % 4 == 3:
            found.setdefault(" ".join(words), [])
            continue
        answer = f"my {maker.choice(WORDS[maker.choice(sorted(WORDS))])}"
        at = maker.randint(0, len(words))
        context = " ".join([*words[:at], answer, *words[at:]])
        found.setdefault(context, [(answer, context.index(answer))])
    return [("where is it", context, answers) for context, answers in found.items()]


@pytest.fixture(scope="session")
def pair_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of width 16 with random weights, whose tokenizer tells a question from its passage."""
    folder = tmp_path_factory.mktemp("pairs")
    words = [*FILLER, *(word for group in WORDS.values() for word in group), "我", "的", "卡", "在", "哪", "里"]
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    BertTokenizerFast(vocab={word: at for at, word in enumerate(names)}, model_max_length=64).save_pretrained(folder)
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(names),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.1,
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 questions, every fourth without an answer: 84 train, 18 dev, 18 test."""
    splits = ["train"] * 84 + ["dev"] * 18 + ["test"] * 18
    rows = [(*row, split) for row, split in zip(asked(120, unanswered=True), splits, strict=True)]
    return write_questions(tmp_path_factory.mktemp("questions") / "questions.parquet", rows)


@pytest.fixture
def question_file() -> Callable[[Path, QaRecords], Path]:
    return write_questions


@pytest.fixture
def asked_questions() -> Callable[..., list[tuple[str, str, list[tuple[str, int]]]]]:
    return asked


PairRecords = Sequence[tuple[str, str, str, dict[str, Any]]]  # source, target, split, further columns


def write_pairs(path: Path, rows: PairRecords) -> Path:
    table = pa.table(
        {
            "example_id": pa.array(range(700, 700 + len(rows)), pa.int64()),
            "external_id": pa.array([None] * len(rows), pa.string()),
            "split": pa.array([row[2] for row in rows], pa.string()),
            "meta": pa.array([json.dumps(row[3]) for row in rows], pa.string()),
            "source": pa.array([row[0] for row in rows], pa.string()),
            "target": pa.array([row[1] for row in rows], pa.string()),
        }
    )
    pq.write_table(table, path)
    return path


def matched(count: int = 132, seed: int = 0) -> list[tuple[str, str]]:
    """Different questions, each with one of twelve answers: another word stands for the question's key word in it."""
    maker = random.Random(seed)
    words = [word for group in WORDS.values() for word in group]
    other = dict(zip(words, [*words[1:], words[0]], strict=True))
    found: dict[str, str] = {}
    while len(found) < count:
        word = words[len(found) % len(words)]
        question = [*maker.choices(FILLER, k=maker.randint(0, 4)), word, *maker.choices(FILLER, k=maker.randint(1, 3))]
        found.setdefault(" ".join(question), f"{other[word]} is the answer")
    return list(found.items())


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """132 questions with their answers: 92 train, 20 dev, 20 test."""
    splits = ["train"] * 92 + ["dev"] * 20 + ["test"] * 20
    rows = [(*pair, split, {}) for pair, split in zip(matched(), splits, strict=True)]
    return write_pairs(tmp_path_factory.mktemp("matched") / "pairs.parquet", rows)


@pytest.fixture(scope="session")
def write_pair_file() -> Callable[[Path, PairRecords], Path]:
    return write_pairs


@pytest.fixture
def pair_file() -> Callable[[Path, PairRecords], Path]:
    return write_pairs


@pytest.fixture
def matched_pairs() -> Callable[..., list[tuple[str, str]]]:
    return matched
