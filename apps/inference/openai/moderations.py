"""POST /v1/moderations as OpenAI has it, by the workspace's guards."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpResponseBase, JsonResponse
from rest_framework import serializers
from rest_framework.request import Request

from apps.inference import services
from apps.inference.guards.chain import LOG, Decision, Rules
from apps.inference.models import GuardPolicy, OnlineRequest
from apps.inference.openai.doors import Committed, Door
from apps.inference.openai.encoders import texts_of
from apps.inference.openai.guarded import answered
from apps.inference.services.guarding import Screening
from core.access import Actor
from core.api.throttle import give_back
from core.errors import Refused
from core.openai.body import Body, Text, read_body
from core.openai.ids import public_id
from core.openai.shape import error_body
from core.streaming import releasing
from words import say

MOST_INPUTS = 256
OPENAI = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip
OURS = {"personal": "personal_data", "terms": "blocked_terms", "injection": "prompt_injection"}
"""Guard -> its category, beside OpenAI's."""
ELSE = "harassment"  # of a classifier's label that names none of OpenAI's categories
NO_POLICY = GuardPolicy(name="", personal_input=LOG, injection_input=LOG)


class ModerationBody(Body):
    """POST /v1/moderations."""

    model = Text(required=False, max_length=300)
    input = serializers.JSONField()


class ModerationDoor(Door):
    """Texts to categories."""

    def post(self, request: Request) -> Committed:
        """Look at texts as if they were prompts."""
        asked = read_body(request, ModerationBody)
        texts = texts_of(_plain(asked["input"]), "input")
        if len(texts) > MOST_INPUTS:
            raise Refused("bad_count", say("Send 1 to {most} texts.", most=MOST_INPUTS), field="input")
        policy = self._policy(asked.get("model", ""))
        screening = services.screen(self.actor, policy, texts, refuses=False)
        return Committed(partial(_answer, self.actor, screening, asked.get("model") or "lingxi-guards"))

    def _policy(self, name: str) -> GuardPolicy:
        """The policy that `model` names, else the default, else personal data and injections alone."""
        named = GuardPolicy.objects.filter(workspace=self.actor.workspace, name__iexact=name).first() if name else None
        return named or services.policy_for(self.actor) or NO_POLICY


async def _answer(actor: Actor, screening: Screening, model: str) -> HttpResponseBase:
    try:
        row = await answered(screening.question)
    finally:
        await sync_to_async(give_back)(actor)  # no row of this request takes its place
    if screening.question is not None and (row is None or not row.results):
        message = str(say("The classifier could not be asked."))
        return JsonResponse(error_body(503, message, code="not_answered"), status=503)
    return JsonResponse(await sync_to_async(releasing(_document))(actor, screening, row, model))


def _document(actor: Actor, screening: Screening, row: OnlineRequest | None, model: str) -> dict[str, Any]:
    decisions = services.decisions_of(screening, row)
    number = services.keep_moderation(actor, screening.policy, decisions)
    rules = screening.policy.rules("input")
    results = [
        _result([each for each in decisions if each.part == part], _said(screening, row, part), rules)
        for part in range(len(screening.verdicts))
    ]
    return {"id": public_id("moderation", number), "model": model, "results": results}


def _said(screening: Screening, row: OnlineRequest | None, part: int) -> Sequence[tuple[str, float]]:
    """The classifier's probabilities of one text."""
    if row is None or part not in screening.parts:
        return []
    found: Sequence[tuple[str, float]] = row.results[screening.parts.index(part)]["all"]
    return found


def _result(decisions: Sequence[Decision], said: Sequence[tuple[str, float]], rules: Rules) -> dict[str, Any]:
    names = [*OPENAI, *OURS.values()]
    scores = dict.fromkeys(names, 0.0)
    flags = dict.fromkeys(names, False)
    for label, probability in said:
        if label in rules.classifier_labels:
            scores[_category(label)] = max(scores[_category(label)], probability)
    for each in decisions:
        name = OURS.get(each.stage) or _category(each.rule)
        flags[name] = True
        scores[name] = max(scores[name], 1.0 if each.score is None else each.score)
    return {
        "flagged": any(flags.values()),
        "categories": flags,
        "category_scores": scores,
        "category_applied_input_types": {name: ["text"] for name in names},
    }


def _category(label: str) -> str:
    """OpenAI's category of a label: of the same name, whatever its case and signs, else ELSE."""
    plain = {"".join(filter(str.isalnum, name)): name for name in OPENAI}
    return plain.get("".join(filter(str.isalnum, label.lower())), ELSE)


def _plain(given: Any) -> Any:
    """A list of parts of type text is the list of their texts."""
    if isinstance(given, list) and given and all(isinstance(each, dict) for each in given):
        if any(each.get("type") != "text" for each in given):
            raise Refused("unsupported_parameter", say("Only parts of type text can be read."), field="input")
        return [each.get("text") for each in given]
    return given
