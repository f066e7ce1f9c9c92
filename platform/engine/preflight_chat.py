"""What is wrong with chat rows for a given run, the rows named."""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise

from engine.data import ChatRows
from engine.preflight_rows import leakage, misread, naming
from engine.specs.problems import Problem
from engine.specs.sft import SftSpec
from engine.texts import normalised
from words import say

LEAST_CHATS = 4
UNENDED_SHARE = 0.01


def chat_problems(spec: SftSpec, parts: Mapping[str, ChatRows]) -> list[Problem]:
    """Everything wrong with the chats by part (train, dev, test), before they are rendered."""
    if len(parts["train"]) < LEAST_CHATS:
        return [
            Problem(
                "too_few_rows",
                "train_split",
                say(
                    "The split “{train_split}” has {train_count} chats.",
                    train_split=spec.train_split,
                    train_count=len(parts["train"]),
                ),
                say("Give at least {least_chats}.", least_chats=LEAST_CHATS),
            )
        ]
    problems = []
    if not len(parts["dev"]):
        problems.append(
            Problem(
                "no_dev",
                "dev_split",
                say("The split “{dev_split}” is empty.", dev_split=spec.dev_split),
                say("Split the dataset or raise holdout_share."),
            )
        )
    return problems + misread(parts) + _broken_order(parts) + _empty_messages(parts) + leakage(parts, _key)


def refused_problems(rows: Sequence[int]) -> list[Problem]:
    """Chats that the base model's template cannot express."""
    return naming(
        rows,
        "template_mismatch",
        "base_model",
        say("The base model's template refuses {count} chats.", count=len(rows)),
        say("Choose a base model whose template knows these roles, or take the chats out."),
    )


def rendered_problems(
    parts: Mapping[str, ChatRows],
    spans: Mapping[str, Sequence[Sequence[tuple[int, int]]]],
    lengths: Mapping[str, Sequence[int]],
    limit: int,
) -> list[Problem]:
    """What rendering showed: chats without a token to learn once cut to `limit` tokens, and how many were cut."""
    problems = []
    bare = [
        part.ids[at]
        for name, part in parts.items()
        for at in range(len(part))
        if not any(start < min(end, limit) and end > 1 for start, end in spans[name][at])
    ]
    problems += naming(
        bare,
        "no_loss_tokens",
        "messages",
        say(
            "{bare_count} chats have nothing to learn within {context_tokens} tokens.",
            bare_count=len(bare),
            context_tokens=limit,
        ),
        say("Raise context_tokens, shorten what comes before the answer, or give the chat an assistant's message."),
    )
    cut = [part.ids[at] for name, part in parts.items() for at in range(len(part)) if lengths[name][at] > limit]
    total = sum(len(part) for part in parts.values())
    problems += naming(
        cut,
        "truncated",
        "context_tokens",
        say(
            "{cut_count} of {total} chats are longer than {context_tokens} tokens and lose their end.",
            cut_count=len(cut),
            total=total,
            context_tokens=limit,
        ),
        say("Raise context_tokens."),
        severity="warning",
    )
    return problems


def unended_problems(rows: Sequence[int], total: int) -> list[Problem]:
    """Chats whose last answer loses its end: wrong where they are more than UNENDED_SHARE of all."""
    return naming(
        rows,
        "missing_end",
        "context_tokens",
        say("The end of the last answer of {count} of {total} chats is not learnt.", count=len(rows), total=total),
        say("Raise context_tokens or shorten these chats; a model that never learns to end does not stop."),
        severity="error" if len(rows) > UNENDED_SHARE * total else "warning",
    )


def order_is_broken(messages: Sequence[Mapping[str, str]]) -> bool:
    """Whether roles do not follow: system first only, user before assistant, no two of the same in a row.

    A tool's message stands between two of the assistant's; several tool messages may follow each other.
    """
    roles = [message["role"] for message in messages]
    if not roles or "system" in roles[1:]:
        return True
    turns = roles[1:] if roles[0] == "system" else roles
    if not turns or turns[0] != "user":
        return True
    allowed = {"user": {"assistant"}, "assistant": {"user", "tool"}, "tool": {"assistant", "tool"}}
    return any(after not in allowed.get(before, set()) for before, after in pairwise(turns))


def _broken_order(parts: Mapping[str, ChatRows]) -> list[Problem]:
    rows = [
        part.ids[at]
        for part in parts.values()
        for at, messages in enumerate(part.messages)
        if order_is_broken(messages)
    ]
    return naming(
        rows,
        "broken_role_order",
        "messages",
        say("{rows_count} chats have messages in an impossible order.", rows_count=len(rows)),
        say("A chat is: at most one system message, then user and assistant in turns (tool after assistant)."),
    )


def _empty_messages(parts: Mapping[str, ChatRows]) -> list[Problem]:
    rows = [
        part.ids[at]
        for part in parts.values()
        for at, messages in enumerate(part.messages)
        if any(not message["content"].strip() for message in messages)
    ]
    return naming(
        rows,
        "empty_text",
        "messages",
        say("{rows_count} chats hold an empty message.", rows_count=len(rows)),
        say("Fill it in or delete it."),
    )


def _key(rows: ChatRows, at: int) -> str:
    return json.dumps([[message["role"], normalised(message["content"])] for message in rows.messages[at]])
