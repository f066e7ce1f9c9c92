"""The ten classic bad datasets: each is refused before a run starts, its rows named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.misreading import looks_misread
from engine.preflight import preflight
from engine.report import Silent
from engine.specs import BaseModel, ClassifySpec, EmbedSpec, RerankSpec, SftSpec, Spec

Message = dict[str, str]


def talk(*turns: str) -> list[Message]:
    """User and assistant in turns."""
    return [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(turns)]


GOOD_CHATS = [talk(f"question {at}", f"answer {at}") for at in range(24)]
BAD_CHATS: dict[str, tuple[list[Message], str]] = {
    "all labels masked": (talk("a question nobody answered"), "no_loss_tokens"),
    "missing end": (talk("tell", "again and again " * 60), "missing_end"),
    "truncated answer": (talk("why " * 90, "because"), "no_loss_tokens"),
    "broken role order": (talk("hi", "hello")[::-1], "broken_role_order"),
    "empty message": (talk("hi", " "), "empty_text"),
    "wrong encoding": (talk("où est ma carte".encode().decode("cp1252"), "en route"), "wrong_encoding"),
}


@pytest.mark.parametrize("what", BAD_CHATS)
def test_a_bad_chat_is_refused_with_its_row(chat_file: Any, tmp_path: Path, what: str) -> None:
    bad, code = BAD_CHATS[what]
    rows = [(chat, "train") for chat in [*GOOD_CHATS[:6], bad, *GOOD_CHATS[6:]]]

    found = checked(small_gpt(), chat_file(tmp_path / "chats.parquet", rows))

    assert (code, (106,)) in errors(found)


def test_a_template_that_refuses_the_chats_is_a_mismatch(
    chat_file: Any, tmp_path: Path, tiny_chat: Callable[[str], Path]
) -> None:
    folder = tiny_chat("llama")
    template = folder / "chat_template.jinja"
    refusal = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    template.write_text(refusal + template.read_text())
    system = {"role": "system", "content": "Be brief."}
    rows = [([system, *chat] if at == 5 else chat, "train") for at, chat in enumerate(GOOD_CHATS)]
    spec = SftSpec(base_model=BaseModel("folder", str(folder)), context_tokens=96)

    found = checked(spec, chat_file(tmp_path / "chats.parquet", rows))

    assert errors(found) == [("template_mismatch", (105,))]


def rows_with(what: str, labelled: Any) -> list[tuple[str, list[str], str]]:
    """Labelled rows of which something is wrong from row 130 on, or in dev."""
    good = [(text, [label], "train" if at < 20 else "dev") for at, (text, label) in enumerate(labelled(30))]
    first = good[0][0]
    return {
        "unknown labels": [*good, ("something new", ["insurance"], "dev")],
        "train and dev overlap": [*good, (f"  {first.upper()}", good[0][1], "dev")],
        "train and test overlap": [*good, (first, good[0][1], "test")],
        "one-class dev": [row for row in good if row[2] == "train" or row[1] == ["card"]],
        "empty texts": [*good, (" \u3000 ", ["card"], "train")],
        "wrong encoding": [*good, ("我的卡还没有寄到".encode().decode("gb18030"), ["card"], "train")],
    }[what]


@pytest.mark.parametrize(
    ("what", "code", "rows"),
    [
        ("unknown labels", "unknown_label", (130,)),
        ("train and dev overlap", "dev_leaks", (130,)),
        ("train and test overlap", "test_leaks", (130,)),
        ("one-class dev", "one_class_dev", ()),
        ("empty texts", "empty_text", (130,)),
        ("wrong encoding", "wrong_encoding", (130,)),
    ],
)
def test_a_bad_classification_dataset_is_refused_with_its_rows(
    encoder: Path, text_file: Any, labelled: Any, tmp_path: Path, what: str, code: str, rows: tuple[int, ...]
) -> None:
    spec = ClassifySpec(base_model=BaseModel("folder", str(encoder)), max_length_tokens=32)

    found = checked(spec, text_file(tmp_path / "rows.parquet", rows_with(what, labelled)))

    assert errors(found) == [(code, rows)]


BAD_PAIRS: dict[str, tuple[tuple[str, str, str, dict[str, Any]], str]] = {
    "empty side": (("a question", " ", "train", {}), "empty_text"),
    "wrong encoding": (("我的卡还没有寄到".encode().decode("gb18030"), "the card", "train", {}), "wrong_encoding"),
    "unreadable score": (("a question", "the card", "train", {"score": "good"}), "score_unreadable"),
    "train and test overlap": (("question  3?", "something else", "test", {}), "test_leaks"),
    "train and dev overlap": (("Question 3?", "something else", "dev", {}), "dev_leaks"),
}


@pytest.mark.parametrize("what", BAD_PAIRS)
@pytest.mark.parametrize("spec_type", [EmbedSpec, RerankSpec])
def test_a_bad_pair_is_refused_with_its_row(
    encoder: Path, pair_file: Any, tmp_path: Path, what: str, spec_type: Any
) -> None:
    bad, code = BAD_PAIRS[what]
    good = [(f"question {at}?", f"answer {at}", "train" if at < 20 else "dev", {}) for at in range(26)]
    spec = spec_type(base_model=BaseModel("folder", str(encoder)))

    found = preflight(spec, pair_file(tmp_path / "pairs.parquet", [*good, bad]), Silent(), data_kind="pairs")

    assert errors(found) == [(code, (726,))]


@pytest.mark.parametrize(
    "text",
    [
        "café déjà vu, naïve, Übergröße, ÅNGSTRÖM, «Ô temps !», voilà\u00a0», créé…», Spaß»",
        "我的银行卡还没有寄到，请问什么时候可以收到？联通客服说三天。",
        "カードはまだ届いていません。대한민국 은행 카드",
        "Где моя карта? Ελληνικά — “quotes” and ‘more’… 5 €, 🎉🎉",
        "",
    ],
)
def test_rightly_read_texts_are_left_alone(text: str) -> None:
    assert not looks_misread(text)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("it’s late", "cp1252"),
        ("un café", "cp1252"),
        ("un café", "latin-1"),
        ("Где моя карта сегодня", "latin-1"),
        ("我的银行卡还没有寄到", "latin-1"),
        ("我的银行卡还没有寄到", "gb18030"),
        ("我的银行卡", "gbk"),
    ],
)
def test_utf8_read_as_something_else_is_seen(text: str, encoding: str) -> None:
    assert looks_misread(text.encode().decode(encoding, errors="replace"))


def small_gpt() -> SftSpec:
    return SftSpec(
        layers=1, width=16, heads=2, kv_heads=0, context_tokens=96, vocabulary_size=320, batch_size=4, epochs=1
    )


def checked(spec: Spec, data: Path) -> dict[str, Any]:
    return preflight(spec, data, Silent(), **({"data_kind": "chat"} if isinstance(spec, SftSpec) else {}))


def errors(found: dict[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    """(code, rows) of what stops the run."""
    return [(one["code"], tuple(one["rows"])) for one in found["problems"] if one["severity"] == "error"]
