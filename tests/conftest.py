"""The cast of every test: alice owns the workspace, bob is a teammate, charlie is a stranger."""

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


def pytest_configure() -> None:
    """Pages speak Chinese in some tests: compile the catalogues that changed, also when pytest is started alone."""
    compile_translations(ROOT)
    settings.HOME.mkdir(mode=0o700, parents=True, exist_ok=True)


def pytest_unconfigure() -> None:
    """A home that nobody named is thrown away."""
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


CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="session")
def tiny_chat(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes folders of chat models with random weights: "own" (ours), "llama" with ChatML, "gpt2" without template."""

    def make(kind: str = "own", seed: int = 1) -> Path:
        import torch
        from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

        from engine.chat_folder import save_chat_model
        from engine.data import ChatRows
        from engine.gpt import Gpt
        from engine.recipes.sft_setup import learn_template, model_config
        from engine.specs import SftSpec

        folder = tmp_path_factory.mktemp(f"chat-{kind}") / "model"
        spec = SftSpec(layers=2, width=16, heads=4, kv_heads=2, context_tokens=96, vocabulary_size=300)
        words = ["where is my card?", "look at the map", "我的卡在哪里", "the rate is low, the loan is not"]
        template = learn_template(spec, ChatRows([1], [[{"role": "user", "content": " ".join(words)}]]))
        torch.manual_seed(seed)
        if kind == "own":
            own = Gpt(model_config(spec, template.tokenizer.get_vocab_size()))
            for parameter in own.parameters():
                if parameter.ndim > 1:
                    torch.nn.init.normal_(parameter, std=0.6)
            save_chat_model(folder, own, template, {"recipe": "sft", "context_tokens": 96})
            return folder
        names = {"eos_token": "<|im_end|>", "pad_token": "<|pad|>"} if kind == "llama" else {"eos_token": "<|end|>"}
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=template.tokenizer, model_max_length=96, **names)
        if kind == "llama":
            tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
            tokenizer.chat_template = CHATML
        shape = {"vocab_size": len(tokenizer), "initializer_range": 0.6, "eos_token_id": tokenizer.eos_token_id}
        model: Any
        if kind == "llama":
            model = LlamaForCausalLM(
                LlamaConfig(
                    **shape,
                    hidden_size=24,
                    intermediate_size=48,
                    num_hidden_layers=2,
                    num_attention_heads=4,
                    num_key_value_heads=2,
                    max_position_embeddings=96,
                    rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0},
                )
            )
        else:
            model = GPT2LMHeadModel(GPT2Config(**shape, n_embd=16, n_layer=2, n_head=4, n_positions=96))
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)
        return folder

    return make


@pytest.fixture
def chat_version(workspace: Workspace, alice: User, tiny_chat: Callable[..., Path]) -> Callable[..., Any]:
    """Registers a tiny chat model with weights of a seed as the next version of "bot"."""
    from apps.registry.services import register_version

    def make(kind: str = "own", seed: int = 1, **columns: Any) -> Any:
        given = {"name": "bot", "recipe": "sft", "task": "generation", "by": alice, **columns}
        return register_version(workspace=workspace, folder=tiny_chat(kind, seed), **given)

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


@pytest.fixture
def chat_data(workspace: Workspace, freeze_rows: Callable[..., Any]) -> Any:
    """30 frozen chats, 20 of them in the test split; one of those holds no answer."""
    import pyarrow as pa

    from apps.datasets.models import Dataset

    dataset = Dataset.objects.create(workspace=workspace, name="Talks", kind="chat")
    rows = []
    for at in range(30):
        messages = [
            {"role": "user", "content": f"where is {'my ' * (at % 5)}card <b>{at}</b>?"},
            {"role": "assistant", "content": f"look at the map {at}"},
        ]
        rows.append(
            {
                "example_id": 300 + at,
                "external_id": f"t{at}",
                "split": "test" if at % 3 else "train",
                "meta": "{}",
                "messages": messages[: 1 if at == 4 else 2],
            }
        )
    messages_type = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    texts = [(name, pa.string()) for name in ("external_id", "split", "meta")]
    schema = pa.schema([("example_id", pa.int64()), *texts, ("messages", messages_type)])
    counts = {"splits": {"train": 10, "test": 20}}
    return freeze_rows(dataset, pa.Table.from_pylist(rows, schema=schema), content_hash="c" * 64, counts=counts)


@pytest.fixture(scope="session")
def tiny_tagger(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes folders of taggers, width 16, with random weights of a given seed; with case features or plain."""

    def make(labels: tuple[str, ...] = ("city", "name"), seed: int = 1, *, case_features: bool = True) -> Path:
        import torch
        from transformers import BertConfig, BertForTokenClassification, BertTokenizerFast

        from engine.tagger import TokenTagger
        from engine.tagger_folder import save_tagger

        words = ["the", "my", "card", "lena", "lives", "in", "oslo", "pays", "where", "is", "我", "在", "北", "京"]
        numbers = {word: at for at, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words])}
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=len(numbers),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=32,
            num_labels=1 + 2 * len(labels),
            initializer_range=0.8,
        )
        model = TokenTagger(BertForTokenClassification(config), case_features=case_features)
        if model.case is not None:
            torch.nn.init.normal_(model.case.weight)
        description = {
            "recipe": "tag",
            "labels": list(labels),
            "unit": "word",
            "max_length_tokens": 16,
            "stride_tokens": 4,
        }
        folder = tmp_path_factory.mktemp("tagger") / "model"
        save_tagger(folder, model, BertTokenizerFast(vocab=numbers, model_max_length=32), description)
        return folder

    return make


@pytest.fixture
def tagger_version(workspace: Workspace, alice: User, tiny_tagger: Callable[..., Path]) -> Callable[..., Any]:
    """Registers a tiny tagger with weights of a seed as the next version of "names"."""
    from apps.registry.services import register_version

    def make(seed: int = 1, **columns: Any) -> Any:
        labels = ("city", "name")
        given = {"name": "names", "recipe": "tag", "task": "tagging", "labels": labels, "by": alice, **columns}
        return register_version(workspace=workspace, folder=tiny_tagger(labels, seed), **given)

    return make


@pytest.fixture
def span_data(workspace: Workspace, freeze_rows: Callable[..., Any]) -> Any:
    """120 frozen texts in which places and people are marked: 84 to learn from, 18 dev, 18 test."""
    import pyarrow as pa

    from apps.datasets.models import Dataset

    dataset = Dataset.objects.create(workspace=workspace, name="Names", kind="spans", labels=["city", "name"])
    splits = ["train"] * 14 + ["dev"] * 3 + ["test"] * 3
    rows = []
    for at in range(120):
        text = f"{'Lena' if at % 2 else 'Nobody'} lives in Oslo{' the' * (at % 7)} <b>{at}</b>"
        place = text.index("Oslo")
        spans = [{"start": place, "end": place + 4, "label": "city"}]
        spans = [{"start": 0, "end": 4, "label": "name"}, *spans] if at % 2 else spans
        rows.append(
            {
                "example_id": 700 + at,
                "external_id": f"s{at}",
                "split": splits[at // 6],
                "meta": "{}",
                "text": text,
                "spans": spans,
            }
        )
    counts = {"splits": {"train": 84, "dev": 18, "test": 18}, "labels": {"city": 120, "name": 60}}
    table = pa.Table.from_pylist(rows)
    return freeze_rows(dataset, table, content_hash="e" * 64, counts=counts, labels=["city", "name"])


@pytest.fixture(scope="session")
def tiny_reader(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes folders of readers, width 16, with random weights of a given seed."""

    def make(seed: int = 1, *, no_answer: bool = False) -> Path:
        import torch
        from transformers import BertConfig, BertForQuestionAnswering, BertTokenizerFast

        from engine.reader import SpanReader
        from engine.reader_folder import save_reader

        words = [
            "where",
            "is",
            "the",
            "my",
            "card",
            "lena",
            "lives",
            "in",
            "oslo",
            "we",
            "open",
            "at",
            "nine",
            "我",
            "在",
        ]
        numbers = {word: at for at, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words])}
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=len(numbers),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=48,
            initializer_range=0.8,
        )
        description = {
            "recipe": "extract",
            "max_length_tokens": 32,
            "stride_tokens": 8,
            "max_answer_tokens": 4,
            "no_answer": no_answer,
            "no_answer_margin": 0.0,
        }
        folder = tmp_path_factory.mktemp("reader") / "model"
        tokenizer = BertTokenizerFast(vocab=numbers, model_max_length=48)
        save_reader(folder, SpanReader(BertForQuestionAnswering(config)), tokenizer, description)
        return folder

    return make


@pytest.fixture
def reader_version(workspace: Workspace, alice: User, tiny_reader: Callable[..., Path]) -> Callable[..., Any]:
    """Registers a tiny reader with weights of a seed as the next version of "reader"."""
    from apps.registry.services import register_version

    def make(seed: int = 1, **columns: Any) -> Any:
        given = {"name": "reader", "recipe": "extract", "task": "extraction", "by": alice, **columns}
        return register_version(workspace=workspace, folder=tiny_reader(seed), **given)

    return make


@pytest.fixture
def qa_data(workspace: Workspace, freeze_rows: Callable[..., Any]) -> Any:
    """60 frozen questions about passages, every sixth without an answer: 42 to learn from, 9 dev, 9 test."""
    import pyarrow as pa

    from apps.datasets.models import Dataset

    dataset = Dataset.objects.create(workspace=workspace, name="Hours", kind="qa")
    rows = []
    for at in range(60):
        context = f"<b>{at}</b> we open at nine{' in oslo' * (at % 5)}"
        answers = [] if at % 6 == 5 else [{"text": "nine", "start": context.index("nine")}]
        rows.append(
            {
                "example_id": 900 + at,
                "external_id": f"q{at}",
                "split": "train" if at < 42 else "dev" if at < 51 else "test",
                "meta": "{}",
                "question": f"where is {'my ' * (at % 3)}card <i>{at}</i>",
                "context": context,
                "answers": answers,
            }
        )
    texts = [(name, pa.string()) for name in ("external_id", "split", "meta", "question", "context")]
    kind = pa.list_(pa.struct([("text", pa.string()), ("start", pa.int64())]))
    schema = pa.schema([("example_id", pa.int64()), *texts, ("answers", kind)])
    counts = {"splits": {"train": 42, "dev": 9, "test": 9}}
    return freeze_rows(dataset, pa.Table.from_pylist(rows, schema=schema), content_hash="9" * 64, counts=counts)


@pytest.fixture(scope="session")
def tiny_embedder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes folders of encoders that make vectors of 16 numbers, with random weights of a given seed."""

    def make(seed: int = 1, *, method: str = "full") -> Path:
        import torch
        from transformers import BertConfig, BertModel, BertTokenizerFast

        from engine.embedder import TextEmbedder
        from engine.embedder_folder import save_embedder
        from engine.methods import attach
        from engine.specs.methods import MethodOptions

        words = ["the", "my", "card", "loan", "rate", "lost", "where", "is", "please", "back", "我", "的", "卡"]
        numbers = {word: at for at, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words])}
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=len(numbers),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=32,
            initializer_range=0.8,
        )
        folder = tmp_path_factory.mktemp("embedder")
        tokenizer = BertTokenizerFast(vocab=numbers, model_max_length=32)
        network = BertModel(config)
        network.save_pretrained(folder / "base")
        tokenizer.save_pretrained(folder / "base")
        model = TextEmbedder(network, pooling="mean", normalise=True)
        attached = None
        if method != "full":
            attached = attach(model.encoder, MethodOptions(method=method, adapter_rank=2, bottleneck_width=4))
            for parameter in model.parameters():
                if parameter.requires_grad:
                    torch.nn.init.normal_(parameter, std=0.3)
        description = {
            "recipe": "embed",
            "max_length_tokens": 16,
            "temperature": 0.05,
            "least_score": 0.5,
            "base_model": f"folder:{folder / 'base'}",
        }
        save_embedder(folder / "model", model.eval(), tokenizer, description, attached=attached)
        return folder / "model"

    return make


@pytest.fixture
def embedder_version(workspace: Workspace, alice: User, tiny_embedder: Callable[..., Path]) -> Callable[..., Any]:
    """Registers a tiny version that makes vectors as the next version of "vectors"."""
    from apps.registry.services import register_version

    def make(seed: int = 1, *, method: str = "full") -> Any:
        given = {"name": "vectors", "recipe": "embed", "task": "embedding", "by": alice}
        return register_version(workspace=workspace, folder=tiny_embedder(seed, method=method), **given)

    return make


@pytest.fixture(scope="session")
def tiny_ranker(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Callable[..., Path]) -> Callable[..., Path]:
    """Makes folders that score pairs, with random weights of a given seed."""

    def make(seed: int = 1, *, method: str = "full") -> Path:
        import torch

        from engine.base_models import load_network, load_tokenizer
        from engine.methods import attach
        from engine.ranker import PairScorer
        from engine.ranker_folder import save_ranker
        from engine.specs.methods import MethodOptions

        base = tiny_embedder(seed).parent / "base"
        torch.manual_seed(seed)
        model = PairScorer(load_network(str(base), 1), pooling="mean")
        torch.nn.init.normal_(model.head.weight, std=0.3)
        attached = None
        if method != "full":
            attached = attach(model.encoder, MethodOptions(method=method, adapter_rank=2, bottleneck_width=4))
            for name, parameter in model.named_parameters():
                if parameter.requires_grad and not name.startswith("head."):
                    torch.nn.init.normal_(parameter, std=0.3)
        description = {
            "recipe": "rerank",
            "max_length_tokens": 24,
            "candidates": 10,
            "least_score": 0.5,
            "base_model": f"folder:{base}",
        }
        folder = tmp_path_factory.mktemp("ranker") / "model"
        save_ranker(folder, model.eval(), load_tokenizer(str(base)), description, attached=attached)
        return folder

    return make


@pytest.fixture
def ranker_version(workspace: Workspace, alice: User, tiny_ranker: Callable[..., Path]) -> Callable[..., Any]:
    """Registers a tiny version that scores pairs as the next version of "ranker"."""
    from apps.registry.services import register_version

    def make(seed: int = 1, *, method: str = "full") -> Any:
        given = {"name": "ranker", "recipe": "rerank", "task": "reranking", "by": alice}
        return register_version(workspace=workspace, folder=tiny_ranker(seed, method=method), **given)

    return make


@pytest.fixture
def pair_data(workspace: Workspace, freeze_rows: Callable[..., Any]) -> Any:
    """60 frozen questions with answers, 12 of them in dev and 12 in test."""
    import pyarrow as pa

    from apps.datasets.models import Dataset

    dataset = Dataset.objects.create(workspace=workspace, name="Frequent", kind="pairs")
    words = ["card", "loan", "rate", "lost", "back", "卡"]
    splits = ["train"] * 36 + ["dev"] * 12 + ["test"] * 12
    rows = [
        {
            "example_id": 900 + at,
            "external_id": f"f{at}",
            "split": split,
            "meta": "{}",
            "source": f"{'where is ' * (at % 4)}my {words[at % 6]} <b>{at}</b>",
            "target": f"the {words[(at + 1) % 6]} please <i>",
        }
        for at, split in enumerate(splits)
    ]
    texts = [(name, pa.string()) for name in ("external_id", "split", "meta", "source", "target")]
    schema = pa.schema([("example_id", pa.int64()), *texts])
    counts = {"splits": {"train": 36, "dev": 12, "test": 12}}
    return freeze_rows(dataset, pa.Table.from_pylist(rows, schema=schema), content_hash="a1" * 32, counts=counts)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last, whatever the order: the browser's driver leaves an event loop running."""
    items.sort(key=lambda item: "e2e" in item.path.parts)
