"""Pages of the registry for owner, teammate and stranger."""

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from apps.accounts.models import Membership
from apps.registry.models import Alias, ModelVersion
from apps.registry.services import Making, move_alias, request_approval
from core.access import Actor

Register = Callable[..., ModelVersion]
Page = Callable[[Any], Any]


def at(name: str, /, **kwargs: Any) -> str:
    return reverse(name, kwargs={"workspace": "harbour", **kwargs})


def url(name: str, /, **kwargs: Any) -> str:
    return at(f"registry:{name}", **kwargs)


@pytest.fixture
def version(register: Register, actor: Actor) -> ModelVersion:
    made = register()
    move_alias(actor=actor, family=made.family, name="champion", version=made)
    return made


def addresses(version: ModelVersion) -> list[str]:
    return [
        url("list"),
        url("family", pk=version.family_id),
        url("detail", pk=version.pk),
        url("card", pk=version.pk),
        url("compare"),
        url("new_import"),
        url("base_models"),
    ]


def test_owner_and_analyst_see_every_page(version: ModelVersion, page: Page, alice: Any, bob: Any) -> None:
    for user in (alice, bob):
        browser = page(user)
        for address in addresses(version):
            assert browser.get(address).status_code == 200, address


def test_a_viewer_reads_but_may_not_change(version: ModelVersion, page: Page, bob: Any) -> None:
    Membership.objects.filter(user=bob).update(role="viewer")
    browser = page(bob)

    assert browser.get(url("detail", pk=version.pk)).status_code == 200
    assert browser.get(url("card", pk=version.pk)).status_code == 403
    assert browser.post(url("delete", pk=version.pk)).status_code == 403
    assert browser.post(url("base_models"), {"name": "x"}).status_code == 403


def test_a_stranger_finds_nothing(version: ModelVersion, page: Page, charlie: Any) -> None:
    browser = page(charlie)

    for address in addresses(version):
        assert browser.get(address).status_code == 404
        own = address.replace("harbour", "elsewhere")
        expected = 404 if str(version.pk) in own or str(version.family_id) in own else 200
        assert browser.get(own).status_code == expected, own


def test_texts_and_labels_are_shown_as_text(version: ModelVersion, page: Page, alice: Any) -> None:
    text = page(alice).get(url("detail", pk=version.pk)).content.decode()

    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_the_number_of_queries_does_not_grow_with_the_rows(
    version: ModelVersion, register: Register, page: Page, alice: Any, django_assert_max_num_queries: Any
) -> None:
    for at in range(8):
        register(name=f"more {at}")
        register()
    browser = page(alice)

    with django_assert_max_num_queries(13):
        browser.get(url("list"))
    with django_assert_max_num_queries(13):
        browser.get(url("family", pk=version.family_id))
    with django_assert_max_num_queries(19):
        browser.get(url("detail", pk=version.pk))


def test_moving_an_alias_by_page(version: ModelVersion, register: Register, page: Page, bob: Any) -> None:
    newer = register()

    answer = page(bob).post(
        at("evaluation:move", family_pk=version.family_id),
        {"name": "champion", "version": newer.pk, "reason": "better"},
    )

    assert answer.status_code == 302
    assert Alias.objects.get().version == newer
    page(bob).post(url("rollback", pk=version.family_id, alias="champion"))
    assert Alias.objects.get().version == version


def test_a_refusal_is_a_page_with_a_sentence(version: ModelVersion, page: Page, alice: Any) -> None:
    answer = page(alice).post(url("delete", pk=version.pk))

    assert answer.status_code == 409
    assert "is used by alias champion" in answer.content.decode()


def test_approving_by_page_needs_the_permission(version: ModelVersion, actor: Actor, page: Page, bob: Any) -> None:
    approval = request_approval(actor=actor, version=version)
    address = at("evaluation:decide", pk=approval.pk)

    assert page(bob).post(address, {"decision": "approve"}).status_code == 403
    Membership.objects.filter(user=bob).update(role="admin")
    assert page(bob).post(address, {"decision": "approve"}).status_code == 302
    approval.refresh_from_db()
    assert approval.decided_by == bob


def test_comparing_shows_only_settings_that_differ(
    version: ModelVersion, register: Register, page: Page, alice: Any
) -> None:
    other = register(making=Making(spec={"epochs": 9}, seed=17))

    answer = page(alice).get(url("compare"), {"version": [version.pk, other.pk]})

    text = answer.content.decode()
    assert "Epochs" in text
    assert [row["name"] for row in answer.context["settings_"]] == ["epochs"]
    assert page(alice).get(url("compare"), {"version": ["x", "9" * 30]}).status_code == 200


def test_a_file_that_is_no_zip_is_refused_in_the_form(page: Page, workspace: Any, alice: Any, tmp_path: Any) -> None:
    wrong = tmp_path / "model.zip"
    wrong.write_bytes(b"not a zip")

    with wrong.open("rb") as handle:
        answer = page(alice).post(url("new_import"), {"name": "mine", "file": handle})

    assert answer.status_code == 422
    assert "not a zip file" in str(answer.context["form"].errors)
