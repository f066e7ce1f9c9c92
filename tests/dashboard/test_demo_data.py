"""The demo bank's data: complete, valid, written without templates, and not solvable by counting words."""

import hashlib
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

DEMO = Path(__file__).resolve().parents[2] / "apps" / "dashboard" / "demo"

# Names that may repeat freely; each counts as one token, so the words around a name still have to differ.
FIXED_NAMES = [
    "Harbourline Bank", "Harbourline", "澄港银行", "澄港",
    "Quayside Courier", "Tidewater Post", "Lantern Ledger", "Pierhead Forum",
    "港湾晚报", "澄湾日报", "灯塔财经", "码头论坛",
]  # fmt: skip
NGRAM = 6

INTENTS = {
    "account_closing", "account_opening", "atm_problem", "card_activation", "card_declined", "card_lost",
    "card_not_arrived", "charged_twice", "details_change", "fee_question", "foreign_exchange", "identity_check",
    "limit_change", "loan_application", "loan_repayment", "login_trouble", "refund_missing", "scam_report",
    "transfer_failed", "transfer_pending", "transfer_recall", "unknown_charge",
}  # fmt: skip
SENTIMENTS = {"negative", "neutral", "positive"}
TOPICS = {
    "mobile_app", "fees", "branch_service", "lending", "cards_payments", "savings_rates", "security", "community",
}  # fmt: skip
EVENT_KINDS = {"view", "click", "save", "apply", "purchase"}


@cache
def rows(name: str) -> list[dict[str, Any]]:
    with (DEMO / name).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def texts_of(name: str) -> Iterator[tuple[str, str]]:
    """Yields (where it stands, text) for each text a person reads in one file."""
    for number, row in enumerate(rows(name), start=1):
        if "text" in row:
            yield f"{name}:{number}", row["text"]
        for turn, message in enumerate(row.get("messages", [])):
            yield f"{name}:{number}.{turn}", message["content"]
        for field in ("title_en", "title_zh", "description_en", "description_zh"):
            if field in row:
                yield f"{name}:{number}.{field}", row[field]


TEXT_FILES = ["service_questions.jsonl", "news_comments.jsonl", "products.jsonl", "support_chats.jsonl"]
_TOKEN = re.compile(r"<name>|[㐀-䶿一-鿿]|[^\W_㐀-䶿一-鿿]+(?:['’][^\W_㐀-䶿一-鿿]+)*")
_NAMES = re.compile("|".join(re.escape(name) for name in FIXED_NAMES), re.IGNORECASE)


def ngram_tokens(text: str) -> list[str]:
    """Lower-cased words and numbers of any script, one token for each CJK character, one for each fixed name."""
    return _TOKEN.findall(_NAMES.sub(" <name> ", text.lower()))


def shared_ngrams() -> list[tuple[str, str, str]]:
    """Returns (first text's place, second text's place, n-gram) for every n-gram that two texts share."""
    seen: dict[tuple[str, ...], str] = {}
    shared = []
    for place, text in (pair for name in TEXT_FILES for pair in texts_of(name)):
        tokens = ngram_tokens(text)
        for gram in {tuple(tokens[i : i + NGRAM]) for i in range(len(tokens) - NGRAM + 1)}:
            if gram in seen:
                shared.append((seen[gram], place, " ".join(gram)))
            else:
                seen[gram] = place
    return shared


def bayes_features(text: str) -> list[str]:
    """Words and numbers, and the bigrams of each run of CJK characters."""
    features = []
    for run in re.findall(r"[㐀-䶿一-鿿]+|[^\W_㐀-䶿一-鿿]+(?:['’][^\W_㐀-䶿一-鿿]+)*", text.lower()):
        if "㐀" <= run[0] <= "鿿" and len(run) > 1:
            features += [run[i : i + 2] for i in range(len(run) - 1)]
        else:
            features.append(run)
    return features


def test_split(labelled: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Returns (train, test): of each label, the fifth whose external ids hash lowest is the test part."""
    by_label: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in sorted(labelled, key=lambda row: hashlib.sha256(row["external_id"].encode()).digest()):
        by_label[row["labels"][0]].append(row)
    test = [row for group in by_label.values() for row in group[: round(len(group) / 5)]]
    train = [row for group in by_label.values() for row in group[round(len(group) / 5) :]]
    return train, test


test_split.__test__ = False  # type: ignore[attr-defined]


def bayes_accuracy(labelled: list[dict[str, Any]], smoothing: float) -> float:
    """Returns the test-split accuracy of multinomial naive Bayes on term counts."""
    train, test = test_split(labelled)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    sizes = Counter(row["labels"][0] for row in train)
    for row in train:
        counts[row["labels"][0]].update(bayes_features(row["text"]))
    vocabulary = {feature for counter in counts.values() for feature in counter}
    floors = {label: sum(counter.values()) + smoothing * len(vocabulary) for label, counter in counts.items()}

    def score(label: str, features: list[str]) -> float:
        likelihood = sum(math.log((counts[label][f] + smoothing) / floors[label]) for f in features)
        return math.log(sizes[label]) + likelihood

    hits = 0
    for row in test:
        features = [feature for feature in bayes_features(row["text"]) if feature in vocabulary]
        hits += max(sorted(counts), key=lambda label: score(label, features)) == row["labels"][0]
    return hits / len(test)


def test_no_two_texts_share_a_six_token_ngram() -> None:
    shared = shared_ngrams()

    assert not shared, "\n".join(f"{first}  {second}  {gram}" for first, second, gram in shared[:40])
