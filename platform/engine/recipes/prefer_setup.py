"""What a preference run is made of before it starts: rows by part, and both answers of each as tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.continuing import Earlier, earlier_rows
from engine.data import parts_of
from engine.preferences import PreferenceRows, answer_alone, read_preferences
from engine.preflight_chat import order_is_broken, refused_problems, unended_problems
from engine.preflight_rows import leakage, misread, naming
from engine.recipes.sft_setup import Beginning
from engine.render import Chat, Unrenderable
from engine.specs import Problem
from engine.specs.prefer import PreferSpec
from engine.texts import normalised
from words import say

LEAST_PAIRS = 4


@dataclass(frozen=True)
class Pair:
    """One prompt with its two answers as tokens; only the answer's tokens are learnt."""

    chosen: Chat
    rejected: Chat


def arrange(spec: PreferSpec, splits: Mapping[str, PreferenceRows]) -> tuple[dict[str, PreferenceRows], list[Problem]]:
    """(rows by part, problems): dev is held out of train when the dataset has none."""
    parts = parts_of(spec, splits, PreferenceRows)
    return parts, preference_problems(spec, parts)


def preference_problems(spec: PreferSpec, parts: Mapping[str, PreferenceRows]) -> list[Problem]:
    """Everything wrong with the rows before they are rendered."""
    count = len(parts["train"])
    if count < LEAST_PAIRS:
        return [
            Problem(
                "too_few_rows",
                "train_split",
                say("The split “{split}” has {count} pairs of answers.", split=spec.train_split, count=count),
                say("Give at least {least}.", least=LEAST_PAIRS),
            )
        ]
    every = [(part, at) for part in parts.values() for at in range(len(part))]
    same = [part.ids[at] for part, at in every if normalised(part.chosen[at]) == normalised(part.rejected[at])]
    empty = [part.ids[at] for part, at in every if not part.chosen[at].strip() or not part.rejected[at].strip()]
    broken = [part.ids[at] for part, at in every if order_is_broken(part.answered(at, "x"))]
    return [
        *misread(parts),
        *naming(
            broken,
            "broken_role_order",
            "prompt",
            say("{count} prompts have messages in an impossible order.", count=len(broken)),
            say("A prompt ends with the user's message, with user and assistant in turns before it."),
        ),
        *naming(
            empty,
            "empty_text",
            "chosen",
            say("{count} rows lack one of their two answers.", count=len(empty)),
            say("Fill it in or take the row out."),
        ),
        *naming(
            [number for number in same if number not in set(empty)],
            "same_answers",
            "rejected",
            say("In {count} rows the chosen and the rejected answer are the same.", count=len(same)),
            say("Take them out: nothing is preferred there."),
        ),
        *leakage(parts, _key),
    ]


def render_pairs(
    parts: Mapping[str, PreferenceRows], start: Beginning, limit: int
) -> tuple[dict[str, list[Pair]], list[Problem]]:
    """Pairs by part, each answer cut to `limit` tokens with its prompt, and what rendering showed to be wrong."""
    pairs: dict[str, list[Pair]] = {}
    refused: list[int] = []
    unended: list[int] = []
    bare: list[int] = []
    for name, part in parts.items():
        pairs[name] = []
        for at, number in enumerate(part.ids):
            try:
                both = [
                    answer_alone(part.answered(at, text), start.template, limit)
                    for text in (part.chosen[at], part.rejected[at])
                ]
            except Unrenderable:
                refused.append(number)
                continue
            pairs[name].append(Pair(*both))
            if not all(any(chat.learnt[1:]) for chat in both):
                bare.append(number)
            elif any(len(chat.full) > limit for chat in both):
                unended.append(number)
    problems = refused_problems(refused) if refused else []
    problems += naming(
        bare,
        "no_loss_tokens",
        "context_tokens",
        say("{count} rows have an answer that does not begin within {limit} tokens.", count=len(bare), limit=limit),
        say("Raise context_tokens or shorten the prompts."),
    )
    return pairs, problems + unended_problems(unended, sum(len(part) for part in parts.values()))


def earlier_preferences(
    spec: PreferSpec, parts: Mapping[str, PreferenceRows], earlier: Sequence[Earlier]
) -> list[PreferenceRows]:
    """The training rows of each earlier task where the spec reads them; RunFailed when there are none."""
    if not spec.rehearses:
        return []

    def asked(rows: PreferenceRows) -> list[str]:
        return ["\n".join(_key(rows, at)) for at in range(len(rows))]

    return earlier_rows(spec, earlier, lambda task: read_preferences(task.path), asked, [parts["dev"], parts["test"]])


def _key(rows: PreferenceRows, at: int) -> tuple[str, ...]:
    said = tuple(normalised(message["content"]) for message in rows.prompts[at])
    return (*said, normalised(rows.chosen[at]))
