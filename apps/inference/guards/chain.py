"""The chain: every guard looks at the text as it was given; what they say together decides.

Plain values in, plain values out. The classifier's word comes from elsewhere (it is a model version), so it is a second
step: `judged`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

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


def check(text: str, rules: Rules, *, part: int = 0) -> Verdict:
    """What personal data, blocked terms and injections there are, and the text without what is redacted."""
    decisions: list[Decision] = []
    spans: list[tuple[int, int, str]] = []
    for guard in (_personal, _terms, _injection):
        for decision, words in guard(text, rules):
            decisions.append(replace(decision, part=part, spans=decision.spans[:MOST_SPANS]))
            if decision.action == REDACT:
                spans += [(start, end, words) for start, end in decision.spans]
    return Verdict(pii.replaced(text, _apart(spans)), decisions)


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


Findings = list[tuple[Decision, str]]
"""Decisions with the words that take the place of their spans."""


def _personal(text: str, rules: Rules) -> Findings:
    if rules.personal == OFF:
        return []
    by_kind: dict[str, list[tuple[int, int]]] = {}
    for each in pii.find(text, rules.personal_kinds or None):
        by_kind.setdefault(each.kind, []).append((each.start, each.end))
    return [
        (
            Decision(
                "personal",
                str(kind),
                rules.personal,
                say("Personal data: {kind} ({count}).", kind=KIND_NAMES[kind], count=len(spans)),
                spans=tuple(spans),
            ),
            pii.placeholder(kind),
        )
        for kind, spans in by_kind.items()
    ]


def _terms(text: str, rules: Rules) -> Findings:
    if rules.terms_action == OFF or not rules.terms:
        return []
    by_term: dict[str, list[tuple[int, int]]] = {}
    for hit in terms_of(rules.terms, rules.sounds_alike).find(text):
        by_term.setdefault(rules.terms[hit.term], []).append((hit.start, hit.end))
    return [
        (
            Decision(
                "terms",
                term,
                rules.terms_action,
                say("Blocked term “{term}” ({count}).", term=term, count=len(spans)),
                spans=tuple(spans),
            ),
            TERM,
        )
        for term, spans in by_term.items()
    ]


def _injection(text: str, rules: Rules) -> Findings:
    if rules.injection == OFF:
        return []
    found = suspicion(text)
    if not found.signs or found.score < rules.injection_threshold:
        return []
    first = SIGN_NAMES[found.signs[0]]
    reason = say("Looks like new orders for the model ({score:.0%}): {sign}.", score=found.score, sign=first)
    decision = Decision("injection", "+".join(found.signs), rules.injection, reason, found.score, found.spans)
    return [(decision, "")]


def _apart(spans: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """In order, without those that begin inside another."""
    found: list[tuple[int, int, str]] = []
    for span in sorted(spans, key=lambda span: (span[0], -span[1])):
        if not found or span[0] >= found[-1][1]:
            found.append(span)
        elif span[1] > found[-1][1]:  # nothing of what is redacted stays
            found[-1] = (found[-1][0], span[1], found[-1][2])
    return found


class Sentences:
    """Cuts a growing text into sentences: what is complete comes out, the rest waits."""

    MOST = 400  # characters that wait at most

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> list[str]:
        """Sentences that are complete now, each with its end and the blanks behind it."""
        self._held += text
        found = []
        while (cut := self._end()) is not None:
            found.append(self._held[:cut])
            self._held = self._held[cut:]
        return found

    def rest(self) -> list[str]:
        """What is left when the text ends."""
        held, self._held = self._held, ""
        return [held] if held else []

    def _end(self) -> int | None:
        """Behind the first end of a sentence of which the next character is there, or behind the last blank in time."""
        held = self._held
        for at, character in enumerate(held[:-1]):
            if character in "。！？；\n" or (character in ".!?" and held[at + 1].isspace()):
                return at + 1
        if len(held) < self.MOST:
            return None
        blank = max(held.rfind(" ", 0, self.MOST), held.rfind("，", 0, self.MOST))
        return blank + 1 if blank > self.MOST // 2 else self.MOST


Ask = Callable[[str], int]
"""Asks the classifier about a sentence; returns the number of the question."""
Answers = Mapping[int, Sequence[tuple[str, float]] | None]
"""What the classifier said to questions; None when it could not answer."""


class AnswerGuard:
    """One answer while it is written: gives out what may be read, sentence by sentence."""

    def __init__(self, rules: Rules, ask: Ask, *, part: int = 0) -> None:
        self._rules, self._ask, self._part = rules, ask, part
        self._sentences = Sentences()
        self._read = 0  # characters of the text as written that were looked at
        self._waiting: list[tuple[int, str]] = []  # (question, sentence as it may be read)
        self.decisions: list[Decision] = []
        self.is_blocked = False
        self.is_written = False

    @property
    def questions(self) -> list[int]:
        """What the classifier was asked and has not answered."""
        return [question for question, _text in self._waiting if question]

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be given out."""
        return self.is_written and not self._waiting

    def feed(self, text: str, *, is_last: bool) -> None:
        """More of the answer as the model writes it."""
        self.is_written = self.is_written or is_last
        if self.is_blocked:
            return
        for sentence in [*self._sentences.feed(text), *(self._sentences.rest() if is_last else [])]:
            verdict = check(sentence, self._rules, part=self._part)
            moved = [
                replace(each, spans=tuple((start + self._read, end + self._read) for start, end in each.spans))
                for each in verdict.decisions
            ]
            self._read += len(sentence)
            self._decide(moved)
            if self.is_blocked:
                return
            asks = self._rules.classifier != OFF and sentence.strip()
            self._waiting.append((self._ask(sentence) if asks else 0, verdict.text))

    def released(self, answers: Answers) -> str:
        """What may be read now, in its order."""
        text = ""
        while self._waiting and not self.is_blocked:
            question, sentence = self._waiting[0]
            if question and question not in answers:
                break
            del self._waiting[0]
            if question:
                self._decide(judged(answers[question], self._rules, part=self._part))
            text += "" if self.is_blocked else sentence
        return text

    def _decide(self, decisions: Sequence[Decision]) -> None:
        self.decisions += decisions
        if any(each.action == BLOCK for each in decisions):
            self.is_blocked = True
            self._waiting.clear()
