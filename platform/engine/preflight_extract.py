"""What is wrong with questions about passages for a given run, the rows named."""

from collections.abc import Mapping, Sequence

from engine.data import QaRows
from engine.preflight_rows import leakage, misread, naming, no_dev, no_rows, too_few
from engine.reader import Passage, target_of
from engine.specs import ExtractSpec
from engine.specs.problems import Problem
from engine.texts import normalised
from words import say


def question_problems(spec: ExtractSpec, parts: Mapping[str, QaRows]) -> list[Problem]:
    """Everything wrong with the rows by part (train, dev, test)."""
    train, dev = parts["train"], parts["dev"]
    if not len(train):
        return no_rows(spec)
    problems = (
        _empty(parts) + misread(parts) + too_few(train) + _elsewhere(parts) + no_dev(spec, dev) + leakage(parts, _pair)
    )
    if not any(train.answers):
        problems.append(
            Problem(
                "no_answers",
                "answers",
                say("No training question has an answer."),
                say("Mark answers in the passages, then freeze again."),
            )
        )
    return problems


def window_problems(train: QaRows, windows: Sequence[Passage]) -> list[Problem]:
    """Training questions whose answer lies whole in no window: longer than what windows share, or cut off."""
    reached = {window.row for window in windows if target_of(window, train.answers[window.row]) != (0, 0)}
    rows = [train.ids[at] for at, answers in enumerate(train.answers) if answers and at not in reached]
    return naming(
        rows,
        "answer_cut",
        "stride_tokens",
        say("{rows_count} training answers lie whole in no window and are not learnt.", rows_count=len(rows)),
        say("Raise stride_tokens above the longest answer, or max_length_tokens."),
        severity="warning",
    )


def _empty(parts: Mapping[str, QaRows]) -> list[Problem]:
    rows = [
        part.ids[at]
        for part in parts.values()
        for at in range(len(part))
        if not part.questions[at].strip() or not part.contexts[at].strip()
    ]
    return naming(
        rows,
        "empty_text",
        "question",
        say("{rows_count} rows have no question or no passage.", rows_count=len(rows)),
        say("Fill them in or delete them."),
    )


def _elsewhere(parts: Mapping[str, QaRows]) -> list[Problem]:
    rows = [
        part.ids[at]
        for part in parts.values()
        for at, answers in enumerate(part.answers)
        if any(part.contexts[at][start : start + len(text)] != text or not text for text, start in answers)
    ]
    return naming(
        rows,
        "answer_elsewhere",
        "answers",
        say("{rows_count} rows name an answer that their passage does not read there.", rows_count=len(rows)),
        say("Count in code points: context[start:start+len(text)] is the answer."),
    )


def _pair(rows: QaRows, at: int) -> tuple[str, str]:
    return normalised(rows.questions[at]), normalised(rows.contexts[at])
