"""Deployments: who answers a name, for which share, what is kept, and how a rollout ends."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.utils import DatabaseError
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import AuditEntry
from apps.inference import services
from apps.inference.models import (
    Arm,
    Deployment,
    DeploymentEvent,
    EventKind,
    Feedback,
    Generation,
    GenerationState,
    OnlineRequest,
    Sticky,
    Thumb,
)
from apps.inference.services import Extras, StickyKey, place_of, route
from apps.notifications.models import Notice
from apps.registry.models import ModelVersion
from apps.registry.services import move_alias, remove_alias
from core.access import Actor
from core.errors import Refused
from engine.specs.sampling import Sampling

Named = Callable[..., ModelVersion]
Deploy = Callable[..., Deployment]
ERROR_GATE = {"figure": "error_share", "bound": 0.2, "window_minutes": 30, "min_count": 5}


def changed(actor: Actor, deployment: Deployment, **options: Any) -> Deployment:
    return services.change_deployment(actor=actor, deployment=deployment, **options)


def asked(actor: Actor, reference: str = "bot", key: StickyKey | None = None, **options: Any) -> Generation:
    found = route(actor, reference, key)
    return services.generate_chat(
        actor=actor,
        version=found.version,
        route=found,
        reference=reference,
        messages=[{"role": "user", "content": "where is my card?"}],
        sampling=Sampling(),
        **options,
    )


def ended(deployment: Deployment, arm: Arm, count: int, *, errors: int = 0, at: Any = None, first: float = 0.1) -> None:
    """Answers of one side that ended now (or at another time), the first of them as failures."""
    now = at or timezone.now()
    version = deployment.candidate if arm != Arm.STABLE else deployment.alias.version
    for place in range(count):
        Generation.objects.create(
            workspace=deployment.workspace, model_version=version, deployment=deployment, arm=arm, reference="bot",
            kind="chat", seed=1, state=GenerationState.FAILED if place < errors else GenerationState.DONE,
            error_code="unexpected" if place < errors else "", created_at=now - timedelta(seconds=2),
            first_token_at=now - timedelta(seconds=2 - first), finished_at=now,
        )  # fmt: skip


def test_a_name_leads_through_its_deployment_and_a_version_to_itself(
    actor: Actor, named_version: Named, deploy: Deploy
) -> None:
    old, new = named_version(), named_version()
    deployment = deploy(old, candidate=new, candidate_share=1.0)

    through = [route(actor, name) for name in ("bot", "BOT@champion")]
    plain = [route(actor, name) for name in ("bot:1", "bot:2", str(old.pk))]

    assert [(one.version, one.deployment, one.arm) for one in through] == [(new, deployment, Arm.CANDIDATE)] * 2
    assert [(one.version, one.deployment, one.arm) for one in plain] == [
        (old, None, Arm.STABLE), (new, None, Arm.STABLE), (old, None, Arm.STABLE),
    ]  # fmt: skip


def test_a_deployment_costs_one_query_more(actor: Actor, named_version: Named, deploy: Deploy) -> None:
    old, new = named_version(), named_version()
    with CaptureQueriesContext(connection) as plain:
        str(route(actor, "bot:1").version)
    deploy(old, candidate=new, candidate_share=1.0)

    with CaptureQueriesContext(connection) as deployed:
        str(route(actor, "bot@champion").version)

    assert len(deployed) <= len(plain) + 1


def test_a_larger_share_takes_keys_over_and_gives_none_back(actor: Actor, named_version: Named, deploy: Deploy) -> None:
    deployment = deploy(named_version(), candidate=named_version(), sticky=Sticky.USER)
    places = {key: place_of(deployment, key) for key in (StickyKey(user=f"user {at}") for at in range(1000))}
    for share in (0.1, 0.5, 1.0):
        assert abs(sum(place < share for place in places.values()) / len(places) - share) < 0.05
    few = dict(list(places.items())[:12])

    for share in (0.0, 0.5, 1.0):
        changed(actor, deployment, candidate_share=share)

        found = {key for key in few if route(actor, "bot", key).arm == Arm.CANDIDATE}

        assert found == {key for key, place in few.items() if place < share}


def test_only_the_key_that_counts_is_looked_at(named_version: Named, deploy: Deploy) -> None:
    deployment = deploy(named_version(), sticky=Sticky.CONVERSATION)

    same = {place_of(deployment, StickyKey(user=str(at), conversation="c")) for at in range(20)}
    without = {place_of(deployment, StickyKey(user="u")) for _ in range(20)}

    assert len(same) == 1 and len(without) == 20


def test_a_shadow_answers_too_behind_all_others_and_fails_alone(
    actor: Actor, named_version: Named, deploy: Deploy
) -> None:
    old, new = named_version(), named_version()
    deploy(old, candidate=new, candidate_share=1.0, is_shadow=True)

    row = asked(actor)

    shadow = Generation.objects.exclude(pk=row.pk).get()
    assert (row.model_version, row.arm) == (old, Arm.STABLE)
    assert (shadow.model_version, shadow.arm, shadow.seed, shadow.messages) == (new, Arm.SHADOW, row.seed, row.messages)
    first, second = services.claim_generations(2)
    assert (first.pk, second.pk) == (row.pk, shadow.pk)
    services.finish_generation(second, state=GenerationState.FAILED, error_code="unexpected")
    row.refresh_from_db()
    assert row.state == GenerationState.RUNNING


def test_a_shadow_of_an_encoder_waits_too_and_is_shown_to_nobody(
    actor: Actor, named_version: Named, deploy: Deploy, api: Any
) -> None:
    columns = {"name": "labels", "recipe": "classify", "task": "classification"}
    deploy(named_version(**columns), candidate=named_version(**columns), candidate_share=1.0, is_shadow=True)

    answer = api(actor).post("/api/v1/classify", {"model": "labels", "texts": ["my card"]}, format="json")

    row = OnlineRequest.objects.get(pk=answer.json()["id"])
    shadow = OnlineRequest.objects.exclude(pk=row.pk).get()
    assert (row.arm, shadow.arm) == (Arm.STABLE, Arm.SHADOW)
    late = OnlineRequest.objects.create(workspace=actor.workspace, model_version=row.model_version, texts=["x"])
    turns = services.Turns()
    assert [services.claim_online(turns) for _ in range(3)] == [[row, late], [shadow], []]
    assert api(actor).get(f"/api/v1/classify/{row.pk}").status_code == 200
    assert api(actor).get(f"/api/v1/classify/{shadow.pk}").status_code == 404


def test_a_candidate_without_traffic_or_with_damaged_files_is_not_asked(
    actor: Actor, named_version: Named, deploy: Deploy
) -> None:
    old, new = named_version(), named_version()
    deployment = deploy(old, candidate=new, candidate_share=0.0)
    assert route(actor, "bot").version == old
    changed(actor, deployment, candidate_share=1.0)
    assert route(actor, "bot").version == new

    ModelVersion.objects.filter(pk=new.pk).update(state="damaged")

    assert route(actor, "bot").version == old


def test_traffic_waits_until_the_next_version_is_ready(actor: Actor, named_version: Named, deploy: Deploy) -> None:
    old, new = named_version(), named_version()
    deployment = deploy(old, is_warm=True)
    move_alias(actor=actor, family=old.family, name="champion", version=new)

    assert route(actor, "bot").version == old
    [wanted] = services.wanted_versions()
    assert (wanted.version, wanted.waits) == (new, True)

    event = services.version_is_ready(wanted=wanted)

    assert event is not None and event.kind == EventKind.SWITCHED
    assert event.detail == {"before": {"version": 1}, "after": {"version": 2}}
    assert route(actor, "bot").version == new
    assert services.wanted_versions() == [] and services.version_is_ready(wanted=wanted) is None
    assert deployment.events.count() == 2


def test_a_share_waits_until_the_candidate_is_ready(actor: Actor, named_version: Named, deploy: Deploy) -> None:
    old, new = named_version(), named_version()
    deploy(old, is_warm=True, candidate=new, candidate_share=1.0)
    assert route(actor, "bot").version == old

    [wanted] = services.wanted_versions()
    services.version_is_ready(wanted=wanted)

    assert route(actor, "bot").version == new


def test_what_cannot_be_loaded_gets_no_traffic_and_is_told_once(
    actor: Actor, named_version: Named, deploy: Deploy
) -> None:
    old, new = named_version(), named_version()
    deployment = deploy(old, is_warm=True, candidate=new, candidate_share=1.0)
    [wanted] = services.wanted_versions()

    for _ in range(2):
        services.version_is_not_ready(wanted=wanted, reason="no weights")

    assert route(actor, "bot").version == old
    assert [event.kind for event in deployment.events.order_by("-id")] == [EventKind.NOT_READY, EventKind.CREATED]
    assert Notice.objects.get().page == f"deployments/{deployment.pk}"


def test_promoting_moves_the_alias_with_the_figures_it_rests_on(
    actor: Actor, named_version: Named, deploy: Deploy
) -> None:
    old, new = named_version(), named_version()
    deployment = deploy(old, candidate=new, candidate_share=0.5)
    ended(deployment, Arm.CANDIDATE, 4, errors=1)

    done = services.promote(actor=actor, deployment=deployment, reason="better")

    assert (done.alias.version, done.candidate, done.candidate_share) == (new, None, 0.0)
    move = old.family.alias_moves.order_by("-id").first()
    assert move is not None and move.reason == "better"
    assert move.evidence["rollout"]["candidate"]["count"] == 4
    assert move.evidence["rollout"]["candidate"]["error_share"] == 0.25
    assert AuditEntry.objects.filter(action="deployment.promote", object_id=str(deployment.pk)).exists()


@pytest.mark.parametrize(("rule", "code"), [("gate", "alias_protected"), ("four_eyes", "approval_needed")])
def test_promoting_asks_gate_and_approval_as_any_move(
    actor: Actor, named_version: Named, deploy: Deploy, rule: str, code: str
) -> None:
    old, new = named_version(), named_version()
    deployment = deploy(old, candidate=new, candidate_share=0.5)
    if rule == "gate":
        type(old.family).objects.filter(pk=old.family_id).update(protected_aliases=["champion"])
    else:
        actor.workspace.four_eyes = True

    with pytest.raises(Refused) as refused:
        services.promote(actor=actor, deployment=deployment)

    assert refused.value.code == code
    deployment.refresh_from_db()
    assert (deployment.candidate, deployment.alias.version) == (new, old)


def test_rolling_back_takes_the_share_and_then_the_alias(actor: Actor, named_version: Named, deploy: Deploy) -> None:
    old, new = named_version(), named_version()
    deployment = deploy(old, candidate=new, candidate_share=0.5)

    once = services.roll_back(actor=actor, deployment=deployment, reason="tone")
    assert (once.candidate, once.candidate_share, once.alias.version) == (new, 0.0, old)
    services.promote(actor=actor, deployment=deployment)
    twice = services.roll_back(actor=actor, deployment=deployment, reason="wrong")

    assert twice.alias.version == old
    kinds = [event.kind for event in deployment.events.order_by("id")]
    assert kinds == [EventKind.CREATED, EventKind.ROLLED_BACK, EventKind.PROMOTED, EventKind.ROLLED_BACK]


@pytest.mark.parametrize(
    ("count", "errors", "minutes", "is_taken"),
    [(10, 3, 1, True), (10, 2, 1, False), (4, 4, 1, False), (10, 10, 45, False)],
)
def test_a_gate_takes_a_bad_candidate_back(
    actor: Actor, named_version: Named, deploy: Deploy, count: int, errors: int, minutes: int, is_taken: bool
) -> None:
    deployment = deploy(named_version(), candidate=named_version(), candidate_share=0.5, gates=[ERROR_GATE])
    begun = timezone.now() + timedelta(minutes=1)
    ended(deployment, Arm.STABLE, 10, errors=10, at=begun)
    ended(deployment, Arm.CANDIDATE, count, errors=errors, at=begun)

    done = services.check_gates(now=begun + timedelta(minutes=minutes))

    deployment.refresh_from_db()
    assert done == {"candidates_taken_back": int(is_taken)}
    assert deployment.candidate_share == (0.0 if is_taken else 0.5)
    events = list(deployment.events.filter(kind=EventKind.GATE))
    assert len(events) == Notice.objects.count() == int(is_taken)
    if is_taken:
        assert "0.3 over 10 answers" in str(events[0].reason)
        assert events[0].detail["figures"]["error_count"] == 3
        assert services.check_gates(now=begun + timedelta(minutes=minutes)) == {"candidates_taken_back": 0}


def test_a_slow_first_token_is_a_gate_too_and_what_was_before_the_share_does_not_count(
    actor: Actor, named_version: Named, deploy: Deploy
) -> None:
    gate = {"figure": "first_p95_seconds", "bound": 0.5, "window_minutes": 60, "min_count": 5}
    deployment = deploy(named_version(), candidate=named_version(), candidate_share=0.5, gates=[gate])
    ended(deployment, Arm.CANDIDATE, 5, first=1.0)
    changed(actor, deployment, candidate_share=0.2)
    assert services.check_gates() == {"candidates_taken_back": 0}

    ended(deployment, Arm.CANDIDATE, 5, first=1.0)

    assert services.check_gates() == {"candidates_taken_back": 1}


def test_thumbs_down_are_a_gate_too(actor: Actor, named_version: Named, deploy: Deploy) -> None:
    gate = {"figure": "thumbs_up_share", "bound": 0.5, "window_minutes": 60, "min_count": 3}
    deployment = deploy(named_version(), candidate=named_version(), candidate_share=0.5, gates=[gate])
    ended(deployment, Arm.CANDIDATE, 3)
    for at, row in enumerate(Generation.objects.order_by("id")):
        assert services.check_gates() == {"candidates_taken_back": 0}
        Feedback.objects.create(
            workspace=actor.workspace, model_version=row.model_version, generation=row, author=f"user {at}",
            thumb=Thumb.UP if at == 0 else Thumb.DOWN,
        )  # fmt: skip

    assert services.check_gates() == {"candidates_taken_back": 1}


def test_thumbs_count_for_the_side_that_answered_and_in_their_window(
    actor: Actor, named_version: Named, deploy: Deploy, api: Any
) -> None:
    old, new, now = named_version(), named_version(), timezone.now()
    deployment = deploy(old, candidate=new, candidate_share=0.5)
    other = deploy(new, name="other")
    ended(deployment, Arm.STABLE, 1)
    ended(deployment, Arm.CANDIDATE, 3)
    ended(other, Arm.STABLE, 1)
    labelled = OnlineRequest.objects.create(
        workspace=actor.workspace, model_version=new, deployment=deployment, arm=Arm.CANDIDATE, texts=["a"]
    )
    stable, *candidates, elsewhere = Generation.objects.order_by("id")
    said = [(stable, Thumb.UP), *((row, thumb) for row, thumb in zip(candidates, ("down", "up", ""), strict=True))]
    for row, thumb in [*said, (elsewhere, Thumb.UP)]:
        given = {"workspace": actor.workspace, "model_version": row.model_version, "thumb": thumb}
        Feedback.objects.create(**given, generation=row, author="user 1")
    given = {"workspace": actor.workspace, "model_version": new, "thumb": Thumb.DOWN}
    Feedback.objects.create(**given, online_request=labelled, author="user 1")
    Feedback.objects.create(**given, generation=stable, author="user 2", updated_at=now - timedelta(hours=2))

    answer = api(actor).get(f"/api/v1/deployments/{deployment.pk}/figures?hours=1").json()

    found = {each["arm"]: (each["thumbs_count"], each["thumbs_up_share"]) for each in answer}
    assert found == {"stable": (1, 1.0), "candidate": (3, pytest.approx(1 / 3)), "shadow": (0, None)}


def test_the_history_cannot_be_rewritten(named_version: Named, deploy: Deploy) -> None:
    event = deploy(named_version()).events.get()

    for forge in (lambda: DeploymentEvent.objects.update(by="eve"), lambda: event.delete()):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            forge()


def test_an_alias_with_a_deployment_stays_until_that_is_gone(
    actor: Actor, named_version: Named, deploy: Deploy
) -> None:
    version = named_version()
    deployment = deploy(version)
    row = asked(actor)
    with pytest.raises(Refused) as refused:
        remove_alias(actor=actor, family=version.family, name="champion")
    assert refused.value.code == "alias_in_use"

    services.delete_deployment(actor=actor, deployment=deployment)
    remove_alias(actor=actor, family=version.family, name="champion")

    row.refresh_from_db()
    assert row.deployment is None and AuditEntry.objects.filter(action="deployment.delete").exists()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"candidate_share": 0.5}, "no_candidate"),
        ({"candidate_share": 1.5, "candidate": "other"}, "bad_share"),
        ({"candidate": "same"}, "same_version"),
        ({"candidate": "foreign"}, "other_family"),
        ({"sticky": "moon"}, "unknown_sticky"),
        ({"retention_days": -1}, "bad_retention"),
        ({"gates": [{"figure": "charm", "bound": 1}]}, "unknown_figure"),
        ({"gates": [{**ERROR_GATE, "bound": 1.5}]}, "bad_bound"),
        ({"gates": [{**ERROR_GATE, "window_minutes": 0}]}, "bad_window"),
        ({"gates": [{**ERROR_GATE, "min_count": 0}]}, "bad_count"),
        ({"gates": [ERROR_GATE, ERROR_GATE]}, "double_gate"),
    ],
)
def test_wrong_options_are_refused(
    actor: Actor, named_version: Named, deploy: Deploy, options: dict[str, Any], code: str
) -> None:
    version = named_version()
    deployment = deploy(version)
    candidates = {"same": version, "other": named_version(), "foreign": named_version(name="else")}
    if "candidate" in options:
        options = {**options, "candidate": candidates[options["candidate"]]}

    with pytest.raises(Refused) as refused:
        changed(actor, deployment, **options)

    assert refused.value.code == code
    deployment.refresh_from_db()
    assert deployment.candidate is None


def test_texts_go_after_their_days_and_counts_stay(actor: Actor, named_version: Named, deploy: Deploy) -> None:
    deployment = deploy(named_version(), retention_days=3)
    old, young = asked(actor), asked(actor)
    now = timezone.now()
    for row, days in ((old, 4), (young, 2)):
        Generation.objects.filter(pk=row.pk).update(
            state=GenerationState.DONE, finished_at=now - timedelta(days=days), answers=[{"text": "x"}], prompt_tokens=7
        )
    asking = {"workspace": actor.workspace, "model_version": deployment.alias.version, "deployment": deployment}
    label = OnlineRequest.objects.create(
        **asking, texts=["secret"], results=[{}], state="done", answered_at=now - timedelta(days=4), token_count=5
    )

    done = services.expire_texts(now=now)

    for row in (old, young, label):
        row.refresh_from_db()
    assert done == {"generation_texts": 1, "online_texts": 1}
    assert (old.messages, old.answers, old.prompt_tokens) == ([], [], 7)
    assert (label.texts, label.results, label.token_count) == ([], [], 5)
    assert young.messages and young.answers
    assert services.expire_texts(now=now) == {"generation_texts": 0, "online_texts": 0}


def test_no_days_keep_nothing_as_store_false(actor: Actor, named_version: Named, deploy: Deploy) -> None:
    deploy(named_version(), retention_days=0)

    row = asked(actor, extras=Extras(is_stored=True))

    assert not row.is_stored
