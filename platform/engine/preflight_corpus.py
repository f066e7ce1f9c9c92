"""What is wrong with plain texts for a given run, the rows named; texts stream by and are not kept."""

import hashlib
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np

from engine.corpus import PARTS, Corpus, Membership
from engine.misreading import looks_misread
from engine.preflight_rows import leaks, naming, wrong_encoding
from engine.specs.pretrain import PretrainSpec
from engine.specs.problems import Problem
from engine.texts import normalised
from engine.vocabulary import Vocabulary
from words import say

LEAST_CHARACTERS = 1_000
COMPARED_FROM = 100  # characters; shorter texts repeat by chance
FIRST_TEXTS = 20
COMPARED_TO = 1_000  # characters


@dataclass
class Survey:
    """What one look at every text found."""

    characters: dict[str, int]  # by part
    texts: dict[str, int]
    empty: list[int]  # example ids
    broken: list[int]  # read in a wrong encoding
    leaks: dict[str, list[int]]  # texts of a part that are also in train
    foreign: int = 0  # texts that are not plain ASCII


def survey(rows: Membership) -> Survey:
    """Look at every text once; of each a hash is kept."""
    found = Survey(dict.fromkeys(PARTS, 0), dict.fromkeys(PARTS, 0), [], [], {})
    hashes = {part: array("Q") for part in PARTS}
    numbers = {part: array("q") for part in PARTS}
    for part, number, text in rows.rows():
        found.foreign += not text.isascii()
        found.texts[part] += 1
        found.characters[part] += len(text)
        if not text.strip():
            found.empty.append(number)
        if looks_misread(text):
            found.broken.append(number)
        if len(text) >= COMPARED_FROM:
            digest = hashlib.blake2b(normalised(text).encode(), digest_size=8).digest()
            hashes[part].append(int.from_bytes(digest, "little"))
            numbers[part].append(number)
    train = np.unique(np.array(hashes["train"], dtype=np.uint64))
    for part in ("test", "dev"):
        shared = np.isin(np.array(hashes[part], dtype=np.uint64), train)
        found.leaks[part] = np.array(numbers[part], dtype=np.int64)[shared].tolist()
    return found


def corpus_problems(spec: PretrainSpec, found: Survey) -> list[Problem]:
    """Everything wrong with the texts by part (train, dev, test)."""
    characters = found.characters["train"]
    if characters < LEAST_CHARACTERS:
        return [
            Problem(
                "too_few_rows",
                "train_split",
                say(
                    "The split “{train_split}” holds {count} characters.",
                    train_split=spec.train_split,
                    count=characters,
                ),
                say("Give at least {least}.", least=LEAST_CHARACTERS),
            )
        ]
    return [
        *_no_dev(found.characters["dev"]),
        *naming(
            found.empty,
            "empty_text",
            "text",
            say("{rows_count} rows have no text; they are left out.", rows_count=len(found.empty)),
            say("Fill them in or delete them."),
            severity="warning",
        ),
        *wrong_encoding(found.broken, found.foreign),
        *(problem for name, rows in found.leaks.items() for problem in leaks(name, rows, found.texts[name])),
    ]


def token_problems(spec: PretrainSpec, corpora: Mapping[str, Corpus], vocabulary: Vocabulary) -> list[Problem]:
    """What the tokens showed: too few for a sequence, or characters that the vocabulary cannot express."""
    problems = []
    if corpora["train"].token_count < spec.context_tokens:
        problems.append(
            Problem(
                "too_few_tokens",
                "context_tokens",
                say(
                    "The training texts are {tokens} tokens, and a sequence holds {context}.",
                    tokens=corpora["train"].token_count,
                    context=spec.context_tokens,
                ),
                say("Give more text, or lower context_tokens."),
            )
        )
    unknown = vocabulary.tokenizer.token_to_id(vocabulary.unknown_token) if vocabulary.unknown_token else None
    if unknown is not None:
        for part, corpus in corpora.items():
            problems += _unknown(part, corpus, unknown)
    return problems


def vocabulary_problems(vocabulary: Vocabulary, rows: Membership) -> list[Problem]:
    """Whether a vocabulary that was taken over changes the first texts: case, spaces, accents."""
    if vocabulary.is_own:
        return []
    first = islice(((number, text) for part, number, text in rows.rows() if part == "train"), FIRST_TEXTS)
    changed = [number for number, text in first if not vocabulary.keeps(text[:COMPARED_TO])]
    return naming(
        changed,
        "lossy_vocabulary",
        "vocabulary",
        say("{count} of the first texts do not come back from their tokens as they were.", count=len(changed)),
        say("Bits per byte flatter such a model; learn a vocabulary to compare it with others."),
        severity="warning",
    )


def _unknown(part: str, corpus: Corpus, unknown: int) -> list[Problem]:
    places = np.flatnonzero(corpus.tokens == unknown)
    rows = dict.fromkeys(corpus.ids[corpus.documents_at(places - 1)].tolist())
    return naming(
        rows,
        "unknown_characters",
        "vocabulary",
        say(
            "{count} tokens of {part} are characters or pieces outside the vocabulary; bits per byte flatter the model.",
            count=len(places),
            part=part,
        ),
        say("Learn a byte-level BPE, or raise vocabulary_size."),
        severity="warning",
    )


def _no_dev(dev_characters: int) -> list[Problem]:
    if dev_characters:
        return []
    return [
        Problem(
            "no_dev",
            "dev_split",
            say("Without dev rows the last weights are kept, not the best ones."),
            say("Split the dataset, or raise holdout_share; a single long text must be cut by hand."),
            "warning",
        )
    ]
