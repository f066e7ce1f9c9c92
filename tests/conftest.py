"""The cast of every test: alice owns the workspace, bob is a teammate, charlie is a stranger."""

import gc
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone, translation
from rest_framework.test import APIClient

from apps.accounts.access import actor_of_member
from apps.accounts.models import Membership, User, Workspace
from apps.accounts.roles import PERMISSIONS
from apps.accounts.services import create_api_key, create_user, create_workspace
from core.access import Actor
from core.translations import compile_translations

ROOT = Path(__file__).resolve().parents[1]
PASSWORD = "correct horse battery"
LONG = {  # files that take half a minute or more
    "tests/api/test_fuzz.py",
    "tests/deploy/test_compose.py",
    "tests/e2e/test_story.py",
    "tests/embedded/test_up.py",
    "tests/engine/test_engine_launch.py",
    "tests/engine/test_engine_team.py",
    "tests/test_page_queries.py",
    "tests/training/test_training_runs.py",
}
pytest_plugins = (
    "tests.fixtures.adapters",
    "tests.fixtures.emptying",
    "tests.fixtures.few_shot",
    "tests.fixtures.guards",
    "tests.fixtures.jobs",
    "tests.fixtures.markers",
    "tests.fixtures.meaning",
    "tests.fixtures.monitors",
    "tests.fixtures.outside",
    "tests.fixtures.rollouts",
    "tests.fixtures.rules",
    "tests.fixtures.schedules",
    "tests.fixtures.vectors",
    "tests.fixtures.warm_engines",
    "tests.fixtures.writers",
)


def pytest_configure() -> None:
    """Pages speak Chinese in some tests: compile the catalogues that changed, also when pytest is started alone."""
    compile_translations(ROOT)
    settings.HOME.mkdir(mode=0o700, parents=True, exist_ok=True)


def pytest_unconfigure() -> None:
    """A home that nobody named is thrown away; what ends after us finds the servers gone, and our stream closed."""
    logging.raiseExceptions = False
    if "LINGXI_HOME" not in os.environ:
        shutil.rmtree(settings.HOME, ignore_errors=True)


@pytest.fixture(autouse=True)
def fresh_language() -> None:
    """Middleware leaves the last request's language and time zone on the thread; no test inherits them."""
    translation.activate(settings.LANGUAGE_CODE)
    timezone.deactivate()


@pytest.fixture(scope="session")
def bare_environment() -> dict[str, str]:
    """The environment of a person who has configured nothing."""
    ours = ("LINGXI_", "DATABASE_URL", "REDIS_URL", "DJANGO_", "COV_", "PYTEST_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'platform'}", "PYTHONUNBUFFERED": "1"}


@pytest.fixture(scope="session")
def open_folder() -> Callable[[], Path]:
    """Makes fresh folders, in memory where there is plenty: databases that are thrown away need no slow disk."""

    def make() -> Path:
        memory = Path("/dev/shm")
        roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2_000_000_000
        made = Path(tempfile.mkdtemp(prefix="lx-", dir=memory if roomy else None))
        made.chmod(0o711)
        return made

    return make


@pytest.fixture
def alice(db: None) -> User:
    return create_user(email="alice@example.org", password=PASSWORD, name="Alice")


@pytest.fixture
def bob(db: None) -> User:
    return create_user(email="bob@example.org", password=PASSWORD, name="Bob")


@pytest.fixture
def charlie(db: None) -> User:
    stranger = create_user(email="charlie@example.org", password=PASSWORD, name="Charlie")
    create_workspace(name="Elsewhere", owner=stranger)
    return stranger


@pytest.fixture
def workspace(alice: User, bob: User) -> Workspace:
    """Alice's workspace, in which bob is an analyst."""
    made = create_workspace(name="Harbour", owner=alice)
    Membership.objects.create(workspace=made, user=bob, role="analyst")
    return made


@pytest.fixture
def actor(alice: User, workspace: Workspace) -> Actor:
    """Alice acting in her workspace."""
    return actor_of_member(alice, workspace.slug)


@pytest.fixture
def stranger(charlie: User) -> Actor:
    """Charlie acting in his own workspace."""
    return actor_of_member(charlie, "elsewhere")


@pytest.fixture
def api() -> Callable[[Actor], APIClient]:
    """An API client with a key of the actor that holds every scope of its role."""

    def client(actor: Actor, scopes: list[str] | None = None) -> APIClient:
        made = APIClient()
        wanted = scopes if scopes is not None else [name for name in PERMISSIONS if actor.may(name)]
        _key, secret = create_api_key(actor=actor, name="test", scopes=wanted)
        made.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
        return made

    return client


@pytest.fixture
def page(client: Any) -> Callable[[User], Any]:
    """A browser-like client logged in as the user."""

    def log_in(user: User) -> Any:
        client.force_login(user)
        return client

    return log_in


@pytest.fixture(scope="session")
def tiny_classifier(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes Hugging Face folders of a BERT classifier, width 16, with random weights of a given seed."""

    def make(labels: tuple[str, ...] = ("refund", "card", "loan"), seed: int = 1) -> Path:
        import torch
        from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

        folder = tmp_path_factory.mktemp("classifier")
        words = [
            "the",
            "a",
            "my",
            "card",
            "loan",
            "refund",
            "money",
            "where",
            "is",
            "not",
            "working",
            "please",
            "help",
            "when",
            "rate",
            "lost",
            "pay",
            "back",
            "我",
            "的",
            "卡",
        ]
        vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *(f"##{letter}" for letter in "abcdefgh")]
        numbers = {word: at for at, word in enumerate(vocabulary)}
        BertTokenizerFast(vocab=numbers, model_max_length=32).save_pretrained(folder)
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=32,
            id2label=dict(enumerate(labels)),
            label2id={label: at for at, label in enumerate(labels)},
            num_labels=len(labels),
            initializer_range=0.5,
        )
        BertForSequenceClassification(config).save_pretrained(folder)
        return folder

    return make


@pytest.fixture
def freeze_rows() -> Callable[..., Any]:
    """Makes the first frozen version of a dataset from an Arrow table, without the jobs that lead to one."""
    import pyarrow.parquet as pq

    from apps.datasets.models import DatasetVersion
    from core.storage import home

    def freeze(dataset: Any, table: Any, **columns: Any) -> Any:
        path = home() / "files" / str(dataset.workspace_id) / f"dataset-{dataset.pk}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)
        given = {"number": 1, "path": path.relative_to(home()).as_posix(), "frozen_at": timezone.now(), **columns}
        return DatasetVersion.everything.create(dataset=dataset, row_count=table.num_rows, **given)

    return freeze


def pytest_collection_finish() -> None:
    """What is loaded by now stays to the end: looking through it for garbage again and again took a fifth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files come first, so that no process is alone with one in the end; the others keep their order.

    Browser tests come last, whatever the order: the browser's driver leaves an event loop running.
    """
    items.sort(key=lambda item: ("e2e" in item.path.parts, item.path.relative_to(ROOT).as_posix() not in LONG))
