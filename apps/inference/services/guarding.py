"""Guards at work: prompts before they are committed, answers before they are told, and what was decided kept."""

import secrets
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypeVar

from django.utils import timezone

from apps.inference.guards.chain import BLOCK, OFF, Decision, Verdict, check, judged
from apps.inference.guards.models import Direction, GuardDecision, GuardPolicy
from apps.inference.guards.stream import AnswerGuard
from apps.inference.models import Deployment, Generation, OnlineRequest, OnlineState
from apps.inference.services.asking import ONLINE_CHANNEL
from core.access import Actor
from core.errors import Refused, conflict
from core.queue import notify
from words import say

PATIENCE = timedelta(seconds=20)  # with a classifier; after that it could not be asked
POLL_SECONDS = 0.05
BLOCKED = "content_filter"
K = TypeVar("K")


@dataclass(frozen=True)
class Screening:
    """Prompts that were looked at, and the question to the classifier that is still open."""

    policy: GuardPolicy
    verdicts: list[Verdict]
    question: OnlineRequest | None
    parts: list[int]  # which texts the classifier was asked about


@dataclass(frozen=True)
class Guarded:
    """Prompts as the model may see them, and what was decided about them."""

    policy: GuardPolicy
    texts: list[str]
    decisions: list[Decision] = field(default_factory=list)


def is_guarded(actor: Actor, deployment: Deployment | None) -> bool:
    """Whether requests have to go by guards."""
    return bool(actor.workspace.is_guarded or (deployment and deployment.guard_policy_id))


def require_guarded(actor: Actor, deployment: Deployment | None, guarded: Guarded | None) -> None:
    """Refused when there are guards and a request did not come by them."""
    if guarded is None and is_guarded(actor, deployment):
        raise conflict("not_guarded", say("This workspace guards its prompts, and this way passes by the guards."))


def policy_for(actor: Actor, deployment: Deployment | None = None) -> GuardPolicy | None:
    """The policy of a deployment, else the workspace's default; without one this costs nothing."""
    return policy_of(actor.workspace, deployment)


def policy_of(workspace: Any, deployment: Deployment | None = None) -> GuardPolicy | None:
    """The same, whoever asks."""
    if deployment is not None and deployment.guard_policy is not None:
        return deployment.guard_policy
    if not workspace.is_guarded:
        return None
    return GuardPolicy.objects.filter(workspace=workspace, is_default=True).first()


def screen(
    actor: Actor, policy: GuardPolicy, texts: Sequence[str], *, trusted: Collection[int] = (), refuses: bool = True
) -> Screening:
    """Look at prompts and ask the classifier about them; refused (400) when one is blocked already.

    Texts at the places `trusted` give orders by right: they are not looked at for injections.
    """
    rules = policy.rules(Direction.INPUT)
    calm = replace(rules, injection=OFF)
    verdicts = [check(text, calm if at in trusted else rules, part=at) for at, text in enumerate(texts)]
    if refuses:
        _refuse_blocked(actor, policy, [each for verdict in verdicts for each in verdict.decisions])
    parts = [at for at, text in enumerate(texts) if text.strip()] if rules.classifier != OFF else []
    question = ask_classifier(policy, [texts[at] for at in parts], api_key=actor.key) if parts else None
    return Screening(policy, verdicts, question, parts)


def screened(actor: Actor, screening: Screening, row: OnlineRequest | None) -> Guarded:
    """What may be asked, with the classifier's answer; refused (400) when it blocks."""
    decisions = decisions_of(screening, row)
    _refuse_blocked(actor, screening.policy, decisions)
    return Guarded(screening.policy, [verdict.text for verdict in screening.verdicts], decisions)


def decisions_of(screening: Screening, row: OnlineRequest | None) -> list[Decision]:
    """Everything that was decided about the prompts."""
    found = [each for verdict in screening.verdicts for each in verdict.decisions]
    if screening.question is None:
        return found
    rules = screening.policy.rules(Direction.INPUT)
    results = row.results if row is not None and row.state == OnlineState.DONE else None
    if results is None:
        return [*found, *judged(None, rules)]
    answers = zip(screening.parts, results, strict=True)
    return [*found, *(each for at, result in answers for each in judged(result["all"], rules, part=at))]


def guard_input(actor: Actor, policy: GuardPolicy, texts: Sequence[str], *, trusted: Collection[int] = ()) -> Guarded:
    """The whole chain for callers that may wait in their thread, outside any transaction."""
    screening = screen(actor, policy, texts, trusted=trusted)
    return screened(actor, screening, wait_for(screening.question))


def guard_texts(
    actor: Actor, deployment: Deployment | None, texts: Sequence[str], *, trusted: Collection[int] = ()
) -> Guarded | None:
    """The same, by the policy that holds; None where nothing guards."""
    policy = policy_for(actor, deployment)
    return None if policy is None else guard_input(actor, policy, texts, trusted=trusted)


def guard_messages(
    actor: Actor, deployment: Deployment | None, messages: Sequence[Mapping[str, str]]
) -> tuple[list[dict[str, str]], Guarded | None]:
    """The messages of a chat as they may be read, and what was decided; None where nothing guards."""
    contents, trusted = contents_of(messages)
    found = guard_texts(actor, deployment, contents, trusted=trusted)
    return (list(map(dict, messages)) if found is None else with_contents(messages, found.texts)), found


def guard_many(
    actor: Actor, policy: GuardPolicy, asked: Mapping[K, tuple[Sequence[str], Collection[int]]]
) -> tuple[dict[K, Guarded], dict[K, Refused]]:
    """What the guards let pass and what they refuse of many requests {name: (texts, trusted)}.

    The classifier is asked about all of them before its first answer is waited for.
    """
    passed: dict[K, Guarded] = {}
    refused: dict[K, Refused] = {}
    screenings: dict[K, Screening] = {}
    for name, (texts, trusted) in asked.items():
        try:
            screenings[name] = screen(actor, policy, texts, trusted=trusted)
        except Refused as why:
            refused[name] = why
    for name, screening in screenings.items():
        try:
            passed[name] = screened(actor, screening, wait_for(screening.question))
        except Refused as why:
            refused[name] = why
    return passed, refused


def contents_of(messages: Sequence[Mapping[str, str]]) -> tuple[list[str], set[int]]:
    """What guards look at in a chat, and which of it gives orders by right."""
    trusted = {at for at, message in enumerate(messages) if message["role"] == "system"}
    return [message["content"] for message in messages], trusted


def with_contents(messages: Sequence[Mapping[str, str]], contents: Sequence[str]) -> list[dict[str, str]]:
    """The messages with other contents."""
    return [{**message, "content": content} for message, content in zip(messages, contents, strict=True)]


def try_policy(policy: GuardPolicy, text: str, direction: str) -> Verdict:
    """What a policy decides about a text, classifier included; nothing is logged."""
    rules = policy.rules(direction)
    verdict = check(text, rules)
    if rules.classifier == OFF or not text.strip():
        return verdict
    row = wait_for(ask_classifier(policy, [text]))
    is_answered = row is not None and row.state == OnlineState.DONE
    said = row.results[0]["all"] if row is not None and is_answered else None
    return Verdict(verdict.text, [*verdict.decisions, *judged(said, rules)])


def keep_moderation(actor: Actor, policy: GuardPolicy, decisions: Sequence[Decision]) -> str:
    """Log what was decided for somebody who only asks; returns a name for the answer."""
    keep_decisions(
        decisions,
        policy=policy if policy.pk else None,
        workspace=actor.workspace,
        direction=Direction.INPUT,
        api_key=actor.key,
    )
    return secrets.token_hex(12)


def wait_for(question: OnlineRequest | None) -> OnlineRequest | None:
    """The answered question; None when there is none or nobody answers in time."""
    until = time.monotonic() + PATIENCE.total_seconds()
    while question is not None and time.monotonic() < until:
        if (row := answer_to(question.pk)) is not None:
            return row
        time.sleep(POLL_SECONDS)
    return None


def answer_to(question: int) -> OnlineRequest | None:
    """The answered question, whose texts are kept nowhere any more; None while it waits."""
    row = OnlineRequest.objects.get(pk=question)
    if row.state == OnlineState.WAITING:
        return None
    OnlineRequest.objects.filter(pk=question).update(texts=[], results=[])
    return row


def ask_classifier(policy: GuardPolicy, texts: Sequence[str], *, api_key: Any = None) -> OnlineRequest:
    """Ask the policy's classifier like any online request; it counts as usage, not against limits."""
    assert policy.classifier_id is not None  # a stage without one is off
    made = OnlineRequest.objects.create(
        workspace_id=policy.workspace_id,
        model_version_id=policy.classifier_id,
        texts=list(texts),
        is_whole=True,
        is_stored=False,
        api_key=api_key,
    )
    notify(ONLINE_CHANNEL)
    return made


def keep_passed(actor: Actor, passed: Iterable[Guarded]) -> None:
    """Log what was decided about texts that were let pass."""
    for found in passed:
        keep_decisions(
            found.decisions,
            policy=found.policy,
            workspace=actor.workspace,
            direction=Direction.INPUT,
            api_key=actor.key,
        )


def keep_decisions(
    decisions: Sequence[Decision],
    *,
    policy: GuardPolicy | None,
    workspace: Any,
    direction: str,
    generation: Generation | None = None,
    api_key: Any = None,
) -> None:
    """Log what was decided."""
    GuardDecision.objects.bulk_create(
        GuardDecision(
            workspace=workspace,
            policy=policy,
            generation=generation,
            api_key=api_key,
            direction=direction,
            stage=each.stage,
            rule=each.rule[:200],
            action=each.action,
            reason=each.reason,
            score=each.score,
            part=each.part,
            spans=[list(span) for span in each.spans],
        )
        for each in decisions
    )


def _refuse_blocked(actor: Actor, policy: GuardPolicy, decisions: Sequence[Decision]) -> None:
    blocked = next((each for each in decisions if each.action == BLOCK), None)
    if blocked is None:
        return
    keep_decisions(decisions, policy=policy, workspace=actor.workspace, direction=Direction.INPUT, api_key=actor.key)
    raise Refused(
        BLOCKED,
        say("The policy “{policy}” blocks this request. {reason}", policy=policy.name, reason=blocked.reason),
        status=400,
    )


class OutputGuard:
    """The answers of one request while they are written: `feed` what the model writes, give out what is `released`."""

    def __init__(self, row: Generation, answers: int) -> None:
        assert row.guard_policy is not None
        self._row, self._policy = row, row.guard_policy
        rules = self._policy.rules(Direction.OUTPUT)
        self._guards = [AnswerGuard(rules, self._ask, part=at) for at in range(answers)]
        self._asked_at: dict[int, Any] = {}
        self._answers: dict[int, Any] = {}
        self._looked = 0.0

    def feed(self, at: int, text: str, *, is_last: bool) -> None:
        """More of answer `at`."""
        self._guards[at].feed(text, is_last=is_last)

    def released(self, at: int) -> tuple[str, bool, bool]:
        """(what may be told now, whether the answer is blocked, whether nothing more comes) of answer `at`."""
        guard = self._guards[at]
        if guard.questions:
            self._look()
        return guard.released(self._answers), guard.is_blocked, guard.is_over

    def keep(self) -> None:
        """Log what was decided about the answers."""
        decisions = [each for guard in self._guards for each in guard.decisions]
        keep_decisions(
            decisions,
            policy=self._policy,
            workspace=self._row.workspace,
            direction=Direction.OUTPUT,
            generation=self._row,
            api_key=self._row.api_key,
        )

    def _ask(self, sentence: str) -> int:
        question = ask_classifier(self._policy, [sentence], api_key=self._row.api_key)
        self._asked_at[question.pk] = timezone.now()
        return question.pk

    def _look(self) -> None:
        if time.monotonic() < self._looked + POLL_SECONDS / 2:
            return
        self._looked = time.monotonic()
        waiting = OnlineRequest.objects.filter(pk__in=self._asked_at, state=OnlineState.WAITING)
        for pk in set(self._asked_at) - set(waiting.values_list("pk", flat=True)):
            row = answer_to(pk)
            said = row.results[0]["all"] if row is not None and row.state == OnlineState.DONE else None
            self._answers[pk] = said
            del self._asked_at[pk]
        late = timezone.now() - PATIENCE
        for pk in [pk for pk, at in self._asked_at.items() if at < late]:
            self._answers[pk] = None
            del self._asked_at[pk]


def output_guard(row: Generation, answers: int) -> OutputGuard | None:
    """What guards the answers of a row; None when nothing does."""
    if row.guard_policy is None or not row.guard_policy.rules(Direction.OUTPUT).looks:
        return None
    return OutputGuard(row, answers)
