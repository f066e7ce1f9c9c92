"""The chain: every guard looks at the text as it was given; what they say together decides.

Plain values in, plain values out. The classifier's word comes from elsewhere (it is a model version), so it is a second
step: `judged`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from apps.inference.guards import pii
from apps.inference.guards.injection import suspicion
from apps.inference.guards.terms import terms_of
from words import say

OFF, LOG, REDACT, BLOCK = "off", "log", "redact", "block"
TERM = "[TERM]"
MOST_SPANS = 50  # of one decision that are kept

KIND_NAMES = {
    "secret": say("keys and passwords"),
    "credentials": say("credentials in addresses"),
    "email": say("e-mail addresses"),
    "iban": say("IBANs"),
    "id_number": say("Chinese resident ids"),
    "credit_card": say("credit cards"),
    "bank_card": say("bank cards"),
    "ip_address": say("IP addresses"),
    "phone": say("telephone numbers"),
}
"""Kinds of personal data in words."""
SIGN_NAMES = {
    "ignore_instructions": say("asks to ignore instructions"),
    "reveal_prompt": say("asks for the system prompt"),
    "new_role": say("gives an unbound role"),
    "jailbreak": say("names a jailbreak"),
    "no_limits": say("asks for no limits"),
    "forged_turn": say("forges a turn of the chat"),
    "data_in_address": say("sends data to an address"),
    "hidden_characters": say("holds hidden characters"),
    "encoded_text": say("holds encoded text"),
}
"""Signs of prompt injection in words."""


@dataclass(frozen=True)
class Rules:
    """What one policy says about one direction."""

    direction: str
    personal: str = OFF
    personal_kinds: frozenset[str] = frozenset()  # empty: all
    terms_action: str = OFF
    terms: tuple[str, ...] = ()
    sounds_alike: bool = False
    injection: str = OFF
    injection_threshold: float = 0.6
    classifier: str = OFF
    classifier_labels: frozenset[str] = frozenset()
    classifier_threshold: float = 0.5

    @property
    def looks(self) -> bool:
        """Whether anything is looked for."""
        return any(action != OFF for action in (self.personal, self.terms_action, self.injection, self.classifier))


@dataclass(frozen=True)
class Decision:
    """What one guard found in one text, and what is done about it."""

    stage: str
    rule: str
    action: str
    reason: str
    score: float | None = None
    spans: tuple[tuple[int, int], ...] = ()
    part: int = 0


@dataclass(frozen=True)
class Verdict:
    """The text as it may be read, and the decisions behind it."""

    text: str
    decisions: list[Decision] = field(default_factory=list)

    @property
    def is_blocked(self) -> bool:
        """Whether nobody may read it."""
        return any(decision.action == BLOCK for decision in self.decisions)


@dataclass(frozen=True)
class Hits:
    """Everything that one rule found in a text, in its order."""

    stage: str
    rule: str
    action: str
    words: str  # in place of its spans
    spans: tuple[tuple[int, int], ...]
    told: Callable[[int], str]  # the reason, by the number of spans
    score: float | None = None

    def decision(self, begin: int, end: int, part: int) -> Decision | None:
        """What it means for the text from `begin` to `end`; None when nothing begins there."""
        spans = tuple(span for span in self.spans if begin <= span[0] < end)
        if self.spans and not spans:
            return None
        return Decision(self.stage, self.rule, self.action, self.told(len(spans)), self.score, spans[:MOST_SPANS], part)


def check(text: str, rules: Rules, *, part: int = 0) -> Verdict:
    """What personal data, blocked terms and injections there are, and the text without what is redacted."""
    return verdict(text, hits(text, rules), 0, len(text), part=part)


def hits(text: str, rules: Rules) -> list[Hits]:
    """What every guard finds."""
    return [*_personal(text, rules), *_terms(text, rules), *_injection(text, rules)]


def verdict(text: str, found: Sequence[Hits], begin: int, end: int, *, part: int = 0) -> Verdict:
    """What was found in a text means for its piece from `begin` to `end`; no span may lie across one of the two."""
    decisions = [each for each in (one.decision(begin, end, part) for one in found) if each is not None]
    gone = [
        (span[0] - begin, span[1] - begin, one.words)
        for one in found
        if one.action == REDACT
        for span in one.spans
        if begin <= span[0] < end
    ]
    return Verdict(pii.replaced(text[begin:end], _apart(gone)), decisions)


def judged(probabilities: Sequence[tuple[str, float]] | None, rules: Rules, *, part: int = 0) -> list[Decision]:
    """What the classifier's probabilities mean; without any (None) it could not be asked, which blocks where it may."""
    if rules.classifier == OFF:
        return []
    if probabilities is None:
        reason = say("The classifier could not be asked.")
        return [Decision("classifier", "unavailable", rules.classifier, reason, part=part)]
    return [
        Decision(
            "classifier",
            label[:200],
            rules.classifier,
            say("The classifier says “{label}” with {share:.0%}.", label=label, share=probability),
            score=round(probability, 6),
            part=part,
        )
        for label, probability in probabilities
        if label in rules.classifier_labels and probability >= rules.classifier_threshold
    ]


def _personal(text: str, rules: Rules) -> list[Hits]:
    if rules.personal == OFF:
        return []
    by_kind: dict[str, list[tuple[int, int]]] = {}
    for each in pii.find(text, rules.personal_kinds or None):
        by_kind.setdefault(each.kind, []).append((each.start, each.end))

    def told(kind: str) -> Callable[[int], str]:
        return lambda count: say("Personal data: {kind} ({count}).", kind=KIND_NAMES[kind], count=count)

    return [
        Hits("personal", str(kind), rules.personal, pii.placeholder(kind), tuple(spans), told(kind))
        for kind, spans in by_kind.items()
    ]


def _terms(text: str, rules: Rules) -> list[Hits]:
    if rules.terms_action == OFF or not rules.terms:
        return []
    by_term: dict[str, list[tuple[int, int]]] = {}
    for hit in terms_of(rules.terms, rules.sounds_alike).find(text):
        by_term.setdefault(rules.terms[hit.term], []).append((hit.start, hit.end))

    def told(term: str) -> Callable[[int], str]:
        return lambda count: say("Blocked term “{term}” ({count}).", term=term, count=count)

    return [Hits("terms", term, rules.terms_action, TERM, tuple(spans), told(term)) for term, spans in by_term.items()]


def _injection(text: str, rules: Rules) -> list[Hits]:
    if rules.injection == OFF:
        return []
    found = suspicion(text)
    if not found.signs or found.score < rules.injection_threshold:
        return []
    first = SIGN_NAMES[found.signs[0]]

    def told(_count: int) -> str:
        return say("Looks like new orders for the model ({score:.0%}): {sign}.", score=found.score, sign=first)

    return [Hits("injection", "+".join(found.signs), rules.injection, "", tuple(found.spans), told, found.score)]


def _apart(spans: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """In order, without those that begin inside another."""
    found: list[tuple[int, int, str]] = []
    for span in sorted(spans, key=lambda span: (span[0], -span[1])):
        if not found or span[0] >= found[-1][1]:
            found.append(span)
        elif span[1] > found[-1][1]:  # nothing of what is redacted stays
            found[-1] = (found[-1][0], span[1], found[-1][2])
    return found
