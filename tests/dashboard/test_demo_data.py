"""The demo bank's data: complete, valid, written without templates, and not solvable by counting words."""

import hashlib
import importlib.util
import json
import math
import re
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from engine.specs.records import check_record

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


def split_by_hash(labelled: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Returns (train, test): of each label, the fifth whose external ids hash lowest is the test part."""
    by_label: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in sorted(labelled, key=lambda row: hashlib.sha256(row["external_id"].encode()).digest()):
        by_label[row["labels"][0]].append(row)
    test = [row for group in by_label.values() for row in group[: round(len(group) / 5)]]
    train = [row for group in by_label.values() for row in group[round(len(group) / 5) :]]
    return train, test


def bayes_accuracy(labelled: list[dict[str, Any]], smoothing: float) -> float:
    """Returns the test-split accuracy of multinomial naive Bayes on term counts."""
    train, test = split_by_hash(labelled)
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


@pytest.mark.parametrize("smoothing", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("name", ["service_questions.jsonl", "news_comments.jsonl"])
def test_counting_words_alone_is_not_enough(name: str, smoothing: float) -> None:
    accuracy = bayes_accuracy(rows(name), smoothing)

    assert 0.6 <= accuracy <= 0.88, f"naive Bayes reaches {accuracy:.3f}"


def test_there_are_as_many_texts_as_promised() -> None:
    counts = {path.name: len(rows(path.name)) for path in DEMO.glob("*.jsonl")}
    least = {
        "service_questions.jsonl": 660,
        "news_comments.jsonl": 440,
        "products.jsonl": 160,
        "events.jsonl": 3500,
        "support_chats.jsonl": 120,
    }

    assert set(counts) == set(least)
    assert all(counts[name] >= least[name] for name in least), counts


def test_every_intent_has_enough_questions_in_both_languages() -> None:
    counts = Counter((row["labels"][0], row["meta"]["language"]) for row in rows("service_questions.jsonl"))

    assert {intent for intent, _ in counts} == INTENTS
    assert min(counts[intent, language] for intent in INTENTS for language in ("en", "zh")) >= 12


def test_comments_cover_every_sentiment_and_topic_over_ninety_days() -> None:
    comments = rows("news_comments.jsonl")
    times = sorted(datetime.fromisoformat(row["meta"]["published_at"]) for row in comments)

    assert {row["labels"][0] for row in comments} == SENTIMENTS
    assert {row["meta"]["topic"] for row in comments} == TOPICS
    assert {row["meta"]["language"] for row in comments} == {"en", "zh"}
    assert all(row["meta"]["source"] in FIXED_NAMES for row in comments)
    assert all(time.tzinfo for time in times)
    assert timedelta(days=85) <= times[-1] - times[0] <= timedelta(days=90)


def test_two_surges_of_negative_comments_stand_out() -> None:
    negative = [row["meta"] for row in rows("news_comments.jsonl") if row["labels"] == ["negative"]]
    daily = Counter((meta["topic"], datetime.fromisoformat(meta["published_at"]).date()) for meta in negative)
    starts = {"mobile_app": date(2026, 9, 14), "fees": date(2026, 10, 21)}
    calm = [
        count for (topic, day), count in daily.items() if topic not in starts or not 0 <= (day - starts[topic]).days < 5
    ]

    assert all(daily[topic, start] >= 15 for topic, start in starts.items())
    assert max(calm) <= 3


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("service_questions.jsonl", "classification"),
        ("news_comments.jsonl", "classification"),
        ("support_chats.jsonl", "chat"),
    ],
)
def test_rows_are_canonical_records_with_their_own_ids(name: str, kind: str) -> None:
    records = [{key: value for key, value in row.items() if key != "external_id"} for row in rows(name)]

    assert [problem for record in records for problem in check_record(kind, record)] == []
    assert all(len(record.get("labels", ["one"])) == 1 for record in records)
    assert len({row["external_id"] for row in rows(name)}) == len(records)


def test_chats_take_turns_and_end_with_the_assistant() -> None:
    roles = [[message["role"] for message in row["messages"]] for row in rows("support_chats.jsonl")]

    assert all(len(turns) in (2, 4, 6) for turns in roles)
    assert all(turns == ["user", "assistant"] * (len(turns) // 2) for turns in roles)


def test_products_are_complete_in_both_languages() -> None:
    products = rows("products.jsonl")
    fields = {"item_id", "title_en", "title_zh", "description_en", "description_zh", "category", "tags"}

    assert all(set(product) == fields and all(product.values()) for product in products)
    for unique in ("item_id", "title_en", "title_zh"):
        assert len({product[unique] for product in products}) == len(products)


def test_no_text_stands_twice() -> None:
    for name in TEXT_FILES:
        bare = Counter(re.sub(r"[\W_]+", "", text.lower()) for _, text in texts_of(name))

        assert [text for text, count in bare.items() if count > 1] == []


def test_texts_are_composed_and_free_of_control_characters() -> None:
    for place, text in (pair for name in TEXT_FILES for pair in texts_of(name)):
        assert unicodedata.is_normalized("NFC", text), place
        assert text == text.strip(), place
        assert not [mark for mark in text if unicodedata.category(mark) in ("Cc", "Cf", "Co", "Cn")], place


def test_events_name_known_products_and_walk_down_the_funnel() -> None:
    events = rows("events.jsonl")
    known = {product["item_id"] for product in rows("products.jsonl")}
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)

    for event in events:
        assert set(event) == {"user_id", "item_id", "event", "at"}
        steps = seen[event["user_id"], event["item_id"]]
        steps.add(event["event"])
        assert steps <= EVENT_KINDS
        assert "view" in steps
        assert "apply" in steps or "purchase" not in steps

    times = [datetime.fromisoformat(event["at"]) for event in events]
    assert times == sorted(times)
    assert {event["item_id"] for event in events} <= known
    assert len({event["user_id"] for event in events}) == 200


def test_the_script_makes_the_committed_events() -> None:
    made = make_events().lines()

    assert made == (DEMO / "events.jsonl").read_text(encoding="utf-8")


def make_events() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo_make_events", DEMO / "make_events.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks itself up there
    spec.loader.exec_module(module)
    return module
