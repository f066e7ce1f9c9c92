"""An answer while it is written: cut into sentences where nothing that is looked for may still be open, and let out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from apps.inference.guards import pii
from apps.inference.guards.chain import BLOCK, OFF, Decision, Hits, Rules, Verdict, hits, judged, verdict
from apps.inference.guards.terms import terms_of


class Sentences:
    """Cuts a growing text into sentences: what is complete comes out, the rest waits.

    A cut lies where no match of the rules lies across it, whatever follows: the redacted sentences together are the
    redacted text. What stays open for more than OPEN characters is cut all the same.
    """

    MOST = 400  # characters of a sentence
    OPEN = 32_768  # longer than everything that is looked for, keys of several kilobytes included
    CONTEXT = 256  # characters before a sentence that say what something in it is

    def __init__(self, rules: Rules, *, part: int = 0) -> None:
        self._rules, self._part = rules, part
        self._text = ""  # a context and behind it what waits
        self._borders = [0]  # where sentences end in it, the last one before what waits
        self._before = 0  # characters of the answer before it
        self._patience = 0  # length of the text from which on it is looked at again

    def feed(self, text: str, *, is_last: bool = False) -> Iterator[tuple[str, Verdict]]:
        """Sentences that are complete now, each as it is written and as it may be read; at the end all that is left."""
        self._text += text
        if len(self._text) < self._patience and not is_last:
            return
        looked = _Looked(self._text, self._rules, is_last=is_last)
        while (end := self._next(looked, is_last=is_last)) is not None:
            begin = self._borders[-1]
            found = verdict(self._text, looked.found, begin, end, part=self._part)
            self._borders.append(end)
            yield self._text[begin:end], Verdict(found.text, [self._placed(each) for each in found.decisions])
        self._forget()

    def _placed(self, decision: Decision) -> Decision:
        """With places in the whole answer."""
        return replace(decision, spans=tuple((self._before + at, self._before + end) for at, end in decision.spans))

    def _next(self, looked: "_Looked", *, is_last: bool) -> int | None:
        """Where the next sentence ends: behind its mark, or in a long one behind a blank."""
        text, begin = self._text, self._borders[-1]
        for at in range(begin, min(begin + self.MOST, len(text) - 1)):
            if text[at] in "。！？；\n" or (text[at] in ".!?" and text[at + 1].isspace()):
                if at + 1 > looked.decided:
                    return self._forced(begin)
                if looked.across(at + 1) is None:
                    return at + 1
        if len(text) - begin < self.MOST:
            return len(text) if is_last and begin < len(text) else None
        blank = max(text.rfind(mark, begin, begin + self.MOST) for mark in " ，")
        end = blank + 1 if blank - begin > self.MOST // 2 else begin + self.MOST
        if end <= looked.decided and (span := looked.across(end)) is not None:
            end = span[0] if span[0] > begin else span[1]
        return end if end <= looked.decided else self._forced(begin)

    def _forced(self, begin: int) -> int | None:
        return len(self._text) if len(self._text) - begin > self.OPEN else None

    def _forget(self) -> None:
        """Keep no more than a context, from an earlier border on, and say when to look again."""
        far = [border for border in self._borders if border <= self._borders[-1] - self.CONTEXT]
        if far:
            self._text = self._text[far[-1] :]
            self._before += far[-1]
            self._borders = [border - far[-1] for border in self._borders if border >= far[-1]]
        waiting = len(self._text) - self._borders[-1]
        # What is open for long is looked at seldom, so that the work stays in proportion to the text.
        self._patience = len(self._text) + (waiting // 8 if waiting > 2 * self.MOST else 0)


class _Looked:
    """What the rules find in a text so far, looked for when it is asked for."""

    def __init__(self, text: str, rules: Rules, *, is_last: bool) -> None:
        self._text, self._rules, self._is_last = text, rules, is_last
        self._decided: int | None = None
        self._found: list[Hits] | None = None

    @property
    def decided(self) -> int:
        """Before this place nothing changes, whatever follows."""
        if self._decided is None:
            self._decided = len(self._text) if self._is_last else _decided(self._text, self._rules)
        return self._decided

    @property
    def found(self) -> list[Hits]:
        """What every guard finds."""
        if self._found is None:
            self._found = hits(self._text, self._rules)
        return self._found

    def across(self, place: int) -> tuple[int, int] | None:
        """What lies across a place, from its first to its last character."""
        spans = [span for each in self.found for span in each.spans if span[0] < place < span[1]]
        return (min(start for start, _end in spans), max(end for _start, end in spans)) if spans else None


def _decided(text: str, rules: Rules) -> int:
    place = len(text)
    if rules.personal != OFF:
        place = pii.open_from(text)
    if rules.terms_action != OFF and rules.terms:
        place = min(place, terms_of(rules.terms, rules.sounds_alike).open_from(text))
    return place


Ask = Callable[[str], int]
"""Asks the classifier about a sentence; returns the number of the question."""
Answers = Mapping[int, Sequence[tuple[str, float]] | None]
"""What the classifier said to questions; None when it could not answer."""


class AnswerGuard:
    """One answer while it is written: gives out what may be read, sentence by sentence."""

    def __init__(self, rules: Rules, ask: Ask, *, part: int = 0) -> None:
        self._rules, self._ask, self._part = rules, ask, part
        self._sentences = Sentences(rules, part=part)
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
        for sentence, found in self._sentences.feed(text, is_last=is_last):
            self._decide(found.decisions)
            if self.is_blocked:
                return
            asks = self._rules.classifier != OFF and sentence.strip()
            self._waiting.append((self._ask(sentence) if asks else 0, found.text))

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
