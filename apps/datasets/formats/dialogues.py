"""Conversations in the shapes of others (OpenAI, ShareGPT, Alpaca, transcripts) and in ours, both ways."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from words import say

Message = dict[str, str]

ROLE_NAMES = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "bot": "assistant", "chatgpt": "assistant", "model": "assistant",
    "ai": "assistant", "function_call": "assistant",
    "tool": "tool", "observation": "tool", "function": "tool",
}  # fmt: skip
_SHAREGPT_ROLES = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
_TURN = re.compile(r"(?:\A|\n\n)(Human|Assistant): ")


class Unmappable(Exception):
    """A value has no canonical form. `code` and `field` are stable, the message is for people."""

    def __init__(self, code: str, field: str, message: str) -> None:
        super().__init__(message)
        self.code, self.field, self.message = code, field, message


def parsed(value: Any, field: str) -> Any:
    """`value`, read as JSON where it is a text that begins like a list or object."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise Unmappable(
            "invalid_json", field, say("“{field}” is not JSON: {error}.", field=field, error=error)
        ) from error


def to_messages(value: Any, field: str = "messages") -> list[Message]:
    """Canonical messages from a list of {role, content} or {from, value}, its JSON, or a Human/Assistant transcript."""
    if isinstance(value, str) and _is_transcript(value):
        return _transcript(value)
    value = parsed(value, field)
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        raise Unmappable(
            "wrong_type", field, say("“{field}” must be a list of messages with a role and a content.", field=field)
        )
    return [_message(entry, f"{field}.{at}") for at, entry in enumerate(value)]


def to_prompt(value: Any, field: str = "prompt") -> list[Message]:
    """A prompt: messages in any shape, or a bare text, which is what the user said."""
    if isinstance(value, str) and not _is_transcript(value):
        try:
            inner = parsed(value, field)
        except Unmappable:
            inner = value
        if not (isinstance(inner, list) and inner and all(isinstance(entry, Mapping) for entry in inner)):
            return [{"role": "user", "content": value}]
    return to_messages(value, field)


def _message(entry: Mapping[str, Any], field: str) -> Message:
    name = entry.get("role", entry.get("from"))
    if not isinstance(name, str):
        raise Unmappable("wrong_type", field, say("The message “{field}” names no role.", field=field))
    if entry.get("tool_calls") or entry.get("function_call"):
        raise Unmappable(
            "tool_calls", field, say("The message “{field}” calls a tool; such calls cannot be kept.", field=field)
        )
    content = entry.get("content", entry.get("value"))
    if isinstance(content, list):
        content = _parts(content, field)
    if not isinstance(content, str):
        raise Unmappable("wrong_type", f"{field}.content", say("The content of “{field}” must be a text.", field=field))
    return {"role": ROLE_NAMES.get(name.strip().lower(), name), "content": content}


def _parts(parts: list[Any], field: str) -> str:
    texts = [part.get("text") for part in parts if isinstance(part, Mapping) and part.get("type") == "text"]
    if len(texts) < len(parts) or not all(isinstance(text, str) for text in texts):
        raise Unmappable(
            "not_text", f"{field}.content", say("The content of “{field}” holds more than text.", field=field)
        )
    return "".join(str(text) for text in texts)


def _is_transcript(text: str) -> bool:
    return text.startswith(("Human: ", "\n\nHuman: ")) and "\n\nAssistant: " in text


def _transcript(text: str) -> list[Message]:
    parts = _TURN.split(text)
    turns = zip(parts[1::2], parts[2::2], strict=True)
    return [{"role": "user" if who == "Human" else "assistant", "content": said} for who, said in turns]


def alpaca_messages(values: Mapping[str, Any]) -> list[Message]:
    """Messages of `system`, `history`, `instruction` and `input`; `input` follows the instruction on its own line."""
    messages: list[Message] = []
    if values.get("system"):
        messages.append({"role": "system", "content": values["system"]})
    history = parsed(values.get("history") or [], "history")
    if not isinstance(history, list) or not all(isinstance(turn, list | tuple) and len(turn) == 2 for turn in history):
        raise Unmappable("wrong_type", "history", say("“history” must be a list of [question, answer] pairs."))
    for asked, answered in history:
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    return [*messages, {"role": "user", "content": alpaca_instruction(values)}]


def alpaca_instruction(values: Mapping[str, Any]) -> str:
    """Instruction and input as one text; a value that is no text is a wrong_type."""
    parts = [values.get("instruction") or "", values.get("input") or ""]
    if not all(isinstance(part, str) for part in parts):
        raise Unmappable("wrong_type", "instruction", say("“instruction” and “input” must be texts."))
    return "\n".join(part for part in parts if part)


def to_preference(prompt: list[Message] | None, chosen: Any, rejected: Any) -> dict[str, Any]:
    """A preference record; without a prompt it is what both conversations begin with."""
    literal = prompt is not None
    good, bad = _answers(chosen, "chosen", literal=literal), _answers(rejected, "rejected", literal=literal)
    if prompt is None:
        shared = 0
        while shared < min(len(good), len(bad)) - 1 and good[shared] == bad[shared]:
            shared += 1
        prompt, good, bad = good[:shared], good[shared:], bad[shared:]
    else:  # some files repeat the prompt in front of both answers
        good = good[len(prompt) :] if good[: len(prompt)] == prompt else good
        bad = bad[len(prompt) :] if bad[: len(prompt)] == prompt else bad
    for field, answer in (("chosen", good), ("rejected", bad)):
        if len(answer) != 1 or answer[0]["role"] != "assistant":
            message = say("“{field}” must be one answer of the assistant that follows the prompt.", field=field)
            raise Unmappable("bad_answer", field, message)
    return {"prompt": prompt, "chosen": good[0]["content"], "rejected": bad[0]["content"]}


def _answers(value: Any, field: str, *, literal: bool) -> list[Message]:
    if isinstance(value, Mapping):
        value = [value]
    if isinstance(value, str) and (literal or not _is_transcript(value)):
        return [{"role": "assistant", "content": value}]
    return to_messages(value, field)


def as_openai(kind: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """The line of an OpenAI fine-tuning file (chat, or preference)."""
    if kind == "chat":
        return {"messages": record["messages"]}
    return {
        "input": {"messages": record["prompt"]},
        "preferred_output": [{"role": "assistant", "content": record["chosen"]}],
        "non_preferred_output": [{"role": "assistant", "content": record["rejected"]}],
    }


def as_sharegpt(kind: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of a ShareGPT file; a first system message stands beside the conversation."""
    messages = list(record["messages"] if kind == "chat" else record["prompt"])
    system = messages.pop(0)["content"] if messages and messages[0]["role"] == "system" else None
    entry: dict[str, Any] = {"conversations": [_said(m["role"], m["content"]) for m in messages]}
    if system is not None:
        entry["system"] = system
    if kind == "preference":
        entry |= {
            "chosen": _said("assistant", record["chosen"]),
            "rejected": _said("assistant", record["rejected"]),
        }
    return entry


def _said(role: str, content: str) -> dict[str, str]:
    return {"from": _SHAREGPT_ROLES[role], "value": content}


def as_alpaca(kind: str, record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The entry of an Alpaca file, or None where the conversation is not questions and answers in turn."""
    if kind == "pairs":
        return {"instruction": record["source"], "input": "", "output": record["target"]}
    messages: Sequence[Message] = record["messages"] if kind == "chat" else record["prompt"]
    system = messages[0]["content"] if messages and messages[0]["role"] == "system" else None
    turns = list(messages[1:] if system is not None else messages)
    wanted = ["user", "assistant"] * (len(turns) // 2) + (["user"] if kind == "preference" else [])
    if not wanted or [turn["role"] for turn in turns] != wanted:
        return None
    said = [turn["content"] for turn in turns]
    asked = said[-2] if kind == "chat" else said[-1]
    before = said[:-2] if kind == "chat" else said[:-1]
    entry: dict[str, Any] = {"instruction": asked, "input": ""}
    entry |= {"output": said[-1]} if kind == "chat" else {"chosen": record["chosen"], "rejected": record["rejected"]}
    if system is not None:
        entry["system"] = system
    return entry | {"history": [list(pair) for pair in zip(before[0::2], before[1::2], strict=True)]}
