"""Measure a version that writes on plain texts: how well it foretells them."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine import vocabulary as vocabularies
from engine.chat_folder import open_chat_model
from engine.chat_model import ChatModel
from engine.corpus import Corpus, Membership, rows_of_split, tokenised
from engine.evaluate_chat import LARGEST_EXPONENT, ChatExample, loss_histogram, write_chat_rows
from engine.evaluate_corpus import CorpusLosses, corpus_figures, measure_corpus
from engine.failures import RunFailed
from engine.measured import kept_evaluation
from engine.render import Chat, ForeignTemplate, Template
from engine.report import Report, Silent
from engine.specs import BaseModel
from engine.vocabulary import Vocabulary
from engine.windows import Pieces
from words import say

TEXT_SHOWN = 2_000
TOKENS_AT_ONCE = 4096


def evaluate_on_texts(order: dict[str, Any], data: Path, out: Path, report: Report) -> dict[str, Any]:
    """Loss, perplexity, bits per byte and token accuracy of the texts of data.split (all splits when it is empty)."""
    folder, rows = Path(order["model"]), rows_of_split(data, order["data"].get("split", ""))
    opened = open_chat_model(folder)
    template = opened.template
    if isinstance(template, Template):
        vocabulary = vocabularies.own(template.tokenizer)
    else:
        vocabulary = vocabularies.taken_over(BaseModel("folder", str(folder)))
    corpus = tokenised(rows, vocabulary, out / "tokens", data_hash="", report=report)["test"]
    if not len(corpus):
        raise RunFailed("no_rows", say("There is no text to measure on."), say("Choose another split."))
    network = opened.model.cuda() if torch.cuda.is_available() else opened.model
    model = ChatModel(network, template, context_tokens=opened.context_tokens, ends=opened.ends, pad=vocabulary.pad)
    begin = vocabulary.end if isinstance(template, Template) else _begin(template, vocabulary)
    found = measure_corpus(
        corpus,
        opened.context_tokens,
        lambda pieces: _foretold(model, corpus, pieces, begin),
        tokens_at_once=TOKENS_AT_ONCE,
        report=report,
        phase=say("measuring"),
    )
    sums, _, counts = found.of_documents()
    measured = {
        **corpus_figures(found, seed=int(order.get("seed", 17))),
        "losses": loss_histogram((sums / counts).tolist()),
    }
    write_chat_rows(out / "examples.parquet", list(_examples(found, rows)))
    return kept_evaluation(out, measured)


def _begin(template: ForeignTemplate, vocabulary: Vocabulary) -> int:
    """What a model of others reads before a text: its own first token, or the one that ends texts."""
    return int(template.tokenizer.bos_token_id) if template.start else vocabulary.end


def _foretold(
    model: ChatModel, corpus: Corpus, pieces: Pieces, begin: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(summed loss, tokens guessed right) of each piece; one that begins a document begins behind `begin`."""
    first = np.isin(pieces[:, 0], corpus.starts)
    chats = []
    for (start, length), is_first in zip(pieces.tolist(), first.tolist(), strict=True):
        ids = corpus.tokens[start : start + length + 1].astype(np.int64).tolist()
        ids[0] = begin if is_first else ids[0]
        chats.append(Chat(ids, [False] + [True] * length, ids))
    found = model.losses(chats, report=Silent(), phase="")
    return found.sums, found.hits


def _examples(found: CorpusLosses, rows: Membership) -> Iterator[ChatExample]:
    """How each document fared, in the order of the data."""
    sums, _, counts = found.of_documents()
    of_document = {number: at for at, number in enumerate(found.corpus.ids.tolist())}
    for _, number, text in rows.rows():
        if number not in of_document:
            continue
        at = of_document[number]
        loss = float(sums[at] / counts[at])
        yield ChatExample(
            example_id=number,
            text=text[:TEXT_SHOWN],
            gold_text="",
            predicted_text="",
            finish="",
            answer_tokens=int(counts[at]),
            loss=loss,
            probability=math.exp(-min(loss, LARGEST_EXPONENT)),
            correct=False,
        )
