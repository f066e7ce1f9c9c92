"""Signs that a text wants to give a model new orders: heuristics in English and Chinese, each with a weight.

They find common phrasings and nothing else: a low score promises nothing. The score is the chance that at least one of the
signs means what it says, 1 - prod(1 - weight), each sign counted once.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from apps.inference.guards.pii import readable
from apps.inference.guards.terms import simplified

_FLAGS = re.IGNORECASE | re.MULTILINE
SIGNS: dict[str, tuple[float, Sequence[re.Pattern[str]]]] = {
    name: (weight, [re.compile(pattern, _FLAGS) for pattern in patterns])
    for name, weight, patterns in (
        (
            "ignore_instructions",
            0.7,
            (
                r"\b(?:ignore|disregard|forget|override|bypass)\b[^.\n]{0,30}\b(?:previous|prior|above|earlier|preceding|all|your)\b"
                r"[^.\n]{0,30}\b(?:instructions?|prompts?|rules|guidelines|directions|orders)\b",
                r"(?:忽略|无视|忘记|忘掉|不要理会|抛开|绕过)[^。\n]{0,8}(?:之前|以上|前面|上面|上述|先前|此前|所有|一切|你的)"
                r"[^。\n]{0,10}(?:指令|指示|提示|规则|要求|设定|约束|限制)",
            ),
        ),
        (
            "reveal_prompt",
            0.6,
            (
                r"\b(?:reveal|show|print|repeat|output|leak|tell me|give me|what (?:is|are|was|were))\b[^.\n]{0,30}"
                r"\b(?:system prompt|system message|(?:initial|hidden|original|secret) (?:instructions|prompt)"
                r"|(?:text|words|prompt) above)",
                r"(?:输出|显示|告诉我|重复|复述|泄露|打印|给我看)[^。\n]{0,12}(?:系统提示|提示词|系统消息|初始指令|隐藏指令|原始指令|系统设定)",
            ),
        ),
        (
            "new_role",
            0.5,
            (
                r"\b(?:you are now|act as|pretend (?:to be|you are)|roleplay as|simulate)\b[^.\n]{0,40}"
                r"\b(?:unrestricted|unfiltered|uncensored|jailbroken|evil|no (?:rules|limits|restrictions)|DAN)\b",
                r"(?:你现在是|假装你是|扮演|从现在开始|请模拟)[^。\n]{0,20}(?:没有|不受|无)[^。\n]{0,6}(?:限制|约束|审查|道德|规则)",
            ),
        ),
        (
            "jailbreak",
            0.4,
            (
                r"\b(?:jailbreak|developer mode|DAN mode|do anything now|god mode)\b",
                r"(?:开发者模式|越狱|DAN ?模式|上帝模式|奶奶漏洞)",
            ),
        ),
        (
            "no_limits",
            0.3,
            (
                r"\b(?:without|no|ignoring)\s(?:any\s)?(?:restrictions|limitations|filters|censorship|safety (?:rules|guidelines))\b",
                r"(?:不受|没有|解除)(?:任何)?(?:限制|约束|审查|过滤)",
            ),
        ),
        (
            "forged_turn",
            0.6,
            (
                r"<\|(?:im_start|im_end|system|assistant|end_of_turn|eot_id)\|>|\[/?INST\]|<<SYS>>",
                r"^[ \t]{0,8}(?:#{1,6} ?)?(?:system|系统)(?: (?:prompt|message))?[ \t]{0,4}:",
            ),
        ),
        ("data_in_address", 0.4, (r"!\[[^\]\n]{0,100}\]\(https?://[^)\s?]{1,200}\?[^)\s]{1,400}\)",)),
        ("hidden_characters", 0.4, (r"[\U000e0000-\U000e007f]{2,}|[\u200b\u200c\u200d\u2060]{4,}",)),
        ("encoded_text", 0.2, (r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{160,}={0,2}",)),
    )
}
"""Name -> (weight, what says so). All repetitions are bounded or of one character class with a fixed beginning."""


@dataclass(frozen=True)
class Suspicion:
    """How much a text looks like an order to the model, 0..1, by which signs, and where."""

    score: float
    signs: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]


def suspicion(text: str) -> Suspicion:
    """The score of a text with its signs; spans in code points."""
    signs, spans = [], []
    read, places = readable(simplified(text))
    for name, (_weight, patterns) in SIGNS.items():
        source, at = (text, []) if name == "hidden_characters" else (read, places)
        found = [match.span() for pattern in patterns for match in pattern.finditer(source)]
        if found:
            signs.append(name)
            spans += [(at[start], at[end - 1] + 1) if at else (start, end) for start, end in found]
    score = 1 - math.prod(1 - SIGNS[name][0] for name in signs)
    return Suspicion(round(score, 4), tuple(signs), tuple(sorted(spans)))
