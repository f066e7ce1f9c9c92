"""Aliases: moved with history, rolled back, guarded by four eyes."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from apps.accounts.access import actor_of_member
from apps.accounts.models import Membership
from apps.registry.models import Alias, AliasMove, ModelVersion
from apps.registry.services import (
    approve,
    edit_card,
    move_alias,
    reject,
    remove_alias,
    request_approval,
    rollback_alias,
)
from core.access import Actor
from core.errors import Refused

Register = Callable[..., ModelVersion]


def point(actor: Actor, version: ModelVersion, **more: Any) -> Alias:
    return move_alias(actor=actor, family=version.family, name="champion", version=version, **more)


def test_every_move_is_kept_with_who_when_from_to_and_why(register: Register, actor: Actor) -> None:
    first, second = register(), register()

    point(actor, first)
    point(actor, second, reason="better", evidence={"evaluation": 3})
    point(actor, second)

    moves = list(AliasMove.objects.order_by("id").values_list("from_number", "to_number", "reason", "by"))
    assert moves == [(None, 1, "", "alice@example.org"), (1, 2, "better", "alice@example.org")]
    assert AliasMove.objects.latest("id").evidence == {"evaluation": 3}


def test_rolling_back_goes_one_step_further_each_time(register: Register, actor: Actor) -> None:
    versions = [register() for _ in range(3)]
    for version in versions:
        point(actor, version)

    names = [rollback_alias(actor=actor, family=versions[0].family, name="champion").version.number for _ in range(2)]

    assert names == [2, 1]
    with pytest.raises(Refused, match="no earlier version"):
        rollback_alias(actor=actor, family=versions[0].family, name="champion")


def test_the_database_refuses_to_change_history(register: Register, actor: Actor) -> None:
    point(actor, register())

    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AliasMove.objects.update(by="nobody")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AliasMove.objects.all().delete()


def test_removing_an_alias_keeps_its_history_and_twice_is_harmless(register: Register, actor: Actor) -> None:
    version = register()
    point(actor, version)

    for _ in range(2):
        remove_alias(actor=actor, family=version.family, name="champion")

    assert not Alias.objects.exists()
    assert list(AliasMove.objects.order_by("id").values_list("kind", flat=True)) == ["move", "remove"]


@pytest.mark.parametrize("name", ["", "Champion", "9lives", "a b", "x" * 41, "a/b"])
def test_a_wrong_alias_name_gets_a_sentence(register: Register, actor: Actor, name: str) -> None:
    version = register()

    with pytest.raises(Refused, match="begins with a letter"):
        move_alias(actor=actor, family=version.family, name=name, version=version)


def test_an_alias_never_names_a_version_of_another_model(register: Register, actor: Actor) -> None:
    with pytest.raises(Refused, match="another model"):
        move_alias(actor=actor, family=register().family, name="champion", version=register(name="other"))


def test_with_four_eyes_the_champion_needs_a_second_person(
    register: Register, actor: Actor, workspace: Any, bob: Any
) -> None:
    workspace.four_eyes = True
    workspace.save()
    actor.workspace.four_eyes = True
    Membership.objects.filter(user=bob).update(role="admin")
    version = register()
    with pytest.raises(Refused, match="second person"):
        point(actor, version)
    approval = request_approval(actor=actor, version=version)
    with pytest.raises(Refused, match="yourself"):
        approve(actor=actor, approval=approval)

    approve(actor=actor_of_member(bob, workspace.slug), approval=approval, note="fine")

    assert point(actor, version).version == version
    with pytest.raises(Refused, match="decided already"):
        reject(actor=actor, approval=approval)


def test_without_four_eyes_self_approval_is_recorded_as_such(register: Register, actor: Actor) -> None:
    approval = request_approval(actor=actor, version=register())
    with pytest.raises(Refused, match="asked for already"):
        request_approval(actor=actor, version=approval.version)

    approve(actor=actor, approval=approval)

    approval.refresh_from_db()
    assert (approval.decision, approval.is_self_approval) == ("approved", True)


def test_every_save_of_a_card_is_a_new_revision(register: Register, actor: Actor) -> None:
    version = register()

    edit_card(actor=actor, version=version, limits="Not for medical texts.")

    numbers = list(version.card_revisions.order_by("number").values_list("number", "limits"))
    assert numbers == [(1, ""), (2, "Not for medical texts.")]
    generated = version.card_revisions.first()
    assert generated is not None
    assert "0.9000 (0.8000 – 0.9500)" in generated.generated
    assert "loan \\| \\<b\\>" in generated.generated
