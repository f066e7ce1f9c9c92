"""Sentences for people that are said in the reader's language when they are shown, not when they are written.

`say("{count:,} rows are empty.", count=3)` is a str, the English sentence, that remembers its template and values:
whoever stores it keeps both (`dump`, `load`), and str() of it speaks the language of the moment. This room stands
below all others and knows the standard library only; the web side gives it a translator, the engine has none.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

_translate: Callable[[str], str] = str
_MARK = '{"msgid":'


def translate_with(translate: Callable[[str], str]) -> None:
    """Let str() of every sentence look its template up here; called once when a process starts."""
    global _translate
    _translate = translate


class Words(str):
    """An English sentence with its template and values; str() and format() say it in the language of the moment."""

    template: str
    values: dict[str, Any]

    def __new__(cls, template: str, values: Mapping[str, Any]) -> "Words":
        """Values that are no plain data (a model row, a path) become their text now."""
        kept = {name: _plain(value) for name, value in values.items()}
        made = super().__new__(cls, template.format(**{name: _english(value) for name, value in kept.items()}))
        made.template, made.values = template, kept
        return made

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.template, self.values

    def __str__(self) -> str:
        return _translate(self.template).format(**self.values)

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


def say(template: str, /, **values: Any) -> str:
    """A sentence for people, with {named} values as str.format writes them."""
    return Words(template, values)


def join(parts: list[str], between: str = " ") -> str:
    """The parts that are not empty as one text, each said on its own: a sentence and its hint, for example."""
    found = [part for part in parts if part]
    if len(found) < 2:
        return found[0] if found else ""
    return Words(
        between.join(f"{{part{at}}}" for at in range(len(found))), {f"part{at}": p for at, p in enumerate(found)}
    )


def dump(value: Any) -> Any:
    """Plain data in which every sentence is {"msgid": template, "values": values}."""
    if isinstance(value, Words):
        return {"msgid": value.template, "values": dump(value.values)}
    if isinstance(value, Mapping):
        return {name: dump(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [dump(entry) for entry in value]
    return value


def revive(entry: dict[str, Any]) -> Any:
    """A sentence from its plain data, any other object as it is: the object_hook of json.loads."""
    return Words(entry["msgid"], entry["values"]) if entry.keys() == {"msgid", "values"} else entry


def spoken(value: Any) -> Any:
    """The same data with every sentence said in the language of the moment."""
    if isinstance(value, Words):
        return str(value)
    if isinstance(value, Mapping):
        return {name: spoken(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [spoken(entry) for entry in value]
    return value


def to_text(text: str) -> str:
    """One text column's form: a bare text as it is, a sentence as JSON."""
    if not isinstance(text, Words):
        if not text.startswith(_MARK):
            return text
        text = Words("{text}", {"text": text})
    return json.dumps(dump(text), ensure_ascii=False, separators=(",", ":"))


def text_begins(template: str) -> str:
    """How `to_text` begins for every sentence of a template."""
    return _MARK + json.dumps(template, ensure_ascii=False)


def from_text(text: str) -> str:
    """What `to_text` wrote."""
    if not text.startswith(_MARK):
        return text
    found = json.loads(text, object_hook=revive)
    return found if isinstance(found, Words) else text


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _english(value: Any) -> Any:
    return str.__str__(value) if isinstance(value, Words) else value
