"""Bodies of requests for answers, and what they mean to the engine."""

from collections.abc import Mapping
from typing import Any, ClassVar

from rest_framework import serializers

from apps.inference.services import Extras, Guarded
from core.errors import Refused
from core.openai.body import Body, Flag, Metadata, Number, Text, Whole
from engine.specs.sampling import Grammar, Sampling
from words import say

ROLES = {"developer": "system"}
OPENAI_TOKENS = 16  # of a completion that does not say how many it wants
DEFAULT_TOKENS = 1024  # of a chat that does not
PRIORITY = {"flex": 5, "priority": -5}


class StreamOptions(Body):
    """`stream_options`."""

    ignored = ("include_obfuscation",)
    include_usage = Flag(default=False)


class Answering(Body):
    """What chats and completions have in common; the second half are options that vLLM has beside OpenAI's."""

    ignored: ClassVar[tuple[str, ...]] = (
        "parallel_tool_calls",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning_effort",
        "safety_identifier",
        "verbosity",
    )
    model = Text(max_length=300)
    frequency_penalty = Number(required=False)
    presence_penalty = Number(required=False)
    temperature = Number(required=False)
    top_p = Number(required=False)
    seed = Whole(required=False)
    n = Whole(required=False)
    max_tokens = Whole(required=False)
    stop = serializers.JSONField(required=False)
    logit_bias = serializers.JSONField(required=False)
    stream = Flag(default=False)
    stream_options = StreamOptions(required=False)
    user = Text(required=False, max_length=200)
    metadata = Metadata(required=False)
    store = Flag(default=True)
    service_tier = serializers.ChoiceField(["auto", "default", "flex", "priority"], required=False)

    top_k = Whole(required=False)
    min_p = Number(required=False)
    min_tokens = Whole(required=False)
    repetition_penalty = Number(required=False)
    ignore_eos = Flag(default=False)
    stop_token_ids = serializers.ListField(child=Whole(), required=False, max_length=64)
    structured_outputs = serializers.DictField(required=False)


class ChatBody(Answering):
    """POST /v1/chat/completions."""

    messages = serializers.ListField(child=serializers.JSONField(), max_length=2000)
    max_completion_tokens = Whole(required=False)
    logprobs = Flag(default=False)
    top_logprobs = Whole(required=False)
    response_format = serializers.JSONField(required=False)
    modalities = serializers.JSONField(required=False)
    tools = serializers.JSONField(required=False)
    tool_choice = serializers.JSONField(required=False)


class CompletionBody(Answering):
    """POST /v1/completions."""

    prompt = serializers.JSONField()
    logprobs = Whole(required=False)
    echo = Flag(default=False)
    best_of = Whole(required=False)
    suffix = Text(required=False)


def sampling_of_chat(asked: Mapping[str, Any]) -> Sampling:
    """The options of a chat body; Refused names what we cannot do."""
    _refuse_unknown_ways(asked)
    most = asked.get("max_completion_tokens", asked.get("max_tokens"))
    logprobs = asked.get("top_logprobs", 0) if asked["logprobs"] else None
    if asked.get("top_logprobs") is not None and not asked["logprobs"]:
        raise Refused("not_together", say("top_logprobs needs logprobs to be true."), field="top_logprobs")
    grammar = _format(asked.get("response_format")) or _structured(asked)
    return _sampling(asked, DEFAULT_TOKENS if most is None else most, logprobs=logprobs, grammar=grammar)


def sampling_of_completion(asked: Mapping[str, Any]) -> Sampling:
    """The options of a completion body; with `echo`, max_tokens 0 writes one token that nobody is shown."""
    if asked.get("suffix"):
        raise Refused("unsupported_parameter", say("Texts cannot be written before a suffix."), field="suffix")
    if asked.get("best_of") not in (None, asked.get("n", 1)):
        raise Refused("unsupported_parameter", say("best_of must be equal to n."), field="best_of")
    most, logprobs = asked.get("max_tokens", OPENAI_TOKENS), asked.get("logprobs")
    if asked["echo"] and most == 0:
        most = 1
    prompt_logprobs = (logprobs or 0) if asked["echo"] else None
    return _sampling(asked, most, logprobs=logprobs, prompt_logprobs=prompt_logprobs, grammar=_structured(asked))


def extras_of(asked: Mapping[str, Any], guarded: Guarded | None = None) -> Extras:
    """What goes beside the options."""
    return Extras(
        answers_per_prompt=asked.get("n", 1),
        is_stored=asked["store"],
        metadata=asked.get("metadata"),
        end_user=asked.get("user", ""),
        priority=PRIORITY.get(asked.get("service_tier", ""), 0),
        guarded=guarded,
    )


def messages_of(asked: Mapping[str, Any]) -> list[dict[str, str]]:
    """The messages as the renderer reads them: a developer is a system, parts of text are joined.

    Many programs send their instructions and nothing else: then the last of them is what is asked.
    """
    found: list[dict[str, str]] = []
    for at, message in enumerate(asked["messages"]):
        field = f"messages[{at}]"
        if not isinstance(message, Mapping):
            raise Refused("invalid_type", say("A message is an object with role and content."), field=field)
        if message.get("tool_calls") or message.get("function_call"):
            raise Refused("unsupported_parameter", say("Calls of tools cannot be read."), field=f"{field}.tool_calls")
        role = str(message.get("role", ""))
        found.append({"role": ROLES.get(role, role), "content": _content(message.get("content"), f"{field}.content")})
    if found and all(message["role"] == "system" for message in found):
        found[-1]["role"] = "user"
    return found


def prompts_of(asked: Mapping[str, Any]) -> list[str | list[int]]:
    """The prompts: one text, several texts, token ids, or several lists of them."""
    given = asked["prompt"]
    if isinstance(given, str):
        return [given]
    if isinstance(given, list) and given:
        if all(isinstance(each, str) for each in given):
            return list(given)
        if _are_ids(given):
            return [list(given)]
        if all(isinstance(each, list) and each and _are_ids(each) for each in given):
            return [list(each) for each in given]
    raise Refused(
        "invalid_type",
        say("prompt is a text, a list of texts, a list of token ids or a list of such lists."),
        field="prompt",
    )


def _sampling(asked: Mapping[str, Any], most: int, **more: Any) -> Sampling:
    plain = (
        "frequency_penalty", "presence_penalty", "temperature", "top_p", "seed", "top_k", "min_p", "min_tokens",
        "repetition_penalty",
    )  # fmt: skip
    return Sampling(
        max_tokens=most,
        stop=_stops(asked.get("stop")),
        stop_token_ids=tuple(asked.get("stop_token_ids", ())),
        logit_bias=_biases(asked.get("logit_bias")),
        ignore_end=asked["ignore_eos"],
        **{name: asked[name] for name in plain if name in asked},
        **more,
    )


def _stops(given: Any) -> tuple[str, ...]:
    texts = [given] if isinstance(given, str) else given or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Refused("invalid_type", say("stop is a text or a list of texts."), field="stop")
    return tuple(texts)


def _biases(given: Any) -> dict[int, float]:
    if not given:
        return {}
    if not isinstance(given, Mapping):
        raise Refused("invalid_type", say("logit_bias is an object from token ids to numbers."), field="logit_bias")
    found: dict[int, float] = {}
    for token, bias in given.items():
        is_id = str(token).isascii() and str(token).isdigit() and len(str(token)) < 10
        if not is_id or isinstance(bias, bool) or not isinstance(bias, int | float):
            raise Refused("invalid_type", say("logit_bias is an object from token ids to numbers."), field="logit_bias")
        found[int(token)] = float(bias)
    return found


def _content(given: Any, field: str) -> str:
    if isinstance(given, str):
        return given
    if isinstance(given, list) and given:
        if all(isinstance(part, Mapping) and part.get("type") in ("text", "input_text") for part in given):
            return "".join(str(part.get("text", "")) for part in given)
        raise Refused("unsupported_parameter", say("Only texts can be read."), field=field)
    if given is None:
        raise Refused("missing_required_parameter", say("A message has a content."), field=field)
    raise Refused("invalid_type", say("content is a text or a list of parts of type text."), field=field)


def _format(given: Any) -> Grammar | None:
    if given is None:
        return None
    kind = given.get("type") if isinstance(given, Mapping) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return Grammar("json_object")
    if kind == "json_schema":
        described = given.get("json_schema")
        schema = described.get("schema") if isinstance(described, Mapping) else None
        if not isinstance(schema, Mapping):
            raise Refused(
                "missing_required_parameter",
                say("response_format needs json_schema with a schema."),
                field="response_format.json_schema",
            )
        return Grammar("json_schema", dict(schema))
    raise Refused("invalid_value", say("type is text, json_object or json_schema."), field="response_format.type")


def _structured(asked: Mapping[str, Any]) -> Grammar | None:
    given = asked.get("structured_outputs")
    if not given:
        return None
    known = {"json": "json_schema", "regex": "regex", "choice": "choice"}
    if len(given) != 1 or next(iter(given)) not in known:
        raise Refused(
            "invalid_value", say("structured_outputs holds one of json, regex and choice."), field="structured_outputs"
        )
    name, source = next(iter(given.items()))
    is_right = {
        "json": isinstance(source, Mapping),
        "regex": isinstance(source, str),
        "choice": isinstance(source, list) and source and all(isinstance(text, str) for text in source),
    }[name]
    if not is_right:
        raise Refused("invalid_type", say("“{name}” cannot be read.", name=name), field=f"structured_outputs.{name}")
    return Grammar(known[name], source)


def _refuse_unknown_ways(asked: Mapping[str, Any]) -> None:
    if asked.get("tools") or asked.get("tool_choice") not in (None, "none", "auto"):
        raise Refused("unsupported_parameter", say("Models here call no tools."), field="tools")
    if asked.get("modalities") not in (None, ["text"]):
        raise Refused("unsupported_parameter", say("Models here write texts only."), field="modalities")


def _are_ids(given: Any) -> bool:
    return all(isinstance(token, int) and not isinstance(token, bool) and 0 <= token < 2**31 for token in given)
