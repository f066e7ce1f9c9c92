"""Figures of written answers beside given ones: exact match, token F1, BLEU, chrF and ROUGE, with their signatures.

Every figure is a function of per-row tables that are summed over rows, so a resample of the rows costs one matrix
product and nothing is cut or counted twice. Where a row has several references: the best one counts for exact match,
F1 and ROUGE, and BLEU and chrF treat them as sacreBLEU does.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from engine import metrics
from engine.texts import HAN, WITHOUT_SPACES

Golds = Sequence[Sequence[str]]
Floats = NDArray[np.float64]

FIGURES = ("exact_match", "token_f1", "bleu", "chrf", "rouge_1", "rouge_2", "rouge_l")
OUT_OF_100 = ("bleu", "chrf")
"""Figures on sacreBLEU's scale 0..100; the others are shares 0..1."""

ARTICLES = frozenset({"a", "an", "the"})
UNSPACED_SHARE = 0.05  # of the references, from which on 13a would lose more than zh or char do on the others
FOREIGN_SHARE = 0.1  # of the unspaced letters: Japanese has many kana, Chinese next to none
_UNSPACED = re.compile(f"[{WITHOUT_SPACES}]")
_HAN = re.compile(f"[{HAN}]")


@dataclass(frozen=True)
class RowFigures:
    """What the figures are made of: per name a table [N, C] to be summed over rows, and how each was counted.

    C is 1 for shares, 10 for BLEU (lengths of answer and reference, hits and totals of 4 orders) and 18 for chrF (answer,
    reference and common n-grams of 6 orders).
    """

    tables: dict[str, Floats]
    signatures: dict[str, str]

    def __len__(self) -> int:
        return len(next(iter(self.tables.values())))

    def values(self, name: str) -> Floats:
        """One figure row by row [N]; of BLEU and chrF the sentence scores, whose mean is not the corpus score."""
        return _scores(name, self.tables[name], 1, of_sentences=True)


def row_figures(golds: Golds, answers: Sequence[str], *, names: Sequence[str] = FIGURES) -> RowFigures:
    """The tables of the named figures; `golds` holds the references of each row.

    Raises ValueError without rows, for a row without a reference, and for a name not in FIGURES.
    """
    if not answers or len(golds) != len(answers):
        raise ValueError(f"There are {len(golds)} rows of references and {len(answers)} answers.")
    empty = [at for at, row in enumerate(golds) if not row]
    if empty or set(names) - set(FIGURES):
        raise ValueError(
            f"Rows without a reference: {empty[:5]}; unknown figures: {sorted(set(names) - set(FIGURES))}."
        )
    makers: dict[tuple[str, ...], Callable[[Golds, Sequence[str]], tuple[list[Floats], str]]] = {
        ("exact_match", "token_f1"): _answer_tables,
        ("bleu",): _bleu_table,
        ("chrf",): _chrf_table,
        ("rouge_1", "rouge_2", "rouge_l"): _rouge_tables,
    }
    tables: dict[str, Floats] = {}
    signatures: dict[str, str] = {}
    for family, make in makers.items():
        if set(family) & set(names):
            made, signature = make(golds, answers)
            tables.update(zip(family, made, strict=True))
            signatures.update(dict.fromkeys(family, signature))
    return RowFigures({name: tables[name] for name in names}, {name: signatures[name] for name in names})


def text_figures(
    golds: Golds, answers: Sequence[str], *, seed: int, names: Sequence[str] = FIGURES
) -> dict[str, dict[str, float]]:
    """{figure: {"value", "low", "high"}} over rows; headline(row_figures(...)) where the rows are wanted, too."""
    return headline(row_figures(golds, answers, names=names), seed=seed)


def headline(rows: RowFigures, *, seed: int, rounds: int = metrics.BOOTSTRAP_ROUNDS) -> dict[str, dict[str, float]]:
    """Each figure with its 95 % percentile bootstrap interval over rows."""
    whole, drawn = _whole(rows), _drawn(rows, seed=seed, rounds=rounds)
    return {name: metrics.figure(whole[name], drawn[name]) for name in rows.tables}


def compare_figures(
    first: RowFigures, second: RowFigures, *, seed: int, rounds: int = metrics.BOOTSTRAP_ROUNDS
) -> dict[str, dict[str, float]]:
    """Second minus first in each figure by paired bootstrap: {"difference", "low", "high", "p"} (Koehn 2004).

    Both sides answer the same rows in the same order; a resample draws the same rows of both. Raises ValueError where
    they were not counted alike.
    """
    if len(first) != len(second) or first.signatures != second.signatures:
        raise ValueError("The two sides were not counted on the same rows in the same way.")
    whole = _whole(first), _whole(second)
    drawn = [_drawn(side, seed=seed, rounds=rounds) for side in (first, second)]
    return {
        name: metrics.difference(whole[1][name] - whole[0][name], drawn[1][name] - drawn[0][name])
        for name in first.tables
    }


def answer_tokens(text: str, *, articles: bool) -> list[str]:
    """A text as exact match and F1 see it: no case, no punctuation, words; of scripts without spaces the characters.

    SQuAD's rule (Rajpurkar et al. 2016), which also drops English articles (`articles=False`); punctuation is
    Unicode's with ASCII's signs, as in MLQA (Lewis et al. 2020).
    """
    tokens = _folded(text).translate(_DELETED).split()
    return tokens if articles else [token for token in tokens if token not in ARTICLES]


def rouge_tokens(text: str) -> list[str]:
    """A text as ROUGE sees it: runs of letters, digits and their marks in lower case, not stemmed; of scripts without
    spaces the characters. Of ASCII texts exactly the tokens of the package rouge-score."""
    return _folded(text).translate(_SPACED).split()


def is_unspaced(tokens: Sequence[str]) -> bool:
    """Whether more than half of the tokens are characters of a script without spaces."""
    return 2 * sum(bool(_UNSPACED.match(token)) for token in tokens) > len(tokens)


def bleu_tokenizer(golds: Golds) -> str:
    """sacreBLEU's name of the tokenizer that fits the references.

    "13a" for scripts with spaces, "zh" as soon as a twentieth of the references is Chinese (it cuts other scripts much as
    13a does), "char" for Japanese, Thai and others whose tokenizers need dictionaries.
    """
    unspaced = [text for row in golds for text in row if is_unspaced(rouge_tokens(text))]
    if len(unspaced) < UNSPACED_SHARE * sum(map(len, golds)):
        return "13a"
    letters = sum(len(_UNSPACED.findall(text)) for text in unspaced)
    han = sum(len(_HAN.findall(text)) for text in unspaced)
    return "zh" if letters - han < FOREIGN_SHARE * letters else "char"


class _Signs(dict[int, str]):
    """A table for str.translate that decides on a character when it first meets it."""

    def __init__(self, decide: Callable[[str, str], str]) -> None:
        super().__init__()
        self.decide = decide  # from a character and its Unicode category

    def __missing__(self, code: int) -> str:
        character = chr(code)
        part = self.decide(character, unicodedata.category(character))
        self[code] = f" {part} " if _UNSPACED.match(part) else part
        return self[code]


def _without_punctuation(character: str, category: str) -> str:
    return "" if category[0] == "P" or (category[0] == "S" and character.isascii()) else character


def _letters_and_digits(character: str, category: str) -> str:
    return character if category[0] in "LNM" else " "


_DELETED = _Signs(_without_punctuation)
_SPACED = _Signs(_letters_and_digits)


def _folded(text: str) -> str:
    """One form of full-width, composed and capital letters."""
    return unicodedata.normalize("NFKC", text).lower()


def _answer_tables(golds: Golds, answers: Sequence[str]) -> tuple[list[Floats], str]:
    best = np.zeros((len(answers), 2))
    for at, (references, answer) in enumerate(zip(golds, answers, strict=True)):
        for reference in references:
            wanted = answer_tokens(reference, articles=True)
            articles = is_unspaced(wanted)
            if not articles:
                wanted = answer_tokens(reference, articles=False)
            found = answer_tokens(answer, articles=articles)
            best[at] = np.maximum(best[at], (float(wanted == found), _bag_f1(wanted, found)))
    signature = f"nrefs:{_references(golds)}|case:no|punct:no|articles:unspaced|tok:words+unspaced-characters"
    return [best[:, :1], best[:, 1:]], signature


def _bag_f1(wanted: Sequence[str], found: Sequence[str]) -> float:
    if not wanted or not found:
        return float(wanted == found)
    return _f1((Counter(wanted) & Counter(found)).total(), len(wanted), len(found))


def _rouge_tables(golds: Golds, answers: Sequence[str]) -> tuple[list[Floats], str]:
    """ROUGE-1, ROUGE-2 and ROUGE-L as F-measure (Lin 2004); ROUGE-L over the whole text."""
    best = np.zeros((len(answers), 3))
    for at, (references, answer) in enumerate(zip(golds, answers, strict=True)):
        found = rouge_tokens(answer)
        for reference in references:
            wanted = rouge_tokens(reference)
            common = _common_length(wanted, found)
            scores = (_ngram_f1(wanted, found, 1), _ngram_f1(wanted, found, 2), _f1(common, len(wanted), len(found)))
            best[at] = np.maximum(best[at], scores)
    signature = f"nrefs:{_references(golds)}|refs:best|case:no|stem:no|tok:words+unspaced-characters|measure:f1"
    return [best[:, at : at + 1] for at in range(3)], signature


def _ngram_f1(wanted: Sequence[str], found: Sequence[str], order: int) -> float:
    one, two = (Counter(zip(*(tokens[at:] for at in range(order)), strict=False)) for tokens in (wanted, found))
    return _f1((one & two).total(), one.total(), two.total())


def _f1(common: int, wanted: int, found: int) -> float:
    return 2 * common / (wanted + found) if common else 0.0


def _common_length(first: Sequence[str], second: Sequence[str]) -> int:
    """The length of the longest common subsequence, a row of the table at once as the bits of one number (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for at, token in enumerate(first):
        places[token] = places.get(token, 0) | 1 << at
    full = (1 << len(first)) - 1
    row = full
    for token in second:
        hits = row & places.get(token, 0)
        row = ((row + hits) | (row - hits)) & full
    return len(first) - row.bit_count()


def _bleu_table(golds: Golds, answers: Sequence[str]) -> tuple[list[Floats], str]:
    # force: no warning about texts that look tokenized; it changes no score
    return _sacrebleu(BLEU(tokenize=bleu_tokenizer(golds), force=True), golds, answers)


def _chrf_table(golds: Golds, answers: Sequence[str]) -> tuple[list[Floats], str]:
    return _sacrebleu(CHRF(), golds, answers)


def _sacrebleu(metric: BLEU | CHRF, golds: Golds, answers: Sequence[str]) -> tuple[list[Floats], str]:
    """Sentence statistics [N, C] and the signature; rows with fewer references than others have None in their place."""
    streams = [[row[at] if at < len(row) else None for row in golds] for at in range(max(len(row) for row in golds))]
    found = metric._extract_corpus_statistics(answers, streams)  # type: ignore[arg-type]  # it takes None, its types do not
    return [np.asarray(found, dtype=np.float64)], metric.get_signature().format()


def _references(golds: Golds) -> str:
    """The number of references as sacreBLEU's signatures write it."""
    sizes = {len(row) for row in golds}
    return str(sizes.pop()) if len(sizes) == 1 else "var"


def _whole(rows: RowFigures) -> Mapping[str, float]:
    return {
        name: float(_scores(name, table.sum(0, keepdims=True), len(rows))[0]) for name, table in rows.tables.items()
    }


def _drawn(rows: RowFigures, *, seed: int, rounds: int) -> Mapping[str, Floats]:
    """Each figure of `rounds` resamples [R]; all figures, and both sides of a pair, of the same drawn rows."""
    sums = metrics.resampled_sums(np.concatenate(list(rows.tables.values()), axis=1), rounds, seed)
    ends = np.cumsum([table.shape[1] for table in rows.tables.values()])
    parts = np.split(sums, ends[:-1], axis=1)
    return {name: _scores(name, part, len(rows)) for name, part in zip(rows.tables, parts, strict=True)}


def _scores(name: str, sums: Floats, rows: int, *, of_sentences: bool = False) -> Floats:
    """The figure of each of R sums over `rows` rows, [R, C] -> [R]."""
    if name not in OUT_OF_100:
        return sums[:, 0] / rows
    counts = np.rint(sums).astype(np.int64).tolist()
    if name == "chrf":
        score = CHRF()._compute_f_score
        return np.array([score(row) for row in counts])
    return np.array(
        [
            BLEU.compute_bleu(
                row[2:6], row[6:], row[0], row[1], smooth_method="exp", effective_order=of_sentences
            ).score
            for row in counts
        ]
    )
